"""threshold: every accumulator of a few bits against the rounding rule that the thresholds come from, and wide ones."""

import random

import cocotb
import numpy as np

import bench
from admmfpga.blocks import Threshold
from admmfpga.network import BIPOLAR, IntType, Requantization

CORNERS = [
    # input, output, lanes, groups, multiplier bits, shift, bias range
    (IntType(8, True), BIPOLAR, 1, 1, 1, 0, 40),
    (IntType(8, True), BIPOLAR, 5, 3, 3, 2, 90),
    (IntType(7, False), IntType(1, False), 3, 2, 4, 7, 20),
    (IntType(8, True), IntType(2, True), 1, 4, 5, 7, 0),
    (IntType(8, True), IntType(3, False), 2, 3, 6, 10, 30),
    (IntType(6, True), IntType(4, True), 1, 1, 1, 2, 3),  # powers of two: ties
    (IntType(8, False), IntType(4, False), 3, 1, 8, 12, 9),
    (IntType(12, True), IntType(4, True), 4, 2, 17, 25, 2000),
    (IntType(8, True), IntType(2, False), 1, 70, 8, 13, 50),  # thresholds in block RAM
    (IntType(3, True), IntType(3, False), 1, 4, 4, 2, 5000),  # codes that are never reached
    (IntType(26, True), BIPOLAR, 2, 2, 20, 30, 1 << 24),
]
DEPTHS = (5, 1, 4, 2, 8, 67)


def _cases():
    rng, values = random.Random(9), np.random.default_rng(9)
    cases = {}
    for index, (source, target, lanes, groups, multiplier_bits, shift, spread) in enumerate(CORNERS):
        channels = lanes * groups
        low, high = target.min, target.max
        if index % 3 == 2 and target.bits > 1:
            low, high = low + 1, high - 1
        rule = Requantization(
            bias=values.integers(-spread, spread, channels, endpoint=True),
            multiplier=values.integers(0, (1 << multiplier_bits) - 1, channels, endpoint=True),
            shift=shift,
            zero_point=rng.randint(target.min, target.max),
            low=low,
            high=high,
            dtype=target,
        )
        least, greatest = np.full(channels, source.min), np.full(channels, source.max)
        thresholds = rule.thresholds(least, greatest)
        block = Threshold(
            lanes=lanes,
            groups=groups,
            positions=128 if groups <= 4 else max(2, 128 // groups),
            in_bits=source.bits,
            in_signed=source.signed,
            count=thresholds.shape[1],
            threshold_bits=IntType.signed_holding(int(thresholds.min()), int(thresholds.max())).bits,
            low=low,
            out_bits=target.bits,
            out_signed=target.signed,
            out_depth=DEPTHS[index % len(DEPTHS)],
        )
        beats = None
        if source.bits <= 8:
            beats = source.min + np.arange(2 * block.positions)[:, None] % (1 << source.bits)
            beats = np.broadcast_to(beats, (2 * block.positions, channels)).reshape(-1, lanes)
            frames = beats.reshape(2, -1, lanes)
            expected = [rule.apply(frame.reshape(-1, channels)).reshape(-1, lanes) for frame in frames]
            made = [block.execute(frame, {"thresholds": thresholds}) for frame in frames]
            np.testing.assert_array_equal(made, expected)
        cases[f"c{index}"] = bench.Case(block, {"thresholds": thresholds}, 2, beats)
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(5, *bench.SCENARIOS[scenario])


def test_threshold():
    bench.simulate("test_threshold", CASES)
