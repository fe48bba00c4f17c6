"""How full the lanes of index-decoding PEs are in what the folding search would take, by the frame interval asked for.

    python benchmarks/ppr/slots.py MODEL.onnx ...

For every layer worth index decoding: of the forms that keep up with an interval the cheapest one, by the prices of the
search and alone on the board, with its share of multiplier slots that carry a weight; and the cheapest one of those
above 90 %, if there is any. From the compile-time schedules, which the RTL keeps.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "toolchain"), str(ROOT / "benchmarks")]

from admmfpga import frontend  # noqa: E402
from admmfpga.blocks import CsrPE, Resources  # noqa: E402
from admmfpga.boards import load_board  # noqa: E402
from admmfpga.mapping.candidates import sparse_candidates  # noqa: E402
from admmfpga.mapping.folding import PRICES, Candidate, usable  # noqa: E402
from admmfpga.mapping.parts import parts  # noqa: E402
from admmfpga.mapping.units import is_sparse  # noqa: E402
from admmfpga.network import Conv, Dense, Network, compact, plain, weighted  # noqa: E402

BOARD = "pynq"
INTERVALS = (1000, 2000, 3000, 4000, 5000, 7000, 10_000, 20_000)
FULL = 0.9
"""The goal."""


def share(network: Network, node: Conv | Dense, candidate: Candidate) -> float:
    """Weights over multiplier slots of a frame."""
    pe = next(part.block for part in parts(network, node, candidate.folding) if isinstance(part.block, CsrPE))
    return float(np.count_nonzero(node.matrix) * pe.vectors * pe.batch / (pe.multipliers * pe.cycles))


def price(resources: Resources, limit: Resources) -> float:
    """As the folding search adds resources up."""
    return sum(price * getattr(resources, name) / getattr(limit, name) for name, price in PRICES.items())


def described(candidate: Candidate, full: float) -> str:
    layout, used = candidate.folding.layout, candidate.resources
    assert layout is not None
    return (
        f"{100 * full:5.1f} % in {candidate.cycles:,} cycles: {layout.groups} x {layout.lanes} lanes, "
        f"{layout.index_format}, LUT {used.lut:,} BRAM18 {used.bram18} DSP {used.dsp}"
    )


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(models: tuple[Path, ...]) -> None:
    """Print the cheapest forms by interval."""
    limit = usable(load_board(BOARD).resources)
    for path in models:
        network = compact(plain(frontend.load(path).network))
        for node in weighted(network):
            if not isinstance(node, Conv | Dense) or not is_sparse(node.matrix):
                continue
            found = sorted(sparse_candidates(network, node), key=lambda one: price(one.resources, limit))
            fullness = {one.folding: share(network, node, one) for one in found}
            for interval in INTERVALS:
                able = [one for one in found if one.cycles <= interval]
                full = [one for one in able if fullness[one.folding] >= FULL]
                text = " / ".join(described(one, fullness[one.folding]) for one in (*able[:1], *full[:1]))
                click.echo(f"{path.parent.name} {node.name} within {interval:>6,}: {text or 'none keeps up'}")


if __name__ == "__main__":
    main()
