"""Worst-case widths: exactly as many bits as the real weights can need."""

from __future__ import annotations

import numpy as np

from admmfpga.network.requantization import Requantization
from admmfpga.network.types import IntArray, IntType


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
    positive = np.where(matrix > 0, matrix, 0).sum(axis=1)
    negative = np.where(matrix < 0, matrix, 0).sum(axis=1)
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
