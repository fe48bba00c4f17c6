"""Prints how far the resource model is from synthesis, on configurations that the fit has not seen.

python benchmarks/estimates/table.py [--part held-out|fit] [--each]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
from sweep import HERE, block_of, design_of, memories_of, read_raw, used

from admmfpga.blocks import BLOCKS, Resources, axi_lite_control
from admmfpga.blocks.base import rom_resources
from admmfpga.blocks.families import FAMILIES, using
from admmfpga.blocks.matrix_unit import multiplier_resources
from admmfpga.report.table import format_table

NAMES = ("lut", "ff", "bram18", "dsp")


@dataclass(frozen=True)
class Comparison:
    """A run's modelled and synthesized resources."""

    stem: str
    part: str
    parameters: dict[str, Any]
    seed: int
    modelled: Resources
    synthesized: Resources

    def error(self, name: str) -> float:
        """Relative error in percent; of a figure that is zero, the difference times a hundred."""
        model, real = getattr(self.modelled, name), getattr(self.synthesized, name)
        return 100.0 * (model - real) / max(1, real)


def modelled(row: dict[str, Any]) -> Resources:
    """The model's figures for a run."""
    stem, p = row["stem"], row["parameters"]
    if stem == "design":
        return design_of(row["seed"]).resources() + axi_lite_control.resources()
    if stem == "axi_lite_control":
        return axi_lite_control.resources()
    if stem == "rom":
        return rom_resources(p["DEPTH"], p["WIDTH"], block_ram=False)
    if stem == "multiplier":
        return multiplier_resources(p["A_BITS"], p["B_BITS"], p["OUT_BITS"])
    return block_of(stem, p).resources(memories_of(stem, p, row["seed"]))


def compare(rows: Iterable[dict[str, Any]], family: str = "xc7") -> list[Comparison]:
    """Model and synthesis of results of the sweep for a family."""
    with using(family):
        return [Comparison(r["stem"], r["part"], r["parameters"], r["seed"], modelled(r), used(r)) for r in rows]


def summary(found: Sequence[Comparison]) -> dict[str, dict[str, float]]:
    """By resource: median and greatest relative error in percent, how many of how many are exact."""
    result: dict[str, dict[str, float]] = {}
    for name in NAMES:
        errors = np.abs([c.error(name) for c in found])
        result[name] = {
            "median_percent": round(float(np.median(errors)), 1),
            "p90_percent": round(float(np.quantile(errors, 0.9)), 1),
            "worst_percent": round(float(errors.max()), 1),
            "exact": int(np.count_nonzero(errors == 0)),
            "of": len(found),
        }
    return result


@click.command()
@click.option("--part", type=click.Choice(["held-out", "fit"]), default="held-out", show_default=True)
@click.option("--family", type=click.Choice(list(FAMILIES)), default="xc7", show_default=True)
@click.option("--each", is_flag=True, help="Every run, the worst first.")
def main(part: str, family: str, each: bool) -> None:
    """Print the table of docs/accuracy.md."""
    raw = read_raw(HERE / f"raw_{family}.json")
    found = [c for c in compare(raw["runs"], family) if c.part == part]
    stems = [stem for stem in (*BLOCKS, "design") if any(c.stem == stem for c in found)]
    rows = []
    for stem in (*stems, "all"):
        chosen = [c for c in found if c.stem == stem or (stem == "all" and c.stem in stems)]
        errors = summary(chosen)
        cells = [stem, str(len(chosen))]
        for name in ("lut", "ff"):
            cells += [f"{errors[name][key]:.1f}" for key in ("median_percent", "p90_percent", "worst_percent")]
        cells += [f"{errors[name]['exact']}/{errors[name]['of']}" for name in ("bram18", "dsp")]
        rows.append(cells)
    header = ("block", "runs", "LUT median", "90 %", "worst", "FF median", "90 %", "worst", "BRAM exact", "DSP exact")
    click.echo(f"errors in % against Yosys {raw['version']} {raw['flow']}, {part} configurations")
    click.echo("\n".join(format_table(header, rows)))
    if each:
        for c in sorted(found, key=lambda c: -max(abs(c.error("lut")), abs(c.error("ff")))):
            pairs = "  ".join(f"{n} {getattr(c.modelled, n)}/{getattr(c.synthesized, n)}" for n in NAMES)
            click.echo(f"{c.stem} {c.seed}: {pairs}  {c.parameters}")


if __name__ == "__main__":
    main()
