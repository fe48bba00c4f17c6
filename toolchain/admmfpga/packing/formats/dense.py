"""Dense: every position's weight, a word a row."""

from __future__ import annotations

from admmfpga.network import IntArray
from admmfpga.packing.formats.base import Format, Kept, Packed, Size, weight_section


class Dense(Format):
    """All weights, zeros too, and no index."""

    name = "dense"
    text = "every weight, zeros too"

    def size(self, matrix: IntArray | Kept, bits: int | None = None) -> Size:
        kept = Kept.of(matrix)
        bits = self._bits(kept, bits)
        return Size(weights=kept.count * bits, zeros=(kept.elements - kept.count) * bits)

    def pack(self, matrix: IntArray | Kept, bits: int | None = None) -> Packed:
        kept = Kept.of(matrix)
        bits = self._bits(kept, bits)
        full = kept.matrix() if isinstance(matrix, Kept) else matrix
        return Packed(self.name, kept.shape, bits, {"weights": weight_section(full, bits)})

    def unpack(self, packed: Packed) -> IntArray:
        return packed.weights.reshape(packed.shape)

    @staticmethod
    def _bits(kept: Kept, bits: int | None) -> int:
        return max(kept.checked_bits(bits), 1 if kept.count == kept.elements else 2)
