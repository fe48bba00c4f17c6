"""A comparison as files: JSON, CSV and one HTML page that needs nothing besides itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from admmfpga import __version__
from admmfpga.atomic import atomic_write
from admmfpga.errors import UserError
from admmfpga.report.charts import Series, grouped_bars, scatter, stacked_bars
from admmfpga.report.comparison import Row, best_design, to_csv
from admmfpga.report.table import kib

TEMPLATES = Path(__file__).with_name("templates")


def write_comparison(comparison: Row, folder: Path) -> None:
    """compare.json, compare.csv and compare.html in a folder, which is made if it is not there.

    Raises:
        UserError: the folder cannot be written.
    """
    files = {
        "compare.json": json.dumps(comparison, indent=2) + "\n",
        "compare.csv": to_csv(comparison),
        "compare.html": to_html(comparison),
    }
    write_pages(folder, files)


def write_pages(folder: Path, files: Mapping[str, str]) -> None:
    """Files by name in a folder, which is made if it is not there.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}", "choose another output folder") from None
    for name, text in files.items():
        atomic_write(folder / name, text)


def environment() -> Environment:
    """Of the pages' templates."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"kib": kib, "thousands": lambda value: f"{value:,.0f}", "percent": _percent}
    return found


def to_html(comparison: Row) -> str:
    """The page."""
    template = environment().get_template("compare.html.j2")
    return template.render(
        c=comparison,
        networks=[(row, best_design(row)) for row in comparison["networks"]],
        charts={name: Markup(svg) for name, svg in _charts(comparison).items()},
        storage=[Markup(svg) for svg in _storage_charts(comparison)],
        version=__version__,
    )


def _storage_charts(comparison: Row) -> list[str]:
    """One chart a network: unpruned and pruned sizes differ too much for one axis."""
    found = []
    for row in comparison["networks"]:
        formats: dict[str, dict[str, float]] = {
            name: {part: bits / 8 / 1024 for part, bits in size.items() if part != "total"}
            for name, size in row["storage"]["formats"].items()
        }
        found.append(stacked_bars(f"{row['name']} ({row['kind']})", "KiB", formats))
    return found


def _charts(comparison: Row) -> dict[str, str]:
    rows = [(row, best) for row in comparison["networks"] if (best := best_design(row)) is not None]
    charts = {
        "cycles": grouped_bars("Cycles per layer and frame", "cycles", _by_layer(rows)),
        "front": scatter(
            "Frames per second against resources",
            "share of the budget's scarcest resource, %",
            "frames/s",
            [
                Series(
                    row["name"],
                    sorted((100 * point["share"], point["throughput_fps"]) for point in row["pareto"]),
                    joined=True,
                )
                for row, _ in rows
            ],
            log_x=True,
            log_y=True,
        ),
    }
    compared = [(row, d) for row in comparison["networks"] for d in row["designs"] if d.get("ppr")]
    pruned = [(row, d) for row, d in compared if row["kind"] != "dense"]
    if pruned:
        charts["ppr"] = scatter(
            "PPR against density",
            "weights kept, %",
            "pruning rate / speed-up",
            [Series(f"{row['name']} ({d['pe']})", [(100 / row["pruning_rate"], d["ppr"])]) for row, d in pruned],
            log_x=True,
            level=1.0,
        )
    return charts


def _by_layer(rows: list[tuple[Row, Row]]) -> dict[str, dict[str, float]]:
    groups: dict[str, dict[str, float]] = {}
    for row, best in rows:
        for layer in best["layers"]:
            groups.setdefault(layer["name"], {})[row["name"]] = layer["cycles"]
    return groups


def _percent(value: Any) -> str:
    return f"{100 * value:.2f} %"
