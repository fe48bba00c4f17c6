"""The rounding rule and its integers, against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admmfpga.network import IntType, Requantization, fixed_point, round_shift
from admmfpga.network.requantization import MAX_MULTIPLIER_BITS, MULTIPLIER_BITS

INT8 = IntType(8, signed=True)


def exact(acc: int, bias: int, multiplier: int, shift: int, zero_point: int, low: int, high: int) -> int:
    """The rule in exact arithmetic; Python's round() of a Fraction goes to even on ties."""
    return min(max(round(Fraction((acc + bias) * multiplier, 2**shift)) + zero_point, low), high)


@pytest.mark.parametrize("shift", range(8))
def test_round_shift_exhaustively(shift: int) -> None:
    values = np.arange(-1030, 1031, dtype=np.int64)
    expected = [round(Fraction(int(v), 2**shift)) for v in values]
    assert round_shift(values, shift).tolist() == expected


@pytest.mark.parametrize("shift", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("zero_point,low,high", [(0, -128, 127), (3, 3, 100), (-7, -128, -7), (0, 5, 5)])
def test_requantization_exhaustively(shift: int, zero_point: int, low: int, high: int) -> None:
    """Every 9-bit accumulator, every multiplier up to 16, some biases."""
    acc = np.arange(-256, 256, dtype=np.int64)
    for multiplier in range(17):
        for bias in (-33, 0, 1, 200):
            rule = Requantization(np.array([bias]), np.array([multiplier]), shift, zero_point, low, high, INT8)
            expected = [exact(int(a), bias, multiplier, shift, zero_point, low, high) for a in acc]
            assert rule.apply(acc[:, None])[:, 0].tolist() == expected


@given(
    acc=st.integers(-(2**35), 2**35),
    bias=st.integers(-(2**30), 2**30),
    multiplier=st.integers(0, 2**24 - 1),
    shift=st.integers(0, 61),
    zero_point=st.integers(-128, 127),
)
def test_wide_accumulators(acc: int, bias: int, multiplier: int, shift: int, zero_point: int) -> None:
    rule = Requantization(np.array([bias]), np.array([multiplier]), shift, zero_point, -128, 127, INT8)
    assert int(rule.apply(np.array([acc]))[0]) == exact(acc, bias, multiplier, shift, zero_point, -128, 127)


def test_channels_have_their_own_bias_and_multiplier() -> None:
    rule = Requantization(np.array([0, 10]), np.array([1, 3]), 1, 0, -128, 127, INT8)
    assert rule.apply(np.array([[4, 4], [5, 5]])).tolist() == [[2, 21], [2, 22]]
    assert rule.multiplier_bits == 2


ratios = st.lists(st.floats(2.0**-30, 2.0**10), min_size=1, max_size=6)


@settings(max_examples=300)
@given(ratios)
def test_fixed_point_precision(values: list[float]) -> None:
    ratio = np.array(values)
    multiplier, shift = fixed_point(ratio)
    assert 0 <= shift <= 61
    assert int(multiplier.max()).bit_length() <= MAX_MULTIPLIER_BITS
    error = np.abs(multiplier / 2.0**shift - ratio)
    # Half a unit of the last place, of a multiplier that has its bits unless it ran into MAX_MULTIPLIER_BITS.
    spread = np.ceil(np.log2(ratio.max() / ratio)) + 1
    bits = np.minimum(MULTIPLIER_BITS, MAX_MULTIPLIER_BITS - spread)
    assert np.all(error <= ratio * 2.0 ** -(bits - 1))


@given(st.floats(2.0**-30, 2.0**10), st.integers(MULTIPLIER_BITS, MAX_MULTIPLIER_BITS))
def test_one_ratio_has_the_bits_asked_for(value: float, bits: int) -> None:
    multiplier, shift = fixed_point(np.array([value]), bits)
    assert int(multiplier[0]).bit_length() <= bits
    assert abs(multiplier[0] / 2.0**shift - value) <= value * 2.0**-bits


@given(st.integers(1, 2**MULTIPLIER_BITS - 1), st.integers(0, 40))
def test_what_is_representable_is_exact_and_short(numerator: int, power: int) -> None:
    multiplier, shift = fixed_point(np.array([numerator / 2**power]))
    assert Fraction(int(multiplier[0]), 2**shift) == Fraction(numerator, 2**power)
    assert shift == 0 or multiplier[0] % 2 == 1


@pytest.mark.parametrize("power", range(-40, 20))
def test_powers_of_two_are_shifts(power: int) -> None:
    multiplier, shift = fixed_point(np.array([2.0**power]))
    assert (int(multiplier[0]), shift) == ((1, -power) if power <= 0 else (2**power, 0))


@pytest.mark.parametrize("bits", range(MULTIPLIER_BITS, MAX_MULTIPLIER_BITS + 1))
def test_rounding_up_does_not_add_a_bit(bits: int) -> None:
    multiplier, shift = fixed_point(np.array([1.0 - 2.0**-40]), bits)
    assert (int(multiplier[0]), shift) == (1, 0)


def test_zero_ratios() -> None:
    assert fixed_point(np.zeros(3))[0].tolist() == [0, 0, 0]
    multiplier, shift = fixed_point(np.array([0.0, 0.25]))
    assert (multiplier.tolist(), shift) == ([0, 1], 2)


@pytest.mark.parametrize("value", [2.0**31, 1e20, 1e300, np.inf, np.nan])
def test_ratios_that_are_too_large(value: float) -> None:
    with pytest.raises(OverflowError):
        fixed_point(np.array([value]))


@pytest.mark.parametrize("value", [1e-30, 1e-300, 5e-324])
def test_ratios_that_are_too_small_vanish(value: float) -> None:
    multiplier, shift = fixed_point(np.array([value]))
    assert multiplier[0] / 2.0**shift == pytest.approx(value, abs=2.0**-62)
