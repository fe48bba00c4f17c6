"""A memory's contents, independent of any file format."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from admmfpga.network import IntArray


@dataclass(frozen=True, eq=False)
class Memory:
    """Contents of one on-chip memory: words of equal lanes, lane 0 in the least significant bits.

    Attributes:
        name: file stem, for example "conv1.weights".
        lanes: (depth, lanes) integers, each within `lane_bits` bits of two's complement or unsigned.
        lane_bits: width of a lane.
        layer: name of the network's node that it belongs to.
        format: weight format ("dense", ...) or "parameters".
    """

    name: str
    lanes: IntArray
    lane_bits: int
    layer: str
    format: str

    def __post_init__(self) -> None:
        assert self.lanes.ndim == 2, self.lanes.shape
        low, high = -(1 << (self.lane_bits - 1)), (1 << self.lane_bits) - 1
        assert self.lanes.size == 0 or (self.lanes.min() >= low and self.lanes.max() <= high), self.name

    @property
    def depth(self) -> int:
        return int(self.lanes.shape[0])

    @property
    def width(self) -> int:
        """Bits of one word."""
        return int(self.lanes.shape[1]) * self.lane_bits

    def words(self) -> list[int]:
        """The words as unsigned integers of `width` bits."""
        return pack_words(self.lanes, self.lane_bits)


def pack_words(lanes: IntArray, lane_bits: int) -> list[int]:
    """(depth, lanes) integers to words; lane 0 in the least significant bits, two's complement."""
    depth, count = lanes.shape
    width = count * lane_bits
    unsigned = lanes.astype(np.int64) & ((1 << lane_bits) - 1)
    bits = (unsigned[:, :, None] >> np.arange(lane_bits)) & 1
    packed = np.packbits(bits.reshape(depth, width).astype(np.uint8), axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def unpack_words(words: list[int], count: int, lane_bits: int, *, signed: bool) -> IntArray:
    """The inverse of `pack_words`: (depth, count) integers."""
    width = count * lane_bits
    size = (width + 7) // 8
    raw = np.frombuffer(b"".join(word.to_bytes(size, "little") for word in words), dtype=np.uint8)
    bits = np.unpackbits(raw.reshape(len(words), size), axis=1, bitorder="little")[:, :width]
    lanes: IntArray = (bits.reshape(len(words), count, lane_bits).astype(np.int64) << np.arange(lane_bits)).sum(axis=2)
    if signed:
        lanes = np.where(lanes >> (lane_bits - 1), lanes - (1 << lane_bits), lanes)
    return lanes
