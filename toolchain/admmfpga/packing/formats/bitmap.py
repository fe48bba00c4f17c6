"""Bitmap: one bit per position says whether a weight is there."""

from __future__ import annotations

import numpy as np

from admmfpga.network import IntArray
from admmfpga.packing.formats.base import Format, Kept, Packed, Section, Size, weight_section


class Bitmap(Format):
    """The mask, a word a row, and the kept weights in row-major order."""

    name = "bitmap"
    text = "a bit per position, and the kept weights"

    def size(self, matrix: IntArray | Kept, bits: int | None = None) -> Size:
        kept = Kept.of(matrix)
        return Size(weights=kept.count * kept.checked_bits(bits), indices=kept.elements)

    def pack(self, matrix: IntArray | Kept, bits: int | None = None) -> Packed:
        kept = Kept.of(matrix)
        bits = kept.checked_bits(bits)
        mask = np.zeros(kept.elements, dtype=np.uint8)
        mask[kept.positions] = 1
        sections = {"weights": weight_section(kept.values, bits), "mask": Section(mask.reshape(kept.shape), 1)}
        return Packed(self.name, kept.shape, bits, sections)

    def unpack(self, packed: Packed) -> IntArray:
        positions = np.flatnonzero(packed.sections["mask"].lanes.reshape(-1))
        return Kept(packed.shape, positions, packed.weights).matrix()
