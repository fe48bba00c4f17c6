"""Window unit: im2col with padding and stride from line buffers.

Each step takes one beat of `channels` lanes of one pixel (or makes a padding pixel up) and shifts it into line buffers
and tap registers; where a window is complete, all KERNEL_H x KERNEL_W taps of those channels leave in one beat, lanes
in the order (kernel row, kernel column, channel). Steps run over the padded image in the order (row, column, channel
group), so the windows of one position come as `groups` consecutive beats.

With a gather list only the columns that pruning has kept leave. For every channel group it says which taps the lanes
carry; a group of which nothing is kept gives no beat. Since the list is static, a lane is a wire where there is one
group, else a multiplexer over the taps that it carries in some group; `gather_lanes` makes them few. A kernel of 1 x 1
over an image of 1 x 1 drops the elements of a vector that nobody reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from admmfpga.blocks.base import (
    LUTRAM_DEPTH,
    NO_MEMORIES,
    Block,
    Contents,
    Port,
    Resources,
    Schedule,
    Table,
    clog2,
    counter_terms,
    ram_resources,
)
from admmfpga.blocks.calibration import Terms
from admmfpga.blocks.families import family
from admmfpga.network import IntArray, window_positions
from admmfpga.network.reference import im2col
from admmfpga.packing import Memory


@dataclass(frozen=True)
class Read:
    """Codes that a window unit holds and reads again.

    Attributes:
        pixels: of a beat.
        lines: of the rows above the newest, at one place.
        taps: of the columns left of the newest.
    """

    pixels: int
    lines: int
    taps: int


@dataclass(frozen=True, kw_only=True)
class Window(Block):
    """Windows over an image of height x width x (channels * groups) codes.

    Attributes:
        channels: lanes of a beat.
        groups: beats of a pixel.
        kernel, strides: (vertical, horizontal).
        pads: (top, left, bottom, right), each smaller than the kernel.
        pad_value: code of a padding pixel.
        gather: for each group the taps (tap * channels + channel) that the lanes carry, all groups with as many or
            with none; empty: all taps in order.
    """

    stem: ClassVar[str] = "window"
    height: int
    width: int
    channels: int
    groups: int
    bits: int
    signed: bool
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    pad_value: int
    # Long, and the same object where windows are compared.
    gather: tuple[tuple[int, ...], ...] = field(default=(), hash=False)

    def __post_init__(self) -> None:
        if self.gather:
            assert len(self.gather) == self.groups, self
            assert len({len(taps) for taps in self.gather if taps}) == 1, self
            limit = self.taps
            assert all(min(taps) >= 0 and max(taps) < limit for taps in self.gather if taps), self

    @property
    def taps(self) -> int:
        """Codes of a whole window of one channel group."""
        return self.channels * self.kernel[0] * self.kernel[1]

    @property
    def lanes(self) -> int:
        """Codes of an output beat."""
        return max(map(len, self.gather)) if self.gather else self.taps

    @property
    def emitting(self) -> tuple[int, ...]:
        """Groups of which something is kept."""
        return tuple(g for g in range(self.groups) if not self.gather or self.gather[g])

    @cached_property
    def options(self) -> tuple[tuple[int, ...], ...]:
        """For each lane of a gathering unit, the different taps that it carries."""
        found = [self.gather[group] for group in self.emitting] if self.gather else []
        return tuple(tuple(dict.fromkeys(column)) for column in zip(*found, strict=True))

    @property
    def source(self) -> Port:
        return Port(self.channels, self.bits, self.signed)

    @property
    def sink(self) -> Port:
        return Port(self.lanes, self.bits, self.signed)

    @property
    def core_latency(self) -> int:
        return 1

    @property
    def padded(self) -> tuple[int, int]:
        """(rows, columns) of the padded image."""
        return self.height + self.pads[0] + self.pads[2], self.width + self.pads[1] + self.pads[3]

    @property
    def positions(self) -> tuple[int, int]:
        """(rows, columns) of windows."""
        return window_positions((self.height, self.width), self.kernel, self.strides, self.pads)

    def schedule(self) -> Schedule:
        rows, columns = self.padded
        y, x, group = np.indices((rows, columns, self.groups))
        real = (
            (y >= self.pads[0])
            & (y < self.pads[0] + self.height)
            & (x >= self.pads[1])
            & (x < self.pads[1] + self.width)
        )
        dy, dx = y - (self.kernel[0] - 1), x - (self.kernel[1] - 1)
        emits = (dy >= 0) & (dy % self.strides[0] == 0) & (dx >= 0) & (dx % self.strides[1] == 0)
        emits &= np.isin(group, self.emitting)
        return Schedule(y.size, np.flatnonzero(real), np.flatnonzero(emits))

    @property
    def cycles(self) -> int:
        return self.padded[0] * self.padded[1] * self.groups

    @property
    def beats_out(self) -> int:
        rows, columns = self.positions
        return rows * columns * len(self.emitting)

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        image = beats.reshape(1, self.height, self.width, self.groups * self.channels)
        windows = im2col(image, self.kernel, self.strides, self.pads, self.pad_value)
        taps = self.kernel[0] * self.kernel[1]
        split = windows.reshape(-1, taps, self.groups, self.channels).transpose(0, 2, 1, 3)
        whole = split.reshape(-1, self.groups, taps * self.channels)
        if not self.gather:
            return whole.reshape(-1, self.lanes)
        lists = np.array([self.gather[group] for group in self.emitting])
        return whole[:, np.array(self.emitting)[:, None], lists].reshape(-1, self.lanes)

    def core_terms(self) -> Terms:
        columns = counter_terms(self.padded[1])
        rows = counter_terms(self.padded[0])
        groups = counter_terms(self.groups)
        waits = sum(clog2(max(k, s)) for k, s in zip(self.kernel, self.strides, strict=True))
        lines = self.line_bits > 0 and self.line_depth > 1
        address = counter_terms(self.line_depth) if lines else counter_terms(1)
        counters = [columns, rows, groups, address]
        read = self.read
        taps = read.taps * self.bits
        shifted = self.groups >= family().shift_register
        return Terms(
            lut={
                "control": 1,
                # Group, column, row, line address.
                "counter_bits": sum(counter["counter_bits"] for counter in counters),
                "wrap_bits": sum(counter["wrap_bits"] for counter in counters),
                # Columns and rows to the next window.
                "wait_bits": waits,
                # Whether the pixel is a real one.
                "padded_sides": sum(pad > 0 for pad in self.pads),
                # The pixel or the padding's code.
                "pixel_bits": read.pixels * self.bits * any(self.pads),
                # A tap is a delay of `groups` steps.
                "shift_registers": taps * shifted * -(-self.groups // 32),
                # Lanes between taps: four inputs a LUT. Which tap, from the group; whether the group emits.
                "choice_bits": self.bits * sum(-(-len(lane) // 4) for lane in self.options if len(lane) > 1),
                "select_bits": -(-self.groups // 64) * sum(clog2(len(lane)) for lane in self.options),
                "silent_groups": -(-self.groups // 64) * (len(self.emitting) < self.groups),
            },
            ff={
                "control": 1,
                "counter_bits": sum(counter["counter_bits"] for counter in counters),
                "wait_bits": waits,
                "padded_axes": sum(any(self.pads[axis::2]) for axis in range(2)),
                # The line memory's address one cycle later.
                "address_bits": address["counter_bits"],
                "pixel_bits": read.pixels * self.bits,
                # The group one cycle later.
                "group_bits": groups["counter_bits"] * any(len(lane) > 1 for lane in self.options),
                "tap_bits": 0 if shifted else taps * self.groups,
                # Lines of one beat.
                "line_bits": self.line_bits * (self.line_depth == 1),
            },
        )

    @cached_property
    def read(self) -> Read:
        """What of pixels, lines and taps is read by any lane; synthesis takes out the rest."""
        height, width = self.kernel
        used = np.zeros((height, width, self.channels), dtype=bool)
        used.reshape(-1)[sorted({tap for lane in self.options for tap in lane}) if self.gather else slice(None)] = True
        # A tap comes by way of all newer columns, a row above by way of all rows below it.
        columns, rows = used.argmax(axis=1), used.any(axis=1).argmax(axis=0)
        some, channels = used.any(axis=1), used.any(axis=(0, 1))
        return Read(
            pixels=int(channels.sum()),
            lines=int((height - 1 - rows)[channels].sum()),
            taps=int((width - 1 - columns)[some].sum()),
        )

    @property
    def line_bits(self) -> int:
        """Width of the line memory: the rows above the newest, as far as they are read."""
        return self.read.lines * self.bits

    @property
    def line_depth(self) -> int:
        """Beats of a row of the padded image."""
        return self.padded[1] * self.groups

    def part_resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        if not self.line_bits or self.line_depth == 1:
            return Resources()
        return ram_resources(self.line_depth, self.line_bits, block_ram=self.line_depth > LUTRAM_DEPTH)

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "HEIGHT": self.height,
            "WIDTH": self.width,
            "CHANNELS": self.channels,
            "GROUPS": self.groups,
            "BITS": self.bits,
            "KERNEL_H": self.kernel[0],
            "KERNEL_W": self.kernel[1],
            "STRIDE_H": self.strides[0],
            "STRIDE_W": self.strides[1],
            "PAD_TOP": self.pads[0],
            "PAD_LEFT": self.pads[1],
            "PAD_BOTTOM": self.pads[2],
            "PAD_RIGHT": self.pads[3],
            "PAD_VALUE": self.pad_value,
            "LINE_BLOCK_RAM": int(self.padded[1] * self.groups > LUTRAM_DEPTH),
            "LANES": self.lanes,
            "OPTIONS": max(map(len, self.options), default=0),
            **{name: table.literal for name, table in self.tables().items()},
            **self.output_parameters(),
        }

    def tables(self) -> dict[str, Table]:
        """Of a gathering unit: the taps that each lane may carry, which of them in each group, which groups emit."""
        if not self.gather:
            return {}
        width = max(map(len, self.options))
        # Lanes with fewer options repeat one; no group selects it.
        taps = np.array([[*lane, *lane[:1] * (width - len(lane))] for lane in self.options])
        selects = np.zeros((self.groups, self.lanes), dtype=np.int64)
        for group in self.emitting:
            selects[group] = [lane.index(tap) for lane, tap in zip(self.options, self.gather[group], strict=True)]
        emits = np.isin(np.arange(self.groups), self.emitting).astype(np.int64)
        return {
            "TAPS": Table(taps.reshape(1, -1), max(1, clog2(self.taps))),
            "SELECTS": Table(selects, max(1, clog2(width))),
            "GROUP_EMITS": Table(emits[:, None], 1),
        }


def gather_lanes(kept: Sequence[Sequence[int]], lanes: int) -> IntArray:
    """Which kept tap each lane carries in each group, the same tap in the same lane where that can be.

    A lane is a multiplexer over the different taps that it carries. Taps that many groups keep come first, each into
    the lanes that are free in the most of its groups.

    Args:
        kept: taps by group.
        lanes: at least as many as any group keeps.

    Returns:
        (groups, lanes) taps; -1 where a lane carries nothing.
    """
    groups_of: dict[int, list[int]] = {}
    for group, taps in enumerate(kept):
        for tap in taps:
            groups_of.setdefault(tap, []).append(group)
    found = np.full((len(kept), lanes), -1, dtype=np.int64)
    for tap in sorted(groups_of, key=lambda tap: (-len(groups_of[tap]), tap)):
        left = np.array(groups_of[tap])
        while len(left):
            free = found[left] < 0
            lane = int(free.sum(axis=0).argmax())
            assert free[:, lane].any(), "more taps than lanes"
            found[left[free[:, lane]], lane] = tap
            left = left[~free[:, lane]]
    return found
