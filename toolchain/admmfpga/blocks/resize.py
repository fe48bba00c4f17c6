"""Resize: nearest-neighbour enlargement, every pixel to factors[0] x factors[1] pixels.

A row is kept in a memory while it is repeated; without vertical enlargement that is only a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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
    counter_terms,
    ram_resources,
)
from admmfpga.blocks.calibration import Terms
from admmfpga.network import IntArray
from admmfpga.packing import Memory


@dataclass(frozen=True, kw_only=True)
class Resize(Block):
    """An image of height x width pixels of `groups` beats of `channels` codes.

    Attributes:
        factors: (vertical, horizontal).
    """

    stem: ClassVar[str] = "resize"
    height: int
    width: int
    channels: int
    groups: int
    bits: int
    signed: bool
    factors: tuple[int, int]

    @property
    def source(self) -> Port:
        return Port(self.channels, self.bits, self.signed)

    @property
    def sink(self) -> Port:
        return self.source

    @property
    def core_latency(self) -> int:
        return 1

    @property
    def cycles(self) -> int:
        return self.height * self.width * self.groups * self.factors[0] * self.factors[1]

    @property
    def beats_out(self) -> int:
        return self.cycles

    def schedule(self) -> Schedule:
        steps = np.arange(self.cycles, dtype=np.int64)
        shape = (self.height, self.factors[0], self.width, self.factors[1], self.groups)
        pops = steps.reshape(shape)[:, 0, :, 0].ravel()
        return Schedule(self.cycles, pops, steps)

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        image = beats.reshape(self.height, self.width, -1)
        return image.repeat(self.factors[0], axis=0).repeat(self.factors[1], axis=1).reshape(-1, self.channels)

    @property
    def kept(self) -> int:
        """Beats in the memory."""
        return self.groups * (self.width if self.factors[0] > 1 else 1)

    def core_terms(self) -> Terms:
        sizes = (self.groups, self.factors[1], self.width, self.factors[0])
        counters = [counter_terms(size) for size in (*sizes, self.kept)]
        return Terms(
            lut={
                "control": 1,
                "counter_bits": sum(one["counter_bits"] for one in counters),
                "wrap_bits": sum(one["wrap_bits"] for one in counters),
                # The beat that has come or the one that is kept.
                "select_bits": self.sink.width,
            },
            ff={
                "control": 1,
                "counter_bits": sum(one["counter_bits"] for one in counters),
                "beat_bits": self.sink.width,
            },
        )

    def part_resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        if self.kept == 1:
            return Resources(ff=2 * self.sink.width)
        return ram_resources(self.kept, self.sink.width, block_ram=self.kept > LUTRAM_DEPTH)

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "WIDTH": self.width,
            "BEAT": self.sink.width,
            "GROUPS": self.groups,
            "FACTOR_H": self.factors[0],
            "FACTOR_W": self.factors[1],
            "ROW_BLOCK_RAM": int(self.kept > LUTRAM_DEPTH),
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"HEIGHT": self.height}
