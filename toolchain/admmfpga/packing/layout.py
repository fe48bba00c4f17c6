"""Byte layout of the binary container, and its checks. Standard library only: a build's driver has a copy of this text.

Little-endian throughout:

    header | table, one entry a section | strings | interface | sections

`HEADER` and `ENTRY` are the one definition of the layout: reader, writer and docs/formats.md come from them. The
strings are the sections' names, layers and formats, UTF-8, one after the other. Sections follow in the table's order,
each at a multiple of ALIGNMENT bytes with zeros before it; a section is `depth` words, each in whole bytes with zero
bits above.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any

MAGIC = b"ADMMFPGA"
VERSION = 2
ALIGNMENT = 8
"""Bytes."""

MAX_LANE_BITS = 63
"""Lanes are held as 64-bit signed integers, unsigned ones too."""


class ContainerError(ValueError):
    """A container that is not taken: what is wrong, and what would help."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


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
        values = self._struct.unpack_from(data, offset)
        return {item.name: values[index] for index, item in enumerate(self.items)}

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
    Item("interface", "I", "bytes of the interface behind the strings: JSON, scale and zero point of input and output"),
    Item("model_sha256", "32s", "SHA-256 of the ONNX file"),
    Item("structure_sha256", "32s", "SHA-256 of the design's structure: all that cannot be loaded"),
    Item("crc32", "I", "CRC-32 (zlib) of the header before this field, the table, the strings and the interface"),
)

ENTRY = Record(
    Item("name", "H", "bytes of the memory's name in the strings"),
    Item("layer", "H", "bytes of the layer's name, which follows it"),
    Item("format", "H", "bytes of the format's name, which follows that"),
    Item("lane_bits", "B", f"bits of a lane, 1 to {MAX_LANE_BITS}"),
    Item("signed", "B", "1: lanes are two's complement, 0: unsigned"),
    Item("constant", "B", "1: part of the structure or a test vector, 0: loaded at run time, in the table's order"),
    Item("lanes", "I", "lanes of a word, lane 0 in the least significant bits"),
    Item("depth", "I", "words"),
    Item("offset", "Q", "first byte of the section, from the start of the file"),
    Item("length", "Q", "bytes: depth * ceil(lanes * lane_bits / 8)"),
    Item("crc32", "I", "CRC-32 (zlib) of the section"),
)

CRC_SIZE = HEADER.items[-1].size


@dataclass(frozen=True)
class Section:
    """One memory of a container.

    Attributes:
        name, layer, format: see `packing.Memory`.
        entry: its fields of `ENTRY`.
        data: its bytes, checked.
    """

    name: str
    layer: str
    format: str
    entry: dict[str, Any]
    data: bytes


@dataclass(frozen=True)
class Container:
    """A container, everything in it checked.

    Attributes:
        model_sha256, structure_sha256: 64 hexadecimal digits.
        interface: scale and zero point of "input" and "output".
        sections: in the table's order.
    """

    model_sha256: str
    structure_sha256: str
    interface: dict[str, Any]
    sections: list[Section]

    def load_image(self) -> bytes:
        """What goes through the load chain: the words of all memories that are loaded."""
        return b"".join(section.data for section in self.sections if not section.entry["constant"])

    def load_words(self) -> int:
        """Words in it."""
        return sum(section.entry["depth"] for section in self.sections if not section.entry["constant"])


def parse(data: bytes) -> Container:
    """Take a container apart.

    Raises:
        ContainerError: not a container, an unknown version, cut or longer than it says, a damaged byte anywhere, or
            sections that overlap or leave the file.
    """
    header = read_header(data)
    end = HEADER.size + ENTRY.size * header["sections"]
    strings = data[end : end + header["strings"]]
    end += header["strings"]
    interface = _interface(data[end : end + header["interface"]])
    end += header["interface"]
    sections: list[Section] = []
    names: set[str] = set()
    at = 0
    for index in range(header["sections"]):
        entry = ENTRY.unpack(data, HEADER.size + ENTRY.size * index)
        texts = []
        for field in ("name", "layer", "format"):
            texts.append(_text(strings, at, entry[field], index))
            at += entry[field]
        section, end = _section(data, entry, texts, end)
        if section.name in names:
            raise damaged(f"two sections are called {section.name}")
        names.add(section.name)
        sections.append(section)
    if at != len(strings):
        raise damaged("the table does not use all strings")
    if end != len(data):
        raise damaged(f"{len(data) - end} bytes behind the last section")
    return Container(header["model_sha256"].hex(), header["structure_sha256"].hex(), interface, sections)


