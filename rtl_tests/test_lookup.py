"""lookup: one table for all lanes, a table a channel, codes of both signs, both kinds of memory."""

import cocotb
import numpy as np

import bench
from admmfpga.blocks import Lookup
from admmfpga.network import IntType


def _cases():
    rng = np.random.default_rng(24)
    # (lanes, input bits, output bits, tables)
    shapes = [(1, 8, 8, 1), (3, 4, 5, 1), (1, 3, 8, 6), (1, 1, 2, 2), (2, 8, 1, 1)]
    cases = {}
    for index, (lanes, in_bits, out_bits, count) in enumerate(shapes):
        result = IntType(out_bits, index in (0, 2))
        block = Lookup(
            lanes=lanes,
            in_bits=in_bits,
            in_signed=index in (0, 1),
            out_bits=out_bits,
            out_signed=result.signed,
            count=count,
            table_block_ram=index % 2 == 0,
            beats=12 * count,
            out_depth=(2, 3, 1, 5, 70)[index],
        )
        table = rng.integers(result.min, result.max, (count, 1 << in_bits), endpoint=True)
        cases[f"c{index}"] = bench.Case(block, {"table": table})
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(24, *bench.SCENARIOS[scenario])


def test_lookup():
    bench.simulate("test_lookup", CASES)
