"""Pad: a border of one code around an image, and the same code between its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from admmfpga.blocks.base import Block, Contents, Port, Schedule, counter_terms
from admmfpga.blocks.calibration import Terms
from admmfpga.network import IntArray
from admmfpga.network.graph import padded_size


@dataclass(frozen=True, kw_only=True)
class Pad(Block):
    """An image of height x width pixels of `groups` beats of `channels` codes.

    The first step takes the first beat even where the border comes first: so no frame starts before it arrives.

    Attributes:
        pads: (top, left, bottom, right), of any size.
        pad_value: code of the border.
        spacing: (vertical, horizontal) distance that neighbouring pixels get.
    """

    stem: ClassVar[str] = "pad"
    height: int
    width: int
    channels: int
    groups: int
    bits: int
    signed: bool
    pads: tuple[int, int, int, int]
    pad_value: int
    spacing: tuple[int, int] = (1, 1)

    @property
    def source(self) -> Port:
        return Port(self.channels, self.bits, self.signed)

    @property
    def sink(self) -> Port:
        return self.source

    @property
    def core_latency(self) -> int:
        return 0

    @property
    def padded(self) -> tuple[int, int]:
        """(rows, columns) of the result."""
        return padded_size((self.height, self.width), self.pads, self.spacing)

    @property
    def cycles(self) -> int:
        rows, columns = self.padded
        return rows * columns * self.groups

    @property
    def beats_out(self) -> int:
        return self.cycles

    def schedule(self) -> Schedule:
        steps = np.arange(self.cycles, dtype=np.int64)
        pops = self._real(steps.reshape(*self.padded, self.groups)).flatten()  # a copy
        pops[0] = 0
        return Schedule(self.cycles, pops, steps)

    def _real(self, image: IntArray) -> IntArray:
        """What of the result are the image's pixels."""
        rows, columns = self.padded
        top, left, bottom, right = self.pads
        return image[top : rows - bottom : self.spacing[0], left : columns - right : self.spacing[1]]

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        result = np.full((*self.padded, self.groups, self.channels), self.pad_value, dtype=np.int64)
        self._real(result)[:] = beats.reshape(self.height, self.width, self.groups, self.channels)
        return result.reshape(-1, self.channels)

    def core_terms(self) -> Terms:
        rows, columns = self.padded
        waits = [counter_terms(max(pad + 1, spacing)) for pad, spacing in zip(self.pads[:2], self.spacing, strict=True)]
        counters = [counter_terms(size) for size in (self.groups, columns, rows)]
        held = self.sink.width * bool(self.pads[0] or self.pads[1])
        bits = sum(one["counter_bits"] for one in (*counters, *waits))
        return Terms(
            lut={
                "control": 1,
                "counter_bits": bits,
                "wrap_bits": sum(one["wrap_bits"] for one in counters),
                "pixel_bits": self.sink.width,
                "held_bits": held,
            },
            ff={"counter_bits": bits, "held": bool(held), "held_bits": held},
        )

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "HEIGHT": self.height,
            "WIDTH": self.width,
            "CHANNELS": self.channels,
            "GROUPS": self.groups,
            "BITS": self.bits,
            "PAD_TOP": self.pads[0],
            "PAD_LEFT": self.pads[1],
            "PAD_BOTTOM": self.pads[2],
            "PAD_RIGHT": self.pads[3],
            "PAD_VALUE": self.pad_value,
            "SPACING_H": self.spacing[0],
            "SPACING_W": self.spacing[1],
            **self.output_parameters(),
        }
