"""binary_pe: binary and ternary weights on numbers and on signs; foldings, extreme weights, memories of every kind."""

import random
from dataclasses import replace

import cocotb
import numpy as np

import bench
from admmfpga.network import BIPOLAR, IntType
from made import binary

UINT8, INT8 = IntType(8, False), IntType(8, True)

CORNERS = [
    # rows, columns, vectors, pe, simd, activations, weights, weights in block RAM
    (1, 1, 5, 1, 1, BIPOLAR, "binary", False),
    (1, 1, 5, 1, 1, BIPOLAR, "ternary", False),
    (1, 1, 5, 1, 1, UINT8, "binary", False),
    (1, 12, 3, 1, 4, BIPOLAR, "binary", True),  # one row
    (6, 1, 3, 2, 1, BIPOLAR, "ternary", None),  # one column
    (6, 1, 3, 2, 1, INT8, "ternary", None),
    (4, 9, 3, 2, 9, BIPOLAR, "plus", False),
    (4, 10, 3, 4, 5, BIPOLAR, "minus", True),
    (4, 10, 3, 2, 5, UINT8, "minus", False),
    (4, 10, 3, 2, 10, INT8, "minus", False),
    (4, 10, 3, 2, 5, UINT8, "plus", True),
    (6, 14, 3, 3, 7, BIPOLAR, "rows of zeros", False),
    (6, 14, 3, 3, 7, INT8, "rows of zeros", False),
    (3, 4, 2, 1, 2, BIPOLAR, "zeros", False),
    (3, 4, 2, 1, 2, UINT8, "zeros", False),
    (8, 64, 2, 4, 64, BIPOLAR, "binary", None),
    (4, 140, 2, 2, 2, BIPOLAR, "binary", None),  # replay buffer and weights in block RAM
    (2, 66, 2, 1, 11, IntType(1, False), "binary", True),
    (4, 27, 2, 2, 27, IntType(16, True), "ternary", None),
    (5, 18, 2, 5, 6, IntType(1, False), "ternary", False),
]


def weights(kind, rows, columns, rng):
    matrix = rng.choice([-1, 1], (rows, columns))
    match kind:
        case "plus":
            matrix[:] = 1
        case "minus":
            matrix[:] = -1
        case "zeros":
            matrix[:] = 0
        case "ternary":
            matrix = rng.integers(-1, 2, (rows, columns))
            matrix[0, 0] = 0
        case "rows of zeros":
            matrix[::2] = 0
    return matrix


def _random(rng):
    pe, simd = rng.randint(1, 4), rng.randint(1, 13)
    source = BIPOLAR if rng.random() < 0.5 else IntType(rng.randint(1, 8), rng.random() < 0.5)
    rows, columns = pe * rng.randint(1, 4), simd * rng.randint(1, 5)
    kind = rng.choice(["binary", "ternary"])
    return rows, columns, rng.randint(1, 4), pe, simd, source, kind, rng.choice([None, True, False])


def _cases():
    rng, values = random.Random(8), np.random.default_rng(8)
    cases = {}
    for index, shape in enumerate([*CORNERS, *(_random(rng) for _ in range(12))]):
        rows, columns, vectors, pe, simd, source, kind, block_ram = shape
        matrix = weights(kind, rows, columns, values)
        depth = (4, 1, 12, 2, 66)[index % 5]
        block = binary(matrix, source, vectors=vectors, pe=pe, simd=simd, out_depth=depth)
        cases[f"c{index}"] = bench.Case(replace(block, weight_block_ram=block_ram), {"matrix": matrix}, frames=4)
    # Every row of four ternary weights on every vector of signs, and of 2-bit numbers.
    rows = np.array(np.meshgrid(*[[-1, 0, 1]] * 4)).reshape(4, -1).T
    for name, source in (("signs", BIPOLAR), ("numbers", IntType(2, True))):
        codes = np.array(np.meshgrid(*[np.arange(source.min, source.max + 1)] * 4)).reshape(4, -1).T
        block = binary(rows, source, vectors=len(codes), pe=27, simd=4, out_depth=3)
        cases[name] = bench.Case(block, {"matrix": rows}, 1, codes)
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(4, *bench.SCENARIOS[scenario])


def test_binary_pe():
    bench.simulate("test_binary_pe", CASES)
