"""FIFO with credits: the elastic part of every block.

A slot is reserved when a result is issued and filled when it arrives, so a pipeline in front of it needs no stall net.
Plain valid/ready use ties `reserve` and `push` together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from admmfpga.blocks.base import NO_MEMORIES, BeatByBeat, Port, Resources
from admmfpga.blocks.calibration import Terms
from admmfpga.packing import Memory


@dataclass(frozen=True, kw_only=True)
class Fifo(BeatByBeat):
    """`out_depth` beats of `lanes` x `bits`; `beats` a frame."""

    stem: ClassVar[str] = "fifo"
    lanes: int
    bits: int
    signed: bool = False

    @property
    def source(self) -> Port:
        return Port(self.lanes, self.bits, self.signed)

    @property
    def sink(self) -> Port:
        return self.source

    def core_terms(self) -> Terms:
        return Terms()

    def resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        return self.output_resources()

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "WIDTH": self.source.width,
            "DEPTH": self.out_depth,
            "BLOCK_RAM": self.output_parameters()["OUT_BLOCK_RAM"],
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"BEATS": self.beats}
