"""Large networks and full-size blocks on the shared engine against the reference, bit for bit.

    python benchmarks/engine/verify.py resnet50 mobilenet_v2 --implementation hls
    python benchmarks/engine/verify.py bottleneck inverted_residual --implementation rtl --work build/engine

`bottleneck` is a block of ResNet-50 (14 x 14, 1,024 channels), `inverted_residual` one of MobileNetV2 (14 x 14, 64
channels, expanded by 6), `normalized` a 1 x 1 convolution and AlexNet's second normalization (27 x 27, 256 channels),
`classifier` its last two layers. --density spreads zeros over the weights, --columns takes whole columns out. The RTL
is the engine that the board gets; its cycles are compared with the timing model.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import networks
import numpy as np

from admmfpga.boards import load_board
from admmfpga.engine.hls import EngineCsim
from admmfpga.engine.layers import lower
from admmfpga.engine.schedule import make_program
from admmfpga.engine.shape import choose_shape
from admmfpga.engine.simulation import EngineRtl
from admmfpga.engine.timing import time_program
from admmfpga.network import Network, Tensor
from admmfpga.network.reference import run

BLOCKS = {"bottleneck": (14, 1024), "inverted_residual": (14, 64), "normalized": (27, 64), "classifier": (1, 4096)}
"""Rows and columns, channels of the input."""


def block(name: str) -> Network:
    """A block alone, its input being the network's."""
    size, channels = BLOCKS[name]
    b = networks.Builder(name, size)
    b.network.tensors["input"] = Tensor("input", (size, size, channels), networks.CODES)
    match name:
        case "bottleneck":
            networks.bottleneck(b, 256)
        case "inverted_residual":
            networks.inverted_residual(b, 6, 64)
        case "normalized":
            b.conv(256, 1)
            b.normalize()
        case "classifier":
            b.dense(4096)
            b.dense(1000)
    return b.done()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choices = ["alexnet", "vgg16", "resnet50", "mobilenet_v2", *BLOCKS]
    parser.add_argument("networks", nargs="+", choices=choices)
    parser.add_argument("--implementation", choices=["hls", "rtl"], default="hls")
    parser.add_argument("--density", type=float, default=1.0, help="share of weights that are not zero")
    parser.add_argument("--columns", type=float, default=1.0, help="share of columns that convolutions keep")
    parser.add_argument("--board", default="pynq")
    parser.add_argument("--work", type=Path, default=Path("build/engine"))
    arguments = parser.parse_args()
    board = load_board(arguments.board)
    shape = choose_shape(board.resources, board.port_bits, board=board.name)
    rtl, csim = EngineRtl(shape, arguments.work), EngineCsim(shape, arguments.work)
    arguments.work.mkdir(parents=True, exist_ok=True)
    (rtl if arguments.implementation == "rtl" else csim).compile()
    for name in arguments.networks:
        network = block(name) if name in BLOCKS else getattr(networks, name)()
        networks.prune(network, arguments.density, arguments.density, arguments.columns)
        source = network.tensors["input"]
        frame = np.random.default_rng(1).integers(0, 256, (1, *source.shape))
        program = make_program(lower(network, shape), shape)
        expected = run(network, frame)
        started = time.monotonic()
        if arguments.implementation == "rtl":
            ran = rtl.run(program, frame[0], latency=30)
            found, cycles = ran.output[None], f"{ran.cycles:,} cycles, model {time_program(program, 30).cycles:,}; "
        else:
            found, cycles = csim.run(program, frame), ""
        wrong = int(np.count_nonzero(found != expected))
        print(
            f"{name} {arguments.implementation}: {wrong} of {expected.size} values differ "
            f"({len(np.unique(expected))} different codes); {cycles}{time.monotonic() - started:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
