"""How many block RAMs a memory takes: the rule by which Yosys (memory_libmap) builds memories of cells.

A cell holds 2^k words of `unit` bits, in one of several shapes. A memory deeper than that is cut into slices, whose
bits are laid side by side: slices x width bits in cells of `unit` bits each, so a cell may hold bits of two slices. Of
all cells and shapes the one with the least cost is taken: cells, multiplexers behind the slices, and write enables. A
word that can be written is filled up to whole bytes of 9 bits, or of `unit` bits if those are fewer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_BYTE = 9
_MULTIPLEXER = _WRITE_ENABLE = 0.5
"""Costs of a bit of a multiplexer, of a slice's write enable."""


@dataclass(frozen=True)
class Cell:
    """A kind of block RAM with one port to read and one to write.

    Attributes:
        address_bits: of its narrowest shape, one bit wide.
        units: bits of a word in its shapes, each twice as deep as the next.
        cost: in the rule.
        halves: RAMB18 that it is counted as.
    """

    address_bits: int
    units: tuple[int, ...]
    cost: int
    halves: int


HALF = Cell(14, (1, 2, 4, 9, 18, 36), cost=129, halves=1)
FULL = Cell(15, (1, 2, 4, 9, 18, 36, 72), cost=257, halves=2)
CASCADE = Cell(16, (1, 2, 4, 9), cost=513, halves=4)
"""RAMB18, RAMB36, and two of the latter one above the other."""


@dataclass(frozen=True)
class Built:
    """A memory made of cells.

    Attributes:
        halves: RAMB18.
        slices: one above the other.
    """

    halves: int
    slices: int


def built(depth: int, width: int, cells: tuple[Cell, ...], *, written: bool) -> Built:
    """What a memory is made of.

    Args:
        cells: that there are.
        written: it has a write port.
    """
    _cost, found = min(_options(depth, width, cells, written), key=lambda option: option[0])
    return found


def _options(depth: int, width: int, cells: tuple[Cell, ...], written: bool) -> Iterator[tuple[float, Built]]:
    for cell in cells:
        for step, unit in enumerate(cell.units):
            slices = -(-depth // (1 << (cell.address_bits - step)))
            byte = min(_BYTE, unit) if written else 1
            count = -(-slices * byte * -(-width // byte) // unit)
            cost = cell.cost * count + _MULTIPLEXER * (slices - 1) * width
            if written and slices > 1:
                cost += _WRITE_ENABLE * slices
            yield cost, Built(cell.halves * count, slices)
