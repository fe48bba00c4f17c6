"""The accelerator on a board with a UART link: the protocol's host side, and a build's accelerator behind it.

    with UartAccelerator("build/lenet5", "/dev/ttyUSB0") as accelerator:
        accelerator.self_test()
        codes = accelerator.run_codes(codes)

A port is whatever has pyserial's `write`, `read` (fewer bytes than asked for after its time-out), `send_break`,
`reset_input_buffer` and `close`; tests put a simulated board behind it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from admmfpga.blocks import registers, uart_link
from admmfpga.blocks.uart_link import MAX_PAYLOAD, OVERHEAD, command_code, crc16
from admmfpga.codegen.frames import from_beats, to_beats
from admmfpga.errors import UserError
from admmfpga.network import IntArray
from admmfpga.runtime.build import Build, open_build
from admmfpga.runtime.images import to_codes

RETRIES = 4
"""How often a command is sent again that was damaged, or whose reply was."""

BREAK_S = 0.01

_STATUS = {status.code: status for status in uart_link.STATUSES}
_COUNTS = ("crc_errors", "framing_errors", "silences", "breaks")


class LinkError(RuntimeError):
    """The board does not answer, answers something else than it should, or makes no progress."""


class Port(Protocol):
    """The part of pyserial's `Serial` that is used."""

    def write(self, data: bytes, /) -> Any: ...
    def read(self, size: int = 1, /) -> bytes: ...
    def send_break(self, duration: float = 0.25) -> None: ...
    def reset_input_buffer(self) -> None: ...
    def close(self) -> None: ...


def reply_timeout(baud: float) -> float:
    """Seconds to wait for a reply: the longest one, and long enough for the board to have given up a command."""
    return 2 * uart_link.SILENCE_S + 0.1 + 2 * 10 * (MAX_PAYLOAD + OVERHEAD) / baud


def open_port(name: str, baud: float) -> Port:
    """A serial port.

    Raises:
        UserError: pyserial is not installed, or the port cannot be opened.
    """
    try:
        import serial
    except ImportError:
        raise UserError("pyserial is not installed", 'pip install "admmfpga[uart]"') from None
    try:
        port: Port = serial.Serial(name, int(baud), timeout=reply_timeout(baud), write_timeout=10)
    except (OSError, ValueError) as error:
        raise UserError(
            f"port {name} cannot be opened: {error}",
            "is the board plugged in, and are you in group dialout?",
        ) from None
    return port


