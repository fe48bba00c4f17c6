"""deal: one stored beat and several, extra lanes that end even and that end in zeros, all output FIFOs."""

import cocotb

import bench
from admmfpga.blocks import Deal

SHAPES = [
    # lanes, extra, stored, beats, bits
    (1, 1, 1, 2, 1),
    (4, 2, 1, 3, 8),
    (6, 2, 1, 4, 3),
    (5, 3, 2, 7, 4),  # two elements and a zero at the end
    (3, 3, 2, 9, 5),  # beats of zeros too
    (2, 4, 3, 5, 7),
    (50, 6, 1, 10, 8),
]


def _cases():
    cases = {}
    for index, (lanes, extra, stored, beats, bits) in enumerate(SHAPES):
        for depth in (2, (1, 3, 70, 66, 4)[index % 5]):
            block = Deal(
                lanes=lanes,
                extra=extra,
                stored=stored,
                beats=beats,
                units=1 + index % 3,
                bits=bits,
                signed=index % 2 == 1,
                out_depth=depth,
            )
            cases[f"c{index}_{depth}"] = bench.Case(block)
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(1, *bench.SCENARIOS[scenario])


def test_deal():
    bench.simulate("test_deal", CASES)
