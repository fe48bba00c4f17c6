"""requantize: the rounding rule on every value of small accumulators, and on extremes of wide ones."""

import random

import cocotb
import numpy as np

import bench
from admmfpga.blocks import Requantize
from admmfpga.network import IntType, Requantization
from admmfpga.network.ranges import sum_type

CORNERS = [
    # input, output, lanes, groups, multiplier bits, shift, zero point, bias range
    (IntType(8, True), IntType(8, False), 1, 1, 6, 6, 0, 40),
    (IntType(8, True), IntType(8, True), 2, 3, 4, 1, -5, 9),
    (IntType(7, False), IntType(8, False), 3, 1, 5, 4, 12, 0),
    (IntType(6, True), IntType(16, True), 1, 2, 1, 0, 0, 3),  # multipliers 0 and 1, no shift
    (IntType(9, True), IntType(4, True), 4, 1, 1, 3, 1, 60),  # powers of two: many ties
    (IntType(12, True), IntType(1, False), 2, 1, 17, 26, 0, 2000),
    (IntType(5, True), IntType(3, False), 1, 1, 3, 20, 2, 7),  # shifted out altogether
    (IntType(8, True), IntType(8, True), 1, 1, 8, 16, 0, 127),  # only the sign is left, and rounding up carries into it
    (IntType(10, True), IntType(8, True), 1, 1, 24, 61, 3, 100),
    (IntType(24, True), IntType(8, False), 5, 2, 17, 30, 128, 1 << 20),
    (IntType(32, True), IntType(32, True), 2, 1, 1, 0, 0, 0),  # raw accumulators
    (IntType(30, True), IntType(16, False), 1, 1, 24, 38, 300, 1 << 28),
    (IntType(8, False), IntType(8, False), 1, 70, 8, 7, 9, 50),  # parameters in block RAM
    (IntType(3, True), IntType(8, True), 1, 4, 4, 2, 0, 5000),  # bias much wider than the input
]
DEPTHS = (7, 6, 1, 2, 8, 67)


def _random(rng):
    source = IntType(rng.randint(2, 26), rng.random() < 0.8)
    target = IntType(rng.randint(1, 16), rng.random() < 0.5)
    bits = rng.randint(2, 24)
    shift = max(0, source.bits + bits - target.bits + rng.randint(-3, 3))
    zero = rng.randint(target.min, target.max)
    return source, target, rng.randint(1, 4), rng.randint(1, 5), bits, shift, zero, rng.randint(0, 1 << source.bits)


def _cases():
    rng, values = random.Random(5), np.random.default_rng(5)
    cases = {}
    for index, shape in enumerate([*CORNERS, *(_random(rng) for _ in range(6))]):
        source, target, lanes, groups, multiplier_bits, shift, zero_point, spread = shape
        channels = lanes * groups
        bias = values.integers(-spread, spread, channels, endpoint=True)
        multiplier = values.integers(0, (1 << multiplier_bits) - 1, channels, endpoint=True)
        multiplier[0], bias[0] = (1 << multiplier_bits) - 1, spread
        low, high = target.min, target.max
        if index % 3 == 1 and target.bits > 2:
            low, high = low + 1, high - 2
        rule = Requantization(bias, multiplier, shift, zero_point, low, high, target)
        minimum, maximum = np.full(channels, source.min), np.full(channels, source.max)
        block = Requantize(
            lanes=lanes,
            groups=groups,
            # Two frames bring every value of 8 bits to every channel, where the channels are few.
            positions=128 if groups <= 4 else max(2, 128 // groups),
            in_bits=source.bits,
            in_signed=source.signed,
            bias_bits=IntType.signed_holding(int(bias.min()), int(bias.max())).bits,
            sum_bits=sum_type(minimum, maximum, rule).bits,
            multiplier_bits=multiplier_bits,
            shift=shift,
            zero_point=zero_point,
            low=low,
            high=high,
            out_bits=target.bits,
            out_signed=target.signed,
            out_depth=DEPTHS[index % len(DEPTHS)],
        )
        contents = {"bias": bias, "multiplier": multiplier}
        cases[f"c{index}"] = bench.Case(block, contents, 2, _every_value(block, source) if source.bits <= 8 else None)
    return cases


def _every_value(block, source):
    """Two frames in which each channel gets every value of its accumulator in turn."""
    values = source.min + np.arange(2 * block.positions)[:, None] % (1 << source.bits)
    return np.broadcast_to(values, (2 * block.positions, block.groups * block.lanes)).reshape(-1, block.lanes)


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(5, *bench.SCENARIOS[scenario])


def test_requantize():
    bench.simulate("test_requantize", CASES)
