"""window: kernels, strides, padding, channel groups, gather lists; line memories of every kind."""

import random
from dataclasses import replace

import cocotb
import numpy as np

import bench
from admmfpga.blocks import Window
from made import random_gather

CORNERS = [
    # (height, width), channels, groups, kernel, strides, pads (top, left, bottom, right)
    ((5, 6), 1, 1, (3, 3), (1, 1), (1, 1, 1, 1)),
    ((8, 8), 2, 3, (5, 5), (1, 1), (2, 2, 2, 2)),
    ((6, 7), 3, 2, (2, 2), (2, 2), (0, 0, 0, 0)),
    ((4, 5), 2, 1, (1, 1), (1, 1), (0, 0, 0, 0)),
    ((7, 5), 1, 2, (1, 1), (2, 3), (0, 0, 0, 0)),
    ((5, 9), 1, 2, (1, 4), (1, 2), (0, 3, 0, 1)),
    ((9, 5), 2, 1, (4, 1), (3, 1), (3, 0, 2, 0)),
    ((9, 10), 1, 1, (2, 2), (4, 5), (1, 0, 0, 1)),
    ((1, 8), 1, 1, (1, 3), (1, 1), (0, 1, 0, 1)),
    ((1, 6), 2, 1, (3, 3), (1, 1), (1, 1, 1, 1)),
    ((6, 1), 1, 1, (3, 1), (1, 1), (1, 0, 1, 0)),  # a line of one word
    ((5, 1), 1, 2, (2, 1), (1, 1), (0, 0, 0, 0)),
    ((1, 1), 2, 1, (1, 1), (1, 1), (0, 0, 0, 0)),
    ((1, 1), 1, 3, (2, 2), (1, 1), (1, 1, 1, 0)),
    ((3, 30), 1, 3, (3, 3), (2, 1), (0, 1, 2, 0)),  # lines in block RAM
    ((2, 65), 1, 1, (2, 3), (1, 3), (1, 2, 1, 2)),
    ((4, 4), 1, 1, (4, 4), (1, 1), (0, 0, 0, 0)),  # one window
]


def _random(rng):
    kernel = rng.randint(1, 4), rng.randint(1, 4)
    pads = tuple(rng.randint(0, kernel[axis] - 1) for axis in (0, 1, 0, 1))
    least = tuple(max(1, kernel[axis] - pads[axis] - pads[axis + 2]) for axis in (0, 1))
    size = tuple(rng.randint(least[axis], 9) for axis in (0, 1))
    strides = rng.randint(1, 3), rng.randint(1, 5)
    return size, rng.randint(1, 3), rng.randint(1, 4), kernel, strides, pads


def _cases():
    rng = random.Random(3)
    cases = {}
    for index, shape in enumerate([*CORNERS, *(_random(rng) for _ in range(7))]):
        (height, width), channels, groups, kernel, strides, pads = shape
        bits, signed = rng.randint(1, 8), rng.random() < 0.5
        block = Window(
            height=height,
            width=width,
            channels=channels,
            groups=groups,
            bits=bits,
            signed=signed,
            kernel=kernel,
            strides=strides,
            pads=pads,
            pad_value=rng.randint(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else rng.randrange(1 << bits),
            out_depth=(3, 1, 2, 9, 68)[index % 5],
        )
        cases[f"c{index}"] = bench.Case(block)
        cases[f"g{index}"] = bench.Case(replace(block, gather=random_gather(block, np.random.default_rng(index))))
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(3, *bench.SCENARIOS[scenario])


def test_window():
    bench.simulate("test_window", CASES)
