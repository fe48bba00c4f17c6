"""Max pool: the greatest tap of each channel of a window beat, one beat a cycle (the window unit feeds it)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from admmfpga.blocks.base import BeatByBeat, Contents, Port, clog2, tree_chains
from admmfpga.blocks.calibration import Terms
from admmfpga.blocks.families import family
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

    def core_terms(self) -> Terms:
        comparators = (self.taps - 1) * self.channels
        lengths = [length for _, length in tree_chains(self.taps)]
        width = self.channels * self.bits
        return Terms(
            lut={
                "control": 1,
                # A carry chain that compares and a multiplexer, a LUT a bit each; narrow ones without the chain.
                "comparator_bits": comparators * self.bits * (self.bits > 3),
                "narrow_comparator_bits": comparators * self.bits * (1 < self.bits <= 3),
                "one_bit_comparators": comparators * (self.bits == 1),
                # Values that wait for a later level.
                "shift_registers": width * sum(length >= family().shift_register for length in lengths),
            },
            ff={
                # Which levels hold a beat.
                "levels": 1 + clog2(self.taps),
                "register_bits": width * sum(length for length in lengths if length < family().shift_register),
            },
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
