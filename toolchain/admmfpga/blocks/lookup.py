"""Lookup: a function of one code by table, one for all channels or one a channel.

contents: "table" (1 or channels, 2**in_bits) output codes, the entry of the least code first. A memory word is an
entry, by the code's bits; a table a channel is above that of the channel before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from admmfpga.blocks.base import NO_MEMORIES, BeatByBeat, Contents, Port, Resources, counter_terms, rom_resources
from admmfpga.blocks.calibration import Terms
from admmfpga.network import IntArray
from admmfpga.packing import Memory


@dataclass(frozen=True, kw_only=True)
class Lookup(BeatByBeat):
    """`lanes` codes a beat, each with a memory of its own.

    Attributes:
        in_bits, in_signed, out_bits, out_signed: codes.
        count: of tables: 1, or as many as channels, with one lane.
        table_block_ram: tables in block RAM, or in LUTs.
    """

    stem: ClassVar[str] = "lookup"
    lanes: int
    in_bits: int
    in_signed: bool
    out_bits: int
    out_signed: bool
    count: int = 1
    table_block_ram: bool = False

    def __post_init__(self) -> None:
        assert self.count == 1 or self.lanes == 1, self

    @property
    def source(self) -> Port:
        return Port(self.lanes, self.in_bits, self.in_signed)

    @property
    def sink(self) -> Port:
        return Port(self.lanes, self.out_bits, self.out_signed)

    @property
    def core_latency(self) -> int:
        return 1

    @property
    def least(self) -> int:
        """The code of a table's first entry."""
        return -(1 << (self.in_bits - 1)) if self.in_signed else 0

    @property
    def depth(self) -> int:
        """Words of a lane's memory."""
        return self.count << self.in_bits

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        table = contents["table"]
        channel = np.arange(beats.size).reshape(beats.shape) % self.count
        found: IntArray = table[channel, beats - self.least]
        return found

    def memories(self, name: str, layer: str, contents: Contents) -> dict[str, Memory]:
        # Entry of a code's bits: two's complement begins with the codes from 0.
        table = np.roll(contents["table"], self.least, axis=1)
        memory = Memory(f"{name}.codes", table.reshape(-1, 1), self.out_bits, layer, "table", signed=self.out_signed)
        return {"CODES": memory}

    def core_terms(self) -> Terms:
        channel = counter_terms(self.count)
        return Terms(lut={"control": 1, **channel}, ff={"control": 1, "counter_bits": channel["counter_bits"]})

    def part_resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        codes = memories.get("CODES")
        return rom_resources(self.depth, self.out_bits, block_ram=self.table_block_ram, contents=codes) * self.lanes

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "LANES": self.lanes,
            "IN_BITS": self.in_bits,
            "OUT_BITS": self.out_bits,
            "TABLES": self.count,
            "CODE_BLOCK_RAM": int(self.table_block_ram),
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"BEATS": self.beats}
