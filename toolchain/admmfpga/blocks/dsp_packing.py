"""Several products of one activation in one DSP block.

Weights w_0, w_1, ... that stand `s` bits apart make one wide factor, sum(w_i * 2^(i*s)), and its product with an
activation holds all products w_i * x, `s` bits apart. The wide factor's n-bit fields are the weights, each less one if
those below it are negative as one number: *borrow form*. A narrow weight, |w| < 2^(n-1), has room for that in its n
bits, so weights are stored in borrow form and the wide factor is their sign-extended concatenation.

A product of an unsigned activation of `a` bits has n + a bits, of a signed one n + a - 1. Lanes may stand one bit
closer than that: the lowest bit of the lane above is known to be the product of two bits, so the bit that both lanes
have can be taken apart (`hls_templates/rtl/packed_multiplier.sv`).
"""

from __future__ import annotations

import numpy as np

from admmfpga.network import IntArray

DSP_FACTORS = (25, 18)
"""Signed factors of a DSP48E1. A DSP48E2 takes 27 x 18; what is built here fits both."""

LEAST_PRODUCT_BITS = 9
"""Of all lanes: a multiplier of which fewer bits are used would be made of LUTs."""

PACKS = (2, 4)
"""Rows that may share a DSP block."""


def spacing(pack: int, in_bits: int, weight_bits: int, *, signed: bool, wide_bits: int = DSP_FACTORS[0]) -> int | None:
    """Bits between the weights in the wide factor: a product's if they fit, else one less.

    Args:
        pack: weights of the factor.
        in_bits, signed: of the activation.
        weight_bits: of the narrow weights.
        wide_bits: of the DSP block's wider factor.

    Returns:
        None if they do not fit, or make a product so small that synthesis would not take a DSP block for it.
    """
    factor = in_bits + (not signed)
    if factor > DSP_FACTORS[1] or factor < 2 or weight_bits < 2:
        return None
    exact = in_bits + weight_bits - signed
    for found in (exact, exact - 1):
        wide = weight_bits + (pack - 1) * found
        if wide <= wide_bits:
            return found if (pack - 1) * found + exact >= LEAST_PRODUCT_BITS else None
    return None


def is_narrow(matrix: IntArray, weight_bits: int) -> bool:
    """Whether no weight is -2^(weight_bits - 1)."""
    return bool(matrix.size == 0 or matrix.min() > -(1 << (weight_bits - 1)))


def to_borrow_form(weights: IntArray) -> IntArray:
    """Narrow weights, (..., pack) from the lowest lane on, as they are stored."""
    stored = weights.copy()
    for lane in range(1, weights.shape[-1]):
        stored[..., lane] -= stored[..., lane - 1] < 0
    return stored


def from_borrow_form(stored: IntArray) -> IntArray:
    """The inverse of `to_borrow_form`."""
    weights = stored.copy()
    weights[..., 1:] += np.asarray(stored[..., :-1] < 0)
    return weights
