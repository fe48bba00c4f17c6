"""Storage of dense weights."""

from __future__ import annotations

import numpy as np

from admmfpga.packing import Storage, dense_storage


def test_nothing_pruned_has_no_lists() -> None:
    assert dense_storage(np.ones((20, 25), dtype=np.int64), 8) == Storage(20 * 25 * 8, 0, 32 * 20 * 25)


def test_zeros_inside_kept_rows_and_columns_are_stored() -> None:
    assert dense_storage(np.eye(6, dtype=np.int64), 4).weight_bits == 36 * 4


def test_lists_of_kept_rows_and_columns() -> None:
    matrix = np.zeros((50, 500), dtype=np.int64)
    matrix[np.ix_([0, 7, 49], [1, 2, 3, 499])] = 1
    assert dense_storage(matrix, 3) == Storage(3 * 4 * 3, 3 * 6 + 4 * 9, 32 * 50 * 500)


def test_removed_filters_alone() -> None:
    matrix = np.ones((8, 10), dtype=np.int64)
    matrix[3] = 0
    assert dense_storage(matrix, 8) == Storage(7 * 10 * 8, 7 * 3, 32 * 80)


def test_sum_and_total() -> None:
    total = Storage(1, 2, 3) + Storage(10, 20, 30)
    assert total == Storage(11, 22, 33)
    assert total.total_bits == 33


def test_all_zero() -> None:
    assert dense_storage(np.zeros((4, 4), dtype=np.int64), 8).total_bits == 0
