"""Gather lists bring every kept column exactly once, whatever the folding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admmfpga.blocks.window import gather_lanes
from admmfpga.mapping.folding import divisors
from admmfpga.mapping.gather import PADDING, KeptColumns, all_columns, balanced
from admmfpga.network import IntArray
from admmfpga.packing import LaneLayout


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """(taps, channels), some column kept."""
    taps, channels = draw(st.integers(1, 9)), draw(st.sampled_from([1, 2, 3, 4, 6, 12, 16]))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    mask = rng.random((taps, channels)) < draw(st.sampled_from([0.02, 0.3, 0.7, 0.97]))
    mask[rng.integers(taps), rng.integers(channels)] = True
    return mask


@given(masks(), st.data())
def test_every_kept_column_comes_once(mask: np.ndarray, data: st.DataObject) -> None:
    kept = KeptColumns(mask)
    channels = data.draw(st.sampled_from(divisors(mask.shape[1])))
    simd = data.draw(st.sampled_from(list(kept.simd(channels))))
    beats, gather = kept.beats(channels, simd), kept.gather(channels, simd)
    assert beats is not None
    assert len(gather.columns) == beats.columns
    assert beats.columns % simd == 0
    assert {len(taps) for taps in gather.lists} <= {0, beats.lanes}
    found = gather.columns[gather.columns != PADDING]
    np.testing.assert_array_equal(np.sort(found), np.flatnonzero(mask.ravel()))
    # The lists say the same as the columns, tap by tap.
    brought = [
        tap // channels * mask.shape[1] + group * channels + tap % channels
        for group, taps in enumerate(gather.lists)
        for tap in taps
    ]
    real = gather.columns != PADDING
    np.testing.assert_array_equal(np.array(brought)[real], gather.columns[real])


@given(masks())
def test_one_group_has_no_padding_but_to_simd(mask: np.ndarray) -> None:
    kept, count = KeptColumns(mask), int(mask.sum())
    for simd in kept.simd(mask.shape[1]):
        beats = kept.beats(mask.shape[1], simd)
        assert beats is not None
        assert count <= beats.columns < count + simd
    assert kept.beats(mask.shape[1], 1) == kept.beats(mask.shape[1], count)


@given(masks(), st.data())
def test_compact_matrix_gives_the_same_products(mask: np.ndarray, data: st.DataObject) -> None:
    rng = np.random.default_rng(0)
    kept = KeptColumns(mask)
    channels = data.draw(st.sampled_from(divisors(mask.shape[1])))
    gather = kept.gather(channels, data.draw(st.sampled_from(list(kept.simd(channels)))))
    matrix: IntArray = rng.integers(-9, 10, (3, mask.size)) * mask.ravel()
    x = rng.integers(0, 99, mask.size)
    # Padding lanes carry something; its weight is zero.
    np.testing.assert_array_equal(gather.compact(matrix) @ x[gather.columns], matrix @ x)


@given(masks(), st.integers(1, 6), st.integers(1, 3))
def test_balanced_beats_bring_the_same_columns(mask: np.ndarray, in_lanes: int, groups: int) -> None:
    rng = np.random.default_rng(1)
    kept, channels = KeptColumns(mask), mask.shape[1]
    layout = LaneLayout(groups=groups, lanes=2 * in_lanes, in_lanes=in_lanes, batch=groups)
    if kept.beats(channels, in_lanes) is None:
        return
    matrix: IntArray = rng.integers(-1, 2, (5, mask.size)) * mask.ravel()
    gather = balanced(kept.gather(channels, in_lanes), matrix, layout)
    x = rng.integers(0, 99, mask.size)
    np.testing.assert_array_equal(gather.compact(matrix) @ x[gather.columns], matrix @ x)
    found = gather.columns[gather.columns != PADDING]
    np.testing.assert_array_equal(np.sort(found), np.flatnonzero(mask.ravel()))
    brought = np.array([tap for taps in gather.lists for tap in taps])
    real = gather.columns != PADDING
    np.testing.assert_array_equal(brought[real], gather.columns[real])


@pytest.mark.parametrize(("taps", "in_lanes", "groups"), [(25, 5, 1), (25, 6, 3), (24, 4, 2), (9, 3, 1)])
def test_positions_of_a_beat_get_equal_loads(taps: int, in_lanes: int, groups: int) -> None:
    """Loads that follow each other as badly as can be: the first position has the heaviest columns."""
    rows = 12 * groups
    layout = LaneLayout(groups=groups, lanes=in_lanes, in_lanes=in_lanes)
    matrix = np.zeros((rows, taps), dtype=np.int64)
    for column in range(taps):
        matrix[: groups * (12 if column % in_lanes == 0 else 2), column] = 1
    gather = balanced(all_columns(taps, 1).gather(1, in_lanes), matrix, layout)
    loads = gather.compact(matrix).reshape(-1, groups, len(gather.columns) // in_lanes, in_lanes).sum(axis=(0, 2))
    assert loads.max() - loads.min() <= 12
    assert loads.max() <= loads.mean() + 10


@pytest.mark.parametrize(("seed", "most"), [(0, 23), (4, 26)])
def test_exchanges_even_out_what_the_heaviest_first_left(seed: int, most: int) -> None:
    """25 columns and three places for nothing at seven positions; without exchanges one position gets one more."""
    loads = np.append(np.random.default_rng(seed).integers(0, 13, 28)[:25], [0, 0, 0])
    matrix = (np.arange(12)[:, None] < loads[:25]).astype(np.int64)
    gather = balanced(all_columns(25, 1).gather(1, 7), matrix, LaneLayout(lanes=7, in_lanes=7))
    found = gather.compact(matrix).reshape(12, -1, 7).sum(axis=(0, 1))
    assert found.max() == most
    assert found.sum() == loads.sum()


@pytest.mark.parametrize("groups", [2, 5, 8])
def test_a_tap_that_all_groups_keep_has_its_own_lane(groups: int) -> None:
    rng = np.random.default_rng(groups)
    kept = [[1, 4, *rng.choice([0, 2, 3, 5, 6], 2, replace=False)] for _ in range(groups)]
    lanes = gather_lanes(kept, 4)
    assert len(set(lanes[:, 0])) == len(set(lanes[:, 1])) == 1
    assert [sorted(row) for row in lanes.tolist()] == [sorted(row) for row in kept]


def test_one_group_stays_in_order() -> None:
    assert gather_lanes([[0, 3, 4, 9]], 4).tolist() == [[0, 3, 4, 9]]