class UartLink:
    """Commands and replies over a port; what is damaged on the way is sent again."""

    def __init__(self, port: Port, *, retries: int = RETRIES) -> None:
        """
        Args:
            port: serial port.
            retries: how often a command is sent again.
        """
        self.port = port
        self.retries = retries
        self.resent = 0
        self._sequence = 0

    def reset(self) -> None:
        """Bring link and accelerator to their state after configuration.

        Raises:
            LinkError: no answer, or another version of the protocol.
        """
        # Ends whatever command the other side may think to be in.
        self.port.send_break(BREAK_S)
        self.port.reset_input_buffer()
        reply = self.command("RESET")
        if len(reply) != 3 or reply[0] != uart_link.VERSION:
            raise LinkError(f"the board speaks another protocol: RESET answers {reply.hex(' ') or 'nothing'}")

    def read(self, address: int) -> int:
        """A register."""
        return int.from_bytes(self.command("READ", address.to_bytes(2, "little")), "little")

    def write(self, address: int, value: int) -> None:
        """Write a register."""
        self.command("WRITE", address.to_bytes(2, "little") + value.to_bytes(4, "little"))

    def send(self, data: bytes) -> bool:
        """Input bytes, 1 to MAX_PAYLOAD; False if the board has no room for them now."""
        assert 0 < len(data) <= MAX_PAYLOAD, len(data)
        return self._exchange("SEND", data)[0] != "BUSY"

    def receive(self, most: int) -> bytes:
        """The result bytes that are there, at most so many."""
        return self.command("RECEIVE", min(most, MAX_PAYLOAD).to_bytes(2, "little"))

    def errors(self) -> dict[str, int]:
        """What went wrong on the link since the FPGA was configured (counts stop at 255); commands sent again."""
        counts = dict(zip(_COUNTS, self.command("STATUS"), strict=True))
        return counts | {"resent": self.resent}

    def command(self, name: str, payload: bytes = b"") -> bytes:
        """Carry out a command: the reply's payload.

        Raises:
            LinkError: refused, or no good answer after all retries.
        """
        status, reply = self._exchange(name, payload)
        if status != "OK":
            text = next(s.text for s in uart_link.STATUSES if s.name == status)
            raise LinkError(f"the board refused {name} {payload[:8].hex(' ')}: {text}")
        return reply

    def _exchange(self, name: str, payload: bytes) -> tuple[str, bytes]:
        self._sequence = (self._sequence + 1) % 256
        body = bytes([command_code(name), self._sequence]) + len(payload).to_bytes(2, "little") + payload
        packet = bytes([uart_link.SYNC_COMMAND]) + body + crc16(body).to_bytes(2, "big")
        complaints: list[str] = []
        for attempt in range(self.retries + 1):
            if attempt:
                self.resent += 1
                self.port.reset_input_buffer()
            self.port.write(packet)
            found = self._reply()
            if isinstance(found, str):
                complaints.append(found)
            elif found[0] == "CRC":
                complaints.append("the command arrived damaged")
            else:
                return found
        raise LinkError(
            f"no good answer to {name} after {self.retries + 1} attempts: {', '.join(dict.fromkeys(complaints))}; "
            "is the right bitstream loaded, and is the baud rate that of the build?"
        )

    def _reply(self) -> tuple[str, bytes] | str:
        """Status and payload of the reply to the last command, or what was wrong with it."""
        # Bytes in front of the reply are noise, or the rest of one that was given up.
        for _ in range(4 * MAX_PAYLOAD):
            byte = self.port.read(1)
            if not byte:
                return "silence"
            if byte[0] != uart_link.SYNC_REPLY:
                continue
            head = self.port.read(4)
            if len(head) < 4:
                return "a reply that breaks off"
            length = int.from_bytes(head[2:4], "little")
            if length > MAX_PAYLOAD or head[0] not in _STATUS:
                return "a damaged reply"
            rest = self.port.read(length + 2)
            if len(rest) < length + 2:
                return "a reply that breaks off"
            if crc16(head + rest) != 0:
                return "a damaged reply"
            status = _STATUS[head[0]].name
            # A command that arrived damaged may have had another number.
            if head[1] != self._sequence and status != "CRC":
                continue
            return status, rest[:-2]
        return "nothing but noise"


