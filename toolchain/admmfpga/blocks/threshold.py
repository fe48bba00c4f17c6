"""Threshold: accumulators to codes of at most 4 bits by comparison, one beat a cycle; no multiplier.

Requantization is monotone, so a code is the number of thresholds (`Requantization.thresholds`) that are reached: the
same result bit for bit.

contents: "thresholds" (C, count), ascending. One word a channel group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from admmfpga.blocks.base import (
    LUTRAM_DEPTH,
    NO_MEMORIES,
    Block,
    Contents,
    Port,
    Resources,
    Schedule,
    counter_terms,
    every,
    rom_resources,
)
from admmfpga.blocks.calibration import Terms
from admmfpga.network import IntArray
from admmfpga.packing import Memory

MOST_THRESHOLDS = 15
"""Those of 4 bits."""


@dataclass(frozen=True, kw_only=True)
class Threshold(Block):
    """`lanes` channels a beat, `groups` beats a position, `positions` a frame.

    Attributes:
        in_bits, in_signed: accumulators.
        count: thresholds of a channel, 1 to 15.
        threshold_bits: signed.
        low: the code below all thresholds.
        out_bits, out_signed: codes.
    """

    stem: ClassVar[str] = "threshold"
    loads: ClassVar[bool] = True
    lanes: int
    groups: int
    positions: int
    in_bits: int
    in_signed: bool
    count: int
    threshold_bits: int
    low: int
    out_bits: int
    out_signed: bool

    def __post_init__(self) -> None:
        assert 1 <= self.count <= min(MOST_THRESHOLDS, (1 << self.out_bits) - 1), self

    @property
    def source(self) -> Port:
        return Port(self.lanes, self.in_bits, self.in_signed)

    @property
    def sink(self) -> Port:
        return Port(self.lanes, self.out_bits, self.out_signed)

    @property
    def core_latency(self) -> int:
        # Thresholds read, comparisons, and the code where it is not the comparison.
        return 2 if self.count == 1 else 3

    @property
    def cycles(self) -> int:
        return self.positions * self.groups

    @property
    def beats_out(self) -> int:
        return self.cycles

    def schedule(self) -> Schedule:
        steps = every(1, self.cycles)
        return Schedule(self.cycles, steps, steps)

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        accumulators = beats.reshape(-1, self.groups * self.lanes, 1)
        reached: IntArray = (accumulators >= contents["thresholds"]).sum(axis=-1)
        return (self.low + reached).reshape(-1, self.lanes)

    def memories(self, name: str, layer: str, contents: Contents) -> dict[str, Memory]:
        lanes = contents["thresholds"].reshape(self.groups, self.lanes * self.count)
        return {"THRESHOLDS": Memory(f"{name}.thresholds", lanes, self.threshold_bits, layer, "parameters")}

    @property
    def thresholds_in_block_ram(self) -> bool:
        return self.groups > LUTRAM_DEPTH

    def core_terms(self) -> Terms:
        group = counter_terms(self.groups)
        bits = max(self.in_bits + (not self.in_signed), self.threshold_bits)
        compared = self.lanes * self.count * bits
        coded = self.lanes * (self.count > 1)
        return Terms(
            lut={
                "control": 1,
                **group,
                "compare_bits": compared,
                # The number of those reached.
                "count": coded * self.count,
                "code_bits": coded * self.out_bits,
            },
            ff={
                "control": 1,
                "counter_bits": group["counter_bits"],
                "input_bits": self.lanes * self.in_bits,
                "reached": self.lanes * self.count,
                "code_bits": coded * self.out_bits,
            },
        )

    def part_resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        width = self.lanes * self.count * self.threshold_bits
        contents = memories.get("THRESHOLDS")
        return rom_resources(self.groups, width, block_ram=self.thresholds_in_block_ram, contents=contents)

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "LANES": self.lanes,
            "GROUPS": self.groups,
            "IN_BITS": self.in_bits,
            "IN_SIGNED": int(self.in_signed),
            "COUNT": self.count,
            "THRESHOLD_BITS": self.threshold_bits,
            "LOW": self.low,
            "OUT_BITS": self.out_bits,
            "THRESHOLD_BLOCK_RAM": int(self.thresholds_in_block_ram),
            "RELOADABLE": int(self.reloadable),
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"POSITIONS": self.positions}
