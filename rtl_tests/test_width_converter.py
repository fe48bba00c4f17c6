"""width_converter: every ratio, units that end within a wide beat, widths from one bit, all output FIFOs."""

import random

import cocotb

import bench
from admmfpga.blocks import WidthConverter


def _cases():
    rng = random.Random(1)
    shapes = [(1, 1), (3, 3), (4, 1), (1, 4), (2, 1), (1, 2), (6, 2), (2, 6), (12, 1), (1, 16), (25, 5)]
    cases = {}
    for index, (in_lanes, out_lanes) in enumerate(shapes):
        block = WidthConverter(
            in_lanes=in_lanes,
            out_lanes=out_lanes,
            bits=rng.randint(1, 9),
            signed=rng.random() < 0.5,
            elements=max(in_lanes, out_lanes) * rng.randint(1, 40),
            out_depth=(2, 1, 3, 2, 70, 66, 4)[index % 7],
        )
        cases[f"c{index}"] = bench.Case(block)
    # Units: elements that begin in a wide beat of their own.
    for index, (in_lanes, out_lanes, unit) in enumerate(
        [(2, 1, 3), (1, 2, 3), (7, 1, 20), (1, 7, 20), (12, 4, 28), (4, 12, 28), (6, 2, 34), (3, 9, 39)]
    ):
        block = WidthConverter(
            in_lanes=in_lanes,
            out_lanes=out_lanes,
            bits=rng.randint(1, 9),
            signed=rng.random() < 0.5,
            elements=unit * rng.randint(1, 4),
            unit=unit,
            out_depth=(2, 1, 3, 2, 70, 66, 4)[index % 7],
        )
        cases[f"u{index}"] = bench.Case(block)
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(1, *bench.SCENARIOS[scenario])


def test_width_converter():
    bench.simulate("test_width_converter", CASES)
