"""Shift-and-add networks: exact for every matrix, shared where they can be, never worse than without sharing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admmfpga.blocks.shift_add import Operation, digit_count, shift_add, signed_digits
from admmfpga.network import IntArray, IntType


@pytest.mark.parametrize("value", range(-300, 301))
def test_signed_digits(value: int) -> None:
    digits = signed_digits(value)
    assert sum(sign << shift for shift, sign in digits) == value
    shifts = [shift for shift, _ in digits]
    assert all(b - a >= 2 for a, b in pairwise(shifts))
    assert digit_count(np.array([[value]])) == len(digits)


@st.composite
def matrices(draw: st.DrawFn) -> IntArray:
    rows, columns = draw(st.integers(1, 8)), draw(st.integers(1, 9))
    bits, density = draw(st.integers(2, 8)), draw(st.sampled_from([0.0, 0.2, 0.6, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    top = (1 << (bits - 1)) - 1
    matrix: IntArray = rng.integers(-top, top + 1, (rows, columns)) * (rng.random((rows, columns)) < density)
    return matrix


@settings(deadline=None)
@given(matrices(), st.integers(1, 8), st.booleans())
def test_networks_are_exact(matrix: IntArray, bits: int, signed: bool) -> None:
    source = IntType(bits, signed)
    network = shift_add(matrix, source)
    rng = np.random.default_rng(0)
    vectors = rng.integers(source.min, source.max, (20, matrix.shape[1]), endpoint=True)
    vectors[0], vectors[1] = source.min, source.max
    np.testing.assert_array_equal(network.execute(vectors), vectors @ matrix.T)
    # One adder less than terms, a row; a row of negative terms only takes one more.
    terms = digit_count(matrix)
    assert network.adders <= np.maximum(terms - 1, 0).sum() + len(matrix)


@settings(deadline=None)
@given(matrices(), st.integers(1, 8), st.booleans())
def test_registers_are_in_time_and_hold_their_range(matrix: IntArray, bits: int, signed: bool) -> None:
    source = IntType(bits, signed)
    network = shift_add(matrix, source)
    stages = [0] * network.inputs
    values = [np.array([source.min, source.max])] * network.inputs
    for register in network.registers:
        # Operands are of the stage before: every path has the same number of registers.
        assert stages[register.left] == stages[register.right] == register.stage - 1
        assert min(register.left_shift, register.right_shift) == 0
        stages.append(register.stage)
        left, right = values[register.left] << register.left_shift, values[register.right] << register.right_shift
        found = {
            Operation.COPY: left,
            Operation.ADD: left + right,
            Operation.SUBTRACT: left - right[::-1],
            Operation.NEGATE: -left[::-1],
        }[register.operation]
        values.append(found)
        assert found.tolist() == [register.low, register.high]
    assert all(stages[output.value] == network.stages for output in network.outputs if output.value is not None)
    assert network.stages >= 1


def adders(rows: list[list[int]]) -> int:
    return shift_add(np.array(rows), IntType(8, False)).adders


def test_equal_rows_are_computed_once() -> None:
    assert adders([[3, 5, 7]] * 4) == adders([[3, 5, 7]])
    # Up to a shift, and up to the sign but for the negation.
    assert adders([[3, 5, 7], [6, 10, 14]]) == adders([[3, 5, 7]])
    assert adders([[3, 5, 7], [-3, -5, -7]]) == adders([[3, 5, 7]]) + 1


def test_shared_parts_are_found() -> None:
    # x + y is in all rows, with shifts and signs.
    assert adders([[1, 1, 0, 0], [4, 4, 1, 0], [-1, -1, 0, 1], [2, 2, 1, 1]]) == 5
    # 5 x = x + 4 x twice: 45 = 5 * 9.
    assert adders([[45]]) == 2


def test_zeros_and_powers_of_two_cost_no_adder() -> None:
    assert adders([[0, 0], [0, 0]]) == 0
    assert adders([[8, 0], [0, 1]]) == 0


def test_sharing_saves_a_third_on_a_random_layer() -> None:
    matrix = np.random.default_rng(0).integers(-7, 8, (16, 25))
    assert shift_add(matrix, IntType(4, False)).adders < 0.67 * (digit_count(matrix) - 1).sum()


def test_the_same_matrix_gives_the_same_network() -> None:
    matrix = np.random.default_rng(1).integers(-127, 128, (6, 12))
    assert shift_add(matrix, IntType(8, True)) == shift_add(matrix, IntType(8, True))