def read_header(data: bytes) -> dict[str, Any]:
    """The fields of a container's header, with table, strings and interface checked against its checksum.

    Raises:
        ContainerError: as `parse`.
    """
    if data[: len(MAGIC)] != MAGIC[: len(data)] or not data:
        raise ContainerError(
            "not an admmfpga memory container (wrong magic)",
            "expected memory/weights.admm of a build folder, or what `admmfpga weights` wrote",
        )
    if len(data) < HEADER.size:
        raise damaged(f"cut after {len(data)} bytes, inside the header")
    header = HEADER.unpack(data, 0)
    if header["version"] != VERSION:
        raise ContainerError(
            f"memory container of format version {header['version']}, this admmfpga reads version {VERSION}",
            "build it again with admmfpga compile, or install the admmfpga that wrote it",
        )
    if header["length"] > len(data):
        raise damaged(f"cut: {len(data)} bytes of {header['length']}")
    if header["length"] < len(data):
        raise damaged(f"{len(data)} bytes where the header says {header['length']}")
    end = HEADER.size + ENTRY.size * header["sections"] + header["strings"] + header["interface"]
    if end > len(data):
        raise damaged("the table reaches past the end of the file")
    if zlib.crc32(data[: HEADER.size - CRC_SIZE] + data[HEADER.size : end]) != header["crc32"]:
        raise damaged("checksum of header and table is wrong")
    if header["reserved"] != 0:
        raise damaged("reserved field is not 0")
    return header


def _section(data: bytes, entry: dict[str, Any], texts: list[str], end: int) -> tuple[Section, int]:
    """The section of one table entry and the first byte behind it; `end` is the first byte that it may use."""
    name, layer, form = texts
    count, bits, depth, offset, length = (entry[k] for k in ("lanes", "lane_bits", "depth", "offset", "length"))
    if not 1 <= bits <= MAX_LANE_BITS or count < 1 or entry["signed"] > 1 or entry["constant"] > 1:
        raise damaged(f"section {name}: {count} lanes of {bits} bits, signed {entry['signed']}")
    size = (count * bits + 7) // 8
    if length != depth * size:
        raise damaged(f"section {name}: {length} bytes for {depth} words of {size} bytes")
    if offset + length > len(data):
        raise damaged(f"section {name} reaches past the end of the file")
    if offset < end:
        raise damaged(f"section {name} overlaps what stands before it")
    if offset != end + -end % ALIGNMENT or any(data[end:offset]):
        raise damaged(f"stray bytes before section {name}")
    section = data[offset : offset + length]
    if zlib.crc32(section) != entry["crc32"]:
        raise damaged(f"checksum of section {name} is wrong")
    spare = 8 * size - count * bits
    if spare and max(section[size - 1 :: size], default=0) >> (8 - spare):
        raise damaged(f"section {name}: bits above the word are not 0")
    return Section(name, layer, form, entry, section), offset + length


def _interface(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise damaged("unreadable interface")
    return found


def _text(strings: bytes, start: int, length: int, index: int) -> str:
    raw = strings[start : start + length]
    try:
        if len(raw) == length:
            return raw.decode()
    except UnicodeDecodeError:
        pass
    raise damaged(f"unreadable name in table entry {index}")


def damaged(reason: str) -> ContainerError:
    return ContainerError(
        f"damaged memory container: {reason}",
        "copy the file again from the build folder, or build it again with admmfpga compile",
    )
