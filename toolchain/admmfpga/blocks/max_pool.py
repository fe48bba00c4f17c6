"""Max pool: the greatest tap of each channel of a window beat, one beat a cycle (the window unit feeds it)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from admmfpga.blocks.base import BeatByBeat, Contents, Port, Resources, clog2
from admmfpga.network import IntArray


@dataclass(frozen=True, kw_only=True)
class MaxPool(BeatByBeat):
    """`taps` x `channels` lanes in (lane tap*channels + channel), `channels` lanes out; `beats` a frame."""

    stem: ClassVar[str] = "max_pool"
    taps: int
    channels: int
    bits: int
    signed: bool

    @property
    def source(self) -> Port:
        return Port(self.taps * self.channels, self.bits, self.signed)

    @property
    def sink(self) -> Port:
        return Port(self.channels, self.bits, self.signed)

    @property
    def core_latency(self) -> int:
        # Input register, then a tree of comparators, one level a cycle.
        return 1 + clog2(self.taps)

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        best: IntArray = beats.reshape(-1, self.taps, self.channels).max(axis=1)
        return best

    def core_resources(self) -> Resources:
        comparators = (self.taps - 1) * self.channels
        return Resources(
            lut=8 + comparators * (self.bits + self.bits // 2 + 1),
            ff=8 + self.source.width + comparators * self.bits,
        )

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "TAPS": self.taps,
            "CHANNELS": self.channels,
            "BITS": self.bits,
            "SIGNED": int(self.signed),
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"BEATS": self.beats}
