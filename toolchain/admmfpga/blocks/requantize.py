"""Requantize: accumulators to codes by the rule of `network/requantization.py`, one beat a cycle.

contents: "bias" (C,), "multiplier" (C,). One parameter word a channel group: lane = bias above multiplier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from admmfpga.blocks.base import LUTRAM_DEPTH, Block, Contents, Port, Resources, Schedule, bram18, every
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

    def core_resources(self) -> Resources:
        multiplies = self.multiplier_bits > 1
        product = self.sum_bits + self.multiplier_bits
        # One 25x18 multiplier up to there; wider ones are cut into pieces.
        dsp = -(-self.sum_bits // 25) * -(-(self.multiplier_bits + 1) // 18) if multiplies else 0
        lane_lut = self.sum_bits + (product - self.shift) + self.shift // 4 + 2 * self.out_bits
        lane_ff = self.in_bits + self.sum_bits + 2 * max(self.out_bits, product - self.shift) + self.multiplier_bits
        width = self.lanes * self.lane_bits
        rom = (
            Resources(bram18=bram18(self.groups, width))
            if self.groups > LUTRAM_DEPTH
            else Resources(lut=width * -(-self.groups // 64), ff=width)
        )
        return Resources(lut=16 + self.lanes * lane_lut, ff=16 + self.lanes * lane_ff, dsp=self.lanes * dsp) + rom

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
            "PARAMETER_BLOCK_RAM": int(self.groups > LUTRAM_DEPTH),
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"POSITIONS": self.positions}
