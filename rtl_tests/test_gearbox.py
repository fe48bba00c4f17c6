"""gearbox: rows with and without gaps on either side, wider and narrower, one bit, all output FIFOs."""

import random

import cocotb

import bench
from admmfpga.blocks import Gearbox


def _cases():
    rng = random.Random(2)
    # (input lanes, output lanes, codes of a row, rows, filled in, filled out)
    shapes = [
        (8, 12, 28, 6, False, True),
        (8, 8, 28, 4, False, True),
        (12, 8, 28, 4, True, False),
        (6, 4, 6, 4, False, False),
        (4, 6, 5, 3, True, True),
        (1, 3, 5, 4, False, True),
        (5, 1, 7, 3, True, False),
        (2, 2, 2, 3, False, False),
        (3, 2, 2, 5, True, False),
        (9, 4, 27, 4, False, True),
    ]
    cases = {}
    for index, (in_lanes, out_lanes, row, rows, in_filled, out_filled) in enumerate(shapes):
        bits = rng.randint(1, 9)
        block = Gearbox(
            in_lanes=in_lanes,
            out_lanes=out_lanes,
            bits=bits,
            signed=False,
            row=row,
            rows=rows,
            in_filled=in_filled,
            out_filled=out_filled,
            fill=rng.randrange(1 << bits),
            out_depth=(2, 1, 3, 2, 66, 4)[index % 6],
        )
        cases[f"c{index}"] = bench.Case(block)
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(3, *bench.SCENARIOS[scenario])


def test_gearbox():
    bench.simulate("test_gearbox", CASES)
