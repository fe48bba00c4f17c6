"""What every weight format has in common: the kept weights of a matrix, sizes in bits, packed sections, the interface.

A matrix is a layer's GEMM view, (rows, columns), pruned weights being zero. A format turns it into named sections of
equal lanes, which are memory images as they stand, and back into exactly the same matrix. Sizes are counted from the
mask without packing, and are the bits that the sections take: no more, no less.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from admmfpga.network import IntArray, IntType
from admmfpga.packing.memory import Memory


@dataclass(frozen=True)
class Size:
    """Bits of a packed matrix, by what they are for.

    Attributes:
        weights: values of weights that are not zero.
        zeros: values of zeros that the format stores beside them (inside a kept part, a block of rows, a dense matrix).
        dummies: values and indices of entries that only bridge a gap.
        indices: where the weights are; of dummies not.
        pointers: where rows begin.
        lists: kept rows and kept columns.
    """

    weights: int = 0
    zeros: int = 0
    dummies: int = 0
    indices: int = 0
    pointers: int = 0
    lists: int = 0

    @property
    def total(self) -> int:
        return sum(self.as_dict().values())

    @property
    def overhead(self) -> int:
        """All that is not a non-zero weight."""
        return self.total - self.weights

    def __add__(self, other: Size) -> Size:
        return Size(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def as_dict(self) -> dict[str, int]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, eq=False)
class Kept:
    """The weights of a matrix that are not zero.

    Attributes:
        shape: (rows, columns) of the matrix.
        positions: row * columns + column of each, ascending.
        values: of each.
    """

    shape: tuple[int, int]
    positions: IntArray
    values: IntArray

    @staticmethod
    def of(matrix: IntArray | Kept) -> Kept:
        """The kept weights of a (rows, columns) matrix; of a Kept itself."""
        if isinstance(matrix, Kept):
            return matrix
        assert matrix.ndim == 2, matrix.shape
        assert matrix.size > 0, matrix.shape
        flat = matrix.reshape(-1)
        positions = np.flatnonzero(flat != 0)
        return Kept((matrix.shape[0], matrix.shape[1]), positions, flat[positions].astype(np.int64, copy=False))

    def matrix(self) -> IntArray:
        """The matrix itself."""
        flat = np.zeros(self.elements, dtype=np.int64)
        flat[self.positions] = self.values
        return flat.reshape(self.shape)

    @property
    def count(self) -> int:
        return len(self.positions)

    @property
    def elements(self) -> int:
        """Positions of the matrix."""
        return self.shape[0] * self.shape[1]

    @property
    def rows(self) -> IntArray:
        """Of each weight, ascending."""
        found: IntArray = self.positions // self.shape[1]
        return found

    @property
    def columns(self) -> IntArray:
        """Of each weight."""
        found: IntArray = self.positions % self.shape[1]
        return found

    @property
    def least_bits(self) -> int:
        """Of a weight: 1 if all are -1 or +1, else of the narrowest signed type."""
        if self.count == 0 or bool(np.all(np.abs(self.values) == 1)):
            return 1
        return max(2, IntType.signed_holding(int(self.values.min()), int(self.values.max())).bits)

    def checked_bits(self, bits: int | None) -> int:
        """`bits`, or the least ones for None. Fewer than these are a mistake of ours."""
        least = self.least_bits
        assert bits is None or bits >= least, (bits, least)
        return least if bits is None else bits


@dataclass(frozen=True, eq=False)
class Section:
    """Equal lanes of a packed matrix: one memory.

    Attributes:
        lanes: (depth, lanes) integers.
        bits: of a lane; 0 where there is nothing to say, and no memory then.
        signed: lanes are two's complement.
    """

    lanes: npt.NDArray[np.integer]
    bits: int
    signed: bool = False


@dataclass(frozen=True, eq=False)
class Packed:
    """A matrix in a format.

    Attributes:
        format: its name in `FORMATS`.
        shape: (rows, columns) of the matrix.
        bits: of a stored weight.
        sections: by name; "weights" is always there.
    """

    format: str
    shape: tuple[int, int]
    bits: int
    sections: Mapping[str, Section] = field(default_factory=dict)

    def memories(self, stem: str, layer: str) -> list[Memory]:
        """Images called `stem`.section; sections without bits have none.

        Args:
            stem: what the names begin with, for example "conv1_pe".
            layer: the network's node.
        """
        return [
            Memory(f"{stem}.{name}", s.lanes.astype(np.int64, copy=False), s.bits, layer, self.format, s.signed)
            for name, s in self.sections.items()
            if s.bits
        ]

    @staticmethod
    def from_memories(memories: Iterable[Memory], shape: tuple[int, int]) -> Packed:
        """A packed matrix from its images (of one layer, in any order).

        Args:
            shape: (rows, columns) of the matrix; images do not hold it.
        """
        memories = list(memories)
        sections = {m.name.rpartition(".")[2]: Section(m.lanes, m.lane_bits, m.signed) for m in memories}
        return Packed(memories[0].format, shape, sections["weights"].bits, sections)

    def numbers(self, name: str) -> IntArray:
        """A section's lanes in one row."""
        return self.sections[name].lanes.reshape(-1).astype(np.int64, copy=False)

    @property
    def weights(self) -> IntArray:
        """The stored weights in one row: one bit means -1 or +1."""
        return decoded(self.numbers("weights"), self.bits)


def encoded(values: IntArray, bits: int) -> IntArray:
    """Weights as lanes: with one bit, +1 is 0 and -1 is 1 (the lane's sign)."""
    return -(values < 0).astype(np.int64) if bits == 1 else values


def decoded(lanes: IntArray, bits: int) -> IntArray:
    """The inverse of `encoded`."""
    return 1 + 2 * lanes if bits == 1 else lanes


def weight_section(values: IntArray, bits: int) -> Section:
    """Weights, one a word, or a word a row of a two-dimensional array."""
    return Section(encoded(values, bits).reshape(len(values), -1 if values.size else 1), bits, signed=True)


def column_of(values: IntArray, bits: int) -> Section:
    """Unsigned numbers, one a word."""
    return Section(values.reshape(-1, 1), bits)


def index_bits(choices: int) -> int:
    """Bits that name one of `choices`: ceil(log2(choices))."""
    return (choices - 1).bit_length()


class Format(ABC):
    """A way to store a matrix. Formats hold no data and are listed in `FORMATS`."""

    name: str
    text: str
    """One line for people."""

    @abstractmethod
    def size(self, matrix: IntArray | Kept, bits: int | None = None) -> Size:
        """Exact bits of the packed matrix, without packing it.

        Args:
            matrix: (rows, columns) integers, or its kept weights.
            bits: of a weight; None for the least. One bit means -1 or +1: where zeros have to be stored among such
                weights, two bits are taken.
        """

    @abstractmethod
    def pack(self, matrix: IntArray | Kept, bits: int | None = None) -> Packed:
        """The packed matrix. Arguments as of `size`."""

    @abstractmethod
    def unpack(self, packed: Packed) -> IntArray:
        """The inverse of `pack`: the matrix, value for value."""
