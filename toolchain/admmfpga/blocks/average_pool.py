"""Average pool: sums of channels over windows or over whole images, exact; a requantize block behind it divides.

Of a window beat all taps are added in a tree. Beats of several positions are added up one after the other, channel
groups in turn: with one tap and all positions of an image this is global pooling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from admmfpga.blocks.base import Block, Contents, Port, Schedule, clog2, counter_terms, every, tree_chains
from admmfpga.blocks.calibration import Terms
from admmfpga.blocks.families import family
from admmfpga.network import IntArray


@dataclass(frozen=True, kw_only=True)
class AveragePool(Block):
    """`taps` x `channels` lanes in (lane tap*channels + channel), `channels` sums out.

    Attributes:
        bits, signed: of the codes.
        groups: channel groups, one beat of each a position.
        count: positions that a sum goes over.
        outputs: sums of each channel a frame.
        sum_bits: signed, wide enough for the worst case.
    """

    stem: ClassVar[str] = "average_pool"
    taps: int
    channels: int
    bits: int
    signed: bool
    groups: int
    count: int
    outputs: int
    sum_bits: int

    @property
    def source(self) -> Port:
        return Port(self.taps * self.channels, self.bits, self.signed)

    @property
    def sink(self) -> Port:
        return Port(self.channels, self.sum_bits, signed=True)

    @property
    def core_latency(self) -> int:
        # Input register, a level of adders a cycle, accumulators.
        return 1 + clog2(self.taps) + (self.count > 1)

    @property
    def cycles(self) -> int:
        return self.outputs * self.count * self.groups

    @property
    def beats_out(self) -> int:
        return self.outputs * self.groups

    def schedule(self) -> Schedule:
        steps = every(1, self.cycles)
        return Schedule(self.cycles, steps, steps[steps // self.groups % self.count == self.count - 1])

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        shape = (self.outputs, self.count, self.groups, self.taps, self.channels)
        total: IntArray = beats.reshape(shape).sum(axis=(1, 3))
        return total.reshape(-1, self.channels)

    def core_terms(self) -> Terms:
        group, position = counter_terms(self.groups if self.count > 1 else 1), counter_terms(self.count)
        code = self.bits + (not self.signed)
        adders = registers = shifted = 0
        for level, length in tree_chains(self.taps):
            bits = min(code + level, self.sum_bits) - (not self.signed)
            adders += bits * (level > 0)
            shift = length >= family().shift_register
            shifted += bits * shift
            registers += bits * length * (not shift)
        accumulators = self.channels * self.sum_bits * (self.count > 1)
        # Sums of the other groups go round.
        waiting = self.groups - 1
        in_luts = waiting >= family().shift_register
        return Terms(
            lut={
                "control": 1,
                "counter_bits": group["counter_bits"] + position["counter_bits"],
                "wrap_bits": group["wrap_bits"] + position["wrap_bits"],
                "adder_bits": self.channels * adders,
                "accumulator_bits": accumulators,
                "shift_registers": self.channels * shifted + accumulators * in_luts * -(-waiting // 32),
            },
            ff={
                # Which stages hold a beat, and of those whether it is the first and the last of a sum.
                "stages": self.core_latency * (3 if self.count > 1 else 1),
                "counter_bits": group["counter_bits"] + position["counter_bits"],
                "register_bits": self.channels * registers,
                "accumulator_bits": accumulators,
                "waiting_bits": 0 if in_luts else accumulators * waiting,
            },
        )

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "TAPS": self.taps,
            "CHANNELS": self.channels,
            "BITS": self.bits,
            "SIGNED": int(self.signed),
            "GROUPS": self.groups,
            "COUNT": self.count,
            "SUM_BITS": self.sum_bits,
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"OUTPUTS": self.outputs}
