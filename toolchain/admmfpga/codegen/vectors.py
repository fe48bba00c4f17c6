"""Test vectors of a build: a few frames of input beats and the reference's results.

Text, one hex word a line, frame after frame: vectors/input.hex (TDATA in), vectors/output.hex (TDATA out).
vectors/vectors.json says how many. Self-test of the driver, the C++ test bench and co-simulation read the same files.
"""

from __future__ import annotations

import json

import numpy as np

from admmfpga.codegen.frames import Beats, to_beats
from admmfpga.mapping import Design
from admmfpga.network import IntArray
from admmfpga.network.reference import run

FRAMES = 4
SEED = 20190701


def vector_frames(design: Design) -> IntArray:
    """(FRAMES, *shape) input codes: random, but the first all at the lowest and the second all at the highest code."""
    dtype = design.input.dtype
    rng = np.random.default_rng(SEED)
    frames = rng.integers(dtype.min, dtype.max, (FRAMES, *design.input.shape), endpoint=True)
    frames[0] = dtype.min
    frames[1] = dtype.max
    return frames


def render_vectors(design: Design) -> dict[str, str]:
    """Files of the build's vectors/ folder by name."""
    frames = vector_frames(design)
    results = run(design.original, frames)
    axis_in, axis_out = design.formats
    shape = {
        "frames": len(frames),
        "in_beats": design.in_beats,
        "out_beats": design.out_beats,
        "in_width": axis_in.width,
        "out_width": axis_out.width,
    }
    return {
        "input.hex": _hex(to_beats(frames, axis_in), axis_in.width),
        "output.hex": _hex(to_beats(results, axis_out), axis_out.width),
        "vectors.json": json.dumps(shape, indent=2) + "\n",
    }


def _hex(beats: Beats, width: int) -> str:
    digits = -(-width // 4)
    return "".join(f"{int(word):0{digits}x}\n" for word in beats.ravel())
