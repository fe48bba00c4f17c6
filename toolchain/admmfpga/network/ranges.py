"""Worst-case widths: exactly as many bits as the real weights can need."""

from __future__ import annotations

import numpy as np

from admmfpga.network.requantization import Requantization
from admmfpga.network.types import IntArray, IntType

BLOCK = 1 << 16
"""Weights that are looked at together: what fits a processor's cache."""


def weight_type(weights: IntArray) -> IntType:
    """The narrowest signed type for these weights; at least 2 bits (1 bit would mean {-1, +1})."""
    dtype = IntType.signed_holding(int(weights.min()), int(weights.max()))
    return dtype if dtype.bits >= 2 else IntType(2, signed=True)


def accumulator_range(matrix: IntArray, source: IntType) -> tuple[IntArray, IntArray]:
    """Per row, the least and greatest accumulator over all inputs; partial sums in any order stay inside too.

    Args:
        matrix: (rows, columns) weights.
        source: type of the activations; the range of its values includes zero.
    """
    return sums_range(*signed_sums(matrix), source)


def signed_sums(matrix: IntArray) -> tuple[IntArray, IntArray]:
    """Per row, the sum of the positive and the sum of the negative weights."""
    rows, columns = matrix.shape
    if matrix.strides[1] == 0:  # one number a row
        first = matrix[:, 0] if columns else np.zeros(rows, dtype=np.int64)
        return columns * np.maximum(first, 0), columns * np.minimum(first, 0)
    total, magnitude = np.empty(rows, dtype=np.int64), np.empty(rows, dtype=np.int64)
    step = max(1, BLOCK // max(1, columns))
    for start in range(0, rows, step):
        block = matrix[start : start + step]
        total[start : start + step] = block.sum(axis=1)
        magnitude[start : start + step] = np.abs(block).sum(axis=1)
    return (magnitude + total) // 2, (total - magnitude) // 2


def sums_range(positive: IntArray, negative: IntArray, source: IntType) -> tuple[IntArray, IntArray]:
    """`accumulator_range` from `signed_sums`."""
    return (
        positive * source.least + negative * source.greatest,
        positive * source.greatest + negative * source.least,
    )


def accumulator_type(matrix: IntArray, source: IntType) -> IntType:
    """Signed type of the accumulators of a whole layer."""
    low, high = accumulator_range(matrix, source)
    return IntType.signed_holding(int(low.min()), int(high.max()))


def sum_type(low: IntArray, high: IntArray, requantization: Requantization) -> IntType:
    """Signed type of accumulator + bias.

    Args:
        low, high: (C,) range of the accumulator per channel.
    """
    return IntType.signed_holding(
        int(min((low + requantization.bias).min(), requantization.bias.min())),
        int(max((high + requantization.bias).max(), requantization.bias.max())),
    )
