"""Which PE multiplies: the kinds that there are, and how a sparse matrix can be spread over lanes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import gcd, lcm

import numpy as np

from admmfpga.blocks import BinaryPE, CsrPE, DensePE, MatrixUnit, UnrolledPE
from admmfpga.blocks.base import clog2
from admmfpga.blocks.dsp_packing import DSP_FACTORS, PACKS, is_narrow, spacing
from admmfpga.blocks.families import family
from admmfpga.blocks.shift_add import digit_count
from admmfpga.mapping.folding import Folding, divisors
from admmfpga.network import Budget, IntArray, IntType
from admmfpga.network.ranges import accumulator_range, weight_type
from admmfpga.packing import LaneLayout

SPARSE = 0.75
"""Share of non-zero weights beyond which index decoding is not even considered: an index costs more than that."""

LANES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32)
FINE_LANES = (7, 9, 14, 18, 28, 36, 44, 48, 56)
MOST_LANES = 64
"""Lanes of a row group that are considered: these, where beats can be filled up the fine ones too, and multiples of the
columns' divisors up to the most."""

MANY_WEIGHTS = 100_000
"""Matrices with more of them are spread in fewer ways, all powers of two."""

MOST_BATCH = 8
"""Vectors that are worked on as one, at most."""

FEW_STEPS = (16, 48)
"""Steps of a vector below which several are worked on as one, so that what is rounded up is rounded once and the steps
before the first row can leave are lost once: few, for short programs, and more."""

MOST_BATCHED = 12_000
"""Weights of the vectors that are worked on as one: each has a place in the program."""

FEW_WEIGHTS = 1500
"""Matrices with no more of them are spread in more ways."""

MANY_ENTRIES = 3
"""Weights of a lane in a row block, on average, from which on so few row blocks have none that lanes leave none out."""

MOST_DIGITS, MOST_PAIRS = 4000, 500_000
"""Matrices with more signed digits, or pairs of digits in a row, are not built of adders: those would be thousands, and
looking for what they share takes seconds."""

