"""dense_pe: foldings, widths, weight memories of every kind."""

import itertools
import random

import cocotb
import numpy as np

import bench
from admmfpga.blocks import DensePE
from admmfpga.blocks.dsp_packing import spacing
from admmfpga.network import IntType
from admmfpga.network.ranges import accumulator_type

CORNERS = [
    # rows, columns, vectors, pe, simd, activations, weight bits, DSP, weights in block RAM
    (1, 1, 5, 1, 1, IntType(8, False), 8, True, False),
    (4, 6, 3, 2, 3, IntType(8, False), 8, True, False),
    (4, 6, 3, 4, 6, IntType(8, True), 8, False, False),  # all at once
    (6, 5, 3, 2, 5, IntType(4, False), 3, True, False),  # one step a row group
    (3, 8, 2, 3, 2, IntType(1, False), 2, False, True),  # one row group
    (5, 7, 2, 1, 7, IntType(3, True), 4, False, True),
    (10, 9, 2, 5, 1, IntType(8, True), 8, True, True),
    (4, 140, 2, 2, 2, IntType(2, False), 2, False, None),  # replay buffer and weights in block RAM
    (2, 66, 2, 1, 1, IntType(5, True), 6, False, True),
    (2, 17, 4, 2, 17, IntType(16, True), 8, True, None),
    (8, 12, 3, 8, 4, IntType(16, False), 5, False, None),
    # row groups, vectors, both filled up
    (5, 6, 3, 2, 3, IntType(8, False), 8, True, False),
    (6, 7, 3, 3, 3, IntType(5, True), 4, False, True),
    (11, 23, 3, 4, 9, IntType(8, False), 8, True, None),
    (7, 5, 2, 6, 4, IntType(3, False), 3, False, False),
]

PACKED = [
    # rows, columns, vectors, pe, simd, activations, weight bits, rows a DSP block
    (2, 1, 5, 2, 1, IntType(8, False), 8, 2),
    (8, 10, 3, 4, 5, IntType(8, False), 8, 2),
    (4, 6, 3, 4, 6, IntType(8, True), 8, 2),
    (6, 14, 3, 2, 7, IntType(10, False), 8, 2),  # lanes overlap
    (2, 9, 3, 2, 9, IntType(11, True), 8, 2),
    (4, 8, 3, 4, 1, IntType(4, False), 4, 4),  # the carry goes to the accumulator
    (8, 25, 3, 4, 25, IntType(4, False), 4, 4),
    (12, 12, 3, 12, 3, IntType(5, True), 4, 4),
    (8, 12, 3, 4, 6, IntType(4, True), 4, 4),  # lanes apart
    (4, 5, 3, 4, 5, IntType(2, False), 5, 4),
    (6, 6, 3, 6, 2, IntType(17, False), 3, 2),
    (4, 20, 2, 4, 4, IntType(3, False), 4, 2),
    (9, 11, 2, 4, 4, IntType(8, False), 8, 2),  # filled up
]

MIXED = [
    # As above, then: rows of pe that multiply in LUTs, and whose weights are in LUTs
    (6, 8, 3, 3, 4, IntType(8, False), 8, 2, 1, 0),
    (5, 9, 3, 5, 3, IntType(8, True), 8, 2, 1, 2),
    (10, 12, 2, 5, 6, IntType(10, False), 8, 2, 3, 1),  # lanes overlap
    (14, 5, 2, 7, 1, IntType(4, False), 4, 4, 3, 3),
    (6, 6, 3, 3, 2, IntType(8, True), 6, 1, 1, 1),  # an accumulator in a DSP block beside one in LUTs
    (4, 70, 2, 2, 1, IntType(6, False), 8, 1, 0, 1),
    (16, 13, 2, 7, 5, IntType(8, False), 8, 2, 3, 2),  # filled up
]

EXHAUSTIVE = [
    # activations, weight bits, rows a DSP block: every activation times all combinations of weights
    (IntType(2, False), 3, 2),
    (IntType(6, False), 2, 4),  # lanes overlap
    (IntType(7, True), 2, 4),
]


def _random(rng):
    pe, simd = rng.randint(1, 4), rng.randint(1, 9)
    source = IntType(rng.randint(1, 8), rng.random() < 0.5)
    rows, columns = pe * rng.randint(1, 4), simd * rng.randint(1, 5)
    return rows, columns, rng.randint(1, 4), pe, simd, source, rng.randint(2, 8), rng.random() < 0.5, None


