"""Deal: fewer and wider beats of the same elements, in another order.

A unit is a vector of `beats` beats. The first `stored` of them are kept and dealt out to the others, each of which has
`extra` lanes for that. A PE whose columns come in that order has SIMD that no whole number of beats would give: beats
of 50 lanes, ten a vector, become nine of 56.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from admmfpga.blocks.base import Block, Contents, Port, Schedule, counter_terms, every
from admmfpga.blocks.calibration import Terms
from admmfpga.network import IntArray


@dataclass(frozen=True, kw_only=True)
class Deal(Block):
    """`units` a frame, each of `beats` beats of `lanes`.

    Attributes:
        stored: the first beats of a unit.
        extra: lanes of an output beat that carry what was stored; zeros where nothing is left of it.
    """

    stem: ClassVar[str] = "deal"
    lanes: int
    extra: int
    stored: int
    beats: int
    units: int
    bits: int
    signed: bool

    def __post_init__(self) -> None:
        kept = self.stored * self.lanes
        assert 1 <= self.extra <= kept <= self.extra * (self.beats - self.stored), self

    @property
    def source(self) -> Port:
        return Port(self.lanes, self.bits, self.signed)

    @property
    def sink(self) -> Port:
        return Port(self.lanes + self.extra, self.bits, self.signed)

    @property
    def core_latency(self) -> int:
        return 0

    @property
    def cycles(self) -> int:
        return self.units * self.beats

    @property
    def beats_out(self) -> int:
        return self.units * (self.beats - self.stored)

    def schedule(self) -> Schedule:
        steps = every(1, self.cycles)
        return Schedule(self.cycles, steps, steps[steps % self.beats >= self.stored])

    def order(self) -> IntArray:
        """Which element of a unit each lane of its output beats carries, one beat after the other; -1: none."""
        kept, others = self.stored * self.lanes, self.beats - self.stored
        straight = np.arange(kept, self.beats * self.lanes).reshape(others, self.lanes)
        beside = np.full(others * self.extra, -1)
        beside[:kept] = np.arange(kept)
        return np.hstack([straight, beside.reshape(others, self.extra)]).ravel()

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        order, units = self.order(), beats.reshape(self.units, -1)
        found: IntArray = np.where(order < 0, 0, units[:, order]).reshape(-1, self.sink.lanes)
        return found

    def core_terms(self) -> Terms:
        kept, beat = self.stored * self.source.width, counter_terms(self.beats)
        return Terms(
            # What is stored moves by a beat or by the extra lanes; nothing follows the last ones.
            lut={"control": 1, **beat, "select_bits": (kept - self.extra * self.bits) * (self.extra != self.lanes)},
            ff={"kept_bits": kept, "counter_bits": beat["counter_bits"]},
        )

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "LANES": self.lanes,
            "EXTRA": self.extra,
            "BEATS": self.beats,
            "STORED": self.stored,
            "BITS": self.bits,
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"UNITS": self.units}