class UartAccelerator:
    """A build's accelerator on a board, over a serial port."""

    def __init__(
        self,
        build: Build | Path | str,
        port: Port | str,
        *,
        baud: float | None = None,
        timeout_s: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            build: build folder: for shapes, types, vectors and the model's hash.
            port: name of a serial port, or one that is open.
            baud: of a port by name; that of the build if None.
            timeout_s: longest time without progress.
            clock: seconds.

        Raises:
            UserError: not a build with a UART link; the port cannot be opened.
            LinkError: the board does not answer, or has another model.
        """
        self.build = open_build(Path(build)) if isinstance(build, Path | str) else build
        self.timeout_s = timeout_s
        self._clock = clock
        if isinstance(port, str):
            port = open_port(port, baud if baud is not None else self._built_baud())
        self.link = UartLink(port)
        self._offsets = {register.name: register.offset for register in registers.REGISTERS}
        try:
            self._start()
        except BaseException:
            port.close()
            raise

    def _built_baud(self) -> float:
        link = self.build.report.get("link")
        if not link:
            raise UserError(f"{self.build.folder} is not for a board with a UART link", "compile for ulx3s-85f")
        return float(link["baud"])

    def _start(self) -> None:
        self.link.reset()
        found = self.read("ID")
        if found != registers.MAGIC:
            raise LinkError(
                f"register ID reads {found:#010x}, expected {registers.MAGIC:#010x}: not an admmfpga design"
            )
        model, expected = f"{self.read('MODEL'):08x}", self.build.model_sha256[:8]
        if model != expected:
            raise LinkError(f"the board has another model: MODEL reads {model}, the build is {expected}")
        control = next(register for register in registers.REGISTERS if register.name == "CONTROL")
        bits = {f.name: 1 << f.bit for f in control.fields}
        self.write("CONTROL", bits["AP_START"] | bits["AUTO_RESTART"])

    def read(self, name: str) -> int:
        """A register by name."""
        return self.link.read(self._offsets[name])

    def write(self, name: str, value: int) -> None:
        """Write a register by name."""
        self.link.write(self._offsets[name], value)

    def run(self, images: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        """Images as the model takes them to the accelerator's results as real numbers, channels innermost.

        Args:
            images: (N, C, H, W), or (N, C) vectors.

        Raises:
            UserError: images of the wrong shape.
            LinkError: see `run_codes`.
        """
        design = self.build.design
        return design.output.dequantize(self.run_codes(to_codes(design, images)))

    def run_codes(self, codes: IntArray) -> IntArray:
        """(N, *input shape) codes to (N, *output shape) codes.

        Raises:
            LinkError: no progress, or the accelerator saw a frame of the wrong length.
        """
        design = self.build.design
        axis_in, axis_out = design.formats
        data = _to_bytes(to_beats(codes, axis_in), axis_in.width)
        width, beats = axis_out.width // 8, design.out_beats
        results = self._stream(data, len(codes) * beats * width, frame=len(data) // max(1, len(codes)))
        if self.read("ERROR"):
            raise LinkError(f"the accelerator saw a frame of the wrong length ({self.describe()})")
        found = np.array([int.from_bytes(results[i : i + width], "little") for i in range(0, len(results), width)])
        words = found.astype(np.uint64).reshape(len(codes), beats)
        return from_beats(words, axis_out, design.output.dtype, design.output.shape)

    def _stream(self, data: bytes, expected: int, *, frame: int) -> bytes:
        """Send all bytes and fetch all results; while one frame is worked on the next ones go in."""
        sent, results = 0, bytearray()
        progress = self._clock()
        while len(results) < expected:
            before = sent, len(results)
            if sent < len(data):
                chunk = data[sent : sent + MAX_PAYLOAD]
                if self.link.send(chunk):
                    sent += len(chunk)
            # Of frames that are not inside as a whole there are no results.
            if sent // frame * expected > len(results) * (len(data) // frame):
                results += self.link.receive(expected - len(results))
            now = self._clock()
            if (sent, len(results)) != before:
                progress = now
            elif now - progress > self.timeout_s:
                raise LinkError(
                    f"no progress for {self.timeout_s:g} s: {sent} of {len(data)} bytes sent, {len(results)} of "
                    f"{expected} received ({self.describe()})"
                )
        return bytes(results)

    def counters(self) -> dict[str, int]:
        """The accelerator's counters and error register by name."""
        found = [r for r in registers.REGISTERS if not r.fields and r.access == "ro" and not r.reloadable]
        names = ["ERROR", *(r.name for r in found if r.name not in ("ID", "MODEL"))]
        return {name: self.read(name) for name in names}

    def describe(self) -> str:
        """Counters and link errors in one line, for messages."""
        return ", ".join(f"{name} {value}" for name, value in (self.counters() | self.link.errors()).items())

    def self_test(self) -> int:
        """Run the build's test vectors: their number.

        Raises:
            LinkError: names the first output that differs.
        """
        axis_in, axis_out = self.build.design.formats
        data, wanted = (
            b"".join(bytes.fromhex(line)[::-1] for line in (self.build.folder / "vectors" / name).read_text().split())
            for name in ("input.hex", "output.hex")
        )
        frames = len(data) // (self.build.design.in_beats * axis_in.width // 8)
        results = self._stream(data, len(wanted), frame=len(data) // frames)
        width = axis_out.width // 8
        for index in range(0, len(wanted), width):
            got, want = (value[index : index + width][::-1].hex() for value in (results, wanted))
            if got != want:
                frame, beat = divmod(index // width, self.build.design.out_beats)
                raise LinkError(f"self-test failed: frame {frame}, output beat {beat}: {got}, expected {want}")
        return frames

    def close(self) -> None:
        """Close the port."""
        self.link.port.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _to_bytes(beats: npt.NDArray[np.uint64], width: int) -> bytes:
    """Beats in the order in which they go, least significant byte first."""
    found = np.ascontiguousarray(beats).astype("<u8").view(np.uint8).reshape(-1, 8)[:, : width // 8]
    return found.tobytes()
