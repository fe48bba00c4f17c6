"""Fits the LUT and FF model to the sweep's results and writes a family's coefficients into the package.

python benchmarks/estimates/fit.py [--family xc7] [--block STEM ...]

One linear model a block and resource: sum of coefficient x structural term, coefficients not negative. A block's model
explains what is left when its output FIFO, memories and multipliers, which have models of their own, are taken off.
Only runs of the set "fit" are looked at; the errors that go into the file come from the runs held out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from sweep import HERE, WHOLE, Parameters, block_of, read_raw, used
from table import compare, summary

from admmfpga.atomic import atomic_write
from admmfpga.blocks import BLOCKS, axi_lite_control
from admmfpga.blocks.base import fifo_fixed, fifo_terms, rom_terms
from admmfpga.blocks.calibration import Terms, calibration, file
from admmfpga.blocks.families import FAMILIES, using
from admmfpga.blocks.matrix_unit import multiplier_terms

Floats = npt.NDArray[np.float64]
ORDER = ("fifo", "rom", "multiplier", "axi_lite_control", *(stem for stem in BLOCKS if stem != "fifo"))
"""Parts before the blocks that hold them."""


def non_negative_least_squares(matrix: Floats, target: Floats) -> Floats:
    """x >= 0 with the least |matrix x - target| (active sets, Lawson and Hanson 1974)."""
    columns = matrix.shape[1]
    x, free = np.zeros(columns), np.zeros(columns, dtype=bool)
    for _ in range(30 * columns):
        gradient = matrix.T @ (target - matrix @ x)
        if free.all() or gradient[~free].max() <= 1e-9:
            break
        free[np.argmax(np.where(free, -np.inf, gradient))] = True
        while True:
            trial = np.zeros(columns)
            trial[free] = np.linalg.lstsq(matrix[:, free], target, rcond=None)[0]
            if trial[free].min(initial=np.inf) > 0:
                break
            # As far towards it as all stay positive; what reaches zero is fixed there.
            down = free & (trial <= 0)
            steps = x[down] / np.maximum(x[down] - trial[down], 1e-300)
            x = x + steps.min() * (trial - x)
            free &= x > 1e-12
            x[~free] = 0.0
        x = trial
    return x


def least_relative_deviations(matrix: Floats, target: Floats, total: Floats) -> Floats:
    """Non-negative x with small sum |matrix x - target| / total: least squares with weights made anew a few times."""
    weight = 1.0 / np.maximum(total, 1.0)
    scaled, goal = matrix * weight[:, None], target * weight
    x = non_negative_least_squares(scaled, goal)
    for _ in range(20):
        # Deviations of less than 2 % are as good as none.
        root = 1.0 / np.sqrt(np.maximum(np.abs(scaled @ x - goal), 0.02))
        x = non_negative_least_squares(scaled * root[:, None], goal * root)
    return x


def terms_and_rest(stem: str, parameters: Parameters) -> tuple[Terms, Mapping[str, int]]:
    """What the model of a run's stem has to explain it with, and what others explain."""
    nothing = {"lut": 0, "ff": 0}
    if stem == "rom":
        return rom_terms(parameters["DEPTH"], parameters["WIDTH"]), nothing
    if stem == "multiplier":
        return multiplier_terms(parameters["A_BITS"], parameters["B_BITS"], parameters["OUT_BITS"]), nothing
    if stem == "axi_lite_control":
        return axi_lite_control.terms(), nothing
    block = block_of(stem, parameters)
    if stem == "fifo":
        return fifo_terms(block.out_depth, block.sink.width), fifo_fixed(block.out_depth, block.sink.width).as_dict()
    return block.core_terms(), (block.part_resources() + block.output_resources()).as_dict()


def fit_stem(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Coefficients by resource and term."""
    known = [terms_and_rest(row["stem"], row["parameters"]) for row in rows]
    result: dict[str, dict[str, float]] = {}
    for resource in ("lut", "ff"):
        amounts: list[Mapping[str, float]] = [getattr(terms, resource) for terms, _ in known]
        names = list(dict.fromkeys(name for found in amounts for name in found))
        matrix = np.array([[found.get(name, 0.0) for name in names] for found in amounts])
        total = np.array([float(getattr(used(row), resource)) for row in rows])
        target = total - np.array([float(rest[resource]) for _, rest in known])
        x = least_relative_deviations(matrix, target, total) if names else np.zeros(0)
        result[resource] = {name: round(float(value), 4) for name, value in zip(names, x, strict=True)}
    return result


@click.command()
@click.option("--family", type=click.Choice(list(FAMILIES)), default="xc7", show_default=True)
@click.option("--block", "blocks", type=click.Choice(ORDER), multiple=True, help="Fit only these, keep the others.")
def main(family: str, blocks: tuple[str, ...]) -> None:
    """Fit and write the coefficients of a family; print them."""
    with using(family):
        _fit(family, blocks)


def _fit(family: str, blocks: Sequence[str]) -> None:
    raw = read_raw(HERE / f"raw_{family}.json")
    # The model reads the very dictionary that is being filled: parts come before the blocks that hold them.
    found = calibration(family)
    found |= {"tool": raw["tool"], "version": raw["version"], "flow": raw["flow"], "family": family}
    if not blocks:
        found["coefficients"] = {}
    for stem in blocks or WHOLE.get(family, ORDER):
        rows = [row for row in raw["runs"] if row["stem"] == stem and row["part"] == "fit"]
        if not rows:
            # The other family's serve, see `costs`.
            continue
        found["coefficients"][stem] = fit_stem(rows)
        click.echo(f"{stem} ({len(rows)} runs)")
        for resource, values in found["coefficients"][stem].items():
            click.echo(f"  {resource:<4}" + ", ".join(f"{value:g} {name}" for name, value in values.items()))
    held = [c for c in compare(raw["runs"], family) if c.part == "held-out" and c.stem in (*BLOCKS, "design")]
    found["errors"] = summary(held)
    atomic_write(file(family), (json.dumps(found, indent=2) + "\n").encode())
    click.echo(json.dumps(found["errors"]))


if __name__ == "__main__":
    main()
