"""From real scales and offsets to a requantization's integers."""

from __future__ import annotations

from math import ceil, floor, frexp

import numpy as np

from admmfpga.frontend.problems import Unsupported
from admmfpga.network import IntArray, IntType, Requantization, fixed_point, round_shift
from admmfpga.network.requantization import MAX_MULTIPLIER_BITS, MULTIPLIER_BITS
from admmfpga.network.types import FloatArray

WIDEST_SUM_BITS = 62
"""(acc + bias) * multiplier must fit the reference's 64-bit integers with room for rounding."""


def multipliers(ratio: FloatArray, dtype: IntType) -> tuple[IntArray, int]:
    """`network.fixed_point`, refusing what it cannot express.

    Args:
        ratio: (C,), positive.
        dtype: of the output; its greatest code must not be moved by the multiplier's rounding.
    """
    bits = max(MULTIPLIER_BITS, min(dtype.bits + 9, MAX_MULTIPLIER_BITS))
    try:
        multiplier, shift = fixed_point(ratio, bits)
    except OverflowError as error:
        raise Unsupported("the output's scale is far too small for what is computed", "check the scales") from error
    if np.any(multiplier == 0):
        raise Unsupported("the channels' scales differ by more than 2**24", "quantize the weights per tensor")
    return multiplier, shift


def whole_offsets(offset: FloatArray, step: FloatArray) -> tuple[FloatArray, float]:
    """Offsets in accumulator steps, rounded, and the greatest error made in output steps.

    Args:
        offset: (C,) in output steps.
        step: (C,) of the accumulator, in output steps: multiplier / 2**shift, not the wanted ratio, so that a large
            offset does not see the multiplier's rounding.

    Raises:
        Unsupported: if the error is more than half a step.
    """
    exact = offset / step
    rounded: FloatArray = np.rint(exact)
    lost = float(np.max(np.abs(exact - rounded) * step))
    if lost > 0.5:
        raise Unsupported(f"an offset would be rounded by {lost:.2f} output steps", "fold it into the layer before it")
    return rounded, lost


def sign_thresholds(scale: FloatArray, offset: FloatArray) -> FloatArray:
    """Least whole a with scale * a + offset >= 0; what floating point cannot tell from zero counts as zero.

    Args:
        scale, offset: (C,) scale not negative; where it is zero the sign is the offset's.

    Returns:
        (C,) whole numbers, or infinities.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        exact = -offset / scale
    exact = np.where(scale == 0, np.where(offset >= 0, -np.inf, np.inf), exact)
    slack = np.where(np.isfinite(exact), 2.0**-20 * np.maximum(1.0, np.abs(exact)), 0.0)
    found: FloatArray = np.ceil(exact - slack)
    return found


def clamped(bias: FloatArray, step: FloatArray, low: IntArray, high: IntArray, codes: tuple[int, int]) -> IntArray:
    """Biases without what only drives a saturated output further; changes no result, but keeps the sums narrow.

    Args:
        bias: (C,) whole numbers.
        low, high: (C,) range of the accumulator.
        codes: least and greatest output code, zero point subtracted.
    """
    most = np.array([ceil((codes[1] + 1) / s) for s in step], dtype=np.float64) - low
    least = np.array([floor((codes[0] - 1) / s) for s in step], dtype=np.float64) - high
    return np.clip(bias, least, most).astype(np.int64)


def check_width(requantization: Requantization, low: IntArray, high: IntArray) -> None:
    """Refuse sums that leave 64-bit integers.

    Args:
        low, high: (C,) range of the accumulator.
    """
    greatest = np.maximum(np.abs(low + requantization.bias), np.abs(high + requantization.bias)).astype(np.float64)
    if float(np.max(greatest * requantization.multiplier)) >= 2.0**WIDEST_SUM_BITS:
        raise Unsupported("the accumulator times its multiplier is wider than 62 bits", "check the scales")


def rescaling(codes: IntArray, expected: IntArray, ratio: float) -> tuple[int, int]:
    """Multiplier and shift that map every code as floating point does, if there are such.

    Ratios between calibrated scales are often within float rounding of a short fraction (5/4). The fraction itself
    makes every fourth code a tie and rounds it to even, while floating point is just beside the tie; a neighbouring or
    longer multiplier is beside it too.

    Args:
        codes: all inputs, zero point subtracted.
        expected: round(code * ratio) as the model computes it.

    Returns:
        The best of the candidates.
    """
    best, fewest = (0, 0), len(codes) + 1
    for bits in range(MULTIPLIER_BITS, MAX_MULTIPLIER_BITS + 1):
        shift = min(max(bits - frexp(ratio)[1], 0), 61)
        nearest = round(ratio * 2.0**shift)
        for multiplier in (nearest, nearest - 1, nearest + 1):
            if multiplier < 1 or multiplier.bit_length() > MAX_MULTIPLIER_BITS:
                continue
            wrong = int(np.count_nonzero(round_shift(codes * multiplier, shift) != expected))
            if wrong < fewest:
                best, fewest = (multiplier, shift), wrong
            if wrong == 0:
                return _shortened(*best)
    return _shortened(*best)


def _shortened(multiplier: int, shift: int) -> tuple[int, int]:
    while shift and multiplier % 2 == 0:
        multiplier, shift = multiplier // 2, shift - 1
    return multiplier, shift
