"""Cycles, busy multipliers and DRAM traffic of large networks on the shared engine.

    python benchmarks/engine/run.py vgg16 resnet50 mobilenet_v2 --board pynq

Cycles are modelled, for DRAM of a fixed latency; the model is equal to the RTL wherever both ran
(rtl_tests/test_engine.py). Weights are random: of their values only zeros matter, which --conv-density and
--fc-density spread at random; --conv-columns prunes columns of convolutions for all filters alike.
"""

from __future__ import annotations

import argparse
import json

import networks

from admmfpga.boards import load_board
from admmfpga.engine.figures import layer_figures, totals
from admmfpga.engine.layers import lower
from admmfpga.engine.schedule import make_program
from admmfpga.engine.shape import choose_shape
from admmfpga.engine.timing import DEFAULT_LATENCY, time_program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", choices=["alexnet", "vgg16", "resnet50", "mobilenet_v2"])
    parser.add_argument("--board", default="pynq")
    parser.add_argument("--latency", type=int, default=DEFAULT_LATENCY, help="cycles from a DRAM address to its data")
    parser.add_argument("--conv-density", type=float, default=1.0, help="share of weights that are not zero")
    parser.add_argument("--fc-density", type=float, default=1.0)
    parser.add_argument("--conv-columns", type=float, default=1.0, help="share of columns that convolutions keep")
    parser.add_argument("--layers", action="store_true", help="print every layer")
    arguments = parser.parse_args()
    board = load_board(arguments.board)
    shape = choose_shape(board.resources, board.port_bits, board=board.name)
    print(f"{board.name}: {shape}")
    for name in arguments.networks:
        network = getattr(networks, name)()
        networks.prune(network, arguments.conv_density, arguments.fc_density, arguments.conv_columns)
        program = make_program(lower(network, shape), shape)
        timing = time_program(program, arguments.latency)
        if arguments.layers:
            for figures in layer_figures(program, timing):
                print(json.dumps(figures))
        found = totals(program, timing, network)
        found["frames_per_second"] = round(board.clock_mhz * 1e6 / timing.cycles, 2)
        print(name, json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
