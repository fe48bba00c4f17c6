"""Compile-time schedule of a sparse matrix on the lanes of an index-decoding PE.

The matrix' rows are cut into blocks of `height` rows that share their indices, and block b is worked on by row group
b % groups. In a group the *columns* are dealt out to the lanes, each of which keeps its own activations: no two lanes
ever read one memory, and an index only tells which of a lane's own columns is meant. Every lane goes through its
non-zero weights row block by row block, at its own pace; what it has summed up for a row block waits until all lanes of
all groups have got that far, then one step emits `groups` row blocks. As all weights are known, so are all steps.

A lane that has no weight in a row block spends one step on it (an entry with weight zero); nothing else is lost but
what the lanes' loads differ by, and, with relative indices, the dummies of long gaps.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admmfpga.network import IntArray

INDEX_FORMATS = ("csr", "relative", "bitmap")
"""How a lane finds an entry's column: its number among the lane's columns, the distance to the entry before it in the
row, or a bit for every column of the lane."""


@dataclass(frozen=True)
class LaneLayout:
    """How a matrix is spread.

    Attributes:
        groups: row blocks at a time.
        lanes: of a group; columns are dealt out to them.
        in_lanes: activations that arrive at a time; column c goes to one of the lanes / in_lanes lanes of its position
            c % in_lanes, so that no crossbar is needed. Divides `lanes`.
        height: rows of a block, which share their indices.
        index_format: one of `INDEX_FORMATS`.
        index_bits: of a relative index; 0 for the other formats.
    """

    groups: int = 1
    lanes: int = 1
    in_lanes: int = 1
    height: int = 1
    index_format: str = "csr"
    index_bits: int = 0

    def __post_init__(self) -> None:
        assert self.lanes % self.in_lanes == 0, self
        assert self.index_format in INDEX_FORMATS, self
        assert (self.index_bits > 0) == (self.index_format == "relative"), self


@dataclass(frozen=True, eq=False)
class LaneProgram:
    """What every lane does in every step of a vector.

    Attributes:
        layout: how the matrix is spread.
        slots: activations that a lane keeps, the most of all lanes.
        weights: (steps, groups, lanes, height).
        indices: (steps, groups, lanes) slot numbers, or distances to the entry before; zeros for bitmaps.
        last: (steps, groups, lanes) whether an entry ends its row block.
        bitmaps: (row blocks of a group, groups, lanes, slots) of 0 and 1.
        lane_of, slot_of: (groups, columns) where an activation is kept; lane -1: nobody in the group reads it.
        emits: steps that emit, one for each row block of a group.
        partial_depth: sums that a lane must be able to keep, a power of two; 0: emitted at once.
    """

    layout: LaneLayout
    slots: int
    weights: IntArray
    indices: IntArray
    last: npt.NDArray[np.bool_]
    bitmaps: IntArray
    lane_of: IntArray
    slot_of: IntArray
    emits: tuple[int, ...]
    partial_depth: int

    @property
    def steps(self) -> int:
        """Of a vector."""
        return len(self.weights)


def lane_program(matrix: IntArray, layout: LaneLayout) -> LaneProgram:
    """Schedule a matrix.

    Args:
        matrix: (rows, columns) weights; groups * height divides the rows, in_lanes the columns.
        layout: how to spread it.
    """
    rows, columns = matrix.shape
    groups, lanes, height = layout.groups, layout.lanes, layout.height
    assert rows % (groups * height) == 0, (matrix.shape, layout)
    assert columns % layout.in_lanes == 0, (matrix.shape, layout)
    blocks = rows // (groups * height)
    grouped = matrix.reshape(blocks, groups, height, columns).transpose(1, 0, 3, 2)  # group, block, column, row
    masks = grouped.any(axis=3)
    lane_of, slot_of = _deal(masks.sum(axis=1), layout)
    slots = int(slot_of.max(initial=0)) + 1

    # Entries of all lanes, sorted by lane (of all groups), row block, slot.
    group, block, column = np.nonzero(masks)
    lane, slot = group * lanes + lane_of[group, column], slot_of[group, column]
    # Where a lane has nothing in a row block, an entry of weight zero in slot 0.
    have = np.zeros((groups * lanes, blocks), dtype=bool)
    have[lane, block] = True
    empty_lane, empty_block = np.nonzero(~have)
    values = np.concatenate([grouped[group, block, column], np.zeros((len(empty_lane), height), dtype=np.int64)])
    order = np.lexsort(
        (
            np.concatenate([slot, np.zeros_like(empty_lane)]),
            np.concatenate([block, empty_block]),
            np.concatenate([lane, empty_lane]),
        )
    )
    lane = np.concatenate([lane, empty_lane])[order]
    block = np.concatenate([block, empty_block])[order]
    slot = np.concatenate([slot, np.zeros_like(empty_lane)])[order]
    values = values[order]

    row = lane * blocks + block
    first = np.diff(row, prepend=-1) != 0
    ends = np.diff(row, append=-1) != 0
    index, dummies = slot, np.zeros(len(slot), dtype=np.int64)
    if layout.index_format == "relative":
        before = np.where(first, -1, np.roll(slot, 1))
        gap = slot - before - 1
        dummies, index = gap >> layout.index_bits, gap & ((1 << layout.index_bits) - 1)

    # Position of each entry among its lane's steps, behind its own dummies.
    lengths = np.bincount(lane, weights=1 + dummies, minlength=groups * lanes).astype(np.int64)
    ends_at = np.cumsum(1 + dummies) - 1
    position = ends_at - np.repeat(np.cumsum(lengths) - lengths, np.bincount(lane, minlength=groups * lanes))
    finish = position[ends].reshape(groups * lanes, blocks)
    emits = _emissions(finish.max(axis=0))
    steps = max(int(lengths.max()), emits[-1] + 1)

    weights = np.zeros((steps, groups * lanes, height), dtype=np.int64)
    indices = np.zeros((steps, groups * lanes), dtype=np.int64)
    last = np.zeros((steps, groups * lanes), dtype=bool)
    if layout.index_format == "relative":
        # All steps up to an entry since the one before are its dummies: the longest distance, weight zero.
        busy = np.arange(steps)[:, None] < lengths
        indices[busy] = (1 << layout.index_bits) - 1
    weights[position, lane], last[position, lane] = values, ends
    bitmaps = np.zeros((blocks, groups * lanes, slots), dtype=np.int64)
    if layout.index_format == "bitmap":
        used = values.any(axis=1)
        bitmaps[block[used], lane[used], slot[used]] = 1
    else:
        indices[position, lane] = index
    shape = (groups, lanes)
    return LaneProgram(
        layout,
        slots,
        weights.reshape(steps, *shape, height),
        indices.reshape(steps, *shape),
        last.reshape(steps, *shape),
        bitmaps.reshape(blocks, *shape, slots),
        lane_of,
        slot_of,
        tuple(emits),
        0 if groups * lanes == 1 else _partial_depth(finish, emits, steps),
    )


def decode(program: LaneProgram, columns: int) -> IntArray:
    """The matrix that the lanes of a program really multiply with: what the hardware's index decoders do.

    Args:
        columns: of the matrix.

    Returns:
        (rows, columns)
    """
    layout = program.layout
    blocks = len(program.emits)
    matrix = np.zeros((blocks, layout.groups, layout.height, columns), dtype=np.int64)
    for group in range(layout.groups):
        for lane in range(layout.lanes):
            column_of = np.full(program.slots, -1)
            mine = np.flatnonzero(program.lane_of[group] == lane)
            column_of[program.slot_of[group, mine]] = mine
            entry = program.last[:, group, lane], program.indices[:, group, lane]
            bits = program.bitmaps[:, group, lane]
            for step, block, slot in _walk(layout.index_format, *entry, bits):
                weights = program.weights[step, group, lane]
                if weights.any():
                    assert column_of[slot] >= 0, (group, lane, step)
                    matrix[block, group, :, column_of[slot]] += weights
    return matrix.reshape(-1, columns)


def _walk(
    index_format: str, last: npt.NDArray[np.bool_], indices: IntArray, bitmaps: IntArray
) -> list[tuple[int, int, int]]:
    """(step, row block, slot) of a lane, as its decoder finds them."""
    found, block, slot, rest = [], 0, 0, np.flatnonzero(bitmaps[0])
    for step in range(len(last)):
        if block == len(bitmaps):
            break
        if index_format == "bitmap":
            slot = int(rest[0]) if len(rest) else 0
            rest = rest[1:]
            ends = not len(rest)
        else:
            slot = int(indices[step]) + (slot if index_format == "relative" else 0)
            ends = bool(last[step])
        assert ends == last[step], step
        found.append((step, block, slot))
        slot += 1
        if ends:
            block, slot = block + 1, 0
            rest = np.flatnonzero(bitmaps[block]) if block < len(bitmaps) else rest
    assert block == len(bitmaps), "rows are left"
    return found


def _deal(loads: IntArray, layout: LaneLayout) -> tuple[IntArray, IntArray]:
    """Columns to lanes, the heaviest first to the lane that has least (Graham's LPT rule), by position of arrival.

    Args:
        loads: (groups, columns) entries of a column.

    Returns:
        lane and slot of every column (groups, columns).
    """
    groups, columns = loads.shape
    share = layout.lanes // layout.in_lanes
    lane_of = np.full(loads.shape, -1, dtype=np.int64)
    slot_of = np.zeros(loads.shape, dtype=np.int64)
    for group in range(groups):
        for position in range(layout.in_lanes):
            mine = np.arange(position, columns, layout.in_lanes)
            mine = mine[loads[group, mine] > 0]
            if share == 1:
                lane_of[group, mine] = position
                continue
            heap = [(0, 0, position * share + lane) for lane in range(share)]
            for column in mine[np.argsort(-loads[group, mine], kind="stable")].tolist():
                load, count, lane = heap[0]
                lane_of[group, column] = lane
                heapq.heapreplace(heap, (load + int(loads[group, column]), count + 1, lane))
        # Slots in the order of the columns.
        order = np.argsort(lane_of[group], kind="stable")
        counts = np.bincount(lane_of[group] + 1, minlength=layout.lanes + 1)
        slot_of[group, order] = np.arange(columns) - np.repeat(np.cumsum(counts) - counts, counts)
        slot_of[group, lane_of[group] < 0] = 0
    return lane_of, slot_of


def _emissions(ready: IntArray) -> list[int]:
    """One step for each row block, not before it is ready, in order: e[j] = max(ready[j], e[j-1] + 1)."""
    count = np.arange(len(ready))
    emits: list[int] = (np.maximum.accumulate(ready - count) + count).tolist()
    return emits


def _partial_depth(finish: IntArray, emits: list[int], steps: int) -> int:
    """Slots for sums that wait for other lanes: the most that a lane has finished and not emitted, at any time.

    Sum n + depth may be written one step after sum n has been emitted.
    """
    ends = np.array(emits)
    most = 1
    for lane in finish:
        both = np.concatenate([lane, lane + steps])
        most = max(most, int((np.searchsorted(both, ends, "right") - np.arange(len(ends))).max()))
    return 1 << (most - 1).bit_length()
