"""How many of an index-decoding PE's lane slots carry a weight that is not zero.

    python benchmarks/lane_slots.py [--simulate] [model.onnx ...]

Random matrices of 256 x 1024 and larger at densities of 3 to 30 %, and the sparse layers of the models that are named,
each on a few layouts. A slot is one multiplier in one step; the steps of a vector are those of the compile-time
schedule, which the RTL keeps exactly (rtl_tests/test_csr_pe.py compares every cycle). --simulate builds one-layer
accelerators from the random matrices and measures the frame interval of their RTL in Verilator, whose results are
compared with the reference's.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "toolchain"))
sys.path.insert(0, str(ROOT / "tests"))

from admmfpga import frontend  # noqa: E402
from admmfpga.boards import load_board  # noqa: E402
from admmfpga.codegen.frames import from_beats, to_beats  # noqa: E402
from admmfpga.codegen.render import render_design, write_files  # noqa: E402
from admmfpga.mapping import Folding, build_design  # noqa: E402
from admmfpga.mapping.units import is_sparse  # noqa: E402
from admmfpga.network import IntArray, IntType, compact, weighted  # noqa: E402
from admmfpga.network.reference import run  # noqa: E402
from admmfpga.packing import LaneLayout, lane_program  # noqa: E402
from admmfpga.tools.verilated import Verilated  # noqa: E402
from made import NetworkMaker, random_frames  # noqa: E402  (the tests' folder is not a package)

SHAPES = ((256, 1024), (512, 2048), (1024, 4096))
DENSITIES = (0.03, 0.05, 0.1, 0.2, 0.3)
LAYOUTS = tuple(
    LaneLayout(groups, lanes, 1, skips=True) for groups, lanes in ((1, 2), (1, 4), (1, 8), (2, 4), (1, 16), (4, 4))
)


SIMULATED = LaneLayout(2, 4, 1, skips=True)
"""What --simulate builds of every random matrix."""


def share(matrix: IntArray, layout: LaneLayout) -> float:
    """Non-zero weights over multiplier slots of a vector's steps."""
    program = lane_program(matrix, layout)
    return np.count_nonzero(matrix) / program.weights.size


def random_matrix(shape: tuple[int, int], density: float) -> IntArray:
    """4-bit weights."""
    rng = np.random.default_rng(1)
    return rng.integers(1, 8, shape) * rng.choice([-1, 1], shape) * (rng.random(shape) < density)


def simulated_interval(matrix: IntArray, layout: LaneLayout) -> int:
    """Cycles between frames of an accelerator of one dense layer, in Verilator."""
    rng = np.random.default_rng(0)
    network = NetworkMaker((matrix.shape[1],), IntType(8, False), rng).dense(len(matrix), bits=4).done()
    network.nodes[0].weights[:] = matrix
    layer = network.nodes[0].name
    folding = Folding(pe=layout.groups, simd=layout.lanes, kind="csr", layout=layout)
    design = build_design(network, {layer: folding})
    board = load_board("pynq")
    with tempfile.TemporaryDirectory() as scratch:
        build = Path(scratch)
        write_files(build, render_design(design, board, board.clock_mhz, "0" * 64))
        model = Verilated(build, build, "rtl")
        model.compile()
        codes = random_frames(network, max(6, design.timing.settled_frames), rng)
        seen = model.run(to_beats(codes, design.formats[0]), out_beats=design.out_beats, settle=design.settle_cycles)
    found = from_beats(seen.output, design.formats[1], design.output.dtype, design.output.shape)
    assert (found == run(network, codes)).all(), "the RTL's results differ from the reference's"
    return int(seen.frame_interval)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, help="ONNX files with pruned layers")
    parser.add_argument("--simulate", action="store_true", help="also measure random matrices in RTL simulation")
    arguments = parser.parse_args()
    header = " ".join(f"{f'{one.groups} x {one.lanes}':>8}" for one in LAYOUTS)
    print(f"share of slots with a weight, by row groups x lanes\n{'matrix':<34} {header}")
    for shape in SHAPES:
        for density in DENSITIES:
            matrix = random_matrix(shape, density)
            row = " ".join(f"{100 * share(matrix, layout):>6.1f} %" for layout in LAYOUTS)
            print(f"{f'random {shape[0]} x {shape[1]}, {100 * density:.0f} %':<34} {row}", flush=True)
    for path in arguments.models:
        for node in weighted(compact(frontend.load(path).network)):
            if not is_sparse(node.matrix):
                continue
            matrix = node.matrix[:, node.matrix.any(axis=0)]
            cells = []
            for layout in LAYOUTS:
                fits = len(matrix) % layout.groups == 0
                cells.append(f"{100 * share(matrix, layout):>6.1f} %" if fits else f"{'-':>8}")
            name = f"{path.parent.name} {node.name}, {100 * np.count_nonzero(matrix) / node.matrix.size:.1f} %"
            print(f"{name:<34} {' '.join(cells)}", flush=True)
    for shape in SHAPES if arguments.simulate else ():
        for density in DENSITIES:
            matrix = random_matrix(shape, density)
            cycles = simulated_interval(matrix, SIMULATED)
            found = np.count_nonzero(matrix) / (SIMULATED.groups * SIMULATED.lanes * cycles)
            print(
                f"RTL, random {shape[0]} x {shape[1]}, {100 * density:.0f} %, {SIMULATED.groups} x {SIMULATED.lanes}: "
                f"{cycles:,} cycles, {100 * found:.1f} %",
                flush=True,
            )


if __name__ == "__main__":
    main()
