"""PPR against density, bits and shape for every PE and index format: fills in raw.json.

    python benchmarks/ppr/run.py [--shape NAME ...] [--pattern MASK ...] [--again] [--samples/--no-samples]

For every layer of layers.py, mask, density and number of bits: the fastest design of every kind of PE and index format
that fits the layer's share of the board. Cycles are exact, resources modelled. Then a sample of these designs is built
whole, run in Verilator and synthesized with Yosys. What is in raw.json already is not done again; --again forgets
it first. --shape takes only some layers, --pattern only some masks. `table.py` prints what follows from it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "toolchain"), str(ROOT / "tests"), str(ROOT / "benchmarks")]

from ppr import results  # noqa: E402
from ppr.designs import Best, decoding, regular  # noqa: E402
from ppr.layers import NONE, PATTERNS, Case, cases, network_of  # noqa: E402
from ppr.samples import SAMPLES, measured  # noqa: E402
from provenance import commit  # noqa: E402

from admmfpga.mapping import KINDS  # noqa: E402
from admmfpga.network import IntArray  # noqa: E402


def designs(case: Case, mask: IntArray, bits: int) -> list[Best]:
    """The fastest design of every option that fits."""
    network, limit = network_of(case.shape, mask, bits), case.shape.limit
    if case.pattern in (NONE, "structured"):
        return list(regular(network, limit, [kind for kind in KINDS if kind != "csr"]))
    if case.pattern == "random":
        # An array that does not skip zeros is as fast as without pruning.
        return [*regular(network, limit, ("unrolled",)), *decoding(network, limit, 1, case.formats)]
    return list(decoding(network, limit, int(case.pattern.removeprefix("blocked")), case.formats))


@click.command()
@click.option("--shape", "only", multiple=True, help="Only layers of this name, as in 'fc 256x1024'.")
@click.option("--pattern", "masks", multiple=True, type=click.Choice([NONE, *PATTERNS]), help="Only these masks.")
@click.option("--again", is_flag=True, help="Forget what is there of these layers and masks.")
@click.option("--samples/--no-samples", "sampled", default=True, help="Simulate and synthesize a sample.")
def main(only: tuple[str, ...], masks: tuple[str, ...], again: bool, sampled: bool) -> None:
    """Fill in raw.json."""

    def wanted(shape: str, pattern: str) -> bool:
        return (not only or shape in only) and (not masks or pattern in masks)

    raw = results.read()
    if again:
        raw = {part: [row for row in rows if not wanted(row["shape"], row["pattern"])] for part, rows in raw.items()}
    have = {results.key(point) for point in raw["points"]}
    origin = commit(ROOT)
    for case in cases():
        shape = case.shape
        if not wanted(shape.name, case.pattern):
            continue
        head = {"shape": shape.name, "budget": shape.budget, "pattern": case.pattern, "density": case.density}
        missing = [bits for bits in case.bits if results.key(head | {"bits": bits}) not in have]
        if not missing:
            continue
        mask = case.mask
        for bits in missing:
            packed = {best.option: results.packed(best) for best in designs(case, mask, bits)}
            point: dict[str, Any] = head | {"bits": bits, "kept": int(mask.sum()), "commit": origin}
            raw["points"].append(point | {"designs": packed})
        results.write(raw)
        click.echo(f"{shape.name}, {shape.budget}: {case.pattern}, {100 * case.density:g} %", err=True)
    if sampled:
        for sample in SAMPLES:
            if not wanted(sample["shape"], sample["pattern"]):
                continue
            if any(all(row[name] == value for name, value in sample.items()) for row in raw["samples"]):
                continue
            raw["samples"] += measured(sample, raw["points"], origin)
            results.write(raw)
            click.echo(f"measured {sample}", err=True)


if __name__ == "__main__":
    main()
