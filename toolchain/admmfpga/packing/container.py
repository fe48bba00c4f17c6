"""The binary container: all memory images of an accelerator in one file, for loading at run time.

Little-endian throughout:

    header | table, one entry a section | strings | sections

`HEADER` and `ENTRY` are the one definition of the layout: reader, writer and docs/formats.md come from them. The
strings are the sections' names, layers and formats, UTF-8, one after the other. Sections follow in the table's order,
each at a multiple of ALIGNMENT bytes with zeros before it; a section is `depth` words, each in whole bytes with zero
bits above.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from admmfpga.errors import UserError
from admmfpga.packing.memory import MAX_LANE_BITS, Memory, pack_bytes, unpack_bytes

MAGIC = b"ADMMFPGA"
VERSION = 1
ALIGNMENT = 8
"""Bytes."""

_HINT = "copy the file again from the build folder, or build it again with admmfpga compile"


@dataclass(frozen=True)
class Item:
    """One field of a record: its name, its struct format character(s), what it means."""

    name: str
    code: str
    text: str

    @property
    def size(self) -> int:
        """Bytes."""
        return struct.calcsize(f"<{self.code}")

    @property
    def type(self) -> str:
        """As the documentation shows it: u16, bytes[8], ..."""
        return f"bytes[{self.size}]" if self.code.endswith("s") else f"u{8 * self.size}"


class Record:
    """A packed little-endian structure of named fields."""

    def __init__(self, *items: Item) -> None:
        self.items = items
        self._struct = struct.Struct("<" + "".join(item.code for item in items))

    @property
    def size(self) -> int:
        """Bytes."""
        return self._struct.size

    def pack(self, **values: Any) -> bytes:
        assert set(values) == {item.name for item in self.items}, sorted(values)
        return self._struct.pack(*(values[item.name] for item in self.items))

    def unpack(self, data: bytes, offset: int) -> dict[str, Any]:
        return dict(zip((item.name for item in self.items), self._struct.unpack_from(data, offset), strict=True))

    def markdown(self) -> str:
        """The layout as a table."""
        rows, offset = ["| offset | type | field | meaning |", "|---:|---|---|---|"], 0
        for item in self.items:
            rows.append(f"| {offset} | {item.type} | `{item.name}` | {item.text} |")
            offset += item.size
        return "\n".join(rows) + f"\n\n{offset} bytes.\n"


HEADER = Record(
    Item("magic", f"{len(MAGIC)}s", f'"{MAGIC.decode()}"'),
    Item("version", "H", f"format version, {VERSION}"),
    Item("reserved", "H", "0"),
    Item("sections", "I", "entries of the table"),
    Item("strings", "I", "bytes of the strings"),
    Item("length", "Q", "bytes of the whole file"),
    Item("model_sha256", "32s", "SHA-256 of the ONNX file"),
    Item("crc32", "I", "CRC-32 (zlib) of the header before this field, the table and the strings"),
)

ENTRY = Record(
    Item("name", "H", "bytes of the memory's name in the strings"),
    Item("layer", "H", "bytes of the layer's name, which follows it"),
    Item("format", "H", "bytes of the format's name, which follows that"),
    Item("lane_bits", "B", f"bits of a lane, 1 to {MAX_LANE_BITS}"),
    Item("signed", "B", "1: lanes are two's complement, 0: unsigned"),
    Item("lanes", "I", "lanes of a word, lane 0 in the least significant bits"),
    Item("depth", "I", "words"),
    Item("offset", "Q", "first byte of the section, from the start of the file"),
    Item("length", "Q", "bytes: depth * ceil(lanes * lane_bits / 8)"),
    Item("crc32", "I", "CRC-32 (zlib) of the section"),
)

_CRC_SIZE = HEADER.items[-1].size


def write_container(memories: Iterable[Memory], model_sha256: str) -> bytes:
    """All memories in one file.

    Args:
        memories: of one design; names are unique.
        model_sha256: of the ONNX file, 64 hexadecimal digits.
    """
    memories = list(memories)
    assert len({memory.name for memory in memories}) == len(memories), "memory names must be unique"
    sections = [pack_bytes(memory.lanes, memory.lane_bits).tobytes() for memory in memories]
    texts = [[text.encode() for text in (memory.name, memory.layer, memory.format)] for memory in memories]
    strings = b"".join(text for row in texts for text in row)

    end = HEADER.size + ENTRY.size * len(memories) + len(strings)
    table: list[bytes] = []
    body: list[bytes] = []
    for memory, section, (name, layer, form) in zip(memories, sections, texts, strict=True):
        padding = -end % ALIGNMENT
        body += [bytes(padding), section]
        entry = ENTRY.pack(
            name=len(name),
            layer=len(layer),
            format=len(form),
            lane_bits=memory.lane_bits,
            signed=int(memory.signed),
            lanes=memory.lanes.shape[1],
            depth=memory.depth,
            offset=end + padding,
            length=len(section),
            crc32=zlib.crc32(section),
        )
        table.append(entry)
        end += padding + len(section)
    header = HEADER.pack(
        magic=MAGIC,
        version=VERSION,
        reserved=0,
        sections=len(memories),
        strings=len(strings),
        length=end,
        model_sha256=bytes.fromhex(model_sha256),
        crc32=0,
    )[:-_CRC_SIZE]
    described = b"".join([*table, strings])
    crc = zlib.crc32(header + described)
    return b"".join([header, struct.pack("<I", crc), described, *body])


def read_container(data: bytes, expected_model_sha256: str | None = None) -> list[Memory]:
    """The memories of a container, everything checked.

    Args:
        data: the whole file.
        expected_model_sha256: 64 hexadecimal digits; None takes any model's image.

    Raises:
        UserError: not a container, an unknown version, cut or longer than it says, a damaged byte anywhere, sections
            that overlap or leave the file, or the image of another model.
    """
    header = _read_header(data)
    if expected_model_sha256 is not None and header["model_sha256"] != bytes.fromhex(expected_model_sha256):
        raise UserError(
            f"memory image of another model (SHA-256 {header['model_sha256'].hex()[:16]}..., "
            f"expected {expected_model_sha256.lower()[:16]}...)",
            "use the image from the same build folder as the bitstream",
        )
    end = HEADER.size + ENTRY.size * header["sections"]
    strings = data[end : end + header["strings"]]
    end += header["strings"]
    memories: list[Memory] = []
    names: set[str] = set()
    at = 0
    for index in range(header["sections"]):
        entry = ENTRY.unpack(data, HEADER.size + ENTRY.size * index)
        texts = []
        for field in ("name", "layer", "format"):
            texts.append(_text(strings, at, entry[field], index))
            at += entry[field]
        memory, end = _read_section(data, entry, texts, end)
        if memory.name in names:
            raise _damaged(f"two sections are called {memory.name}")
        names.add(memory.name)
        memories.append(memory)
    if at != len(strings):
        raise _damaged("the table does not use all strings")
    if end != len(data):
        raise _damaged(f"{len(data) - end} bytes behind the last section")
    return memories


def container_model(data: bytes) -> str:
    """The model's SHA-256 that a container names, 64 hexadecimal digits.

    Raises:
        UserError: as `read_container` for a damaged header.
    """
    digest: bytes = _read_header(data)["model_sha256"]
    return digest.hex()


def layout_markdown() -> str:
    """The byte layout as docs/formats.md shows it."""
    return f"### Header\n\n{HEADER.markdown()}\n### Table entry\n\n{ENTRY.markdown()}"


def _read_header(data: bytes) -> dict[str, Any]:
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise UserError(
            "not an admmfpga memory container (wrong magic)", "expected memory/weights.admm of a build folder"
        )
    if len(data) < HEADER.size:
        raise _damaged(f"cut after {len(data)} bytes, inside the header")
    header = HEADER.unpack(data, 0)
    if header["version"] != VERSION:
        raise UserError(
            f"memory container of format version {header['version']}, this admmfpga reads version {VERSION}",
            "build it again with admmfpga compile, or install the admmfpga that wrote it",
        )
    if header["length"] > len(data):
        raise _damaged(f"cut: {len(data)} bytes of {header['length']}")
    if header["length"] < len(data):
        raise _damaged(f"{len(data)} bytes where the header says {header['length']}")
    end = HEADER.size + ENTRY.size * header["sections"] + header["strings"]
    if end > len(data):
        raise _damaged("the table reaches past the end of the file")
    if zlib.crc32(data[: HEADER.size - _CRC_SIZE] + data[HEADER.size : end]) != header["crc32"]:
        raise _damaged("checksum of header and table is wrong")
    if header["reserved"] != 0:
        raise _damaged("reserved field is not 0")
    return header


def _read_section(data: bytes, entry: dict[str, Any], texts: Sequence[str], end: int) -> tuple[Memory, int]:
    """The memory of one table entry and the first byte behind it; `end` is the first byte that it may use."""
    name, layer, form = texts
    count, bits, depth, offset, length = (entry[k] for k in ("lanes", "lane_bits", "depth", "offset", "length"))
    if not 1 <= bits <= MAX_LANE_BITS or count < 1 or entry["signed"] > 1:
        raise _damaged(f"section {name}: {count} lanes of {bits} bits, signed {entry['signed']}")
    size = (count * bits + 7) // 8
    if length != depth * size:
        raise _damaged(f"section {name}: {length} bytes for {depth} words of {size} bytes")
    if offset + length > len(data):
        raise _damaged(f"section {name} reaches past the end of the file")
    if offset < end:
        raise _damaged(f"section {name} overlaps what stands before it")
    if offset != end + -end % ALIGNMENT or any(data[end:offset]):
        raise _damaged(f"stray bytes before section {name}")
    section = data[offset : offset + length]
    if zlib.crc32(section) != entry["crc32"]:
        raise _damaged(f"checksum of section {name} is wrong")
    packed = np.frombuffer(section, dtype=np.uint8).reshape(depth, size)
    spare = 8 * size - count * bits
    if spare and np.any(packed[:, -1] >> np.uint8(8 - spare)):
        raise _damaged(f"section {name}: bits above the word are not 0")
    lanes = unpack_bytes(packed, count, bits, signed=bool(entry["signed"]))
    return Memory(name, lanes, bits, layer, form, bool(entry["signed"])), offset + length


def _text(strings: bytes, start: int, length: int, index: int) -> str:
    raw = strings[start : start + length]
    try:
        if len(raw) == length:
            return raw.decode()
    except UnicodeDecodeError:
        pass
    raise _damaged(f"unreadable name in table entry {index}")


def _damaged(reason: str) -> UserError:
    return UserError(f"damaged memory container: {reason}", _HINT)
