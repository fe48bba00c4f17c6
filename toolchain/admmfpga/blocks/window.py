"""Window unit: im2col with padding and stride from line buffers.

Each step takes one beat of `channels` lanes of one pixel (or makes a padding pixel up) and shifts it into line buffers
and tap registers; where a window is complete, all KERNEL_H x KERNEL_W taps of those channels leave in one beat, lanes
in the order (kernel row, kernel column, channel). Steps run over the padded image in the order (row, column, channel
group), so the windows of one position come as `groups` consecutive beats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from admmfpga.blocks.base import (
    LUTRAM_DEPTH,
    SHIFT_REGISTER,
    Block,
    Contents,
    Port,
    Resources,
    Schedule,
    clog2,
    counter_terms,
    ram_resources,
)
from admmfpga.blocks.calibration import Terms
from admmfpga.network import IntArray, window_positions
from admmfpga.network.reference import im2col


@dataclass(frozen=True, kw_only=True)
class Window(Block):
    """Windows over an image of height x width x (channels * groups) codes.

    Attributes:
        channels: lanes of a beat.
        groups: beats of a pixel.
        kernel, strides: (vertical, horizontal).
        pads: (top, left, bottom, right), each smaller than the kernel.
        pad_value: code of a padding pixel.
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

    @property
    def source(self) -> Port:
        return Port(self.channels, self.bits, self.signed)

    @property
    def sink(self) -> Port:
        return Port(self.channels * self.kernel[0] * self.kernel[1], self.bits, self.signed)

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
        y, x, _ = np.indices((rows, columns, self.groups))
        real = (
            (y >= self.pads[0])
            & (y < self.pads[0] + self.height)
            & (x >= self.pads[1])
            & (x < self.pads[1] + self.width)
        )
        dy, dx = y - (self.kernel[0] - 1), x - (self.kernel[1] - 1)
        emits = (dy >= 0) & (dy % self.strides[0] == 0) & (dx >= 0) & (dx % self.strides[1] == 0)
        return Schedule(y.size, np.flatnonzero(real), np.flatnonzero(emits))

    @property
    def cycles(self) -> int:
        return self.padded[0] * self.padded[1] * self.groups

    @property
    def beats_out(self) -> int:
        rows, columns = self.positions
        return rows * columns * self.groups

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        image = beats.reshape(1, self.height, self.width, self.groups * self.channels)
        windows = im2col(image, self.kernel, self.strides, self.pads, self.pad_value)
        taps = self.kernel[0] * self.kernel[1]
        split = windows.reshape(-1, taps, self.groups, self.channels).transpose(0, 2, 1, 3)
        return split.reshape(-1, taps * self.channels)

    def core_terms(self) -> Terms:
        columns = counter_terms(self.padded[1])
        rows = counter_terms(self.padded[0])
        groups = counter_terms(self.groups)
        waits = sum(clog2(max(k, s)) for k, s in zip(self.kernel, self.strides, strict=True))
        lines = self.line_bits > 0 and self.line_depth > 1
        address = counter_terms(self.line_depth) if lines else counter_terms(1)
        counters = [columns, rows, groups, address]
        taps = self.kernel[0] * (self.kernel[1] - 1) * self.source.width
        shifted = self.groups >= SHIFT_REGISTER
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
                "pixel_bits": self.source.width * any(self.pads),
                # A tap is a delay of `groups` steps.
                "shift_registers": taps * shifted * -(-self.groups // 32),
            },
            ff={
                "control": 1,
                "counter_bits": sum(counter["counter_bits"] for counter in counters),
                "wait_bits": waits,
                "padded_axes": sum(any(self.pads[axis::2]) for axis in range(2)),
                # The line memory's address one cycle later.
                "address_bits": address["counter_bits"],
                "pixel_bits": self.source.width,
                "tap_bits": 0 if shifted else taps * self.groups,
                # Lines of one beat.
                "line_bits": self.line_bits * (self.line_depth == 1),
            },
        )

    @property
    def line_bits(self) -> int:
        """Width of the line memory: the rows above the newest."""
        return (self.kernel[0] - 1) * self.source.width

    @property
    def line_depth(self) -> int:
        """Beats of a row of the padded image."""
        return self.padded[1] * self.groups

    def part_resources(self) -> Resources:
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
            **self.output_parameters(),
        }