def _random_packed(rng):
    while True:
        rows, columns, vectors, pe, simd, source, weight_bits, _, _ = _random(rng)
        pack = rng.choice([2, 4])
        if spacing(pack, source.bits, weight_bits, signed=source.signed):
            return rows * pack, columns, vectors, pe * pack, simd, source, weight_bits, True, None, pack


def _cases():
    rng, values = random.Random(4), np.random.default_rng(4)
    cases = {}
    # Accumulators narrower than products: small weights in a wide type, none at all.
    for name, weights in (("small", [[1, 0, -1], [0, 0, 1]]), ("zero", [[0, 0], [0, 0]])):
        matrix, source = np.array(weights), IntType(8, True)
        block = DensePE(
            rows=2,
            columns=matrix.shape[1],
            vectors=3,
            pe=2,
            simd=matrix.shape[1],
            in_bits=8,
            in_signed=True,
            weight_bits=4,
            acc_bits=accumulator_type(matrix, source).bits,
        )
        cases[name] = bench.Case(block, {"matrix": matrix})
    # Every 4-bit activation times every 6-bit weight, without DSP.
    weights, codes = np.arange(-31, 32)[:, None], np.arange(16)[:, None]
    block = DensePE(
        rows=63,
        columns=1,
        vectors=16,
        pe=63,
        simd=1,
        in_bits=4,
        in_signed=False,
        weight_bits=6,
        acc_bits=10,
        use_dsp=False,
    )
    cases["exhaustive"] = bench.Case(block, {"matrix": weights}, 1, codes)
    for index, (source, weight_bits, pack) in enumerate(EXHAUSTIVE):
        limit = (1 << (weight_bits - 1)) - 1
        weights = np.array(list(itertools.product(range(-limit, limit + 1), repeat=pack))).reshape(-1, 1)
        weights = np.concatenate([weights, np.full((-len(weights) % (12 * pack), 1), -limit)])
        codes = np.arange(source.min, source.max + 1)[:, None]
        block = DensePE(
            rows=len(weights),
            columns=1,
            vectors=len(codes),
            pe=len(weights) // 12,
            simd=1,
            in_bits=source.bits,
            in_signed=source.signed,
            weight_bits=weight_bits,
            acc_bits=accumulator_type(weights, source).bits,
            pack=pack,
        )
        cases[f"packed{index}"] = bench.Case(block, {"matrix": weights}, 1, codes)
    shapes = [(*shape[:-1], True, None, shape[-1]) for shape in PACKED]
    shapes += [(*shape[:-3], True, True, shape[-3:]) for shape in MIXED]
    shapes += [(*shape, 1) for shape in (*CORNERS, *(_random(rng) for _ in range(5)))]
    shapes += [_random_packed(rng) for _ in range(4)]
    for index, shape in enumerate(shapes):
        rows, columns, vectors, pe, simd, source, weight_bits, use_dsp, weight_block_ram, pack = shape
        pack, lut_rows, lut_weight_rows = pack if isinstance(pack, tuple) else (pack, 0, 0)
        limit = (1 << (weight_bits - 1)) - 1
        matrix = values.integers(-limit, limit, (rows, columns), endpoint=True)
        extreme = values.random((rows, columns))
        matrix[extreme < 0.2] = -limit
        matrix[extreme > 0.8] = limit
        block = DensePE(
            rows=rows,
            columns=columns,
            vectors=vectors,
            pe=pe,
            simd=simd,
            in_bits=source.bits,
            in_signed=source.signed,
            weight_bits=weight_bits,
            acc_bits=accumulator_type(matrix, source).bits,
            use_dsp=use_dsp,
            pack=pack,
            weight_block_ram=weight_block_ram,
            lut_rows=lut_rows,
            lut_weight_rows=lut_weight_rows,
            out_depth=(4, 1, 12, 2, 66)[index % 5],
        )
        cases[f"c{index}"] = bench.Case(block, {"matrix": matrix}, frames=4)
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(4, *bench.SCENARIOS[scenario])


def test_dense_pe():
    bench.simulate("test_dense_pe", CASES)
