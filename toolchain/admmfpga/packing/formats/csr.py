"""Compressed sparse rows, of single weights or of blocks of adjacent rows that share their column indices."""

from __future__ import annotations

import numpy as np

from admmfpga.network import IntArray
from admmfpga.packing.formats.base import Format, Kept, Packed, Size, column_of, index_bits, weight_section


class Csr(Format):
    """Per group of `height` rows, the columns in which any of them has a weight, each with `height` values.

    A column takes ceil(log2(columns)) bits, a value zero where its row has no weight. rows/height + 1 pointers say
    before which of the entries a group begins, ceil(log2(entries + 1)) bits each. A matrix whose height does not divide
    its rows is filled up with zero rows. `height` 1 is plain CSR.
    """

    def __init__(self, height: int = 1) -> None:
        self.height = height
        self.name = "csr" if height == 1 else f"row_blocked{height}"
        self.text = (
            "compressed sparse rows: a column per weight, a pointer per row"
            if height == 1
            else f"compressed sparse rows of blocks: a column per {height} adjacent rows"
        )

    def size(self, matrix: IntArray | Kept, bits: int | None = None) -> Size:
        kept = Kept.of(matrix)
        blocks = kept.count if self.height == 1 else len(self._blocks(kept))
        stored = blocks * self.height
        bits = self._bits(kept, bits, stored)
        return Size(
            weights=kept.count * bits,
            zeros=(stored - kept.count) * bits,
            indices=blocks * index_bits(kept.shape[1]),
            pointers=(self._groups(kept.shape[0]) + 1) * blocks.bit_length(),
        )

    def pack(self, matrix: IntArray | Kept, bits: int | None = None) -> Packed:
        kept = Kept.of(matrix)
        if self.height == 1:
            blocks, values = kept.positions, kept.values.reshape(-1, 1)
        else:
            blocks = self._blocks(kept)
            values = np.zeros((len(blocks), self.height), dtype=np.int64)
            values[np.searchsorted(blocks, self._block_of(kept)), kept.rows % self.height] = kept.values
        bits = self._bits(kept, bits, values.size)
        columns = kept.shape[1]
        pointers = np.searchsorted(blocks, np.arange(self._groups(kept.shape[0]) + 1) * columns)
        sections = {
            "weights": weight_section(values, bits),
            "columns": column_of(blocks % columns, index_bits(columns)),
            "pointers": column_of(pointers, len(blocks).bit_length()),
        }
        return Packed(self.name, kept.shape, bits, sections)

    def unpack(self, packed: Packed) -> IntArray:
        rows, columns = packed.shape
        values = packed.weights.reshape(-1, self.height)
        # Of one column or of no entries there is nothing to say, and no image.
        found = packed.numbers("columns") if "columns" in packed.sections else np.zeros(len(values), dtype=np.int64)
        groups = self._groups(rows)
        pointers = packed.numbers("pointers") if "pointers" in packed.sections else np.zeros(groups + 1, dtype=np.int64)
        group = np.repeat(np.arange(groups), np.diff(pointers))
        full = np.zeros((groups, self.height, columns), dtype=np.int64)
        full[group, :, found] = values
        return full.reshape(-1, columns)[:rows]

    def _groups(self, rows: int) -> int:
        return -(-rows // self.height)

    def _block_of(self, kept: Kept) -> IntArray:
        """group * columns + column of each weight."""
        found: IntArray = kept.rows // self.height * kept.shape[1] + kept.columns
        return found

    def _blocks(self, kept: Kept) -> IntArray:
        """The blocks with any weight, ascending."""
        # A mask is faster than sorting as long as the matrix is not almost empty.
        found = np.zeros(self._groups(kept.shape[0]) * kept.shape[1], dtype=bool)
        found[self._block_of(kept)] = True
        return np.flatnonzero(found)

    @staticmethod
    def _bits(kept: Kept, bits: int | None, stored: int) -> int:
        return max(kept.checked_bits(bits), 1 if kept.count == stored else 2)
