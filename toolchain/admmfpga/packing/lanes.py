"""Compile-time schedule of a sparse matrix on the lanes of an index-decoding PE.

The matrix' rows are cut into blocks of `height` rows that share their indices, and block b is worked on by row group
b % groups. In a group the *columns* are dealt out to the lanes, each of which keeps its own activations: no two lanes
ever read one memory, and an index only tells which of a lane's own columns is meant. Every lane goes through its
non-zero weights row block by row block, at its own pace; what it has summed up for a row block waits until all lanes of
all groups have got that far, then one step emits `groups` row blocks. As all weights are known, so are all steps.

A lane that has no weight in a row block leaves it out, or, where the layout does not let it, spends one step on it (an
entry with weight zero). Nothing else is lost but what the lanes' loads differ by, and, with relative indices, the
dummies of long gaps.

A matrix may hold several vectors, block by block (`batched`): rows that do not divide by the row groups, and loads that
do not divide by the lanes, then even out over these vectors.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import OrderedDict
from dataclasses import dataclass
from math import ceil

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
        skips: lanes leave out row blocks in which they have nothing. Not with bitmaps, which have a word for each.
        batch: vectors that the matrix holds, see `batched`.
    """

    groups: int = 1
    lanes: int = 1
    in_lanes: int = 1
    height: int = 1
    index_format: str = "csr"
    index_bits: int = 0
    skips: bool = False
    batch: int = 1

    def __post_init__(self) -> None:
        assert self.lanes % self.in_lanes == 0, self
        assert self.index_format in INDEX_FORMATS, self
        assert (self.index_bits > 0) == (self.index_format == "relative"), self
        assert not (self.skips and self.index_format == "bitmap"), self


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
        takes: (row blocks of a group, groups, lanes) whether a lane has an entry, so that its sum is waited for.
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
    takes: npt.NDArray[np.bool_]
    lane_of: IntArray
    slot_of: IntArray
    emits: tuple[int, ...]
    partial_depth: int

    @property
    def steps(self) -> int:
        """Of a vector."""
        return len(self.weights)


@dataclass(frozen=True)
class LaneSchedule:
    """What a program's mask alone decides, see `LaneProgram`; and what all programs share that one hardware can run."""

    steps: int
    emits: tuple[int, ...]
    slots: int
    partial_depth: int


def batched(matrix: IntArray, count: int) -> IntArray:
    """A matrix that multiplies `count` vectors, one behind the other: the same one in every block of the diagonal.

    Args:
        matrix: (rows, columns).

    Returns:
        (count * rows, count * columns)
    """
    found: IntArray = np.kron(np.eye(count, dtype=matrix.dtype), matrix)
    return found


class ProgramError(ValueError):
    """A matrix has no program within a schedule."""


MOST_WAITING = 64
"""Sums of a lane that a schedule with slack asks to keep: deeper memories are block RAM."""


def with_slack(schedule: LaneSchedule, layout: LaneLayout, slack: float) -> LaneSchedule:
    """A schedule with room for the programs of other matrices.

    All row blocks leave `slack` of a vector's steps later, which lets rows grow at the cost of others, and twice as
    many sums may wait. Slots are filled up to a power of two, which hardware has anyway; a bitmap gets a bit for every
    step more, since the lanes wait for all of them before the first row block leaves.

    Args:
        slack: share of the steps, from 0.
    """
    extra = ceil(slack * schedule.steps)
    slots, depth = schedule.slots, schedule.partial_depth
    slots = slots + extra if layout.index_format == "bitmap" else 1 << max(1, (slots - 1).bit_length())
    if depth and extra:
        depth = max(depth, min(2 * depth, MOST_WAITING))
    return LaneSchedule(schedule.steps + extra, tuple(step + extra for step in schedule.emits), slots, depth)


_schedules: OrderedDict[tuple[bytes, LaneLayout], LaneSchedule] = OrderedDict()
"""The last ones, by hash of the mask: mapping asks for the same ones for every kind of PE and number of bits."""
MOST_SCHEDULES = 1 << 13


def lane_schedule(matrix: IntArray, layout: LaneLayout) -> LaneSchedule:
    """The schedule of `lane_program(matrix, layout)`, without the program.

    Args:
        matrix: (rows, columns), as for `lane_program`; only which weights are zero counts.
        layout: how to spread it.
    """
    mask = matrix != 0
    key = hashlib.blake2b(np.packbits(mask).tobytes(), salt=str(mask.shape).encode()[:16]).digest(), layout
    if key in _schedules:
        _schedules.move_to_end(key)
    else:
        entries = _place(mask, layout)
        _schedules[key] = LaneSchedule(entries.steps, entries.emits, entries.slots, entries.partial_depth)
        if len(_schedules) > MOST_SCHEDULES:
            _schedules.popitem(last=False)
    return _schedules[key]


