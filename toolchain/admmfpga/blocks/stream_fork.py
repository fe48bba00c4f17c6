"""Fork: every beat to two readers, each behind a FIFO of its own.

The FIFO of the branch that gets its partner late holds what the other branch works on meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from admmfpga.blocks.base import LUTRAM_DEPTH, BeatByBeat, Block, Contents, Port, Resources, fifo_resources
from admmfpga.blocks.calibration import Terms
from admmfpga.network import IntArray


@dataclass(frozen=True, kw_only=True)
class StreamFork(BeatByBeat):
    """`lanes` x `bits`; `beats` a frame.

    Attributes:
        second_depth: beats in the FIFO of the second output.
    """

    stem: ClassVar[str] = "stream_fork"
    output_ports: ClassVar[tuple[str, ...]] = ("out0", "out1")
    lanes: int
    bits: int
    signed: bool
    second_depth: int = 2

    @property
    def source(self) -> Port:
        return Port(self.lanes, self.bits, self.signed)

    @property
    def sink(self) -> Port:
        return self.source

    @property
    def depths(self) -> tuple[int, ...]:
        return self.out_depth, self.second_depth

    def with_depths(self, depths: Sequence[int]) -> Block:
        first, second = depths
        return replace(self, out_depth=first, second_depth=second)

    def execute_ports(self, inputs: Sequence[IntArray], contents: Contents) -> tuple[IntArray, ...]:
        (beats,) = inputs
        return beats, beats

    def core_terms(self) -> Terms:
        return Terms(lut={"control": 1})

    def output_resources(self) -> Resources:
        return sum((fifo_resources(depth, self.sink.width) for depth in self.depths), Resources())

    def output_parameters(self) -> dict[str, int | str]:
        return {
            "OUT0_DEPTH": self.out_depth,
            "OUT0_BLOCK_RAM": int(self.out_depth > LUTRAM_DEPTH),
            "OUT1_DEPTH": self.second_depth,
            "OUT1_BLOCK_RAM": int(self.second_depth > LUTRAM_DEPTH),
        }

    def rtl_parameters(self) -> dict[str, int | str]:
        return {"WIDTH": self.source.width, **self.output_parameters()}

    def frame_parameters(self) -> dict[str, int]:
        return {"BEATS": self.beats}
