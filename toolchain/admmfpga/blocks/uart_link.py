"""UART link: the protocol between a host and an accelerator on a board without a processor. Not a stream block.

The one table from which the RTL package, the driver's constants and docs/build.md's tables are made.

A command is SYNC_COMMAND, code, sequence number, length (two bytes, low first), payload, CRC; a reply is SYNC_REPLY,
status, sequence number, length, payload, CRC. The CRC-16 (polynomial 0x1021, start 0xFFFF, high byte first, known as
CRC-16/IBM-3740) is over everything between sync byte and CRC. The host waits for the reply to each command before it
sends the next one. A command with the code and sequence number of the last one that was carried out is answered again
and not carried out again: what got lost can be sent again without harm.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

from admmfpga.blocks.base import Resources

VERSION = 1
SYNC_COMMAND = 0xA5
SYNC_REPLY = 0x5A
CRC_POLYNOMIAL = 0x1021
CRC_START = 0xFFFF
MAX_PAYLOAD = 1024
BUFFER_BYTES = 2048
"""Of input that was received and not yet taken, and of results that were not yet fetched. A power of two."""

OVERHEAD = 7
"""Bytes of a command or reply beside its payload: sync, code, sequence number, length, CRC."""

SILENCE_S = 0.02
"""A command whose bytes stop coming for so long is given up. Host time-outs must be well above."""


BESIDE = Resources(lut=1300, ff=700, bram18=2)
"""Link, reset and lamps on an ECP5: Yosys 0.70 makes 1,082 LUTs and 510 FFs of the link with streams of a byte, 1,116
and 595 with 64 and 32 bits; the rest is counters."""


@dataclass(frozen=True)
class Command:
    """A command of the host.

    Attributes:
        length: bytes of the payload; None: any from 1 to MAX_PAYLOAD.
    """

    name: str
    code: int
    length: int | None
    text: str
    reply: str


@dataclass(frozen=True)
class Status:
    """First byte of a reply behind the sync byte."""

    name: str
    code: int
    text: str


COMMANDS = (
    Command(
        "RESET",
        0x01,
        0,
        "reset the accelerator, empty the buffers, forget the sequence",
        "version, greatest payload (two bytes)",
    ),
    Command("READ", 0x02, 2, "read a register: its address", "the register, four bytes"),
    Command("WRITE", 0x03, 6, "write a register: its address, four bytes", "nothing"),
    Command("SEND", 0x04, None, "input bytes for the accelerator, any number of frames and parts of frames", "nothing"),
    Command("RECEIVE", 0x05, 2, "fetch result bytes: at most how many", "the bytes that are there, none if none are"),
    Command(
        "STATUS",
        0x06,
        0,
        "what went wrong on the link since the FPGA was configured; counts stop at 255",
        "commands with a wrong CRC, framing errors, commands given up after silence, breaks",
    ),
)

STATUSES = (
    Status("OK", 0x00, "carried out"),
    Status("BUSY", 0x01, "SEND: the buffer has no room for all of it now; nothing was taken"),
    Status("CRC", 0x02, "the command was damaged, or says that it is longer than any; nothing was done"),
    Status("LENGTH", 0x03, "no such length for this command; nothing was done"),
    Status("COMMAND", 0x04, "no such command"),
    Status("BUS", 0x05, "READ, WRITE: no register has this address"),
)


def crc16(data: bytes) -> int:
    """CRC-16/IBM-3740 of some bytes; over data and its own CRC, high byte first, it is zero."""
    return binascii.crc_hqx(data, CRC_START)


def command_code(name: str) -> int:
    """Code of a command."""
    return next(command.code for command in COMMANDS if command.name == name)


def frames_per_second(baud: float, in_bytes: int, out_bytes: int) -> float:
    """Most frames a second that the line carries: a byte is ten bits, both directions take turns.

    Args:
        baud: bits a second.
        in_bytes, out_bytes: of a frame and its result; each goes in payloads of up to MAX_PAYLOAD.
    """
    total = 0
    for payload in (in_bytes, out_bytes):
        packets = -(-payload // MAX_PAYLOAD)
        # Both a command and its reply; RECEIVE says how many bytes it wants.
        total += payload + packets * 2 * OVERHEAD
    total += 2 * -(-out_bytes // MAX_PAYLOAD)
    return baud / 10 / total
