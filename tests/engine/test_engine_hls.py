"""The engine's HLS C++ gives the reference's results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from admmfpga.engine.hls import EngineCsim
from admmfpga.engine.layers import lower
from admmfpga.engine.schedule import make_program
from admmfpga.errors import UserError
from admmfpga.network.reference import run
from engine_made import SHAPES, random_engine_network, random_frames


@pytest.mark.slow
@pytest.mark.parametrize("which", [1, 3])
def test_hls_computes_what_the_reference_computes(which: int, tmp_path: Path) -> None:
    simulation = EngineCsim(SHAPES[which], tmp_path)
    simulation.compile()
    ran = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        network = random_engine_network(rng)
        frames = random_frames(network, 2, rng)
        try:
            program = make_program(lower(network, SHAPES[which]), SHAPES[which])
        except UserError:
            continue
        np.testing.assert_array_equal(simulation.run(program, frames), run(network, frames))
        ran += 1
    assert ran > 25
