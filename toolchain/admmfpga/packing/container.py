"""The binary container: all memory images of an accelerator in one file, for loading at run time.

`layout.py` defines the bytes; here they become memories.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from admmfpga.errors import UserError
from admmfpga.packing.layout import (
    ALIGNMENT,
    CRC_SIZE,
    ENTRY,
    HEADER,
    MAGIC,
    VERSION,
    Container,
    ContainerError,
    parse,
    read_header,
)
from admmfpga.packing.memory import Memory, unpack_bytes

NO_STRUCTURE = "0" * 64
"""Of memories that belong to no design."""


def write_container(
    memories: Iterable[Memory],
    model_sha256: str,
    structure_sha256: str = NO_STRUCTURE,
    interface: Mapping[str, Any] | None = None,
) -> bytes:
    """All memories in one file.

    Args:
        memories: of one design, in the order of its load chain; names are unique.
        model_sha256: of the ONNX file, 64 hexadecimal digits.
        structure_sha256: of the design, as many.
        interface: scale and zero point of input and output.
    """
    memories = list(memories)
    assert len({memory.name for memory in memories}) == len(memories), "memory names must be unique"
    sections = [memory.image() for memory in memories]
    texts = [[text.encode() for text in (memory.name, memory.layer, memory.format)] for memory in memories]
    strings = b"".join(text for row in texts for text in row)
    described = json.dumps(interface or {}, sort_keys=True).encode()

    end = HEADER.size + ENTRY.size * len(memories) + len(strings) + len(described)
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
            constant=int(memory.constant),
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
        interface=len(described),
        model_sha256=bytes.fromhex(model_sha256),
        structure_sha256=bytes.fromhex(structure_sha256),
        crc32=0,
    )[:-CRC_SIZE]
    rest = b"".join([*table, strings, described])
    crc = zlib.crc32(header + rest)
    return b"".join([header, struct.pack("<I", crc), rest, *body])


def read_container(data: bytes, expected_model_sha256: str | None = None) -> list[Memory]:
    """The memories of a container, everything checked.

    Args:
        data: the whole file.
        expected_model_sha256: 64 hexadecimal digits; None takes any model's image.

    Raises:
        UserError: not a container, an unknown version, cut or longer than it says, a damaged byte anywhere, sections
            that overlap or leave the file, or the image of another model.
    """
    found = container_model(data)
    if expected_model_sha256 is not None and found != expected_model_sha256.lower():
        raise UserError(
            f"memory image of another model (SHA-256 {found[:16]}..., "
            f"expected {expected_model_sha256.lower()[:16]}...)",
            "use the image from the same build folder as the bitstream",
        )
    return memories_of(open_container(data))


def open_container(data: bytes) -> Container:
    """A container, everything checked.

    Raises:
        UserError: as `read_container`.
    """
    try:
        return parse(data)
    except ContainerError as error:
        raise UserError(error.message, error.hint) from None


def memories_of(container: Container) -> list[Memory]:
    """The memories of a container."""
    memories = []
    for section in container.sections:
        count, bits, depth = (section.entry[key] for key in ("lanes", "lane_bits", "depth"))
        signed, constant = bool(section.entry["signed"]), bool(section.entry["constant"])
        packed = np.frombuffer(section.data, dtype=np.uint8).reshape(depth, (count * bits + 7) // 8)
        lanes = unpack_bytes(packed, count, bits, signed=signed)
        memories.append(Memory(section.name, lanes, bits, section.layer, section.format, signed, constant))
    return memories


def container_model(data: bytes) -> str:
    """The model's SHA-256 that a container names, 64 hexadecimal digits.

    Raises:
        UserError: as `read_container` for a damaged header.
    """
    try:
        digest: bytes = read_header(data)["model_sha256"]
    except ContainerError as error:
        raise UserError(error.message, error.hint) from None
    return digest.hex()


def layout_markdown() -> str:
    """The byte layout as docs/formats.md shows it."""
    return f"### Header\n\n{HEADER.markdown()}\n### Table entry\n\n{ENTRY.markdown()}"
