"""Add: the weighted sum of two streams, exact; a requantize block behind it rounds once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from admmfpga.blocks.base import (
    NO_MEMORIES,
    Contents,
    Join,
    Port,
    Resources,
    Schedule,
    dsp_pieces,
    every,
)
from admmfpga.blocks.calibration import Terms
from admmfpga.blocks.families import family
from admmfpga.network import IntArray, IntType
from admmfpga.packing import Memory


@dataclass(frozen=True, kw_only=True)
class Add(Join):
    """`lanes` codes of each input a beat, `beats` a frame: factors[0] * first + factors[1] * second.

    Attributes:
        bits, signed: of the codes of each input.
        factors: signed integers, not zero.
        sum_bits: signed result, wide enough for the worst case.
        use_dsp: multipliers in DSP blocks, else in LUTs.
    """

    stem: ClassVar[str] = "add"
    lanes: int
    bits: tuple[int, int]
    signed: tuple[bool, bool]
    factors: tuple[int, int]
    sum_bits: int
    beats: int
    use_dsp: bool = True

    def __post_init__(self) -> None:
        assert all(0 < abs(factor) < 1 << 31 for factor in self.factors), self

    @property
    def sources(self) -> tuple[Port, ...]:
        return tuple(Port(self.lanes, bits, signed) for bits, signed in zip(self.bits, self.signed, strict=True))

    @property
    def sink(self) -> Port:
        return Port(self.lanes, self.sum_bits, signed=True)

    @property
    def core_latency(self) -> int:
        # Codes, products, sum.
        return 3

    @property
    def cycles(self) -> int:
        return self.beats

    @property
    def beats_out(self) -> int:
        return self.beats

    def schedule(self) -> Schedule:
        steps = every(1, self.beats)
        return Schedule(self.beats, steps, steps, second_pops=steps)

    def execute_ports(self, inputs: Sequence[IntArray], contents: Contents) -> tuple[IntArray, ...]:
        first, second = inputs
        return (self.factors[0] * first + self.factors[1] * second,)

    @property
    def shifts(self) -> tuple[int, ...]:
        """Twos in each factor: wires."""
        return tuple((factor & -factor).bit_length() - 1 for factor in self.factors)

    @property
    def odd_factors(self) -> tuple[int, ...]:
        """What is left to multiply with."""
        return tuple(factor >> shift for factor, shift in zip(self.factors, self.shifts, strict=True))

    def factor_bits(self, index: int) -> tuple[int, int]:
        """Signed widths of code and odd factor."""
        factor = self.odd_factors[index]
        return self.bits[index] + (not self.signed[index]), IntType.signed_holding(factor, factor).bits

    def multiplies(self, index: int) -> bool:
        """Whether there is more to do than to shift or negate."""
        return abs(self.odd_factors[index]) > 1

    def in_dsp(self, index: int) -> bool:
        """Whether an input's multipliers are DSP blocks: small products never are."""
        return self.use_dsp and self.multiplies(index) and sum(self.factor_bits(index)) >= family().product_bits

    def part_resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        pieces = [dsp_pieces(*self.factor_bits(index)) for index in (0, 1) if self.in_dsp(index)]
        return Resources(dsp=self.lanes * sum(a * b for a, b in pieces))

    def core_terms(self) -> Terms:
        rows = negated = registers = products = 0
        # A DSP block has the adder right behind its product, and a register for the other summand.
        absorbed = family().dsp_absorbs and any(self.in_dsp(i) and not self.shifts[i] for i in (0, 1))
        for index in (0, 1):
            code, factor = self.factor_bits(index)
            if self.in_dsp(index):
                continue
            registers += self.bits[index]
            if self.multiplies(index):
                # Booth rows over the narrower factor, as in `multiplier`.
                rows += (min(code, factor) + 1) // 2 * max(code, factor)
                products += code + factor
            else:
                negated += code * (self.odd_factors[index] < 0)
                products += self.bits[index]
        outside = self.lanes * (not absorbed)
        return Terms(
            lut={
                "control": 1,
                "sum_bits": outside * self.sum_bits,
                "multiplier_bits": self.lanes * rows,
                "negated_bits": self.lanes * negated,
            },
            ff={
                "control": 1,
                "input_bits": self.lanes * registers,
                "product_bits": outside * products,
                "sum_bits": outside * self.sum_bits,
            },
        )

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "LANES": self.lanes,
            "BITS0": self.bits[0],
            "SIGNED0": int(self.signed[0]),
            "FACTOR0": self.odd_factors[0],
            "SHIFT0": self.shifts[0],
            "BITS1": self.bits[1],
            "SIGNED1": int(self.signed[1]),
            "FACTOR1": self.odd_factors[1],
            "SHIFT1": self.shifts[1],
            "SUM_BITS": self.sum_bits,
            "USE_DSP": int(self.use_dsp),
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"BEATS": self.beats}
