"""stream_fork: readers of different speed behind FIFOs of different depths."""

import cocotb

import bench
from admmfpga.blocks import StreamFork

CASES = {
    f"c{index}": bench.Case(
        StreamFork(
            lanes=lanes, bits=bits, signed=index % 2 == 1, beats=beats, out_depth=depths[0], second_depth=depths[1]
        )
    )
    for index, (lanes, bits, beats, depths) in enumerate(
        [
            (1, 8, 30, (2, 2)),
            (3, 4, 17, (1, 3)),
            (2, 1, 100, (2, 40)),
            (1, 16, 90, (70, 2)),
            (5, 7, 1, (3, 65)),
        ]
    )
}


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(8, *bench.SCENARIOS[scenario])


def test_stream_fork():
    bench.simulate("test_stream_fork", CASES)
