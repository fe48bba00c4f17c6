"""Kept columns: which elements a window unit gathers for a layer that column pruning has thinned out.

The unit works on `channels` input channels at a time, and each such group keeps its own columns. Beats are as wide as
the group with the most; shorter groups, and beats that SIMD would not divide, are filled up with zero weights. With all
channels at a time there is one group and nothing to fill up but to SIMD.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from admmfpga.blocks.window import gather_lanes
from admmfpga.network import Conv, Dense, IntArray
from admmfpga.packing import LaneLayout

MAX_TABLE_BITS = 1 << 16
"""Longest gather list: that many bits a SystemVerilog number must be allowed to have (IEEE 1800, 6.9.1)."""

PADDING = -1
"""A lane without a column: its weights are zero."""


@dataclass(frozen=True, eq=False)
class Gather:
    """Kept columns in beats.

    Attributes:
        lists: the window unit's gather list.
        columns: the matrix column of every element of a vector in stream order, or `PADDING`.
    """

    lists: tuple[tuple[int, ...], ...]
    columns: IntArray

    def compact(self, matrix: IntArray) -> IntArray:
        """(rows, columns) weights to (rows, kept columns and padding)."""
        found: IntArray = np.where(self.columns == PADDING, 0, matrix[:, self.columns])
        return found


@dataclass(frozen=True)
class Beats:
    """Shape of a vector of kept columns: groups that emit a beat, lanes of a beat."""

    groups: int
    lanes: int

    @property
    def columns(self) -> int:
        """Kept ones and padding."""
        return self.groups * self.lanes


@dataclass(frozen=True, eq=False)
class KeptColumns:
    """The columns of a layer that have weights.

    Attributes:
        mask: (taps, input channels).
    """

    mask: npt.NDArray[np.bool_]
    _lanes: dict[int, IntArray] = field(default_factory=dict)
    _gathers: dict[tuple[int, int], Gather] = field(default_factory=dict)

    def groups(self, channels: int) -> int:
        """Channel groups of a window unit with `channels` lanes."""
        return int(self.mask.shape[1]) // channels

    def beats(self, channels: int, simd: int | None = None) -> Beats | None:
        """The beats of a vector; None if SIMD does not go with them.

        Args:
            channels: of a group.
            simd: up to a beat's lanes, which are filled up to a multiple, or a multiple of them; None: as they are.
        """
        counts = self._grouped(channels).sum(axis=1)
        groups, lanes = int(np.count_nonzero(counts)), int(counts.max())
        if simd is None:
            return Beats(groups, lanes)
        if simd <= lanes:
            return Beats(groups, -(-lanes // simd) * simd)
        several, rest = divmod(simd, lanes)
        groups = -(-groups // several) * several
        return None if rest or groups > self.groups(channels) else Beats(groups, lanes)

    def gathers(self, channels: int) -> bool:
        """Whether the gather list is not too long."""
        beats = self.beats(channels)
        assert beats is not None
        taps = int(self.mask.shape[0]) * channels
        options = min(beats.groups, taps)
        longest = max(options * (taps - 1).bit_length(), self.groups(channels) * (options - 1).bit_length())
        return channels == 1 or 2 * beats.lanes * longest <= MAX_TABLE_BITS

    def simd(self, channels: int) -> Iterator[int]:
        """Values of SIMD that are worth trying: those that cover a beat, or several beats, with the least padding.

        None if the gather list would be too long; one channel at a time is always possible.
        """
        beats = self.beats(channels)
        assert beats is not None
        if not self.gathers(channels):
            return
        yield from parts_of(beats.lanes)
        several = (count for count in parts_of(beats.groups) if count > 1)
        yield from (beats.lanes * count for count in several if self.beats(channels, beats.lanes * count))

    def gather(self, channels: int, simd: int) -> Gather:
        """The gather list for a folding, and the columns that it brings."""
        if (channels, simd) not in self._gathers:
            self._gathers[channels, simd] = self._gather(channels, simd)
        return self._gathers[channels, simd]

    def _gather(self, channels: int, simd: int) -> Gather:
        beats = self.beats(channels, simd)
        assert beats is not None, (channels, simd)
        grouped = self._grouped(channels)
        if channels not in self._lanes:
            kept = [np.flatnonzero(row).tolist() for row in grouped]
            self._lanes[channels] = gather_lanes(kept, int(grouped.sum(axis=1).max()))
        found = self._lanes[channels]
        found = np.pad(found, ((0, 0), (0, beats.lanes - found.shape[1])), constant_values=PADDING)
        emits = grouped.sum(axis=1) > 0
        emits[np.flatnonzero(~emits)[: beats.groups - int(emits.sum())]] = True
        # Where a lane carries nothing it may carry what it carries elsewhere: no multiplexer for that.
        somewhere = found.max(axis=0).clip(min=0)
        lists = np.where(found == PADDING, somewhere, found)
        group, inputs = np.arange(len(found))[:, None], self.mask.shape[1]
        columns = found // channels * inputs + group * channels + found % channels
        return Gather(
            tuple(tuple(taps) if some else () for taps, some in zip(lists.tolist(), emits, strict=True)),
            np.where(found == PADDING, PADDING, columns)[emits].ravel(),
        )

    def _grouped(self, channels: int) -> npt.NDArray[np.bool_]:
        """(groups, taps * channels)"""
        taps, inputs = self.mask.shape
        split = self.mask.reshape(taps, inputs // channels, channels).transpose(1, 0, 2)
        return split.reshape(len(split), -1)


def parts_of(total: int, step: float = 1.2) -> Iterator[int]:
    """Sizes of a part when `total` is cut into equal parts: all divisors, between them some that need more padding.

    Args:
        step: ratio of the numbers of parts that are tried between divisors.
    """
    last = 0
    for parts in range(1, total + 1):
        if total % parts == 0 or parts >= step * last:
            last = parts
            yield -(-total // parts)


@lru_cache(maxsize=64)
def all_columns(taps: int, channels: int) -> KeptColumns:
    """Every column of a layer."""
    return KeptColumns(np.ones((taps, channels), dtype=np.bool_))


def balanced(gather: Gather, matrix: IntArray, layout: LaneLayout) -> Gather:
    """The same columns, so ordered within each window beat that the positions of a beat for the lanes have equal loads.

    A position's columns go to its own lanes only, which therefore have as much to do as these columns have weights.

    Args:
        matrix: (rows, columns) of the layer.
        layout: how lanes take what is gathered.
    """
    lanes, width = max(map(len, gather.lists)), layout.in_lanes
    if width == 1 or lanes % width or lanes == width:
        return gather
    brought = gather.compact(matrix)
    weights: IntArray = np.abs(brought).reshape(-1, layout.height, brought.shape[1]).max(axis=1)
    blocks = (weights > 0).astype(np.int64)
    loads = np.zeros((layout.groups, blocks.shape[1]), dtype=np.int64)
    for vector in range(layout.batch):
        np.add.at(loads, (vector * len(blocks) + np.arange(len(blocks))) % layout.groups, blocks)
    loads = loads.reshape(layout.groups, -1, lanes).sum(axis=1)
    order = _equal_parts(loads, width).T.ravel()
    return Gather(
        tuple(tuple(taps[lane] for lane in order) if taps else () for taps in gather.lists),
        gather.columns.reshape(-1, lanes)[:, order].ravel(),
    )


def _equal_parts(loads: IntArray, count: int) -> IntArray:
    """Divide items among parts of equally many items, so that the squares of the parts' loads add up to little.

    The heaviest item comes first, to the part where it adds least; then items of the heaviest part are exchanged for
    others as long as that helps.

    Args:
        loads: (loads of an item, items); `count` divides the items.

    Returns:
        (parts, items of a part)
    """
    parts: list[list[int]] = [[] for _ in range(count)]
    filled = np.zeros((len(loads), count), dtype=np.int64)
    size = loads.shape[1] // count
    for item in np.argsort(-loads.sum(axis=0), kind="stable").tolist():
        free = [part for part, own in enumerate(parts) if len(own) < size]
        chosen = free[int(np.argmin(loads[:, item] @ filled[:, free]))]
        parts[chosen].append(item)
        filled[:, chosen] += loads[:, item]
    found = np.array(parts)
    for _ in range(4 * loads.shape[1]):
        heaviest = int(filled.max(axis=0).argmax())
        # (loads, own item, part, its item): what the exchange adds to the part.
        gain = loads[:, found[heaviest]][:, :, None, None] - loads[:, found][:, None]
        change = (2 * gain * (gain + (filled - filled[:, [heaviest]])[:, None, :, None])).sum(axis=0)
        own, part, item = np.unravel_index(int(change.argmin()), change.shape)
        if change[own, part, item] >= 0:
            break
        moved = gain[:, own, part, item]
        filled[:, heaviest] -= moved
        filled[:, part] += moved
        found[heaviest, own], found[part, item] = found[part, item], found[heaviest, own]
    return found


def kept_columns(node: Conv | Dense) -> KeptColumns | None:
    """The columns of a layer that have weights; None if all do. Of a layer without weights, the first one."""
    used = (node.matrix != 0).any(axis=0)
    if used.all():
        return None
    if not used.any():
        used[0] = True
    return KeptColumns(used.reshape(-1, node.weights.shape[-1]))
