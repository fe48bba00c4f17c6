"""What pruning saves on the shared engine: cycles and bytes of the weight stream, modelled as in run.py.

python benchmarks/engine/pruned.py [--board pynq]

The blocks are those of verify.py. Columns are input channels at a tap that all filters keep; densities are of single
weights. Both are random.
"""

from __future__ import annotations

import argparse

import networks
import verify

from admmfpga.boards import load_board
from admmfpga.engine.layers import lower
from admmfpga.engine.schedule import make_program
from admmfpga.engine.shape import choose_shape
from admmfpga.engine.timing import time_program

CASES = (
    ("bottleneck", "dense", {}),
    ("bottleneck", "30 % of the columns", {"columns": 0.3}),
    ("bottleneck", "10 % of the weights", {"conv": 0.1}),
    ("classifier", "dense", {}),
    ("classifier", "10 % of the weights", {"dense": 0.1}),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--board", default="pynq")
    board = load_board(parser.parse_args().board)
    shape = choose_shape(board.resources, board.port_bits, board=board.name)
    print("| block | kept | cycles | bytes of weights and headers |\n|---|---|---|---|")
    for name, kept, densities in CASES:
        network = verify.block(name)
        networks.prune(network, **({"conv": 1.0, "dense": 1.0} | densities))
        program = make_program(lower(network, shape), shape)
        cycles = time_program(program).cycles
        print(f"| {name} | {kept} | {cycles:,} | {program.stream_bytes:,} |", flush=True)


if __name__ == "__main__":
    main()
