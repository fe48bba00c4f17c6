"""Binary PEs, bipolar activations and thresholds: what is built computes what the reference computes."""

import numpy as np
import pytest

from admmfpga.blocks import BinaryPE, Threshold
from admmfpga.mapping import stream_beats
from admmfpga.network.reference import run
from made import random_binary_design, random_frames


@pytest.mark.parametrize("seed", range(80))
def test_low_bit_networks_equal_the_reference(seed):
    rng = np.random.default_rng(seed)
    design = random_binary_design(rng)
    frames = random_frames(design.network, 3, rng)
    for frame, expected in zip(frames, run(design.original, frames), strict=True):
        out = stream_beats(design, frame)["m_axis"]
        np.testing.assert_array_equal(out.ravel(), expected.ravel())
    assert design.timing.frame_interval == max(stage.block.cycles for stage in design.stages)


def test_the_random_networks_have_every_form():
    blocks = [stage.block for seed in range(80) for stage in random_binary_design(np.random.default_rng(seed)).stages]
    arrays = {(b.in_bipolar, b.weight_bits) for b in blocks if isinstance(b, BinaryPE)}
    assert arrays == {(a, b) for a in (False, True) for b in (1, 2)}
    assert {b.out_bits for b in blocks if isinstance(b, Threshold)} == {1, 2, 3, 4}
