"""unrolled_pe: matrices of every density and width, extreme ones among them."""

import cocotb
import numpy as np

import bench
from admmfpga.network import IntType
from made import unrolled

CORNERS = [
    [[0]],
    [[1]],
    [[-1]],
    [[64, 0], [0, -1], [0, 0]],
    [[0, 0, 0]] * 2,
    [[127] * 9],
    [[-127, 127]] * 3,
    [[45, 90, -45], [1, 2, -1]],
]


def _cases():
    rng = np.random.default_rng(6)
    cases = {}
    for index, rows in enumerate(CORNERS):
        source = IntType((8, 1, 4, 8)[index % 4], index % 3 == 1)
        block = unrolled(np.array(rows), source, vectors=7, out_depth=(1, 2, 5, 70)[index % 4])
        cases[f"c{index}"] = bench.Case(block)
    for index in range(10):
        rows, columns = rng.integers(1, 10, 2)
        top = (1 << int(rng.integers(1, 8))) - 1
        matrix = rng.integers(-top, top + 1, (rows, columns)) * (rng.random((rows, columns)) < rng.choice([0.2, 1.0]))
        source = IntType(int(rng.integers(1, 9)), bool(rng.integers(2)))
        block = unrolled(matrix, source, vectors=9, out_depth=int(rng.choice([1, 3, 12, 66])))
        cases[f"r{index}"] = bench.Case(block)
    # Every 3-bit code of two inputs, every row of two weights up to 7.
    weights = np.array([(a, b) for a in range(-7, 8) for b in range(-7, 8)])
    codes = np.array([(a, b) for a in range(-4, 4) for b in range(-4, 4)])
    block = unrolled(weights, IntType(3, True), vectors=len(codes), out_depth=8)
    cases["exhaustive"] = bench.Case(block, frames=1, values=codes)
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(6, *bench.SCENARIOS[scenario])


def test_unrolled_pe():
    bench.simulate("test_unrolled_pe", CASES)
