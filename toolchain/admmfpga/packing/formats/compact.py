"""Compact structured: the dense matrix of kept rows and kept columns, and which ones they are."""

from __future__ import annotations

import numpy as np

from admmfpga.network import IntArray
from admmfpga.packing.formats.base import Format, Kept, Packed, Section, Size, column_of, index_bits, weight_section


class Compact(Format):
    """Rows and columns that are all zero are left out; what is left is dense.

    Which rows and which columns are kept is a list of numbers, or a bit for each of all of them where that is shorter;
    nothing where all are kept.
    """

    name = "compact"
    text = "the dense matrix of kept rows and columns, with their lists"

    def size(self, matrix: IntArray | Kept, bits: int | None = None) -> Size:
        kept = Kept.of(matrix)
        rows, columns = _kept_lines(kept)
        block = len(rows) * len(columns)
        bits = _bits(kept, bits, block)
        return Size(
            weights=kept.count * bits,
            zeros=(block - kept.count) * bits,
            lists=_list_bits(len(rows), kept.shape[0]) + _list_bits(len(columns), kept.shape[1]),
        )

    def pack(self, matrix: IntArray | Kept, bits: int | None = None) -> Packed:
        kept = Kept.of(matrix)
        rows, columns = _kept_lines(kept)
        bits = _bits(kept, bits, len(rows) * len(columns))
        if len(rows) == kept.shape[0] and len(columns) == kept.shape[1] and not isinstance(matrix, Kept):
            block = matrix
        else:
            # Kept lines before each one: where its weights go.
            row_places, column_places = _places(rows, kept.shape[0]), _places(columns, kept.shape[1])
            block = np.zeros((len(rows), len(columns)), dtype=np.int64)
            block[row_places[kept.rows], column_places[kept.columns]] = kept.values
        sections = {"weights": weight_section(block, bits)}
        for name, lines, total in (("rows", rows, kept.shape[0]), ("columns", columns, kept.shape[1])):
            if len(lines) != total:
                sections[name] = _list_section(lines, total)
        return Packed(self.name, kept.shape, bits, sections)

    def unpack(self, packed: Packed) -> IntArray:
        if packed.weights.size == 0:
            return np.zeros(packed.shape, dtype=np.int64)
        rows, columns = (_read_list(packed, name, n) for name, n in zip(("rows", "columns"), packed.shape, strict=True))
        matrix = np.zeros(packed.shape, dtype=np.int64)
        matrix[np.ix_(rows, columns)] = packed.weights.reshape(len(rows), len(columns))
        return matrix


def _kept_lines(kept: Kept) -> tuple[IntArray, IntArray]:
    """Numbers of the rows and of the columns that hold any weight."""
    found = []
    for lines, total in ((kept.rows, kept.shape[0]), (kept.columns, kept.shape[1])):
        any_ = np.zeros(total, dtype=bool)
        any_[lines] = True
        found.append(np.flatnonzero(any_))
    return found[0], found[1]


def _bits(kept: Kept, bits: int | None, block: int) -> int:
    return max(kept.checked_bits(bits), 1 if kept.count == block else 2)


def _places(lines: IntArray, total: int) -> IntArray:
    places = np.zeros(total, dtype=np.int64)
    places[lines] = np.arange(len(lines))
    return places


def _list_bits(kept: int, total: int) -> int:
    return 0 if kept == total else min(kept * index_bits(total), total)


def _list_section(lines: IntArray, total: int) -> Section:
    if len(lines) * index_bits(total) <= total:
        return column_of(lines, index_bits(total))
    mask = np.zeros(total, dtype=np.int64)
    mask[lines] = 1
    return column_of(mask, 1)


def _read_list(packed: Packed, name: str, total: int) -> IntArray:
    if name not in packed.sections:
        return np.arange(total)
    numbers = packed.numbers(name)
    # A list of as many numbers as there are lines would name all, and is not stored.
    return np.flatnonzero(numbers) if len(numbers) == total else numbers
