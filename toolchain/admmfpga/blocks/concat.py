"""Concat: beats of one stream, then beats of another, in turn. Which axis that is decides how many of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from admmfpga.blocks.base import Contents, Join, Port, Schedule, counter_terms
from admmfpga.blocks.calibration import Terms
from admmfpga.network import IntArray


@dataclass(frozen=True, kw_only=True)
class Concat(Join):
    """`first` beats of the first input and `second` beats of the second one, `repeats` times a frame."""

    stem: ClassVar[str] = "concat"
    lanes: int
    bits: int
    signed: bool
    first: int
    second: int
    repeats: int

    @property
    def sources(self) -> tuple[Port, ...]:
        return (self.sink, self.sink)

    @property
    def sink(self) -> Port:
        return Port(self.lanes, self.bits, self.signed)

    @property
    def core_latency(self) -> int:
        return 0

    @property
    def cycles(self) -> int:
        return (self.first + self.second) * self.repeats

    @property
    def beats_out(self) -> int:
        return self.cycles

    def schedule(self) -> Schedule:
        steps = np.arange(self.cycles, dtype=np.int64)
        of_first = steps % (self.first + self.second) < self.first
        return Schedule(self.cycles, steps[of_first], steps, second_pops=steps[~of_first])

    def execute_ports(self, inputs: Sequence[IntArray], contents: Contents) -> tuple[IntArray, ...]:
        parts = [beats.reshape(self.repeats, -1, self.lanes) for beats in inputs]
        return (np.concatenate(parts, axis=1).reshape(-1, self.lanes),)

    def core_terms(self) -> Terms:
        turn = counter_terms(self.first + self.second)
        return Terms(
            lut={"control": 1, **turn, "select_bits": self.sink.width},
            ff={"control": 1, "counter_bits": turn["counter_bits"]},
        )

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "WIDTH": self.sink.width,
            "FIRST": self.first,
            "SECOND": self.second,
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"REPEATS": self.repeats}
