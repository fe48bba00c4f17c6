"""The binary container: identity, and refusal of everything that is not exactly what was written."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packing_strategies import memories, same

from admmfpga.errors import UserError
from admmfpga.packing import Memory, container_model, read_container, write_container
from admmfpga.packing.container import ENTRY, HEADER, layout_markdown

MODEL = "0123456789abcdef" * 4
OTHER = "1123456789abcdef" * 4
SMALL = [
    Memory("conv1.weights", np.array([[1, -1], [0, 3], [-4, 2]]), 5, "conv1", "dense"),
    Memory("conv1.parameters", np.array([[77, 0, 127]]), 7, "conv1", "parameters", signed=False),
]
ROOT = Path(__file__).resolve().parents[2]

memory_lists = st.integers(0, 4).flatmap(lambda n: st.tuples(*(memories(name=f"m{i}") for i in range(n))))


@given(memory_lists)
def test_container_and_back(written: tuple[Memory, ...]) -> None:
    data = write_container(written, MODEL)
    read = read_container(data, MODEL)
    assert len(read) == len(written)
    assert all(same(a, b) for a, b in zip(written, read, strict=True))
    assert container_model(data) == MODEL
    assert write_container(read, MODEL) == data


def test_every_flipped_bit_is_refused() -> None:
    data = bytearray(write_container(SMALL, MODEL))
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UserError):
            read_container(bytes(data))
        data[bit // 8] ^= 1 << bit % 8
    read_container(bytes(data))


@given(memory_lists, st.data())
def test_any_flipped_bit_is_refused(written: tuple[Memory, ...], data: st.DataObject) -> None:
    raw = bytearray(write_container(written, MODEL))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(UserError):
        read_container(bytes(raw))


def test_every_cut_is_refused() -> None:
    data = write_container(SMALL, MODEL)
    for length in range(len(data)):
        with pytest.raises(UserError, match=r"cut|wrong magic"):
            read_container(data[:length])


@given(st.binary(max_size=200))
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(UserError):
        read_container(data)


def test_another_models_image() -> None:
    with pytest.raises(UserError, match=r"another model .*0123456789abcdef.*1123456789abcdef"):
        read_container(write_container(SMALL, MODEL), OTHER)


def test_unknown_version() -> None:
    data = bytearray(write_container(SMALL, MODEL))
    data[8] = 1
    with pytest.raises(UserError, match="format version 1, this admmfpga reads version 2"):
        read_container(bytes(data))


def test_not_a_container() -> None:
    with pytest.raises(UserError, match="wrong magic"):
        read_container(b"\x7fELF" + bytes(200))


def test_bytes_behind_the_end() -> None:
    with pytest.raises(UserError, match="where the header says"):
        read_container(write_container(SMALL, MODEL) + b"\0")


def forged(index: int, **changes: int) -> bytes:
    """A container whose table entry was changed and whose checksums are right again."""
    data = bytearray(write_container(SMALL, MODEL))
    at = HEADER.size + index * ENTRY.size
    data[at : at + ENTRY.size] = ENTRY.pack(**{**ENTRY.unpack(bytes(data), at), **changes})
    return checked(data)


def checked(data: bytearray) -> bytes:
    """With the checksum of header and table corrected."""
    header = HEADER.unpack(bytes(data), 0)
    end = HEADER.size + ENTRY.size * header["sections"] + header["strings"] + header["interface"]
    crc = zlib.crc32(bytes(data[: HEADER.size - 4]) + bytes(data[HEADER.size : end]))
    data[HEADER.size - 4 : HEADER.size] = struct.pack("<I", crc)
    return bytes(data)


FIRST = ENTRY.unpack(write_container(SMALL, MODEL), HEADER.size)


@pytest.mark.parametrize(
    "index, changes, message",
    [
        (1, {"offset": FIRST["offset"]}, "overlaps"),
        (0, {"offset": 8}, "overlaps"),
        (1, {"offset": 1 << 40}, "past the end"),
        (1, {"offset": FIRST["offset"] + 32}, "past the end"),
        (0, {"offset": FIRST["offset"] + 1}, "stray bytes"),
        (0, {"depth": 4}, "6 bytes for 4 words"),
        (0, {"lanes": 0}, "0 lanes"),
        (0, {"lane_bits": 0}, "of 0 bits"),
        (0, {"lane_bits": 64}, "of 64 bits"),
        (0, {"signed": 2}, "signed 2"),
        (0, {"crc32": 0}, "checksum of section conv1.weights"),
        (1, {"format": 1000}, "unreadable name in table entry 1"),
        (1, {"format": 9}, "does not use all strings"),
        (1, {"lane_bits": 6}, "bits above the word"),
    ],
)
def test_forged_table(index: int, changes: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_container(forged(index, **changes))


def test_forged_reserved_field() -> None:
    data = bytearray(write_container(SMALL, MODEL))
    data[10] = 1
    with pytest.raises(UserError, match="reserved"):
        read_container(checked(data))


def test_forged_equal_names() -> None:
    data = bytearray(write_container([SMALL[0], Memory("conv1.weighty", np.array([[1]]), 2, "", "dense")], MODEL))
    data[:] = data.replace(b"conv1.weighty", b"conv1.weights")
    with pytest.raises(UserError, match=r"two sections are called conv1\.weights"):
        read_container(checked(data))


def lengthened(data: bytearray, last: int, at: int) -> bytes:
    """8 zero bytes inserted at `at`, the last entry's offset moved by `last` bytes, all checksums right again."""
    entry = HEADER.size + ENTRY.size
    values = ENTRY.unpack(bytes(data), entry)
    data[entry : entry + ENTRY.size] = ENTRY.pack(**{**values, "offset": values["offset"] + last})
    data[at:at] = bytes(8)
    header = HEADER.unpack(bytes(data), 0)
    data[: HEADER.size] = HEADER.pack(**{**header, "length": len(data)})
    return checked(data)


def test_forged_gap_of_zeros() -> None:
    data = bytearray(write_container(SMALL, MODEL))
    start = ENTRY.unpack(bytes(data), HEADER.size + ENTRY.size)["offset"]
    with pytest.raises(UserError, match=r"stray bytes before section conv1\.parameters"):
        read_container(lengthened(data, 8, start))


def test_forged_bytes_behind_the_last_section() -> None:
    data = bytearray(write_container(SMALL, MODEL))
    with pytest.raises(UserError, match="8 bytes behind the last section"):
        read_container(lengthened(data, 0, len(data)))


def test_equal_names_are_our_mistake() -> None:
    with pytest.raises(AssertionError):
        write_container([SMALL[0], SMALL[0]], MODEL)


def test_documentation_shows_this_layout() -> None:
    assert layout_markdown() in (ROOT / "docs" / "formats.md").read_text()
