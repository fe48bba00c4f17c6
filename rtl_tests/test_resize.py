"""resize: enlargement along one axis and along both, rows in both kinds of memory."""

import cocotb

import bench
from admmfpga.blocks import Resize


def _cases():
    # (height, width, channels, groups, factors)
    shapes = [
        (3, 4, 1, 1, (2, 2)),
        (2, 3, 2, 3, (1, 3)),
        (2, 5, 1, 2, (3, 1)),
        (1, 1, 3, 1, (2, 4)),
        (2, 10, 1, 7, (2, 2)),
        (2, 2, 1, 1, (1, 2)),
    ]
    return {
        f"c{index}": bench.Case(
            Resize(
                height=height,
                width=width,
                channels=channels,
                groups=groups,
                bits=(8, 4, 1, 7, 5, 8)[index],
                signed=index % 2 == 1,
                factors=factors,
                out_depth=(3, 1, 2, 3, 65, 4)[index],
            )
        )
        for index, (height, width, channels, groups, factors) in enumerate(shapes)
    }


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(26, *bench.SCENARIOS[scenario])


def test_resize():
    bench.simulate("test_resize", CASES)
