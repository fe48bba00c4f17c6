"""Memory images as text: `.mem` ($readmemh), `.coe` (Vivado's block memory generator), `.mif` (Intel Quartus).

Words are hexadecimal with as many digits as the width needs, most significant first, one a line; address 0 first.
Every file ends in a newline: some simulators drop the last row without one.
"""

from __future__ import annotations

import re

from admmfpga.errors import UserError
from admmfpga.packing.memory import Memory, pack_bytes

_COE_HEAD = "memory_initialization_radix=16;\nmemory_initialization_vector=\n"
_MIF_HEAD = "DEPTH = {depth};\nWIDTH = {width};\nADDRESS_RADIX = HEX;\nDATA_RADIX = HEX;\nCONTENT BEGIN\n"
_MIF_TAIL = "END;\n"
_MIF_LINE = re.compile(r"([0-9a-f]+) : ([0-9a-f]+);")


def to_mem(memory: Memory) -> str:
    """The text of a `.mem` file for `$readmemh`."""
    return "".join(f"{word}\n" for word in _hex_words(memory))


def to_coe(memory: Memory) -> str:
    """The text of a `.coe` file, radix 16."""
    return _COE_HEAD + ",\n".join(_hex_words(memory)) + ";\n"


def to_mif(memory: Memory) -> str:
    """The text of a `.mif` file as Quartus reads it, hexadecimal addresses and data."""
    digits = len(f"{max(memory.depth - 1, 0):x}")
    lines = "".join(f"{address:0{digits}x} : {word};\n" for address, word in enumerate(_hex_words(memory)))
    return _MIF_HEAD.format(depth=memory.depth, width=memory.width) + lines + _MIF_TAIL


def from_mem(text: str, width: int) -> list[int]:
    """The words of a `.mem` file as `to_mem` writes it.

    Raises:
        UserError: no final newline, or a line that is not one word of `width` bits.
    """
    if text and not text.endswith("\n"):
        raise UserError(".mem file without a final newline", "the file was cut; write it again with admmfpga compile")
    return [_word(line, width, f"line {number}") for number, line in enumerate(text.splitlines(), 1)]


def from_coe(text: str, width: int) -> list[int]:
    """The words of a `.coe` file as `to_coe` writes it.

    Raises:
        UserError: wrong header or end, or an entry that is not one word of `width` bits.
    """
    if not text.startswith(_COE_HEAD) or not text.endswith(";\n"):
        raise UserError("not a .coe file of radix 16, or cut", "write it again with admmfpga compile")
    body = text[len(_COE_HEAD) : -len(";\n")]
    return [_word(word, width, f"entry {index}") for index, word in enumerate(body.split(",\n") if body else [])]


def from_mif(text: str, width: int) -> list[int]:
    """The words of a `.mif` file as `to_mif` writes it.

    Raises:
        UserError: wrong header or end, addresses out of order, or a line that is not one word of `width` bits.
    """
    lines = text.splitlines()
    depth = len(lines) - _MIF_HEAD.count("\n") - 1
    head = _MIF_HEAD.format(depth=depth, width=width)
    if not text.startswith(head) or not text.endswith(_MIF_TAIL):
        raise UserError(
            f"not a .mif file of {max(depth, 0)} words of {width} bits, or cut", "write it again with admmfpga compile"
        )
    words = []
    for address, line in enumerate(lines[head.count("\n") : -1]):
        found = _MIF_LINE.fullmatch(line)
        if found is None or int(found[1], 16) != address:
            raise UserError(f".mif file: expected address {address:x}, found {line[:40]!r}")
        words.append(_word(found[2], width, f"address {address:x}"))
    return words


def hex_digits(width: int) -> int:
    """Digits of one word of `width` bits."""
    return (width + 3) // 4


def _hex_words(memory: Memory) -> list[str]:
    """All words as hexadecimal text of equal length."""
    big_endian = pack_bytes(memory.lanes, memory.lane_bits)[:, ::-1]
    spare = 2 * big_endian.shape[1] - hex_digits(memory.width)
    return [row.tobytes().hex()[spare:] for row in big_endian]


def _word(text: str, width: int, place: str) -> int:
    digits = hex_digits(width)
    if len(text) != digits or not re.fullmatch("[0-9a-fA-F]+", text):
        raise UserError(f"memory image, {place}: expected {digits} hexadecimal digits, found {text[:40]!r}")
    word = int(text, 16)
    if word >> width:
        raise UserError(f"memory image, {place}: {text[:40]} does not fit into {width} bits")
    return word
