"""Cycles of the closed forms against simulated RTL: random accelerators of every kind of folding.

    python benchmarks/estimates/cycles.py [--seeds 2]

Latency of the first frame, and the interval between frames once it is settled; at least four random frames through the
Verilated RTL, whose results are compared too. Exits with 1 if any figure differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from admmfpga.boards import load_board  # noqa: E402
from admmfpga.codegen.frames import from_beats, to_beats  # noqa: E402
from admmfpga.codegen.render import render_design, write_files  # noqa: E402
from admmfpga.mapping import Design  # noqa: E402
from admmfpga.network.reference import run  # noqa: E402
from admmfpga.report.table import format_table  # noqa: E402
from admmfpga.tools.verilated import Verilated  # noqa: E402
from made import (  # noqa: E402  (the tests' folder is not a package)
    random_binary_design,
    random_design,
    random_finer_design,
    random_frames,
    random_graph_design,
    random_pruned_design,
    random_sparse_design,
    random_unrolled_design,
)

MAKERS = {
    "dense": random_design,
    "dense, mixed": random_finer_design,
    "pruned": random_pruned_design,
    "index decoding": random_sparse_design,
    "in logic": random_unrolled_design,
    "binary": random_binary_design,
    "branches": random_graph_design,
}


def measure(design: Design, rng: np.random.Generator) -> tuple[int, int, int]:
    """Simulated latency and frame interval, and the number of results that differ from the reference."""
    board = load_board("pynq")
    frames = max(4, design.timing.settled_frames)
    codes = random_frames(design.network, frames, rng)
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), render_design(design, board, board.clock_mhz, "89abcdef" * 8))
        model = Verilated(Path(folder), Path(folder), "rtl")
        model.compile()
        beats = to_beats(codes, design.formats[0])
        seen = model.run(beats, out_beats=design.out_beats, settle=design.settle_cycles)
        output = from_beats(seen.output, design.formats[1], design.output.dtype, design.output.shape)
    return seen.latency, seen.frame_interval, int(np.sum(output != run(design.original, codes)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2, help="designs of each kind")
    arguments = parser.parse_args()
    rows, wrong = [], 0
    for kind, make in MAKERS.items():
        for seed in range(arguments.seeds):
            rng = np.random.default_rng([seed, 77])
            design = make(rng)
            latency, interval, mismatches = measure(design, rng)
            timing = design.timing
            wrong += (latency, interval) != (timing.latency, timing.frame_interval) or mismatches > 0
            cells = (timing.latency, latency, timing.frame_interval, interval, mismatches)
            rows.append((kind, str(len(design.stages)), *(f"{cell:,}" for cell in cells)))
            print(f"{kind} {seed}: {cells}", file=sys.stderr, flush=True)
    header = ("kind", "blocks", "latency", "simulated", "interval", "simulated", "mismatches")
    print("\n".join(format_table(header, rows)))
    print(f"{len(rows) - wrong} of {len(rows)} designs exact")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
