"""pad: borders of any size on any side, gaps between pixels."""

import cocotb

import bench
from admmfpga.blocks import Pad


def _cases():
    # (height, width, channels, groups, pads, spacing)
    shapes = [
        (1, 1, 1, 1, (0, 0, 0, 0), (1, 1)),
        (3, 4, 2, 1, (1, 0, 2, 3), (1, 1)),
        (2, 3, 1, 3, (0, 2, 0, 0), (2, 1)),
        (3, 2, 1, 2, (4, 1, 1, 0), (3, 2)),
        (1, 5, 3, 1, (0, 0, 3, 0), (1, 4)),
        (4, 1, 1, 1, (1, 5, 0, 5), (2, 2)),
    ]
    return {
        f"c{index}": bench.Case(
            Pad(
                height=height,
                width=width,
                channels=channels,
                groups=groups,
                bits=(8, 4, 1, 7, 5, 8)[index],
                signed=index % 2 == 1,
                pads=pads,
                pad_value=(7, -3, 1, -64, 0, 5)[index],
                spacing=spacing,
                out_depth=(2, 1, 3, 2, 65, 4)[index],
            )
        )
        for index, (height, width, channels, groups, pads, spacing) in enumerate(shapes)
    }


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(25, *bench.SCENARIOS[scenario])


def test_pad():
    bench.simulate("test_pad", CASES)
