"""Width converter: the same elements in beats of another number of lanes (whole ratios, up or down).

With a `unit`, so many elements begin in a beat of their own. Wide beats in: the last one's lanes beyond the unit are
dropped. Wide beats out: the last one holds the unit's last `out_lanes` elements, some of which the beat before had too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from admmfpga.blocks.base import Block, Contents, Port, Schedule, clog2, counter_terms, every
from admmfpga.blocks.calibration import Terms
from admmfpga.network import IntArray


@dataclass(frozen=True, kw_only=True)
class LaneConverter(Block):
    """A block that gives what it takes in beats of another number of lanes, in the step in which it has them."""

    in_lanes: int
    out_lanes: int
    bits: int
    signed: bool

    @property
    def source(self) -> Port:
        return Port(self.in_lanes, self.bits, self.signed)

    @property
    def sink(self) -> Port:
        return Port(self.out_lanes, self.bits, self.signed)

    @property
    def core_latency(self) -> int:
        return 0


@dataclass(frozen=True, kw_only=True)
class WidthConverter(LaneConverter):
    """`in_lanes` to `out_lanes`; one is a multiple of the other. `elements` a frame, in stream order.

    Attributes:
        unit: elements, a multiple of the narrower beat's lanes; 0: wide beats are full.
    """

    stem: ClassVar[str] = "width_converter"
    elements: int
    unit: int = 0

    def __post_init__(self) -> None:
        wide, narrow = max(self.in_lanes, self.out_lanes), min(self.in_lanes, self.out_lanes)
        assert wide % narrow == 0, self
        assert self.elements % (self.unit or wide) == 0, self
        assert self.unit == 0 or (self.unit % narrow == 0 and self.unit % wide and self.unit > wide), self

    @property
    def cycles(self) -> int:
        return self.elements // min(self.in_lanes, self.out_lanes)

    @property
    def beats_out(self) -> int:
        return self.elements // self._period * -(-self._period // self.out_lanes)

    @property
    def _period(self) -> int:
        """Elements after which steps repeat."""
        return self.unit or max(self.in_lanes, self.out_lanes)

    @property
    def unit_steps(self) -> int:
        """Steps of a unit; 0 without units."""
        return self.unit // min(self.in_lanes, self.out_lanes)

    def schedule(self) -> Schedule:
        steps = self.cycles
        period = self._period // min(self.in_lanes, self.out_lanes)
        starts = np.arange(0, steps, period)[:, None]
        if self.in_lanes >= self.out_lanes:
            pops = starts + np.arange(0, period, self.in_lanes // self.out_lanes)
            return Schedule(steps, pops.ravel(), every(1, steps))
        ratio = self.out_lanes // self.in_lanes
        ends = np.minimum(np.arange(0, period, ratio) + ratio, period) - 1
        return Schedule(steps, every(1, steps), (starts + ends).ravel())

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        if not self.unit:
            return beats.reshape(-1, self.out_lanes)
        units = beats.reshape(self.elements // self.unit, -1)[:, : self.unit]
        if self.in_lanes > self.out_lanes:
            return units.reshape(-1, self.out_lanes)
        return units[:, last_beat_full(self.unit, self.out_lanes)].reshape(-1, self.out_lanes)

    def core_terms(self) -> Terms:
        steps = counter_terms(max(self.in_lanes, self.out_lanes) // min(self.in_lanes, self.out_lanes))
        unit = clog2(self.unit_steps) if self.unit else 0
        down = self.in_lanes > self.out_lanes
        return Terms(
            lut={
                "control": 1,
                **steps,
                "unit_bits": unit,
                # Down: the input's low lanes or the rest of it go out, the rest is loaded or shifted; nothing follows
                # its last lanes.
                "select_bits": self.source.width - self.sink.width if down else 0,
            },
            # All of the wide beat but the lanes that pass straight through.
            ff={"kept_bits": abs(self.source.width - self.sink.width), "counter_bits": steps["counter_bits"] + unit},
        )

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "IN_LANES": self.in_lanes,
            "OUT_LANES": self.out_lanes,
            "UNIT_STEPS": self.unit_steps,
            "BITS": self.bits,
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"STEPS": self.cycles}


def last_beat_full(unit: int, lanes: int) -> IntArray:
    """Which element of a unit each lane carries, (beats * lanes,): in order, and the last beat's are the last ones.

    Args:
        unit: elements, at least `lanes`.
    """
    found = np.arange(-(-unit // lanes) * lanes)
    found[-lanes:] = np.arange(unit - lanes, unit)
    return found
