"""add: codes of all widths and signs, factors that are wires, negations, small and large products."""

import random

import cocotb

import bench
from admmfpga.blocks import Add
from admmfpga.network import IntType


def summed(bits, signed, factors, **parameters):
    """The block with the width that its worst case needs."""
    low = high = 0
    for width, sign, factor in zip(bits, signed, factors, strict=True):
        dtype = IntType(width, sign)
        ends = (factor * dtype.min, factor * dtype.max)
        low, high = low + min(ends), high + max(ends)
    sum_bits = IntType.signed_holding(low, high).bits
    return Add(bits=bits, signed=signed, factors=factors, sum_bits=sum_bits, **parameters)


def _cases():
    rng = random.Random(11)
    cases = {}
    shapes = [
        ((8, 8), (False, False), (1, 1)),
        ((8, 8), (True, True), (-1, 1)),
        ((8, 4), (False, True), (77201, -131071)),
        ((1, 8), (False, False), (-1, 12)),
        ((24, 8), (True, False), (1, 54321)),
        ((3, 7), (True, True), (-96, 3)),
        ((16, 2), (True, False), (65536, -(1 << 30))),
        ((5, 8), (False, False), (8, -16)),
    ]
    for index, (bits, signed, factors) in enumerate(shapes):
        block = summed(
            bits,
            signed,
            factors,
            lanes=(1, 3, 2)[index % 3],
            beats=rng.randint(1, 40),
            use_dsp=index % 2 == 0,
            out_depth=(5, 2, 1, 65, 8)[index % 5],
        )
        cases[f"c{index}"] = bench.Case(block)
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(7, *bench.SCENARIOS[scenario])


def test_add():
    bench.simulate("test_add", CASES)
