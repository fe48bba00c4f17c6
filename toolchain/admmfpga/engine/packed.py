"""Weights of the stream: dense words, or packed ones that hold a bit for every weight and those that are not zero.

A word is `pe * simd` weights, a beat `axi` bytes. A packed word is its mask (bit b of byte k for weight 8 k + b), then
beats of values: byte j of value beat t is the t-th weight that is not zero among weights j, j + axi, ...; zero where
that class has no more. So each byte of a beat goes to the next set bit of its own class, a beat a cycle and
without a shifter, and a word takes as many value beats as its fullest class has weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admmfpga.engine.shape import EngineShape
from admmfpga.network import IntArray

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of a compute command as they lie in the stream.

    Attributes:
        data: bytes behind the command's header, whole beats.
        words: that they hold.
        values: (words,) value beats of each packed word; None: words are dense.
    """

    data: Bytes
    words: int
    values: IntArray | None = None

    @property
    def packed(self) -> bool:
        return self.values is not None


NOTHING = Weights(np.zeros(0, dtype=np.uint8), 0)
"""Of a command that has no weights."""


def smallest(shape: EngineShape, dense: Bytes) -> Weights:
    """Words in the form that takes fewer bytes.

    Args:
        dense: (words * word_bytes,).
    """
    words = len(dense) // shape.word_bytes
    beats = shape.word_bytes // shape.axi
    # No word has fewer value beats than its weights fill.
    if shape.mask_beats * words + np.count_nonzero(dense) / shape.axi < beats * words:
        there = dense.reshape(words, -1, shape.axi) != 0
        values = there.sum(axis=1, dtype=np.int16).max(axis=1).astype(np.int64)
        if int(values.sum()) < (beats - shape.mask_beats) * words:
            return Weights(pack(shape, dense, values), words, values)
    return Weights(dense, words)


def pack(shape: EngineShape, dense: Bytes, values: IntArray) -> Bytes:
    """Packed words.

    Args:
        dense: (words * word_bytes,).
        values: (words,) value beats.
    """
    words = len(values)
    classes = dense.reshape(words, -1, shape.axi)
    there = classes != 0
    ends = np.cumsum(values + shape.mask_beats)
    starts = ends - values - shape.mask_beats
    beats = np.zeros((int(ends[-1]), shape.axi), dtype=np.uint8)
    masks = np.packbits(there.reshape(words, -1), axis=1, bitorder="little").reshape(words, -1, shape.axi)
    beats[starts[:, None] + np.arange(shape.mask_beats)] = masks
    rank = there.cumsum(axis=1, dtype=np.int16)
    found = np.flatnonzero(there)
    word, lane = found // shape.word_bytes, found % shape.axi
    beats[starts[word] + shape.mask_beats + rank.reshape(-1)[found] - 1, lane] = dense[found]
    return beats.reshape(-1)


def unpack(shape: EngineShape, data: Bytes, words: int) -> tuple[Bytes, int]:
    """Dense words, and the bytes that their packed form took.

    Args:
        data: begins with the packed words.
    """
    mask_bytes, classes = shape.mask_beats * shape.axi, shape.word_bytes // shape.axi
    dense = np.zeros((words, classes, shape.axi), dtype=np.uint8)
    at = 0
    for word in dense:
        mask = np.unpackbits(data[at : at + mask_bytes], bitorder="little").astype(bool).reshape(classes, shape.axi)
        at += mask_bytes
        count = mask.sum(axis=0)
        values = data[at : at + int(count.max()) * shape.axi].reshape(-1, shape.axi)
        at += values.size
        for lane in range(shape.axi):
            word[mask[:, lane], lane] = values[: count[lane], lane]
    return dense.reshape(-1), at
