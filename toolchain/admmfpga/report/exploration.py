"""Pareto fronts as text, JSON and one HTML page that needs nothing besides itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markupsafe import Markup

from admmfpga import __version__
from admmfpga.report.charts import Series, scatter
from admmfpga.report.page import environment, write_pages
from admmfpga.report.table import format_table

_WORDS = {"lut": "LUT", "ff": "FF", "bram18": "RAMB18", "dsp": "DSP"}


def format_exploration(exploration: dict[str, Any]) -> str:
    """A table a board."""
    lines = [f"{exploration['model']['name']}: resources {exploration['resources_source']}"]
    for row in exploration["boards"]:
        lines += ["", f"{row['board']} ({row['part']}) at {row['clock_mhz']:g} MHz"]
        if not row["fits"]:
            lines += [row["reason"], f"hint: {row['hint']}"]
            continue
        bounds = ", ".join(f"{kind} {interval:,}" for kind, interval in row["bounds"].items())
        lines.append(f"no folding is faster than (cycles): {bounds}")
        header = ("cycles", "frames/s", *_WORDS.values(), "share", "scarcest", "slowest layer")
        lines += format_table(header, [_cells(point) for point in row["points"]])
    return "\n".join(lines)


def _cells(point: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{point['frame_interval_cycles']:,}",
        f"{point['throughput_fps']:,.0f}",
        *(f"{point['resources'][name]:,}" for name in _WORDS),
        f"{100 * point['share']:.0f} %",
        _WORDS[point["scarcest"]],
        point["slowest_layer"],
    )


def write_exploration(exploration: dict[str, Any], folder: Path) -> None:
    """explore.json and explore.html in a folder, which is made if it is not there.

    Raises:
        UserError: the folder cannot be written.
    """
    write_pages(
        folder, {"explore.json": json.dumps(exploration, indent=2) + "\n", "explore.html": to_html(exploration)}
    )


def to_html(exploration: dict[str, Any]) -> str:
    """The page."""
    fitting = [row for row in exploration["boards"] if row["fits"]]
    charts = [_chart(fitting, "share", "share of the usable amount of the scarcest resource, %")] if fitting else []
    charts += [_chart(fitting, name, word) for name, word in _WORDS.items() if _used(fitting, name)]
    return (
        environment()
        .get_template("explore.html.j2")
        .render(e=exploration, words=_WORDS, charts=[Markup(chart) for chart in charts], version=__version__)
    )


def _used(rows: list[dict[str, Any]], name: str) -> bool:
    return any(point["resources"][name] for row in rows for point in row["points"])


def _chart(rows: list[dict[str, Any]], name: str, title: str) -> str:
    series = [
        Series(
            row["board"],
            sorted(
                (100 * point["share"] if name == "share" else max(1, point["resources"][name]), point["throughput_fps"])
                for point in row["points"]
            ),
            joined=True,
        )
        for row in rows
    ]
    return scatter(f"Frames per second against {title}", title, "frames/s", series, log_x=True, log_y=True)
