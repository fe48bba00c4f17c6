"""depthwise_pe: channels, taps and filters at a time, weights in both kinds of memory."""

import cocotb
import numpy as np

import bench
from admmfpga.blocks import DepthwisePE
from admmfpga.network import IntType


def _cases():
    rng = np.random.default_rng(22)
    # (pe, simd, taps, filters, groups, positions)
    shapes = [(1, 1, 9, 1, 2, 3), (2, 9, 9, 1, 3, 5), (4, 3, 9, 1, 1, 4), (1, 2, 4, 2, 2, 4), (3, 1, 1, 1, 1, 20)]
    cases = {}
    for index, (pe, simd, taps, filters, groups, positions) in enumerate(shapes):
        source, bits = IntType((8, 4, 8, 7, 1)[index], index % 2 == 1), (8, 4, 8, 3, 5)[index]
        top = (1 << (bits - 1)) - 1
        weights = rng.integers(-top, top, (pe * groups * filters, taps), endpoint=True)
        weights[0], weights[-1] = top, -top
        bound = taps * top * max(source.max, -source.min)
        block = DepthwisePE(
            pe=pe,
            simd=simd,
            taps=taps,
            filters=filters,
            groups=groups,
            positions=positions,
            in_bits=source.bits,
            in_signed=source.signed,
            weight_bits=bits,
            acc_bits=IntType.signed_holding(-bound, bound).bits,
            use_dsp=index % 3 != 1,
            weight_block_ram=index % 2 == 0,
            out_depth=(2, 9, 4, 1, 66)[index],
        )
        cases[f"c{index}"] = bench.Case(block, {"filters": weights})
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(22, *bench.SCENARIOS[scenario])


def test_depthwise_pe():
    bench.simulate("test_depthwise_pe", CASES)