BITMAP_SLOTS = 64
"""The lowest of so many bits is found in a cycle."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """Widths of a matrix-vector unit.

    Attributes:
        weight_bits: of a weight.
        low, high: (rows,) range of the accumulators.
        budget: weights may be exchanged within it; None: they are constants.
    """

    weight_bits: int
    low: IntArray
    high: IntArray
    budget: Budget | None = None

    @property
    def accumulator(self) -> IntType:
        """Signed, for all rows."""
        return IntType.signed_holding(int(self.low.min()), int(self.high.max()))


def numbers_of(matrix: IntArray, source: IntType, budget: Budget | None = None) -> Numbers:
    """What the weights of a matrix need; with a budget, what any weights in the same columns may need."""
    if budget is None:
        return Numbers(weight_type(matrix).bits, *accumulator_range(matrix, source))
    low, high = budget.accumulator_range(max(1, int(np.count_nonzero(matrix.any(axis=0)))), source)
    rows = len(matrix)
    return Numbers(budget.weight_bits, np.full(rows, low), np.full(rows, high), budget)


def _dense(matrix: IntArray, source: IntType, vectors: int, folding: Folding, numbers: Numbers) -> MatrixUnit:
    return DensePE(
        rows=matrix.shape[0],
        columns=matrix.shape[1],
        vectors=vectors,
        pe=folding.pe,
        simd=folding.simd,
        in_bits=source.bits,
        in_signed=source.signed,
        weight_bits=numbers.weight_bits,
        acc_bits=numbers.accumulator.bits,
        use_dsp=folding.use_dsp,
        pack=folding.pack,
        weight_block_ram=folding.weight_block_ram,
        lut_rows=folding.lut_rows,
        lut_weight_rows=folding.lut_weight_rows,
        reloadable=numbers.budget is not None,
    )


def _csr(matrix: IntArray, source: IntType, vectors: int, folding: Folding, numbers: Numbers) -> MatrixUnit:
    assert folding.layout is not None, folding
    return CsrPE.of(
        matrix,
        folding.layout,
        vectors=vectors,
        in_bits=source.bits,
        in_signed=source.signed,
        weight_bits=numbers.weight_bits,
        acc_bits=numbers.accumulator.bits,
        use_dsp=folding.use_dsp,
        pack=folding.pack,
        weight_block_ram=folding.weight_block_ram,
        slack=None if numbers.budget is None else numbers.budget.slack,
    )


def _unrolled(matrix: IntArray, source: IntType, vectors: int, folding: Folding, numbers: Numbers) -> MatrixUnit:
    assert numbers.budget is None, "weights in logic are constants"
    return UnrolledPE(
        rows=matrix.shape[0],
        columns=matrix.shape[1],
        vectors=vectors,
        matrix=tuple(map(tuple, matrix.tolist())),
        in_bits=source.bits,
        in_signed=source.signed,
        weight_bits=numbers.weight_bits,
        acc_bits=numbers.accumulator.bits,
    )


def _binary(matrix: IntArray, source: IntType, vectors: int, folding: Folding, numbers: Numbers) -> MatrixUnit:
    assert numbers.budget is None, "the form of weights decides about the adders"
    bits = BinaryPE.bits_of(matrix)
    assert bits is not None, folding
    return BinaryPE(
        rows=matrix.shape[0],
        columns=matrix.shape[1],
        vectors=vectors,
        pe=folding.pe,
        simd=folding.simd,
        in_bits=source.bits,
        in_signed=source.signed,
        in_bipolar=source.bipolar,
        weight_bits=bits,
        acc_bits=numbers.accumulator.bits,
        use_dsp=False,
        weight_block_ram=folding.weight_block_ram,
    )


_UNITS: dict[str, Callable[[IntArray, IntType, int, Folding, Numbers], MatrixUnit]] = {
    DensePE.kind: _dense,
    CsrPE.kind: _csr,
    UnrolledPE.kind: _unrolled,
    BinaryPE.kind: _binary,
}

KINDS = tuple(_UNITS)
"""Kinds of PEs, as foldings and the command line name them."""


RELOADABLE_KINDS = (DensePE.kind, CsrPE.kind)
"""Those whose weights can be exchanged at run time."""


def matrix_unit(
    matrix: IntArray, source: IntType, vectors: int, folding: Folding, numbers: Numbers | None = None
) -> MatrixUnit:
    """The PE of a folding.

    Args:
        matrix: (rows, columns), columns in the order in which they arrive.
        source: type of the activations; bipolar for a kind that `takes_bipolar` only.
        vectors: of a frame.
        numbers: widths; None: what the matrix needs.
    """
    return _UNITS[folding.kind](matrix, source, vectors, folding, numbers or numbers_of(matrix, source))


def multiplier_forms(matrix: IntArray, source: IntType) -> tuple[tuple[bool, int], ...]:
    """Ways to multiply: whether in DSP blocks, and how many rows share one (they stand next to each other)."""
    bits = weight_type(matrix).bits
    # Bipolar activations double weights.
    packs = PACKS if family().multiplier >= DSP_FACTORS and not source.bipolar and is_narrow(matrix, bits) else ()
    packed = [(True, pack) for pack in packs if spacing(pack, source.bits, bits, signed=source.signed)]
    return (True, 1), *packed, (False, 1)


def takes_bipolar(kind: str) -> bool:
    """Whether a kind of PE takes bits that mean -1 and +1 as they are."""
    return kind == BinaryPE.kind


def is_binary(matrix: IntArray) -> bool:
    """Whether no weight is greater than one."""
    return BinaryPE.bits_of(matrix) is not None


def is_tiny(matrix: IntArray, copies: int = 1) -> bool:
    """Whether a matrix in logic, or several copies of it, is worth considering."""
    digits = digit_count(matrix)
    return bool(copies * digits.sum() <= MOST_DIGITS and copies * (digits**2).sum() <= MOST_PAIRS)


def is_sparse(matrix: IntArray) -> bool:
    """Whether index decoding is worth considering."""
    return bool(np.count_nonzero(matrix) <= SPARSE * matrix.size)


def layouts(
    matrix: IntArray, vectors: int = 1, *, filled: bool = False, exchanged: bool = False
) -> Iterator[LaneLayout]:
    """Ways to spread a matrix, with absolute indices. Columns without weights are not sent, but to fill beats up.

    Args:
        vectors: of a frame.
        filled: beats can be filled up though no column is left out.
        exchanged: weights may be exchanged for others: every lane takes part in every row block, one vector at a time.
    """
    rows, columns = matrix.shape
    kept = max(1, int(np.count_nonzero(matrix.any(axis=0))))
    weights = np.count_nonzero(matrix)
    many = weights > MANY_WEIGHTS
    wide = {d * m for d in divisors(columns) if d >= 5 for m in (1, 2, 4)}
    choices = sorted({*LANES, *(FINE_LANES if filled else ()), *(lanes for lanes in wide if lanes <= MOST_LANES)})
    for height in (1, 2, 4):
        if rows % height:
            continue
        entries = int(matrix.reshape(rows // height, height, columns).any(axis=1).sum())
        # Rows that do not share their columns gain nothing by sharing an index.
        if height > 1 and weights < 0.7 * height * entries:
            continue
        for groups, batch in _row_groups(rows // height, 1 if exchanged else vectors):
            if batch * weights > MOST_BATCHED and batch > 1:
                continue
            for lanes in choices:
                if many and (lanes & (lanes - 1) or lanes < 4 or groups & (groups - 1) or groups > 16):
                    continue
                # Most lanes should find something in most row blocks, unless more lanes are what brings a vector in.
                blocks = rows // (height * groups)
                if lanes > 1 and lanes * rows // height > 2 * max(1, entries) and lanes * blocks > kept:
                    continue
                steps = max(1, entries / (groups * lanes))
                # Beats of columns that were left out can be filled up.
                widest = gcd(lanes, columns) if kept == columns and not filled else lanes
                able = [d for d in divisors(widest) if -(-kept // d) <= steps]
                in_lanes = able[0] if able else widest
                skips = not exchanged and entries < MANY_ENTRIES * lanes * rows // height
                # Leaving row blocks out costs LUTs, which small layers may not be worth.
                both = (True, False) if weights <= FEW_WEIGHTS else (True,)
                counts = (1,) if exchanged else _batches(batch, steps, vectors, int(weights))
                for leaves, count in product(both if skips else (False,), counts):
                    yield LaneLayout(groups, lanes, in_lanes, height, skips=leaves, batch=count)


def _row_groups(blocks: int, vectors: int) -> Iterator[tuple[int, int]]:
    """Row groups, and the vectors over which the row blocks divide by them."""
    for groups in range(1, blocks + 1):
        batch = lcm(groups, blocks) // blocks
        if batch <= MOST_BATCH and vectors % batch == 0:
            yield groups, batch


def _batches(least: int, steps: float, vectors: int, weights: int) -> list[int]:
    """Vectors that are worked on as one: multiples of the least number, more where a vector takes few steps."""
    able = [n for n in range(least, MOST_BATCH + 1, least) if vectors % n == 0 and n * weights <= MOST_BATCHED]
    able = able or [least]
    # Of layers with more weights the programs are long anyway.
    wanted = FEW_STEPS if weights <= FEW_WEIGHTS else FEW_STEPS[:1]
    return sorted({next((n for n in able if n * steps >= few), able[-1]) for few in wanted})


def other_indices(layout: LaneLayout, matrix: IntArray) -> Iterator[LaneLayout]:
    """The same layout with the other index formats, one vector at a time; distances and bits would go over all."""
    if len(matrix) % (layout.groups * layout.height):
        return
    layout = replace(layout, batch=1)
    slots = -(-matrix.shape[1] // layout.lanes)
    for bits in range(max(1, clog2(slots) - 3), clog2(slots)):
        yield replace(layout, index_format="relative", index_bits=bits)
    if slots <= BITMAP_SLOTS:
        yield replace(layout, index_format="bitmap", skips=False)


def least_steps(matrix: IntArray, layout: LaneLayout) -> float:
    """Steps of a vector if all lanes had the same to do: never more than there really are, on average over a batch."""
    rows, columns = matrix.shape
    entries = int(np.count_nonzero(matrix.reshape(-1, layout.height, columns).any(axis=1)))
    kept = int(np.count_nonzero(matrix.any(axis=0)))
    share = -(-layout.batch * entries // (layout.groups * layout.lanes))
    blocks = layout.batch * int(rows) // (layout.height * layout.groups)
    return max(share, blocks, layout.batch * (kept // layout.in_lanes)) / layout.batch
