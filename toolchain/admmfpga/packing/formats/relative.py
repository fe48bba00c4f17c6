"""Relative index (difference coding): the distance to the weight before, in few bits."""

from __future__ import annotations

import numpy as np

from admmfpga.network import IntArray
from admmfpga.packing.formats.base import Format, Kept, Packed, Size, column_of, weight_section

LEAST, MOST = 2, 12
"""Index bits that are tried."""


class Relative(Format):
    """Entries (gap, value) in row-major order; gap is the number of zeros skipped since the entry before.

    A gap is at most 2^k - 1. Where more zeros lie between two weights, dummy entries bridge them: gap 2^k - 1 with the
    value zero, which takes the 2^k-th zero's place (S. Han et al., Deep Compression, ICLR 2016, figure 2). With weights
    of one bit no value is zero; there a gap of 2^k - 1 itself marks the dummy and skips 2^k - 1 zeros.

    Of random positions with density d, phi = 1 / (1 - (1 - d)^(2^k)) entries come on a weight.
    """

    def __init__(self, index_bits: int) -> None:
        self.index_bits = index_bits
        self.name = f"relative{index_bits}"
        self.text = f"{index_bits}-bit distance to the weight before, dummies in longer gaps"

    def size(self, matrix: IntArray | Kept, bits: int | None = None) -> Size:
        kept = Kept.of(matrix)
        bits = kept.checked_bits(bits)
        return Size(
            weights=kept.count * bits,
            dummies=self.dummies(kept, bits) * (bits + self.index_bits),
            indices=kept.count * self.index_bits,
        )

    def dummies(self, matrix: IntArray | Kept, bits: int | None = None) -> int:
        """Entries that only bridge a gap."""
        kept = Kept.of(matrix)
        return int((_gaps(kept) // self._reach(kept.checked_bits(bits))).sum())

    def pack(self, matrix: IntArray | Kept, bits: int | None = None) -> Packed:
        kept = Kept.of(matrix)
        bits = kept.checked_bits(bits)
        dummies, rest = np.divmod(_gaps(kept), self._reach(bits))
        # Each weight stands behind its dummies.
        places = np.cumsum(dummies + 1) - 1
        entries = int(places[-1]) + 1 if kept.count else 0
        gaps = np.full(entries, (1 << self.index_bits) - 1, dtype=np.int64)
        gaps[places] = rest
        # Dummies of one bit may have any value.
        values = np.full(entries, 1 if bits == 1 else 0, dtype=np.int64)
        values[places] = kept.values
        sections = {"weights": weight_section(values, bits), "gaps": column_of(gaps, self.index_bits)}
        return Packed(self.name, kept.shape, bits, sections)

    def unpack(self, packed: Packed) -> IntArray:
        gaps, values = packed.numbers("gaps"), packed.weights
        if packed.bits == 1:
            dummy = gaps == (1 << self.index_bits) - 1
            positions, real = np.cumsum(gaps + ~dummy) - 1, ~dummy
        else:
            positions, real = np.cumsum(gaps + 1) - 1, values != 0
        return Kept(packed.shape, positions[real], values[real]).matrix()

    def _reach(self, bits: int) -> int:
        """Zeros that a dummy covers."""
        return (1 << self.index_bits) - (bits == 1)


def _gaps(kept: Kept) -> IntArray:
    """Zeros before each weight, since the one before or the beginning."""
    return np.diff(kept.positions, prepend=-1) - 1
