"""max_pool: trees of every shape, signed and unsigned."""

import random

import cocotb

import bench
from admmfpga.blocks import MaxPool


def _cases():
    rng = random.Random(6)
    cases = {}
    shapes = [(1, 1), (2, 1), (3, 2), (4, 6), (5, 1), (6, 3), (9, 2), (16, 1), (25, 1)]
    for index, (taps, channels) in enumerate(shapes):
        block = MaxPool(
            taps=taps,
            channels=channels,
            bits=(1, 8, 4, 8, 2, 16, 7, 3, 5)[index],
            signed=index % 2 == 1,
            beats=rng.randint(1, 60),
            out_depth=(5, 1, 3, 2, 8, 65, 7)[index % 7],
        )
        cases[f"c{index}"] = bench.Case(block)
    # Few bits and many taps are nearly always at an extreme; the same shapes signed and unsigned.
    cases["s2"] = bench.Case(MaxPool(taps=2, channels=2, bits=2, signed=True, beats=40))
    cases["u2"] = bench.Case(MaxPool(taps=2, channels=2, bits=2, signed=False, beats=40))
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(6, *bench.SCENARIOS[scenario])


def test_max_pool():
    bench.simulate("test_max_pool", CASES)
