"""concat: turns of equal and unequal length, once and many times a frame."""

import cocotb

import bench
from admmfpga.blocks import Concat


def _cases():
    # (lanes, first, second, repeats)
    shapes = [(1, 1, 1, 20), (2, 3, 1, 7), (3, 1, 4, 5), (1, 20, 7, 1), (2, 8, 8, 2)]
    return {
        f"c{index}": bench.Case(
            Concat(
                lanes=lanes,
                bits=(8, 4, 1, 7, 16)[index],
                signed=index % 2 == 1,
                first=first,
                second=second,
                repeats=repeats,
                out_depth=(2, 1, 3, 65, 2)[index],
            )
        )
        for index, (lanes, first, second, repeats) in enumerate(shapes)
    }


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(23, *bench.SCENARIOS[scenario])


def test_concat():
    bench.simulate("test_concat", CASES)
