"""csr_pe: formats, layouts, masks of every kind."""

import random

import cocotb
import numpy as np

import bench
from admmfpga.blocks import CsrPE
from admmfpga.network import IntType
from admmfpga.network.ranges import accumulator_type
from admmfpga.packing.lanes import LaneLayout

CORNERS = [
    # rows, columns, density, vectors, activations, weight bits, DSP, block RAM, layout
    (1, 1, 1.0, 5, IntType(8, False), 8, True, False, LaneLayout()),
    (1, 1, 0.0, 3, IntType(8, True), 2, True, False, LaneLayout()),
    (6, 1, 0.5, 4, IntType(8, True), 4, False, False, LaneLayout(groups=2)),
    (5, 12, 0.0, 2, IntType(8, False), 4, True, False, LaneLayout(lanes=3)),  # no weight at all
    (5, 12, 1.0, 2, IntType(8, False), 4, True, True, LaneLayout(lanes=3, in_lanes=3)),  # all of them
    (9, 20, 0.3, 3, IntType(8, False), 8, True, True, LaneLayout(groups=3, lanes=4, in_lanes=2)),
    (4, 150, 0.1, 2, IntType(3, True), 3, False, True, LaneLayout(lanes=1, in_lanes=1)),  # banks in block RAM
    (4, 30, 0.03, 3, IntType(8, False), 5, True, False, LaneLayout(lanes=2)),  # loading takes longer than computing
    (40, 16, 0.05, 3, IntType(4, False), 4, True, False, LaneLayout(lanes=4)),  # mostly empty rows
    (8, 40, 0.2, 2, IntType(8, True), 8, True, False, LaneLayout(groups=2, lanes=2, height=2)),
    (8, 24, 0.2, 2, IntType(8, False), 4, False, False, LaneLayout(height=4, lanes=3)),
    (6, 70, 0.05, 2, IntType(8, False), 4, True, False, LaneLayout(lanes=2, index_format="relative", index_bits=2)),
    (6, 70, 0.2, 2, IntType(8, True), 4, True, True, LaneLayout(groups=2, index_format="relative", index_bits=1)),
    (4, 9, 0.4, 3, IntType(8, True), 4, True, True, LaneLayout(lanes=3, index_format="relative", index_bits=12)),
    (7, 40, 0.2, 3, IntType(8, False), 4, True, False, LaneLayout(lanes=2, in_lanes=2, index_format="bitmap")),
    (1, 33, 0.3, 4, IntType(8, True), 3, True, False, LaneLayout(lanes=3, index_format="bitmap")),
    (12, 18, 0.1, 2, IntType(8, True), 8, True, True, LaneLayout(groups=3, lanes=2, height=2, index_format="bitmap")),
    (6, 1, 0.5, 2, IntType(2, False), 2, False, False, LaneLayout(index_format="bitmap")),
    (2, 17, 0.5, 4, IntType(16, True), 8, True, False, LaneLayout(lanes=5)),
    # Lanes that leave row blocks out; one that leaves out all of them, and one lane alone.
    (40, 16, 0.05, 3, IntType(4, False), 4, True, False, LaneLayout(lanes=4, skips=True)),
    (12, 3, 0.0, 2, IntType(8, False), 4, True, False, LaneLayout(groups=2, lanes=3, skips=True)),
    (30, 9, 0.1, 3, IntType(8, True), 8, True, True, LaneLayout(skips=True)),
    (24, 30, 0.1, 2, IntType(8, True), 8, True, False, LaneLayout(groups=3, lanes=6, in_lanes=3, skips=True)),
    (24, 20, 0.1, 2, IntType(8, False), 4, False, False, LaneLayout(groups=2, lanes=4, height=2, skips=True)),
    (
        *(12, 70, 0.1, 2, IntType(8, False), 4, True, False),
        LaneLayout(lanes=4, index_format="relative", index_bits=2, skips=True),
    ),
    (200, 4, 0.5, 1, IntType(4, False), 3, True, False, LaneLayout(groups=2, lanes=2, skips=True)),  # sums in block RAM
]


PACKED = [
    # as above, with the rows of an index that share a DSP block
    (8, 40, 0.2, 2, IntType(8, True), 8, True, False, LaneLayout(groups=2, lanes=2, height=2), 2),
    (8, 24, 0.3, 2, IntType(8, False), 8, True, True, LaneLayout(height=4, lanes=3), 2),
    (8, 24, 0.3, 3, IntType(4, False), 4, True, False, LaneLayout(height=4, lanes=2), 4),
    (4, 9, 0.6, 3, IntType(5, True), 4, True, True, LaneLayout(height=4, index_format="bitmap"), 4),
    (4, 20, 0.3, 3, IntType(4, False), 3, True, True, LaneLayout(height=2, index_format="relative", index_bits=2), 2),
]


def _random(rng):
    in_lanes, share = rng.randint(1, 3), rng.randint(1, 3)
    kind = rng.choice(["csr", "relative", "bitmap"])
    layout = LaneLayout(
        groups=rng.randint(1, 3),
        lanes=in_lanes * share,
        in_lanes=in_lanes,
        height=rng.choice([1, 1, 2]),
        index_format=kind,
        index_bits=rng.randint(1, 5) if kind == "relative" else 0,
        skips=kind != "bitmap" and rng.random() < 0.5,
    )
    rows = layout.groups * layout.height * rng.randint(1, 6)
    columns = in_lanes * rng.randint(1, 14)
    source = IntType(rng.randint(1, 8), rng.random() < 0.5)
    weights = rng.randint(2, 8)
    return rows, columns, rng.random() ** 2, rng.randint(1, 4), source, weights, rng.random() < 0.5, True, layout


def _matrix(values, rows, columns, density, weight_bits):
    limit = (1 << (weight_bits - 1)) - 1
    matrix = values.integers(-limit, limit, (rows, columns), endpoint=True)
    extreme = values.random((rows, columns))
    matrix[extreme < 0.2] = -limit
    matrix[extreme > 0.8] = limit
    matrix[values.random((rows, columns)) >= density] = 0
    return matrix


def _cases():
    rng, values = random.Random(7), np.random.default_rng(7)
    cases = {}
    shapes = [(*shape, 1) for shape in (*CORNERS, *(_random(rng) for _ in range(12)))] + PACKED
    for index, (rows, columns, density, vectors, source, bits, use_dsp, block_ram, layout, pack) in enumerate(shapes):
        matrix = _matrix(values, rows, columns, density, bits)
        if index == 5:
            # One heavy row: lanes and groups get far apart, sums wait.
            matrix[2] = 1
        block = CsrPE.of(
            matrix,
            layout,
            vectors=vectors,
            in_bits=source.bits,
            in_signed=source.signed,
            weight_bits=bits,
            acc_bits=accumulator_type(matrix, source).bits,
            use_dsp=use_dsp,
            pack=pack,
            weight_block_ram=block_ram,
            out_depth=(4, 1, 12, 2, 66)[index % 5],
        )
        cases[f"c{index}"] = bench.Case(block, {"matrix": matrix}, frames=4)
    return cases


CASES = _cases()


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(5, *bench.SCENARIOS[scenario])


def test_csr_pe():
    bench.simulate("test_csr_pe", CASES)
