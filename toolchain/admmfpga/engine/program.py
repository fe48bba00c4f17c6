"""Descriptors: what the engine reads from DRAM. The one definition of their layout.

Two streams are read while the engine runs:

* the weight stream. A compute command is a header (`COMPUTE`, then bias and multiplier of `pe` channels) in whole words
  of `pe * simd` bytes, followed by the weights of its steps in the order in which they are used: words too, or packed
  (`engine/packed.py`);
* the transfer list: 32 bytes each (`TRANSFER`), between DRAM and scratchpad.

Commands of either kind run in order. `wait_transfers` and `wait_commands` are counts: so many transfers or compute
commands must be complete before this one begins.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from admmfpga.engine.shape import HEADER_BYTES, PARAMETER_BYTES, EngineShape

Bytes = npt.NDArray[np.uint8]

COMPUTE = (
    (
        "flags",
        "bits 1:0 kind, bit 2 clear, bit 3 drain, bit 4 signed activations, bit 5 packed weights, bit 6 serial, "
        "bit 7 gathered, bits 31:8 words of weights",
    ),
    ("wait_transfers", "transfers that must be complete"),
    ("wait_commands", "compute commands that must be complete"),
    ("base", "scratchpad word of the input's first plane"),
    ("plane", "words from one plane to the next"),
    ("ring", "words of a plane's rows, after which they begin again"),
    ("row", "offset in a plane of the first tap's row, less than ring"),
    ("y", "row of the first tap, signed"),
    ("x", "column of the first tap, signed"),
    ("height", "rows of the input; taps outside see the padding"),
    ("width", "columns of the input, and words of a row"),
    ("planes", "input planes"),
    ("kernel_rows", ""),
    ("kernel_columns", ""),
    ("rows", "of the output tile"),
    ("columns", "of the output tile"),
    ("row_step", "words from one output row's input to the next's"),
    ("column_step", "words and columns from one output column's input to the next's"),
    ("kernel_row_step", "words from one kernel row to the next"),
    ("kernel_column_step", "words and columns from one kernel column to the next"),
    ("y_step", "input rows per output row"),
    ("kernel_y_step", "input rows per kernel row"),
    ("pad_value", "code of the padding"),
    ("factor", "signed, what FACTOR commands multiply by"),
    ("out_base", "scratchpad word of the tile's first output"),
    ("out_pitch", "words from one output row to the next"),
    ("out_plane", "words from one output plane to the next"),
    ("out_words", "output planes that are written, 1 to pe / simd"),
    ("shift", "of the requantization, 0 to 61"),
    ("zero_point", "signed"),
    ("low", "signed"),
    ("high", "signed"),
)
"""Fields of a compute command, 32 bits each, in order."""

TRANSFER = (
    ("flags", "bit 0: store"),
    ("wait_commands", "compute commands that must be complete"),
    ("address", "bytes from the base of the activations in DRAM"),
    ("word", "first scratchpad word"),
    ("count", "pieces"),
    ("length", "words of a piece"),
    ("pitch", "bytes from one piece to the next in DRAM"),
    ("word_pitch", "words from one piece to the next in the scratchpad"),
)
"""Fields of a transfer, 32 bits each, in order."""

TRANSFER_BYTES = 4 * len(TRANSFER)

MATRIX, DEPTHWISE, FACTOR, MAXIMUM = range(4)
"""Kinds. MATRIX: pe x simd weights a step. The others work on simd channels, lane by lane: by weights, by one factor
for all lanes and steps, or the greatest code."""

LOAD, NORMALIZE, LOOKUP = range(3)
"""Kinds of serial commands. LOAD: the words of weights go into the scratchpad, from out_base on. NORMALIZE: local
response normalization, see SERIAL_FIELDS. LOOKUP: requantizes the table's entry of a code's byte."""

SERIAL_FIELDS = (
    ("channels", "height"),
    ("last_entry", "width"),
    ("before", "kernel_rows"),
    ("after", "kernel_columns"),
    ("table", "factor"),
    ("table_shift", "y"),
)
"""What NORMALIZE and LOOKUP have in fields that they do not need as they are called: the channels of a position, the
table's last entry, the neighbourhood, the scratchpad word of the table (entries of 32 bits), the bits of the energy
that the table does not see. `pad_value` is the input's zero point; steps from column to column are 1."""

CLEAR, DRAIN, SIGNED, PACKED, SERIAL, GATHERED, STORE = 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7, 1

SIGNED_FIELDS = ("y", "x", "factor", "zero_point", "low", "high")

assert 4 * len(COMPUTE) == HEADER_BYTES


def encode(fields: Mapping[str, int], table: tuple[tuple[str, str], ...]) -> Bytes:
    """A descriptor's bytes, little-endian."""
    assert set(fields) == {name for name, _ in table}, set(fields) ^ {name for name, _ in table}
    values = [fields[name] for name, _ in table]
    assert all(-(1 << 31) <= v < (1 << 32) for v in values), fields
    return np.frombuffer(np.array([v & 0xFFFFFFFF for v in values], dtype="<u4").tobytes(), dtype=np.uint8)


def decode(data: Bytes, table: tuple[tuple[str, str], ...]) -> dict[str, int]:
    """The fields of a descriptor."""
    unsigned = np.frombuffer(data[: 4 * len(table)].tobytes(), dtype="<u4")
    signed = unsigned.view("<i4")
    return {name: int(signed[i] if name in SIGNED_FIELDS else unsigned[i]) for i, (name, _) in enumerate(table)}


def header(shape: EngineShape, fields: Mapping[str, int], bias: IntLike, multiplier: IntLike) -> Bytes:
    """A compute command's header, in whole stream words.

    Args:
        bias, multiplier: (channels,), at most pe of them; the rest is zero.
    """
    parameters = np.zeros((shape.pe, 2), dtype=np.int64)
    parameters[: len(bias), 0] = bias
    parameters[: len(multiplier), 1] = multiplier
    assert np.all(np.abs(parameters[:, 0]) < 1 << 31)
    result = np.zeros(shape.header_words * shape.word_bytes, dtype=np.uint8)
    result[:HEADER_BYTES] = encode(fields, COMPUTE)
    packed = (parameters & 0xFFFFFFFF).astype("<u4").tobytes()
    result[HEADER_BYTES : HEADER_BYTES + PARAMETER_BYTES * shape.pe] = np.frombuffer(packed, dtype=np.uint8)
    return result


IntLike = npt.NDArray[np.int64]


def weight_words(fields: Mapping[str, int]) -> int:
    """Words of weights behind a command's header."""
    return fields["flags"] >> 8
