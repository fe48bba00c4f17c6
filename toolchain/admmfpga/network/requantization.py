"""The one rounding rule of the project.

    out = clip(round_half_even((acc + bias) * multiplier / 2**shift) + zero_point, low, high)

`hls_templates/hls/requantize.hpp` and `hls_templates/rtl/requantize.sv` implement the same rule; half to even because
ONNX QuantizeLinear rounds so, which matters when scales are powers of two and ties are common.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp

import numpy as np
import numpy.typing as npt

from admmfpga.network.types import IntArray, IntType

MULTIPLIER_BITS = 17
"""Bits of the largest multiplier: unsigned 17 bits fill the 18-bit signed port of a 25x18 DSP."""

MAX_MULTIPLIER_BITS = 24
"""Per-channel scales of unequal size get more bits, up to float32's own significand."""


def round_shift(value: IntArray, shift: int) -> IntArray:
    """value / 2**shift rounded to the nearest integer, ties to even."""
    if shift == 0:
        return value
    half = np.int64(1) << np.int64(shift - 1)
    biased = value + half
    quotient = biased >> np.int64(shift)
    tie = (biased & ((half << np.int64(1)) - 1)) == 0
    rounded: IntArray = quotient - (tie & (quotient & 1 == 1)).astype(np.int64)
    return rounded


@dataclass(frozen=True, eq=False)
class Requantization:
    """From accumulators to codes, per channel.

    Attributes:
        bias: (C,) added to the accumulator first (includes the zero-point correction of the input).
        multiplier: (C,) non-negative.
        shift: one for all channels.
        zero_point: of the output.
        low, high: clip bounds as codes (the type's range, tightened by Relu or Clip).
        dtype: of the output.
    """

    bias: IntArray
    multiplier: IntArray
    shift: int
    zero_point: int
    low: int
    high: int
    dtype: IntType

    def __post_init__(self) -> None:
        assert self.bias.shape == self.multiplier.shape, (self.bias.shape, self.multiplier.shape)
        assert self.dtype.min <= self.low <= self.high <= self.dtype.max, (self.dtype, self.low, self.high)
        assert 0 <= self.shift < 62, self.shift
        assert np.all(self.multiplier >= 0)

    def apply(self, acc: IntArray, multiplier: IntArray | None = None) -> IntArray:
        """Requantize accumulators of shape (..., C).

        Args:
            multiplier: of each accumulator, where it is not the same for a whole channel.
        """
        factor = self.multiplier if multiplier is None else multiplier
        rounded = round_shift((acc + self.bias) * factor, self.shift)
        return np.clip(rounded + self.zero_point, self.low, self.high)

    def thresholds(self, least: IntArray, greatest: IntArray) -> IntArray:
        """The rule as comparisons: out = low + number of thresholds that the accumulator reaches.

        Exact, since the rule is monotone: each is found by bisection over the rule itself.

        Args:
            least, greatest: (C,) range of the accumulator.

        Returns:
            (C, high - low), ascending; `greatest + 1` for codes that are never reached.
        """
        codes = np.arange(self.low + 1, self.high + 1)
        below = np.repeat(least[:, None], len(codes), axis=1)
        above = np.repeat(greatest[:, None] + 1, len(codes), axis=1)
        while np.any(below < above):
            middle = (below + above) >> 1
            reached = codes <= self.apply(middle.T).T
            open_ = below < above
            above = np.where(open_ & reached, middle, above)
            below = np.where(open_ & ~reached, middle + 1, below)
        return below

    @property
    def multiplier_bits(self) -> int:
        """Width of the unsigned multiplier."""
        return max(1, int(self.multiplier.max()).bit_length())


def fixed_point(ratio: npt.NDArray[np.float64], bits: int = MULTIPLIER_BITS) -> tuple[IntArray, int]:
    """Positive real ratios as integers over one power of two: ratio ~ multiplier / 2**shift.

    The largest gets `bits` bits; where the ratios differ, as many more as the smallest needs for the same
    relative precision, up to MAX_MULTIPLIER_BITS. Common factors of two are taken out, so that powers of two
    become plain shifts.

    Args:
        ratio: (C,) non-negative; zeros are allowed (a channel whose output is constant).
        bits: of the multiplier, relative precision 2**-bits; outputs of 16 bits need more than those of 8.

    Returns:
        multiplier (C,), shift.

    Raises:
        OverflowError: if a ratio is not finite, or its multiplier has more than 31 bits.
    """
    if not np.all(np.isfinite(ratio)):
        raise OverflowError("a ratio that is not finite")
    largest = float(ratio.max())
    if largest == 0.0:
        return np.zeros(ratio.shape, dtype=np.int64), 0
    positive = ratio[ratio > 0]
    spread = max(0, frexp(largest)[1] - frexp(float(positive.min()))[1])
    bits = min(bits + spread, MAX_MULTIPLIER_BITS)
    shift = min(bits - frexp(largest)[1], 61)
    if np.rint(largest * 2.0**shift) >= 2**bits:
        shift -= 1
    shift = max(shift, 0)
    if not largest * 2.0**shift < 2.0**31 - 1:
        raise OverflowError(f"ratio {largest} is too large for an integer multiplier")
    multiplier = np.rint(ratio * 2.0**shift).astype(np.int64)
    while shift > 0 and not np.any(multiplier & 1):
        multiplier >>= 1
        shift -= 1
    return multiplier, shift
