"""Designs of the grid that are built whole, run in Verilator, and synthesized with Yosys."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from ppr.layers import BOARD, NONE, SHAPES, mask_of, network_of
from ppr.results import RESOURCES, Point, folding_of

from admmfpga.blocks import axi_lite_control
from admmfpga.boards import load_board
from admmfpga.codegen.frames import from_beats, to_beats
from admmfpga.codegen.render import render_design, write_files
from admmfpga.codegen.rtl import TOP, compile_order
from admmfpga.mapping import Design, build_design
from admmfpga.network import reference
from admmfpga.tools.verilated import Verilated
from admmfpga.tools.yosys import Job, Yosys
from made import random_frames

SAMPLES: tuple[dict[str, Any], ...] = tuple(
    {"shape": shape, "budget": budget, "pattern": pattern, "density": density, "bits": bits}
    for shape, budget, bits, masks in (
        ("conv3x3 16x72", "1/8", 8, ((NONE, 1.0), ("random", 0.1), ("blocked4", 0.1), ("structured", 0.1))),
        ("fc 256x1024", "1/2", 8, (("random", 0.03), (NONE, 1.0), ("structured", 0.1), ("blocked2", 0.1))),
        ("conv5x5 50x500", "1/4", 4, (("random", 0.1), (NONE, 1.0), ("structured", 0.1))),
    )
    for pattern, density in masks
)
"""Points of which all designs are measured."""
MOST_LUTS = 6000
"""Larger designs are simulated only: they take Yosys many minutes."""


def measured(sample: dict[str, Any], points: list[Point], commit: str) -> list[dict[str, Any]]:
    """A row for every design of a point.

    Raises:
        AssertionError: results or cycles of the RTL are not those of the reference and the schedule.
    """
    point = next(one for one in points if all(one[name] == value for name, value in sample.items()))
    shape = next(one for one in SHAPES if (one.name, one.budget) == (point["shape"], point["budget"]))
    mask = np.ones((shape.rows, shape.columns), dtype=np.int64)
    if point["pattern"] != NONE:
        mask = mask_of(shape, point["pattern"], point["density"])
    network = network_of(shape, mask, point["bits"])
    rows = []
    for option, packed in point["designs"].items():
        design = build_design(network, {network.nodes[0].name: folding_of(packed)})
        with tempfile.TemporaryDirectory() as scratch:
            build = Path(scratch)
            board = load_board(BOARD)
            write_files(build, render_design(design, board, board.clock_mhz, "0" * 64))
            cycles = _simulated(design, build)
            whole = design.resources() + axi_lite_control.resources()
            synthesized = _synthesized(build, board.family) if whole.lut <= MOST_LUTS else None
        print(f"  {option}: {cycles} cycles in Verilator", file=sys.stderr, flush=True)
        rows.append(
            sample
            | {
                "option": option,
                "commit": commit,
                # Of the layer; of the accelerator, which AXI streams may limit; of its RTL.
                "cycles": packed[0],
                "interval": design.timing.frame_interval,
                "simulated": cycles,
                "modelled": [getattr(whole, name) for name in RESOURCES],
                "synthesized": synthesized,
            }
        )
    return rows


def _simulated(design: Design, build: Path) -> int:
    """Frame interval in Verilator."""
    model = Verilated(build, build, "rtl")
    model.compile()
    codes = random_frames(design.network, max(6, design.timing.settled_frames), np.random.default_rng(0))
    seen = model.run(to_beats(codes, design.formats[0]), out_beats=design.out_beats, settle=design.settle_cycles)
    results = from_beats(seen.output, design.formats[1], design.output.dtype, design.output.shape)
    assert (results == reference.run(design.network, codes)).all(), "the RTL's results differ from the reference's"
    interval = seen.frame_interval
    assert interval == design.timing.frame_interval, f"{interval} cycles, not {design.timing.frame_interval}"
    return int(interval)


def _synthesized(build: Path, family: str) -> list[int]:
    """LUT, FF, BRAM18 and DSP of the whole accelerator."""
    rtl = build / "rtl"
    found = Yosys().synthesize(
        {TOP: Job(TOP)},
        [rtl / name for name in compile_order([path.name for path in rtl.glob("*.sv")])],
        family=family,
        folder=build / "yosys",
        memories=(build / "memory").glob("*.mem"),
    )[TOP]
    return [getattr(found.resources, name) for name in RESOURCES]
