"""What an engine is built of: array, memories, ports; and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

from admmfpga.blocks import Resources
from admmfpga.blocks.base import bram18, clog2, dsp_pieces
from admmfpga.errors import UserError

LEAST_STEP = 8
"""Cycles that a step takes at least: an accumulator is written back before it is read again."""

HEADER_BYTES = 128
"""Of a compute command without its parameters."""

PARAMETER_BYTES = 8
"""Bias and multiplier of one output channel."""


@dataclass(frozen=True)
class EngineShape:
    """Parameters of the engine's RTL and HLS C++.

    Attributes:
        pe: output channels at a time, a multiple of simd.
        simd: input channels at a time; also bytes of a scratchpad word and the lanes of vector commands.
        requant: accumulators requantized a cycle; divides simd, at most half of it.
        positions: accumulators of one output channel (output positions of a tile).
        scratchpad: words.
        axi: bytes of a beat on both DRAM ports; at most half of simd.
    """

    pe: int
    simd: int
    requant: int
    positions: int
    scratchpad: int
    axi: int = 8

    def __post_init__(self) -> None:
        assert self.pe % self.simd == 0, self
        assert self.simd % self.requant == 0, self
        assert 2 * self.requant <= self.simd, self
        assert 2 * self.axi <= self.simd, self
        assert self.simd % self.axi == 0, self
        assert self.word_bytes % (8 * self.axi) == 0, self
        assert self.positions >= 1, self
        assert self.scratchpad >= 2, self

    @property
    def word_bytes(self) -> int:
        """Bytes of a word of the weight stream: weights of one step."""
        return self.pe * self.simd

    @property
    def mask_beats(self) -> int:
        """Beats of a packed word that say which of its weights are not zero."""
        return self.word_bytes // (8 * self.axi)

    @property
    def indices(self) -> int:
        """Gathered steps whose indices are in one word of the stream."""
        return self.pe // 4

    @property
    def header_words(self) -> int:
        """Stream words in front of a command's weights."""
        return -(-(HEADER_BYTES + PARAMETER_BYTES * self.pe) // self.word_bytes)

    @property
    def multipliers(self) -> int:
        """Of the array; vector commands and requantization have their own."""
        return self.pe * self.simd

    @property
    def piece_cycles(self) -> int:
        """Cycles that one position's accumulators take to drain."""
        return self.pe // self.requant

    def resources(self) -> Resources:
        """DSP and block RAM by the inference rules, all multipliers in DSP blocks; LUT and FF are rough counts.

        Block RAM: scratchpad, two accumulator memories, the weight stream's FIFO.
        """
        accumulators = 2 * bram18(self.positions, 32 * self.pe)
        scratchpad = self.simd * 8 * self.scratchpad // (8 * 2048) if self.scratchpad % 2048 == 0 else 0
        scratchpad = scratchpad or bram18(self.scratchpad, 8 * self.simd)
        fifo = bram18(STREAM_FIFO, 8 * self.axi)
        pieces = dsp_pieces(33, 25)
        dsp = self.multipliers + self.simd + self.requant * pieces[0] * pieces[1]
        # Array: adder trees and accumulators; operands. Requantization: two shifts of 58 bits and their rounding.
        lut = self.pe * (self.simd * 20 + 32) + self.requant * 700 + self.simd * 260 + 3500
        ff = 3 * 8 * self.word_bytes + self.pe * self.simd * 20 + 3 * (64 * self.pe + 1000) + self.requant * 300 + 3000
        return Resources(lut=lut, ff=ff, bram18=accumulators + scratchpad + fifo, dsp=dsp)


STREAM_FIFO = 512
"""Beats that the weight stream runs ahead."""


def choose_shape(available: Resources, port_bits: int, *, board: str) -> EngineShape:
    """The largest array that fits, and as much scratchpad as the block RAM holds beside its accumulators.

    Multipliers beyond the DSP blocks are built of LUTs.

    Raises:
        UserError: the board is too small for the smallest engine, or has no port into a processor's memory.
    """
    if port_bits < 64:
        raise UserError(
            f"{board} has no memory port that the engine could use", "the shared engine needs a Zynq board, e.g. pynq"
        )
    axi = min(port_bits // 8, 16)
    found: list[tuple[int, int, EngineShape]] = []
    for simd in (8, 16, 32):
        for rows in (1, 2):
            for positions in (256, 512, 1024):
                shape = _fitted(simd, rows * simd, positions, min(axi, simd // 2), available)
                if shape is not None:
                    # Accumulators of 512 positions are as deep as a block RAM is with its widest words.
                    found.append((shape.multipliers, -abs(positions - 512), shape))
    if not found:
        raise UserError(f"the shared engine does not fit {board}", "take a board with more block RAM and DSP blocks")
    return max(found, key=lambda entry: entry[:2])[2]


LUTS_OF_MULTIPLIER = 75
"""Of an 8 x 8 multiplier without DSP block."""


def fitted_resources(shape: EngineShape, available: Resources) -> Resources:
    """Resources with as many multipliers in DSP blocks as there are."""
    wanted = shape.resources()
    beyond = max(0, wanted.dsp - available.dsp)
    return Resources(
        lut=wanted.lut + beyond * LUTS_OF_MULTIPLIER, ff=wanted.ff, bram18=wanted.bram18, dsp=wanted.dsp - beyond
    )


def dsp_multipliers(shape: EngineShape, available: Resources) -> int:
    """Multipliers of the array that are in DSP blocks; the others are LUTs."""
    return shape.multipliers - max(0, shape.resources().dsp - available.dsp)


def _fitted(simd: int, pe: int, positions: int, axi: int, available: Resources) -> EngineShape | None:
    """The engine with the largest scratchpad that block RAM allows; None if it does not fit."""
    empty = EngineShape(pe, simd, simd // 2, positions, 2048, axi)
    usable = available.bram18 * 95 // 100
    # A column of simd / 2 block RAMs is 4096 bytes wide and deep: 2048 words of simd bytes are simd block RAMs.
    left = usable - (empty.resources().bram18 - simd)
    words = left // simd * 2048
    if words < 4096:
        return None
    shape = EngineShape(pe, simd, simd // 2, positions, words, axi)
    needed = fitted_resources(shape, available)
    fits = needed.lut <= 0.75 * available.lut and needed.ff <= 0.75 * available.ff and needed.bram18 <= usable
    return shape if fits else None


def address_bits(shape: EngineShape) -> int:
    """Of a scratchpad word."""
    return max(1, clog2(shape.scratchpad))
