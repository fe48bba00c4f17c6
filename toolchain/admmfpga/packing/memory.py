"""A memory's contents, independent of any file format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admmfpga.network import IntArray
from admmfpga.packing.layout import MAX_LANE_BITS

_CHUNK_BITS = 1 << 22
"""Words are taken apart into single bits in chunks of about this many."""


@dataclass(frozen=True, eq=False)
class Memory:
    """Contents of one on-chip memory: words of equal lanes, lane 0 in the least significant bits.

    Attributes:
        name: file stem, for example "conv1.weights".
        lanes: (depth, lanes) integers, each within `lane_bits` bits.
        lane_bits: width of a lane, 1 to 63.
        layer: name of the network's node that it belongs to.
        format: weight format ("dense", ...) or "parameters".
        signed: lanes are two's complement, else unsigned.
        constant: part of the structure: not loaded at run time.
    """

    name: str
    lanes: IntArray
    lane_bits: int
    layer: str
    format: str
    signed: bool = True
    constant: bool = False

    def __post_init__(self) -> None:
        assert self.lanes.ndim == 2, self.lanes.shape
        assert self.lanes.shape[1] > 0, self.name
        assert 1 <= self.lane_bits <= MAX_LANE_BITS, (self.name, self.lane_bits)
        low = -(1 << (self.lane_bits - 1)) if self.signed else 0
        high = (1 << (self.lane_bits - self.signed)) - 1
        assert self.lanes.size == 0 or (self.lanes.min() >= low and self.lanes.max() <= high), self.name

    @property
    def depth(self) -> int:
        return int(self.lanes.shape[0])

    @property
    def width(self) -> int:
        """Bits of one word."""
        return int(self.lanes.shape[1]) * self.lane_bits

    @property
    def varying_bits(self) -> int:
        """Bits of a word that are not the same in all words: what synthesis keeps of a memory that is never written."""
        if self.depth == 0:
            return 0
        # Equal exactly where all words have the bit or none has.
        differs = np.bitwise_or.reduce(self.lanes) ^ np.bitwise_and.reduce(self.lanes)
        mask = (1 << self.lane_bits) - 1
        return sum((int(lane) & mask).bit_count() for lane in differs)

    def image(self) -> bytes:
        """The words as they are loaded: each in whole bytes, least significant first."""
        return pack_bytes(self.lanes, self.lane_bits).tobytes()

    def words(self) -> list[int]:
        """The words as unsigned integers of `width` bits."""
        return pack_words(self.lanes, self.lane_bits)


def pack_bytes(lanes: IntArray, lane_bits: int) -> npt.NDArray[np.uint8]:
    """(depth, lanes) integers to (depth, bytes): little-endian words, each filled up with zero bits to whole bytes."""
    depth, count = lanes.shape
    width = count * lane_bits
    packed = np.empty((depth, (width + 7) // 8), dtype=np.uint8)
    chunk = max(1, _CHUNK_BITS // width)
    for start in range(0, depth, chunk):
        part = lanes[start : start + chunk].astype(np.int64)
        bits = ((part[:, :, None] >> np.arange(lane_bits)) & 1).astype(np.uint8)
        packed[start : start + chunk] = np.packbits(bits.reshape(len(part), width), axis=1, bitorder="little")
    return packed


def unpack_bytes(packed: npt.NDArray[np.uint8], count: int, lane_bits: int, *, signed: bool) -> IntArray:
    """The inverse of `pack_bytes`: (depth, count) integers."""
    depth, width = len(packed), count * lane_bits
    lanes = np.empty((depth, count), dtype=np.int64)
    chunk = max(1, _CHUNK_BITS // width)
    for start in range(0, depth, chunk):
        part = packed[start : start + chunk]
        bits = np.unpackbits(part, axis=1, bitorder="little")[:, :width].reshape(len(part), count, lane_bits)
        lanes[start : start + chunk] = (bits.astype(np.int64) << np.arange(lane_bits)).sum(axis=2)
    if signed:
        lanes = lanes << (64 - lane_bits) >> (64 - lane_bits)
    return lanes


def pack_words(lanes: IntArray, lane_bits: int) -> list[int]:
    """(depth, lanes) integers to words; lane 0 in the least significant bits, two's complement."""
    return [int.from_bytes(row.tobytes(), "little") for row in pack_bytes(lanes, lane_bits)]


def unpack_words(words: list[int], count: int, lane_bits: int, *, signed: bool) -> IntArray:
    """The inverse of `pack_words`: (depth, count) integers."""
    size = (count * lane_bits + 7) // 8
    raw = np.frombuffer(b"".join(word.to_bytes(size, "little") for word in words), dtype=np.uint8)
    return unpack_bytes(raw.reshape(len(words), size), count, lane_bits, signed=signed)
