"""Gearbox: rows of codes in beats of another number of lanes, where neither is a multiple of the other.

On either side rows follow each other without a gap, so that a beat may hold the end of one and the beginning of the
next, or each row begins with a beat and its last beat is filled up. So it fills rows up for blocks that take several
pixels at a time, and takes out again what was filled in.

What has arrived and not left is held back, counted in units of the greatest common divisor of all sizes: a beat is
placed behind what is held, and what leaves is taken from the front. A step takes a beat where one is needed, or where
there is room for one beside what leaves; so nearly all steps take or give one on the side with more beats.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from typing import ClassVar

import numpy as np

from admmfpga.blocks.base import Contents, Schedule, counter_terms
from admmfpga.blocks.calibration import Terms
from admmfpga.blocks.width_converter import LaneConverter
from admmfpga.network import IntArray


@dataclass(frozen=True)
class Side:
    """How rows lie in the beats of a side.

    Attributes:
        lanes: codes of a beat.
        beats: of a row; 1 where rows follow each other without a gap.
        rest: codes of a row in its last beat; of rows without a gap all lanes.
    """

    lanes: int
    beats: int
    rest: int


@dataclass(frozen=True, kw_only=True)
class Gearbox(LaneConverter):
    """`rows` rows of `row` codes a frame.

    Attributes:
        in_filled, out_filled: whether a side's rows begin with a beat each. Without it, beats are full.
        fill: code that fills the last beat of a row; what fills it on the input is not looked at.
    """

    stem: ClassVar[str] = "gearbox"
    row: int
    rows: int
    in_filled: bool = False
    out_filled: bool = False
    fill: int = 0

    def __post_init__(self) -> None:
        for lanes, filled in ((self.in_lanes, self.in_filled), (self.out_lanes, self.out_filled)):
            assert filled or self.row * self.rows % lanes == 0, self

    @property
    def sides(self) -> tuple[Side, Side]:
        """Input and output."""
        first, second = (
            Side(lanes, -(-self.row // lanes), (self.row - 1) % lanes + 1) if filled else Side(lanes, 1, lanes)
            for lanes, filled in ((self.in_lanes, self.in_filled), (self.out_lanes, self.out_filled))
        )
        return first, second

    @property
    def unit(self) -> int:
        """Codes that always stay together."""
        return gcd(*(size for side in self.sides for size in (side.lanes, side.rest)))

    @property
    def held(self) -> int:
        """Units that can be held back: less than a beat of the wider side."""
        return max(self.in_lanes, self.out_lanes) // self.unit - 1

    @property
    def beats(self) -> int:
        """Beats of a frame on the input."""
        return self.rows * self.sides[0].beats if self.in_filled else self.rows * self.row // self.in_lanes

    def schedule(self) -> Schedule:
        return _schedule(*self.sides, self.unit, self.held, self.beats)

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        rows = beats.reshape(self.rows, -1)[:, : self.row]
        if self.out_filled:
            rows = np.pad(rows, ((0, 0), (0, -self.row % self.out_lanes)), constant_values=self.fill)
        return rows.reshape(-1, self.out_lanes)

    def core_terms(self) -> Terms:
        first, second = self.sides
        wide, held = self.unit * self.bits, self.held
        ins, outs, rest = (size // self.unit for size in (first.lanes, second.lanes, second.rest))
        counters = [counter_terms(size) for size in (first.beats, second.beats, self.beats + 1)]
        bits = sum(one["counter_bits"] for one in counters)
        count = counter_terms(held + 1)["counter_bits"]
        # Where a unit may come from: held, or any of the beat's; where a held one may be in a step before.
        sources = [
            (place < held) + sum(0 <= place - unit <= held for unit in range(ins)) for place in range(held + ins)
        ]
        before = [sum(place + size < held + ins for size in {0, outs, rest}) for place in range(held)]
        return Terms(
            lut={
                "control": 1,
                "counter_bits": bits,
                "wrap_bits": sum(one["wrap_bits"] for one in counters),
                "count_bits": count,
                # Multiplexers: three more inputs a LUT.
                "placed_bits": wide * sum(options - 1 for options in sources) / 3,
                "held_bits": wide * sum(options - 1 for options in before) / 3,
                "held_gates": wide * held,
                "filled_bits": self.bits * (second.lanes - second.rest),
                "masked_bits": self.bits * (first.lanes - first.rest),
            },
            ff={"control": 1, "counter_bits": bits, "count_bits": count, "held_bits": wide * held},
        )

    def rtl_parameters(self) -> dict[str, int | str]:
        first, second = self.sides
        unit = self.unit
        return {
            "UNIT": unit,
            "BITS": self.bits,
            "IN_UNITS": first.lanes // unit,
            "IN_BEATS": first.beats,
            "IN_REST": first.rest // unit,
            "OUT_UNITS": second.lanes // unit,
            "OUT_BEATS": second.beats,
            "OUT_REST": second.rest // unit,
            "FRAME_BEATS": self.beats,
            "FILL": self.fill,
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"STEPS": self.cycles}


@lru_cache(maxsize=1024)
def _schedule(first: Side, second: Side, unit: int, held: int, beats: int) -> Schedule:
    """Steps until all beats have come and everything has left."""
    pops, emits = [], []
    have = step = popped = emitted = 0
    while popped < beats or have:
        need = (second.rest if emitted % second.beats == second.beats - 1 else second.lanes) // unit
        enough = have >= need
        if popped < beats and (not enough or have - need + first.lanes // unit <= held):
            have += (first.rest if popped % first.beats == first.beats - 1 else first.lanes) // unit
            pops.append(step)
            popped += 1
        if have >= need:
            have -= need
            emits.append(step)
            emitted += 1
        assert have <= held, (first, second)
        step += 1
    return Schedule(step, np.array(pops), np.array(emits))
