"""average_pool: trees of taps, sums over positions with one and with several channel groups."""

import cocotb

import bench
from admmfpga.blocks import AveragePool
from admmfpga.network import IntType


def _cases():
    # (taps, channels, groups, count, outputs)
    shapes = [(1, 1, 1, 1, 20), (4, 2, 3, 1, 6), (9, 1, 1, 1, 15), (1, 2, 1, 16, 2), (1, 1, 2, 9, 3), (2, 3, 5, 4, 1)]
    cases = {}
    for index, (taps, channels, groups, count, outputs) in enumerate(shapes):
        dtype = IntType((8, 4, 7, 8, 3, 5)[index], index % 2 == 1)
        block = AveragePool(
            taps=taps,
            channels=channels,
            bits=dtype.bits,
            signed=dtype.signed,
            groups=groups,
            count=count,
            outputs=outputs,
            sum_bits=IntType.signed_holding(taps * count * dtype.min, taps * count * dtype.max).bits,
            out_depth=(3, 1, 7, 2, 2, 65)[index],
        )
        cases[f"c{index}"] = bench.Case(block)
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(21, *bench.SCENARIOS[scenario])


def test_average_pool():
    bench.simulate("test_average_pool", CASES)