def lane_program(
    matrix: IntArray, layout: LaneLayout, within: LaneSchedule | None = None, lane_of: IntArray | None = None
) -> LaneProgram:
    """Schedule a matrix.

    Args:
        matrix: (rows, columns) weights; groups * height divides the rows, in_lanes the columns.
        layout: how to spread it.
        within: the program has this schedule; None: the fastest one.
        lane_of: (groups, columns) which lane keeps an activation, -1 for none; None: dealt out for equal work.

    Raises:
        ProgramError: there is no such program.
    """
    rows, columns = matrix.shape
    groups, lanes, height = layout.groups, layout.lanes, layout.height
    found = _place(matrix != 0, layout, within, lane_of)
    blocks, steps = rows // (groups * height), found.steps
    grouped = matrix.reshape(blocks, groups, height, columns).transpose(1, 0, 3, 2)  # group, block, column, row

    weights = np.zeros((steps, groups * lanes, height), dtype=np.int64)
    indices = np.zeros((steps, groups * lanes), dtype=np.int64)
    last = np.zeros((steps, groups * lanes), dtype=bool)
    if layout.index_format == "relative":
        # All steps up to an entry since the one before are its dummies: the longest distance, weight zero.
        busy = np.arange(steps)[:, None] < found.lengths
        indices[busy] = (1 << layout.index_bits) - 1
    last[found.position, found.lane] = found.ends
    used = found.column >= 0
    lane, block, slot, column = (each[used] for each in (found.lane, found.block, found.slot, found.column))
    weights[found.position[used], lane] = grouped[lane // lanes, block, column]
    bitmaps = np.zeros((blocks, groups * lanes, found.slots), dtype=np.int64)
    if layout.index_format == "bitmap":
        bitmaps[block, lane, slot] = 1
        # A row block without a bit takes one step too.
        waits = ~used & (found.counts[found.lane, found.block] > 1)
        bitmaps[found.block[waits], found.lane[waits], found.slot[waits]] = 1
    else:
        indices[found.position, found.lane] = found.index
    shape = (groups, lanes)
    return LaneProgram(
        layout,
        found.slots,
        weights.reshape(steps, *shape, height),
        indices.reshape(steps, *shape),
        last.reshape(steps, *shape),
        bitmaps.reshape(blocks, *shape, found.slots),
        (found.counts > 0).T.reshape(blocks, *shape),
        found.lane_of,
        found.slot_of,
        found.emits,
        found.partial_depth,
    )


@dataclass(frozen=True, eq=False)
class _Entries:
    """Entries of all lanes, sorted by lane, row block, slot.

    Attributes:
        lane: of all groups.
        column: of the matrix; -1: none, where the lane has nothing in a row block or waits.
        index: slot number or distance.
        ends: whether the entry ends its row block.
        position: step.
        lengths: steps of every lane.
        counts: (lanes, row blocks) steps.
    """

    lane: IntArray
    block: IntArray
    slot: IntArray
    column: IntArray
    index: IntArray
    ends: npt.NDArray[np.bool_]
    position: IntArray
    lengths: IntArray
    counts: IntArray
    emits: tuple[int, ...]
    steps: int
    slots: int
    partial_depth: int
    lane_of: IntArray
    slot_of: IntArray


def _place(
    mask: npt.NDArray[np.bool_],
    layout: LaneLayout,
    within: LaneSchedule | None = None,
    lane_of: IntArray | None = None,
) -> _Entries:
    """Deal the entries of a mask (rows, columns) out to lanes and steps; see `lane_program`."""
    rows, columns = mask.shape
    groups, lanes, height = layout.groups, layout.lanes, layout.height
    assert rows % (groups * height) == 0, (mask.shape, layout)
    assert columns % layout.in_lanes == 0, (mask.shape, layout)
    blocks = rows // (groups * height)
    masks = np.swapaxes(mask.reshape(blocks, groups, height, columns).any(axis=2), 0, 1)  # group, block, column
    if lane_of is None:
        lane_of = _deal(masks.sum(axis=1), layout)
    elif np.any(np.logical_and(masks.any(axis=1), lane_of < 0)):
        raise ProgramError("a column has weights that no lane keeps the activations of")
    slot_of = _slots(lane_of, lanes)
    slots = int(slot_of.max(initial=0)) + 1
    if within is not None:
        if slots > within.slots:
            raise ProgramError(f"a lane has to keep {slots} activations, and there is room for {within.slots}")
        slots = within.slots

    group, block, column = np.nonzero(masks)
    lane, slot = group * lanes + lane_of[group, column], slot_of[group, column]
    # Where a lane has nothing in a row block and cannot leave it out, an entry of weight zero in slot 0.
    have = np.full((groups * lanes, blocks), layout.skips)
    have[lane, block] = True
    empty_lane, empty_block = np.nonzero(~have)
    entries = _sorted((lane, block, slot, column), (empty_lane, empty_block, np.zeros_like(empty_lane)))
    index, dummies = _indices(entries, layout)
    counts = np.zeros(have.shape, dtype=np.int64)
    np.add.at(counts, (entries[0], entries[1]), 1 + dummies)
    if within is not None:
        assert not layout.skips, "which row blocks a lane leaves out is part of the hardware"
        waits = _waits(counts, within)
        entries = _sorted(entries, _fillers(entries, waits, layout, slots))
        index, dummies = _indices(entries, layout)
        counts += waits
    lane, block, slot, column = entries
    finish = counts.cumsum(axis=1) - 1
    emits = within.emits if within else tuple(_emissions(finish.max(axis=0).clip(min=0)))
    steps = within.steps if within else emits[-1] + 1
    at_once = groups * lanes == 1 and not layout.skips
    depth = within.partial_depth if within else 0 if at_once else _partial_depth(finish, counts > 0, emits, steps)

    # Position of each entry among its lane's steps, behind its own dummies.
    ends = np.diff(lane * blocks + block, append=-1) != 0
    lengths = counts.sum(axis=1)
    ends_at = np.cumsum(1 + dummies) - 1
    position = ends_at - np.repeat(np.cumsum(lengths) - lengths, np.bincount(lane, minlength=groups * lanes))
    return _Entries(
        lane,
        block,
        slot,
        column,
        index,
        ends,
        position,
        lengths,
        counts,
        emits,
        steps,
        slots,
        depth,
        lane_of,
        slot_of,
    )


_Places = tuple[IntArray, IntArray, IntArray, IntArray]
"""Lane, row block, slot and column (-1: none) of entries."""


def _sorted(entries: _Places, more: tuple[IntArray, IntArray, IntArray]) -> _Places:
    """Entries and others without a column, by lane, row block and slot."""
    columns = (*more, np.full_like(more[0], -1))
    lane, block, slot, column = (np.concatenate(pair) for pair in zip(entries, columns, strict=True))
    order = np.lexsort((slot, block, lane))
    return lane[order], block[order], slot[order], column[order]


def _indices(entries: _Places, layout: LaneLayout) -> tuple[IntArray, IntArray]:
    """Index of every sorted entry, and the dummies in front of it."""
    lane, block, slot, column = entries
    if layout.index_format != "relative":
        return np.where(column < 0, 0, slot), np.zeros(len(slot), dtype=np.int64)
    first = (np.diff(lane, prepend=-1) != 0) | (np.diff(block, prepend=-1) != 0)
    gap = np.where(column < 0, 0, slot - np.where(first, -1, np.roll(slot, 1)) - 1)
    return gap & ((1 << layout.index_bits) - 1), gap >> layout.index_bits


def _waits(counts: IntArray, within: LaneSchedule) -> IntArray:
    """Steps in which a lane has to wait before it may end a row block, (lanes, row blocks).

    The sum of row block b may be written one step after that of b - partial_depth has been emitted, be it in the vector
    before, and not after the step that emits it.

    Args:
        counts: (lanes, row blocks) steps that it needs.

    Raises:
        ProgramError: a row block comes too late.
    """
    blocks, depth = counts.shape[1], within.partial_depth
    waits = np.zeros_like(counts)
    finish = np.full(len(counts), -1, dtype=np.int64)
    for block, exit_ in enumerate(within.emits):
        finish = finish + counts[:, block]
        vector, earlier = divmod(block - depth, blocks)
        least = within.emits[earlier] + vector * within.steps + (depth > 0)
        waits[:, block] = np.maximum(0, least - finish)
        finish = finish + waits[:, block]
        late = int(finish.max()) - exit_
        if late > 0:
            raise ProgramError(f"row block {block + 1} of {blocks} takes {late} steps more than the schedule has")
    return waits


def _fillers(entries: _Places, waits: IntArray, layout: LaneLayout, slots: int) -> tuple[IntArray, IntArray, IntArray]:
    """Lane, row block and slot of entries that wait: behind the others, or, of a bitmap, in slots without an entry."""
    lane, block = np.nonzero(waits)
    count = waits[lane, block]
    places = np.repeat(lane, count), np.repeat(block, count)
    if layout.index_format != "bitmap":
        return *places, np.full(int(count.sum()), slots, dtype=np.int64)
    taken = np.zeros((*waits.shape, slots), dtype=bool)
    taken[entries[:3]] = True
    found = [np.zeros(0, dtype=np.int64)]
    for one, other, needed in zip(lane.tolist(), block.tolist(), count.tolist(), strict=True):
        free = np.flatnonzero(~taken[one, other])[:needed]
        if len(free) < needed:
            raise ProgramError(
                f"a lane has to wait in row block {other + 1}, and no bit of its bitmap is left for that"
            )
        found.append(free)
    return *places, np.concatenate(found)


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
            for step, block, slot in _walk(layout.index_format, *entry, bits, program.takes[:, group, lane]):
                weights = program.weights[step, group, lane]
                if weights.any():
                    assert column_of[slot] >= 0, (group, lane, step)
                    matrix[block, group, :, column_of[slot]] += weights
    return matrix.reshape(-1, columns)


def _walk(
    index_format: str,
    last: npt.NDArray[np.bool_],
    indices: IntArray,
    bitmaps: IntArray,
    takes: npt.NDArray[np.bool_],
) -> list[tuple[int, int, int]]:
    """(step, row block, slot) of a lane, as its decoder finds them."""
    found, block, slot, rest = [], 0, 0, np.flatnonzero(bitmaps[0])
    blocks = np.flatnonzero(takes).tolist()
    for step in range(len(last)):
        if block == len(blocks):
            break
        if index_format == "bitmap":
            slot = int(rest[0]) if len(rest) else 0
            rest = rest[1:]
            ends = not len(rest)
        else:
            slot = int(indices[step]) + (slot if index_format == "relative" else 0)
            ends = bool(last[step])
        assert ends == last[step], step
        found.append((step, blocks[block], slot))
        slot += 1
        if ends:
            block, slot = block + 1, 0
            rest = np.flatnonzero(bitmaps[block]) if block < len(blocks) else rest
    assert block == len(blocks), "rows are left"
    return found


def _deal(loads: IntArray, layout: LaneLayout) -> IntArray:
    """Columns to lanes, the heaviest first to the lane that has least (Graham's LPT rule), by position of arrival.

    Args:
        loads: (groups, columns) entries of a column.

    Returns:
        lane of every column (groups, columns), -1: nobody in the group reads it.
    """
    groups, columns = loads.shape
    share = layout.lanes // layout.in_lanes
    lane_of = np.full(loads.shape, -1, dtype=np.int64)
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
    return lane_of


def _slots(lane_of: IntArray, lanes: int) -> IntArray:
    """Slot of every column (groups, columns), in the order of the columns."""
    slot_of = np.zeros(lane_of.shape, dtype=np.int64)
    for group, mine in enumerate(lane_of):
        order = np.argsort(mine, kind="stable")
        counts = np.bincount(mine + 1, minlength=lanes + 1)
        slot_of[group, order] = np.arange(len(mine)) - np.repeat(np.cumsum(counts) - counts, counts)
        slot_of[group, mine < 0] = 0
    return slot_of


def _emissions(ready: IntArray) -> list[int]:
    """One step for each row block, not before it is ready, in order: e[j] = max(ready[j], e[j-1] + 1)."""
    count = np.arange(len(ready))
    emits: list[int] = (np.maximum.accumulate(ready - count) + count).tolist()
    return emits


def _partial_depth(finish: IntArray, takes: npt.NDArray[np.bool_], emits: tuple[int, ...], steps: int) -> int:
    """Slots for sums that wait for other lanes: the most that a lane has finished and not emitted, at any time.

    Sum n + depth may be written one step after sum n has been emitted.

    Args:
        finish, takes: (lanes, row blocks) step that ends a row block, and whether there is one.
    """
    most = 1
    for lane, mine in zip(finish, takes, strict=True):
        ends, lane = np.array(emits)[mine], lane[mine]
        both = np.concatenate([lane, lane + steps])
        most = max(most, int((np.searchsorted(both, ends, "right") - np.arange(len(ends))).max(initial=0)))
    return 1 << (most - 1).bit_length()
