"""Requantize: accumulators to codes by the rule of `network/requantization.py`, one beat a cycle.

contents: "bias" (C,), "multiplier" (C,). One parameter word a channel group: lane = bias above multiplier.
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
    dsp_pieces,
    every,
    weight_memory_resources,
)
from admmfpga.blocks.calibration import Terms
from admmfpga.blocks.families import family
from admmfpga.network import IntArray, IntType, Requantization
from admmfpga.packing import Memory


@dataclass(frozen=True, kw_only=True)
class Requantize(Block):
    """`lanes` channels a beat, `groups` beats a position, `positions` a frame.

    Attributes:
        in_bits, in_signed: accumulators.
        bias_bits: signed.
        sum_bits: signed accumulator + bias.
        multiplier_bits: unsigned.
        shift, zero_point, low, high: see network.Requantization.
        out_bits, out_signed: codes.
    """

    stem: ClassVar[str] = "requantize"
    loads: ClassVar[bool] = True
    lanes: int
    groups: int
    positions: int
    in_bits: int
    in_signed: bool
    bias_bits: int
    sum_bits: int
    multiplier_bits: int
    shift: int
    zero_point: int
    low: int
    high: int
    out_bits: int
    out_signed: bool

    @property
    def source(self) -> Port:
        return Port(self.lanes, self.in_bits, self.in_signed)

    @property
    def sink(self) -> Port:
        return Port(self.lanes, self.out_bits, self.out_signed)

    @property
    def core_latency(self) -> int:
        # Parameter read, bias, product, rounding shift, zero point and clip.
        return 5

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
        rule = Requantization(
            contents["bias"],
            contents["multiplier"],
            self.shift,
            self.zero_point,
            self.low,
            self.high,
            IntType(self.out_bits, self.out_signed),
        )
        return rule.apply(beats.reshape(-1, self.groups * self.lanes)).reshape(-1, self.lanes)

    def memories(self, name: str, layer: str, contents: Contents) -> dict[str, Memory]:
        lanes = (contents["bias"] << self.multiplier_bits) | contents["multiplier"]
        memory = Memory(
            f"{name}.parameters", lanes.reshape(self.groups, self.lanes), self.lane_bits, layer, "parameters"
        )
        return {"PARAMETERS": memory}

    @property
    def lane_bits(self) -> int:
        return self.bias_bits + self.multiplier_bits

    @property
    def pieces(self) -> tuple[int, int]:
        """Parts that sum and multiplier are cut into for the multipliers of DSP blocks; (0, 0) without any."""
        return dsp_pieces(self.sum_bits, self.multiplier_bits + 1) if self.multiplier_bits > 1 else (0, 0)

    @property
    def sum_in_dsp(self) -> bool:
        """Whether accumulator + bias takes the adder before a DSP block's wider factor."""
        return family().dsp_absorbs and self.pieces[0] == 1 and self.sum_bits > self.multiplier_bits

    def core_terms(self) -> Terms:
        pieces = self.pieces[0] * self.pieces[1]
        lanes, group = self.lanes, counter_terms(self.groups)
        # What is left of the product, rounded up.
        quotient = max(1, self.sum_bits + self.multiplier_bits - self.shift) + 1
        outside = lanes * (not self.sum_in_dsp)
        stored = self.groups > 1 or self.reloadable
        in_luts = stored and self.groups <= LUTRAM_DEPTH
        gated = lanes * self.sum_bits * (pieces == 0)
        # A part's low bits wait for the others.
        joined = lanes * 17 * max(0, pieces - 1)
        # Factors and product, where a multiplier has no registers of its own.
        apart = lanes * 2 * (self.sum_bits + self.multiplier_bits) * (pieces > 0 and not family().dsp_absorbs)
        return Terms(
            lut={
                "control": 1,
                **group,
                # Rounding: whether more than half is cut off, and the increment.
                "cut_off_bits": lanes * self.shift,
                "quotient_bits": lanes * quotient,
                # Clipping.
                "code_bits": lanes * self.out_bits,
                "zero_point_bits": lanes * quotient * (self.zero_point != 0),
                # Accumulator + bias, unless in the DSP block; a constant bias takes inverters only.
                "sum_bits": outside * self.sum_bits * stored,
                "constant_sum_bits": outside * self.sum_bits * (not stored),
                # Without a multiplication: the sum or zero.
                "gate_bits": gated,
                # Adders between the parts of a multiplication.
                "joined_bits": joined,
            },
            ff={
                "control": 1,
                "counter_bits": group["counter_bits"],
                "quotient_bits": lanes * quotient,
                "code_bits": lanes * self.out_bits,
                # Outputs of a ROM in LUTs: the DSP block's own registers take the multiplier a cycle later, and the
                # bias if they take the accumulator.
                "parameter_bits": (lanes * self.multiplier_bits * (pieces > 0) + outside * self.bias_bits) * in_luts,
                # Operands of a sum outside the DSP block; its result is in one again, if there is one.
                "input_bits": outside * self.in_bits,
                "gate_bits": gated,
                "joined_bits": joined,
                "product_bits": apart,
            },
        )

    @property
    def parameters_in_block_ram(self) -> bool:
        return self.groups > LUTRAM_DEPTH

    def part_resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        in_a, in_b = self.pieces
        memory = weight_memory_resources(
            self.groups,
            self.lanes * self.lane_bits,
            block_ram=self.parameters_in_block_ram,
            reloadable=self.reloadable,
            registered=False,
            contents=memories.get("PARAMETERS"),
        )
        return memory + Resources(dsp=self.lanes * in_a * in_b)

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "LANES": self.lanes,
            "GROUPS": self.groups,
            "IN_BITS": self.in_bits,
            "IN_SIGNED": int(self.in_signed),
            "BIAS_BITS": self.bias_bits,
            "SUM_BITS": self.sum_bits,
            "MULTIPLIER_BITS": self.multiplier_bits,
            "SHIFT": self.shift,
            "ZERO_POINT": self.zero_point,
            "LOW": self.low,
            "HIGH": self.high,
            "OUT_BITS": self.out_bits,
            "PARAMETER_BLOCK_RAM": int(self.parameters_in_block_ram),
            "RELOADABLE": int(self.reloadable),
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"POSITIONS": self.positions}
