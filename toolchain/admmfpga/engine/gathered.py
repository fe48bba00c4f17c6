"""Gathered steps: every lane reads an input plane and tap of its own, so that columns without weights take no steps.

The lanes of a group of output channels have lists of the columns (plane, kernel row, kernel column) that carry a
weight in any of its rows; step n takes the n-th of each. What patterns that all filters share have pruned costs
nothing then. In the stream, each word of indices serves pe / 4 steps: 32 bits a lane, the scratchpad words from the
command's base to the plane and the column of the tap (20 bits), the column of the tap (8), its kernel row (4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admmfpga.engine.packed import Bytes, Weights
from admmfpga.engine.shape import EngineShape
from admmfpga.network import IntArray

OFFSET_BITS, COLUMN_BITS, ROW_BITS = 20, 8, 4


@dataclass(frozen=True, eq=False)
class Gather:
    """Columns of a group's steps.

    Attributes:
        planes, rows, columns: (steps, simd) input plane from the command's first, kernel row and column.
        weights: (steps, pe, simd) signed bytes; zero where a lane has nothing to do.
    """

    planes: IntArray
    rows: IntArray
    columns: IntArray
    weights: npt.NDArray[np.int8]

    @property
    def steps(self) -> int:
        return len(self.planes)


def gather(block: npt.NDArray[np.int8]) -> Gather | None:
    """The gathered form of a group's weights, if it takes clearly fewer steps.

    Args:
        block: (pe, kernel rows, kernel columns, planes, simd).
    """
    pe, height, width, _, simd = block.shape
    there: npt.NDArray[np.bool_] = (block != 0).any(axis=0)
    steps = int(there.sum(axis=(0, 1, 2)).max())
    dense = int(there.any(axis=3).sum())
    if steps == 0 or steps > 0.85 * dense or height > 1 << ROW_BITS:
        return None
    planes, rows, columns = (np.zeros((steps, simd), dtype=np.int64) for _ in range(3))
    weights = np.zeros((steps, pe, simd), dtype=np.int8)
    for lane in range(simd):
        # Plane by plane, as dense steps go.
        plane, row, column = np.nonzero(there[..., lane].transpose(2, 0, 1))
        count = len(plane)
        planes[:count, lane], rows[:count, lane], columns[:count, lane] = plane, row, column
        weights[:count, :, lane] = block[:, row, column, plane, lane].T
    assert width <= 1 << COLUMN_BITS
    return Gather(planes, rows, columns, weights)


def words(shape: EngineShape, gathered: Gather, plane_words: int, dilation: int) -> Weights | None:
    """The stream's words, None if the indices do not hold where things are.

    Args:
        plane_words: from one plane to the next.
        dilation: columns between taps.
    """
    column = gathered.columns * dilation
    offset = gathered.planes * plane_words + column
    if offset.max() >> OFFSET_BITS or column.max() >> COLUMN_BITS:
        return None
    entries = (offset | column << OFFSET_BITS | gathered.rows << (OFFSET_BITS + COLUMN_BITS)).astype("<u4")
    per_word = shape.indices
    found: list[Bytes] = []
    for first in range(0, gathered.steps, per_word):
        part = np.zeros((per_word, shape.simd), dtype="<u4")
        some = entries[first : first + per_word]
        part[: len(some)] = some
        found.append(np.frombuffer(part.tobytes(), dtype=np.uint8))
        found.append(gathered.weights[first : first + per_word].view(np.uint8).reshape(-1))
    data = np.concatenate(found)
    return Weights(data, len(data) // shape.word_bytes)


def unwords(shape: EngineShape, data: Bytes, steps: int) -> tuple[tuple[IntArray, IntArray, IntArray], Bytes]:
    """(offset, column, kernel row) of each step and lane, (steps, simd), and the words of the steps' weights."""
    per_word, entries, weights = shape.indices, [], []
    blocks = data.reshape(-1, shape.word_bytes)
    at = 0
    for first in range(0, steps, per_word):
        count = min(per_word, steps - first)
        entries.append(np.frombuffer(blocks[at].tobytes(), dtype="<u4").reshape(per_word, shape.simd)[:count])
        weights.append(blocks[at + 1 : at + 1 + count].reshape(-1))
        at += 1 + count
    index = np.concatenate(entries).astype(np.int64)
    offset = index & ((1 << OFFSET_BITS) - 1)
    column = index >> OFFSET_BITS & ((1 << COLUMN_BITS) - 1)
    return (offset, column, index >> (OFFSET_BITS + COLUMN_BITS)), np.concatenate(weights)
