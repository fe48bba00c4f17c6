"""Depthwise PE array: channels side by side, each with filters of its own, a part of the taps at a time.

contents: "filters" (channels * filters, taps): rows of one channel behind each other. One weight word a step: lane
(channel, filter, tap).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from admmfpga.blocks.base import (
    NO_MEMORIES,
    Block,
    Contents,
    Port,
    Resources,
    Schedule,
    clog2,
    counter_terms,
    every,
    rom_resources,
    tree_chains,
)
from admmfpga.blocks.calibration import Terms
from admmfpga.blocks.families import family
from admmfpga.blocks.matrix_unit import multiplier_resources
from admmfpga.network import IntArray
from admmfpga.packing import Memory


@dataclass(frozen=True, kw_only=True)
class DepthwisePE(Block):
    """`simd` taps of `pe` channels in a beat (lane tap*pe + channel), pe * filters accumulators out.

    Attributes:
        pe: channels at a time.
        simd: taps at a time.
        taps: of a window.
        filters: of each channel.
        groups: channel groups, one after the other at each position.
        positions: of a frame.
        in_bits, in_signed: activations.
        weight_bits: signed weights.
        acc_bits: signed accumulators, wide enough for the worst case.
        use_dsp: multipliers in DSP blocks, or in LUTs.
        weight_block_ram: weights in block RAM, or in LUTs.
    """

    stem: ClassVar[str] = "depthwise_pe"
    pe: int
    simd: int
    taps: int
    filters: int
    groups: int
    positions: int
    in_bits: int
    in_signed: bool
    weight_bits: int
    acc_bits: int
    use_dsp: bool = True
    weight_block_ram: bool = False

    def __post_init__(self) -> None:
        assert self.taps % self.simd == 0, self

    @property
    def folds(self) -> int:
        """Steps of a window."""
        return self.taps // self.simd

    @property
    def rows(self) -> int:
        """Accumulators of a beat."""
        return self.pe * self.filters

    @property
    def source(self) -> Port:
        return Port(self.simd * self.pe, self.in_bits, self.in_signed)

    @property
    def sink(self) -> Port:
        return Port(self.rows, self.acc_bits, signed=True)

    @property
    def core_latency(self) -> int:
        # ROM read, operand registers, product register, adder tree (one level a cycle), accumulator.
        return 4 + clog2(self.simd)

    @property
    def cycles(self) -> int:
        return self.positions * self.groups * self.folds

    @property
    def beats_out(self) -> int:
        return self.positions * self.groups

    def schedule(self) -> Schedule:
        return Schedule(self.cycles, every(1, self.cycles), every(self.folds, self.cycles, self.folds - 1))

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        windows = beats.reshape(self.positions, self.groups, self.taps, self.pe)
        filters = contents["filters"].reshape(self.groups, self.pe, self.filters, self.taps)
        sums: IntArray = (windows.transpose(0, 1, 3, 2)[:, :, :, None] * filters).sum(axis=-1)
        return sums.reshape(-1, self.rows)

    def memories(self, name: str, layer: str, contents: Contents) -> dict[str, Memory]:
        folded = contents["filters"].reshape(self.groups, self.rows, self.folds, self.simd)
        lanes = folded.transpose(0, 2, 1, 3).reshape(self.weight_depth, self.multipliers)
        return {"WEIGHTS": Memory(f"{name}.weights", lanes, self.weight_bits, layer, "dense")}

    @property
    def multipliers(self) -> int:
        """Weights that are worked on in a step."""
        return self.rows * self.simd

    @property
    def weight_depth(self) -> int:
        return self.groups * self.folds

    @property
    def product_bits(self) -> int:
        """Product of an activation and a weight, no wider than the accumulator."""
        return min(self.in_bits + self.weight_bits, self.acc_bits)

    @property
    def factor_bits(self) -> tuple[int, int]:
        """Signed factors: an unsigned activation gets a sign."""
        return self.in_bits + (not self.in_signed), self.weight_bits

    @property
    def multipliers_in_dsp(self) -> bool:
        """Whether they are: small products never are."""
        return self.use_dsp and self.product_bits >= family().product_bits and min(self.factor_bits) > 1

    def core_terms(self) -> Terms:
        dsp = self.multipliers_in_dsp
        absorbs = dsp and family().dsp_absorbs
        # A DSP block has the product register, and the first level's adder with its register.
        absorbed = 2 if absorbs else 0
        registers = shifted = adders = 0
        for level, length in tree_chains(self.simd):
            bits = min(self.product_bits + level, self.acc_bits)
            adders += bits * (level >= max(1, absorbed))
            left = length - max(0, absorbed - level)
            shifted += bits * (left >= family().shift_register)
            registers += bits * max(0, left) * (left < family().shift_register)
        accumulators = 0 if absorbs and self.simd == 1 else self.rows * self.acc_bits
        address, fold = counter_terms(self.weight_depth), counter_terms(self.folds)
        multiplier = multiplier_resources(*self.factor_bits, self.product_bits).lut
        constant = self.weight_depth == 1
        return Terms(
            lut={
                "control": 1,
                "counter_bits": address["counter_bits"] + fold["counter_bits"],
                "wrap_bits": address["wrap_bits"] + fold["wrap_bits"],
                "adder_bits": self.rows * adders,
                # The first product of a window starts the sum anew.
                "accumulator_bits": accumulators * (self.folds > 1),
                "shift_registers": self.rows * shifted,
                "multipliers": self.multipliers * multiplier * (not dsp and not constant),
                # Weights that never change make some of a multiplier constant.
                "constant_multipliers": self.multipliers * multiplier * (not dsp and constant),
            },
            ff={
                "control": 1,
                "stages": self.core_latency,
                "counter_bits": address["counter_bits"] + fold["counter_bits"],
                # Activations twice, where a DSP block does not have them.
                "operand_bits": self.source.width * (not absorbs),
                "weight_operand_bits": self.multipliers * self.weight_bits * (not absorbs and not constant),
                "tree_bits": self.rows * registers,
                "accumulator_bits": accumulators,
            },
        )

    def part_resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        rom = rom_resources(
            self.weight_depth,
            self.multipliers * self.weight_bits,
            block_ram=self.weight_block_ram,
            contents=memories.get("WEIGHTS"),
        )
        return rom + Resources(dsp=self.multipliers * self.multipliers_in_dsp)

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "PE": self.pe,
            "SIMD": self.simd,
            "FILTERS": self.filters,
            "GROUPS": self.groups,
            "FOLDS": self.folds,
            "IN_BITS": self.in_bits,
            "IN_SIGNED": int(self.in_signed),
            "WEIGHT_BITS": self.weight_bits,
            "ACC_BITS": self.acc_bits,
            "USE_DSP": int(self.multipliers_in_dsp),
            "WEIGHT_BLOCK_RAM": int(self.weight_block_ram),
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"POSITIONS": self.positions}
