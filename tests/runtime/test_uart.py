"""The UART driver against a board byte by byte: all that goes wrong on a line, and what it says when nothing helps."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uart_stand_in import OFFSETS, Board

from admmfpga.blocks import uart_link
from admmfpga.errors import UserError
from admmfpga.mapping import AxisFormat
from admmfpga.network import IntType, Tensor
from admmfpga.runtime.build import Build
from admmfpga.runtime.uart import LinkError, UartAccelerator, UartLink, open_port

SHA256 = "deadbeef" + "0" * 56
FRAME, RESULT = 2 * 3 * 4, 5


def build(folder: Path = Path("build"), report: dict[str, Any] | None = None) -> Build:
    """A build of 24 codes in and 5 out, without a mapping behind it."""
    source = Tensor("x", (2, 3, 4), IntType(8, signed=False), np.array(0.5), 10)
    result = Tensor("y", (5,), IntType(8, signed=True), np.array(0.25), -3)
    formats = (AxisFormat(4, 8), AxisFormat(1, 8))
    design = SimpleNamespace(input=source, output=result, formats=formats, in_beats=FRAME // 4, out_beats=RESULT)
    return cast(Build, SimpleNamespace(folder=folder, design=design, model_sha256=SHA256, report=report or {}))


def first_five(frame: bytes) -> bytes:
    return frame[:5]


def board(compute: Callable[[bytes], bytes] = first_five, model: int = 0xDEADBEEF) -> Board:
    return Board(compute, frame=FRAME, model=model)


def noise(rng: random.Random, share: float) -> Callable[[int], int | None]:
    def spoil(byte: int) -> int | None:
        kind = rng.random()
        if kind < share / 2:
            return byte ^ 1 << rng.randrange(8)
        return None if kind < share else byte

    return spoil


def opened(port: Board, **options: Any) -> UartAccelerator:
    return UartAccelerator(build(), port, clock=lambda: port.now, **options)


def test_codes_arrive_in_order_and_results_come_back() -> None:
    port = board()
    codes = np.random.default_rng(0).integers(0, 256, (100, 2, 3, 4))
    with opened(port) as accelerator:
        found = accelerator.run_codes(codes)
    assert port.frames == [frame.astype(np.uint8).tobytes() for frame in codes]
    assert np.array_equal(found, codes.reshape(100, -1)[:, :5].astype(np.uint8).view(np.int8))
    assert port.closed


def test_real_numbers() -> None:
    port = board()
    images = np.full((1, 4, 2, 3), 5.0)
    assert np.array_equal(opened(port).run(images), np.full((1, 5), 0.25 * (20 + 3)))
    with pytest.raises(UserError, match="the model takes"):
        opened(port).run(images.transpose(0, 2, 3, 1))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 32), large=st.booleans())
def test_noise_in_both_directions_changes_nothing(seed: int, large: bool) -> None:
    port, rng = board(), random.Random(seed)
    # A packet of a kilobyte hardly ever arrives whole over a line that loses every thirtieth byte.
    frames, share = (60, 0.001) if large else (2, 0.03)
    accelerator = opened(port, timeout_s=1e9)
    accelerator.link.retries = 1000
    port.to_board, port.to_host = noise(rng, share), noise(rng, share)
    codes = np.random.default_rng(seed).integers(0, 256, (frames, 2, 3, 4))
    found = accelerator.run_codes(codes)
    assert port.frames == [frame.astype(np.uint8).tobytes() for frame in codes]
    assert np.array_equal(found.astype(np.uint8), codes.reshape(frames, -1)[:, :5])


@given(payload=st.binary(max_size=40), position=st.integers(0, 1 << 20), bit=st.integers(0, 7))
def test_every_flipped_bit_is_seen(payload: bytes, position: int, bit: int) -> None:
    whole = bytearray(payload + uart_link.crc16(payload).to_bytes(2, "big"))
    assert uart_link.crc16(bytes(whole)) == 0
    whole[position % len(whole)] ^= 1 << bit
    assert uart_link.crc16(bytes(whole)) != 0


def test_crc_is_the_catalogued_one() -> None:
    """Check value of CRC-16/IBM-3740 in the catalogue of parametrised CRC algorithms."""
    assert uart_link.crc16(b"123456789") == 0x29B1


def test_a_stalled_accelerator_is_told_with_its_counters() -> None:
    port = board()
    accelerator = opened(port, timeout_s=5)
    port.working = False
    port.registers[OFFSETS["FRAMES_IN"]] = 3
    # Time goes on without a time-out of the port, too.
    port.to_host = lambda byte: (setattr(port, "now", port.now + 0.01), byte)[1]
    with pytest.raises(LinkError, match=r"no progress for 5 s: 24 of 24 bytes sent, 0 of 5 received \(.*FRAMES_IN 3"):
        accelerator.run_codes(np.zeros((1, 2, 3, 4), dtype=np.int64))
    with pytest.raises(LinkError, match=r"no progress for 5 s: 1024 of 4800 bytes sent"):
        accelerator.run_codes(np.zeros((200, 2, 3, 4), dtype=np.int64))


def test_a_frame_of_the_wrong_length_is_told() -> None:
    port = board()
    accelerator = opened(port)
    port.registers[OFFSETS["ERROR"]] = 1
    with pytest.raises(LinkError, match="wrong length"):
        accelerator.run_codes(np.zeros((1, 2, 3, 4), dtype=np.int64))


def test_another_model_another_design_and_silence() -> None:
    port = board(model=0x12345678)
    with pytest.raises(LinkError, match="another model: MODEL reads 12345678, the build is deadbeef"):
        opened(port)
    assert port.closed
    port = board()
    port.registers[OFFSETS["ID"]] = 7
    with pytest.raises(LinkError, match="ID reads 0x00000007"):
        opened(port)
    port = board()
    port.to_host = lambda _: None
    with pytest.raises(LinkError, match="no good answer to RESET after 5 attempts: silence; is the right bitstream"):
        opened(port)
    port.to_host = lambda _: 0
    with pytest.raises(LinkError, match="silence"):
        opened(port)


def test_an_echo_is_not_an_answer() -> None:
    class Echo(Board):
        def write(self, data: bytes, /) -> int:
            self._going += data
            return len(data)

    with pytest.raises(LinkError, match="no good answer"):
        opened(Echo(first_five, frame=FRAME, model=0))


def test_unknown_registers_are_refused() -> None:
    link = UartLink(board())
    link.reset()
    with pytest.raises(LinkError, match="refused READ f0 00: READ, WRITE: no register"):
        link.read(0xF0)


def test_self_test_names_the_first_difference(tmp_path: Path) -> None:
    vectors = tmp_path / "vectors"
    vectors.mkdir()
    frames = np.random.default_rng(1).integers(0, 256, (3, FRAME), dtype=np.uint8)
    beats = frames.reshape(-1, 4)[:, ::-1]
    (vectors / "input.hex").write_text("".join(f"{beat.tobytes().hex()}\n" for beat in beats))
    results = frames[:, :5].copy()
    (vectors / "output.hex").write_text("".join(f"{value:02x}\n" for value in results.ravel()))
    port = board()
    accelerator = UartAccelerator(build(tmp_path), port, clock=lambda: port.now)
    assert accelerator.self_test() == 3
    results[1, 2] ^= 0x40
    (vectors / "output.hex").write_text("".join(f"{value:02x}\n" for value in results.ravel()))
    with pytest.raises(LinkError, match="self-test failed: frame 1, output beat 2: "):
        accelerator.self_test()


def test_counters_are_the_read_only_registers() -> None:
    port = board()
    port.registers[OFFSETS["CYCLES"]] = 123
    counters = opened(port).counters()
    assert counters["CYCLES"] == 123
    assert {"ERROR", "FRAMES_IN", "FRAMES_OUT", "LATENCY", "INTERVAL"} <= counters.keys()


def test_ports_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not for a board with a UART link"):
        UartAccelerator(build(), "/dev/null")
    pytest.importorskip("serial")
    with pytest.raises(UserError, match="cannot be opened"):
        UartAccelerator(build(report={"link": {"baud": 1000}}), str(tmp_path / "none"))
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(UserError, match="pyserial is not installed"):
        open_port("COM1", 1000)


def test_rate_of_the_line() -> None:
    """784 bytes in, 10 out: two commands with 2 bytes and two replies of 7 bytes beside payloads, ten bits a byte."""
    assert uart_link.frames_per_second(2e6, 784, 10) == pytest.approx(200_000 / (784 + 10 + 4 * 7 + 2))
