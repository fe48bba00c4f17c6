"""What follows from raw.json: tables of PPR, of the ratios of pruning rates that are needed, of storage; figures.

    python benchmarks/ppr/table.py [--figures docs/figures]

PPR is pruning rate / speed-up over the fastest dense design within the same share of the board. Cycles are exact;
resources are modelled but where the table says that Yosys synthesized them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "toolchain"), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from ppr import results  # noqa: E402
from ppr.layers import BITS, DENSITIES, FC, NONE, SHAPES, SHARE_BITS, SHARE_DENSITY, SHARES, mask_of, weights_of  # noqa: E402
from ppr.results import Point  # noqa: E402

from admmfpga.atomic import atomic_write  # noqa: E402
from admmfpga.packing.formats import Kept, sizes  # noqa: E402
from admmfpga.packing.formats.bounds import expected_dummy_factor, needed_ratio  # noqa: E402
from admmfpga.report.charts import Series, scatter  # noqa: E402
from admmfpga.report.table import format_table  # noqa: E402

NON_STRUCTURED = ("csr", "relative", "bitmap", "row_blocked2", "row_blocked4", "unrolled")
FREE = ("csr", "relative", "bitmap", "unrolled")
"""Options that take any mask; blocks of rows restrict it."""


class Grid:
    """The points, found by what they are."""

    def __init__(self, points: Iterable[Point]) -> None:
        self.points = {results.key(point): point for point in points}

    def cycles(self, shape: str, budget: str, pattern: str, density: float, bits: int) -> dict[str, int]:
        """By option; empty where nothing fits or the point is not there."""
        point = self.points.get((shape, budget, pattern, density, bits))
        return {} if point is None else {option: packed[0] for option, packed in point["designs"].items()}

    def dense(self, shape: str, budget: str, bits: int) -> int | None:
        """Cycles of the fastest design of the unpruned layer."""
        return min(self.cycles(shape, budget, NONE, 1.0, bits).values(), default=None)

    def rate(self, shape: str, budget: str, pattern: str, density: float, bits: int) -> float:
        """Pruning rate."""
        whole = self.points[shape, budget, NONE, 1.0, bits]["kept"]
        return float(whole / self.points[shape, budget, pattern, density, bits]["kept"])

    def ppr(self, shape: str, budget: str, density: float, bits: int) -> dict[str, float]:
        """By option, "structured" being the fastest design of the structured mask."""
        dense = self.dense(shape, budget, bits)
        found: dict[str, float] = {}
        if dense is None:
            return found
        for pattern in ("random", "blocked2", "blocked4", "structured"):
            cycles = self.cycles(shape, budget, pattern, density, bits)
            if not cycles:
                continue
            rate = self.rate(shape, budget, pattern, density, bits)
            if pattern == "structured":
                cycles = {"structured": min(cycles.values())}
            found |= {option: rate * count / dense for option, count in cycles.items()}
        return found

    def needed(self, shape: str, budget: str, density: float, bits: int, options: Sequence[str]) -> float | None:
        """The r_n/r_s above which non-structured pruning is faster: PPR_n / PPR_s of the best option."""
        ppr = self.ppr(shape, budget, density, bits)
        able = [ppr[name] for name in options if name in ppr]
        return min(able) / ppr["structured"] if able and "structured" in ppr else None


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def ppr_tables(grid: Grid) -> Iterable[str]:
    """PPR by density and option, one table a shape and number of bits."""
    for shape in SHAPES:
        for bits in BITS:
            rows = []
            for density in DENSITIES:
                found = grid.ppr(shape.name, shape.budget, density, bits)
                if found:
                    cells = (number(found.get(option)) for option in (*NON_STRUCTURED, "structured"))
                    rows.append((f"{100 * density:g} %", *cells))
            dense = grid.dense(shape.name, shape.budget, bits)
            if rows:
                yield f"\n{shape.name}, {bits} bits, {shape.budget} of the board; dense {dense:,} cycles"
                yield from format_table(("density", *NON_STRUCTURED, "structured"), rows)
            elif dense is None and (shape.name, shape.budget, NONE, 1.0, bits) in grid.points:
                yield f"\n{shape.name}, {bits} bits, {shape.budget} of the board: dense does not fit; cycles"
                patterns = ("random", "structured")
                rows = [
                    (
                        f"{100 * density:g} %",
                        *(
                            str(min(grid.cycles(shape.name, shape.budget, p, density, bits).values(), default="-"))
                            for p in patterns
                        ),
                    )
                    for density in DENSITIES
                ]
                yield from format_table(("density", "non-structured", "structured"), rows)


def needed_table(grid: Grid) -> Iterable[str]:
    """The ratio of pruning rates that decides, by bits and density."""
    yield "\nr_n/r_s above which non-structured pruning is faster; any mask / blocks of rows too"
    rows = []
    for shape in SHAPES:
        for bits in BITS:
            cells = []
            for density in DENSITIES:
                free = grid.needed(shape.name, shape.budget, density, bits, FREE)
                both = grid.needed(shape.name, shape.budget, density, bits, NON_STRUCTURED)
                cells.append("-" if free is None else f"{number(free)} / {number(both)}")
            if any(cell != "-" for cell in cells):
                rows.append((f"{shape.name}, {shape.budget}", str(bits), *cells))
    yield from format_table(("layer", "bits", *(f"{100 * density:g} %" for density in DENSITIES)), rows)


def share_table(grid: Grid) -> Iterable[str]:
    """PPR under budgets of many sizes."""
    yield f"\nPPR by share of the board ({SHARE_BITS} bits, {100 * SHARE_DENSITY:g} %, block RAM is no limit)"
    rows = []
    for shape in SHARES:
        found = grid.ppr(shape.name, shape.budget, SHARE_DENSITY, SHARE_BITS)
        if "csr" in found and "structured" in found:
            dense = grid.dense(shape.name, shape.budget, SHARE_BITS)
            cells = (number(found["csr"]), number(found["structured"]), number(found["csr"] / found["structured"]))
            rows.append((shape.name, shape.budget.partition(",")[0], f"{dense:,}", *cells))
    yield from format_table(("layer", "share", "dense cycles", "PPR csr", "PPR structured", "needed r_n/r_s"), rows)


def storage_table() -> Iterable[str]:
    """Bits per weight of random masks, and what they need; the derived formula beside the exact count."""
    yield f"\nstorage of {FC.name}, exact, random masks: bits per weight; needed r_n/r_s against the structured mask"
    rows = []
    for bits in BITS:
        for density in DENSITIES:
            masks = {name: mask_of(FC, name, density) for name in ("random", "blocked2", "blocked4", "structured")}
            kept = {name: Kept.of(weights_of(mask, bits)) for name, mask in masks.items()}
            size = {name: {k: v.total / one.count for k, v in sizes(one, bits).items()} for name, one in kept.items()}
            random = size["random"]
            best_k = min((n for n in random if n.startswith("relative")), key=random.__getitem__)
            best = min(random.values())
            structured = min(size["structured"].values())
            rows.append(
                (
                    str(bits),
                    f"{100 * density:g} %",
                    *(f"{random[name]:.2f}" for name in ("csr", "relative4")),
                    f"{random[best_k]:.2f} ({best_k.removeprefix('relative')})",
                    f"{random['bitmap']:.2f}",
                    *(f"{size[f'blocked{h}'][f'row_blocked{h}']:.2f}" for h in (2, 4)),
                    f"{structured:.2f}",
                    number(best / structured),
                    number(random["relative4"] / bits),
                    number(needed_ratio(expected_dummy_factor(density, 4), bits, 4)),
                )
            )
    header = (
        "bits", "density", "csr", "relative4", "best relative (k)", "bitmap", "row_blocked2", "row_blocked4",
        "structured", "needed", "needed, k = 4", "derived, k = 4",
    )  # fmt: skip
    yield from format_table(header, rows)


def sample_table(samples: Sequence[dict[str, Any]]) -> Iterable[str]:
    """Simulated and synthesized designs beside schedule and model."""
    yield "\nwhole accelerators of one layer: cycles by schedule and in Verilator, resources modelled / Yosys"
    rows = []
    for row in samples:
        resources = zip(row["modelled"], row["synthesized"] or ["-"] * 4, strict=True)
        rows.append(
            (
                row["shape"],
                str(row["bits"]),
                row["pattern"] if row["pattern"] == NONE else f"{row['pattern']} {100 * row['density']:g} %",
                row["option"],
                f"{row['interval']:,}",
                f"{row['simulated']:,}",
                *(f"{model:,} / {real if real == '-' else format(real, ',')}" for model, real in resources),
            )
        )
    header = ("layer", "bits", "mask", "option", "schedule", "Verilator", "LUT", "FF", "BRAM18", "DSP")
    yield from format_table(header, rows)


def figures(grid: Grid, folder: Path) -> None:
    """PPR against density, and the needed ratio against density, as SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    for shape in SHAPES[:4]:
        series = []
        for option in (*NON_STRUCTURED, "structured"):
            points = [(100 * d, grid.ppr(shape.name, shape.budget, d, 4).get(option)) for d in DENSITIES]
            found = [(x, y) for x, y in points if y is not None]
            if found:
                series.append(Series(option, found, joined=True))
        if series:
            title = f"PPR of {shape.name}, 4 bits, {shape.budget} of a PYNQ"
            drawn = scatter(title, "density, %", "PPR", series, log_x=True, log_y=True, level=1.0, width=620)
            atomic_write(folder / f"ppr-{shape.name.replace(' ', '-')}.svg", drawn.encode())
    series = []
    for shape in SHAPES[:4]:
        for bits in (1, 4, 8):
            points = [(100 * d, grid.needed(shape.name, shape.budget, d, bits, FREE)) for d in DENSITIES]
            found = [(x, y) for x, y in points if y is not None]
            if found and shape is FC:
                series.append(Series(f"{shape.name}, {bits} bits", found, joined=True))
            elif found and bits == 4:
                series.append(Series(shape.name, found, joined=True))
    drawn = scatter(
        "r_n/r_s above which non-structured pruning is faster", "density, %", "r_n/r_s", series,
        log_x=True, log_y=True, level=1.0, width=620,
    )  # fmt: skip
    atomic_write(folder / "ppr-needed.svg", drawn.encode())


@click.command()
@click.option("--figures", "folder", type=click.Path(path_type=Path), help="Also write the figures there.")
def main(folder: Path | None) -> None:
    """Print the tables of docs/ppr.md."""
    raw = results.read()
    grid = Grid(raw["points"])
    commits = ", ".join(dict.fromkeys(point["commit"] for point in raw["points"]))
    click.echo(f"{len(raw['points'])} points, {len(raw['samples'])} samples, made at {commits}")
    parts = (ppr_tables(grid), needed_table(grid), share_table(grid), storage_table(), sample_table(raw["samples"]))
    click.echo("\n".join(line for part in parts for line in part))
    if folder is not None:
        figures(grid, folder)


if __name__ == "__main__":
    main()
