"""Programs of the shared engine: the model that runs their bytes gives the reference's result in any allowed order."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from admmfpga.engine.layers import lower
from admmfpga.engine.model import run_program
from admmfpga.engine.schedule import make_program
from admmfpga.engine.timing import _Clock
from admmfpga.errors import UserError
from admmfpga.network import IntType
from admmfpga.network.reference import run
from engine_made import SHAPES, random_engine_network, random_frames
from made import NetworkMaker


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(range(len(SHAPES))))
def test_programs_compute_what_the_reference_computes(seed: int, which: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_engine_network(rng)
    frames = random_frames(network, 1, rng)
    try:
        program = make_program(lower(network, SHAPES[which]), SHAPES[which])
    except UserError:
        # A scratchpad of 130 words is too small for some, and sums of joined channels are refused.
        reject()
    expected = run(network, frames)
    assert np.array_equal(run_program(program, frames), expected)
    assert np.array_equal(run_program(program, frames, rng=random.Random(seed)), expected)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(range(len(SHAPES))), st.sampled_from([1, 7, 30, 200]))
def test_what_repeats_itself_takes_as_long_as_when_looked_at(seed: int, which: int, latency: int) -> None:
    """Dense layers of many words above all, which the stream alone limits."""
    rng = np.random.default_rng(seed)
    shape = SHAPES[which]
    rows, columns = (int(n) for n in rng.integers(1, 40 * shape.simd, 2))
    made = NetworkMaker((columns,), IntType(8, False), rng).dense(rows, bits=8, dtype=IntType(8, False))
    program = make_program(lower(made.done(), shape), shape)
    assert _Clock(program, latency).run() == _Clock(program, latency, steady=False).run()
