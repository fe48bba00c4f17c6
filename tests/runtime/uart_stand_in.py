"""A board with a UART link, byte by byte, as hls_templates/board/uart_link.sv does it: behind a port for the driver."""

from __future__ import annotations

from collections.abc import Callable

from admmfpga.blocks import registers, uart_link
from admmfpga.blocks.uart_link import BUFFER_BYTES, MAX_PAYLOAD, OVERHEAD, crc16

OFFSETS = {register.name: register.offset for register in registers.REGISTERS if not register.reloadable}
STATUS = {status.name: status.code for status in uart_link.STATUSES}
NAMES = {command.code: command.name for command in uart_link.COMMANDS}
LENGTHS = {command.name: command.length for command in uart_link.COMMANDS}


class Board:
    """A port whose other end is a board.

    Attributes:
        compute: bytes of one frame to bytes of its result.
        to_board, to_host: change a byte on its way, None loses it.
        working: whether the accelerator takes frames.
        now: seconds; every read that times out takes one.
    """

    def __init__(self, compute: Callable[[bytes], bytes], *, frame: int, model: int) -> None:
        self.compute, self.frame = compute, frame
        self.registers = dict.fromkeys(OFFSETS.values(), 0)
        self.registers |= {OFFSETS["ID"]: registers.MAGIC, OFFSETS["MODEL"]: model}
        self.to_board: Callable[[int], int | None] = lambda byte: byte
        self.to_host: Callable[[int], int | None] = lambda byte: byte
        self.working = True
        self.now = 0.0
        self.frames: list[bytes] = []
        self.closed = False
        self._coming, self._going = bytearray(), bytearray()
        self._known: tuple[int, int, bytes] | None = None
        self._restart()

    def _restart(self) -> None:
        self._input, self._results, self._sent = bytearray(), bytearray(), 0

    # --- the port

    def write(self, data: bytes, /) -> int:
        for byte in data:
            if (arrived := self.to_board(byte)) is not None:
                self._coming.append(arrived)
        self._take()
        return len(data)

    def read(self, size: int = 1, /) -> bytes:
        found = bytes(self._going[:size])
        del self._going[:size]
        if len(found) < size:
            self.now += 1.0
            # The board has given up what it was waiting for, too.
            self._coming.clear()
        return found

    def send_break(self, duration: float = 0.25) -> None:
        self._coming.clear()
        self._known = None

    def reset_input_buffer(self) -> None:
        self._going.clear()

    def close(self) -> None:
        self.closed = True

    # --- the board

    def _take(self) -> None:
        while True:
            while self._coming and self._coming[0] != uart_link.SYNC_COMMAND:
                del self._coming[0]
            if len(self._coming) < 5:
                return
            code, number, length = self._coming[1], self._coming[2], int.from_bytes(self._coming[3:5], "little")
            if length > MAX_PAYLOAD:
                del self._coming[:5]
                self._answer(number, STATUS["CRC"], b"")
                continue
            if len(self._coming) < OVERHEAD + length:
                return
            body = bytes(self._coming[1 : OVERHEAD + length])
            del self._coming[: OVERHEAD + length]
            if crc16(body):
                self._answer(number, STATUS["CRC"], b"")
                continue
            if self._known and self._known[:2] == (code, number) and NAMES.get(code) != "RESET":
                self._answer(number, self._known[2][0], self._known[2][1:])
                continue
            del self._results[: self._sent]
            self._sent = 0
            status, reply = self._do(NAMES.get(code, ""), body[4:-2])
            self._known = (code, number, bytes([STATUS[status]]) + reply) if status in ("OK", "BUS") else None
            self._answer(number, STATUS[status], reply)

    def _do(self, name: str, payload: bytes) -> tuple[str, bytes]:
        if not name:
            return "COMMAND", b""
        if LENGTHS[name] not in (None, len(payload)) or (name == "SEND" and not payload):
            return "LENGTH", b""
        address = int.from_bytes(payload[:2], "little")
        if name in ("READ", "WRITE") and address not in self.registers:
            return "BUS", b""
        match name:
            case "RESET":
                self._restart()
                return "OK", bytes([uart_link.VERSION]) + MAX_PAYLOAD.to_bytes(2, "little")
            case "READ":
                return "OK", self.registers[address].to_bytes(4, "little")
            case "WRITE":
                self.registers[address] = int.from_bytes(payload[2:], "little")
            case "SEND":
                if len(self._input) + len(payload) > BUFFER_BYTES:
                    return "BUSY", b""
                self._input += payload
                self._work()
            case "RECEIVE":
                self._sent = min(address, MAX_PAYLOAD, len(self._results))
                return "OK", bytes(self._results[: self._sent])
            case "STATUS":
                return "OK", bytes(4)
        return "OK", b""

    def _work(self) -> None:
        while self.working and self.registers[OFFSETS["CONTROL"]] & 1 and len(self._input) >= self.frame:
            self.frames.append(bytes(self._input[: self.frame]))
            del self._input[: self.frame]
            self._results += self.compute(self.frames[-1])

    def _answer(self, number: int, status: int, payload: bytes) -> None:
        body = bytes([status, number]) + len(payload).to_bytes(2, "little") + payload
        for byte in bytes([uart_link.SYNC_REPLY]) + body + crc16(body).to_bytes(2, "big"):
            if (heard := self.to_host(byte)) is not None:
                self._going.append(heard)
