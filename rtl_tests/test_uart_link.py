"""UART link between pins, an AXI4-Lite memory and a stream that is looped back: the driver's own code drives it."""

import random

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.task import bridge
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteRam

import bench
from admmfpga.blocks import uart_link as protocol
from admmfpga.codegen.board import board_order, render_protocol
from admmfpga.codegen.environment import make_environment
from admmfpga.resources import resource_dir
from admmfpga.runtime.uart import LinkError, UartLink
from uart_pins import Pins, Port

CLOCKS_PER_BIT = 8
SILENCE = 400
BUFFER = 64
"""Bytes of the buffers here: full ones come up often."""
PARAMETERS = {
    "CLOCKS_PER_BIT": CLOCKS_PER_BIT,
    "SILENCE_CLOCKS": SILENCE,
    "IN_BEATS": 5,
    "IN_WIDTH": 16,
    "OUT_WIDTH": 16,
    "ADDRESS_BITS": 8,
}
"""Two bytes a beat on both sides, five beats a frame."""


def test_uart_link():
    folder = bench.SIM_BUILD / "test_uart_link"
    folder.mkdir(parents=True, exist_ok=True)
    board = resource_dir("hls_templates") / "board"
    sources = []
    for name, text in render_protocol(make_environment(), buffer_bytes=BUFFER).items():
        bench.write(folder / name, text)
        sources.append(folder / name)
    sources += [board / name for name in board_order([path.name for path in board.glob("*.sv")])]
    arguments = ["-y", str(bench.rtl_folder()), *(f"-G{name}={value}" for name, value in PARAMETERS.items())]
    bench.run("test_uart_link", top="uart_link", sources=sources, folder=folder, arguments=arguments)


class TB:
    """The link, its pins, a register file, and the stream from its output to its input."""

    def __init__(self, dut):
        self.dut = dut
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        self.pins = Pins(dut.clk, dut.rx, dut.tx, clocks_per_bit=CLOCKS_PER_BIT, timeout_clocks=3 * SILENCE)
        self.port = Port(self.pins)
        self.link = UartLink(self.port)
        self.registers = AxiLiteRam(AxiLiteBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=128)
        self.beats: list[tuple[int, bool]] = []
        self.open = True  # whether the loop takes beats
        cocotb.start_soon(self._loop())

    async def reset(self):
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 4)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 4)

    async def _loop(self):
        """Beats out of the link come back inverted, with pauses."""
        dut, rng, waiting = self.dut, random.Random(1), []
        dut.s_axis_tvalid.value = 0
        dut.m_axis_tready.value = 0
        dut.s_axis_tlast.value = 0
        while True:
            await RisingEdge(dut.clk)
            if not dut.aresetn.value:
                waiting.clear()
            if dut.m_axis_tvalid.value and dut.m_axis_tready.value:
                beat = int(dut.m_axis_tdata.value)
                self.beats.append((beat, bool(dut.m_axis_tlast.value)))
                waiting.append(beat ^ 0xFFFF)
            if dut.s_axis_tvalid.value and dut.s_axis_tready.value:
                waiting.pop(0)
                dut.s_axis_tvalid.value = 0
            elif waiting and rng.random() < 0.3:
                dut.s_axis_tdata.value = waiting[0]
                dut.s_axis_tvalid.value = 1
            dut.m_axis_tready.value = self.open and rng.random() < 0.5

    async def do(self, function, *arguments):
        """Driver code, which blocks, in simulated time."""
        return await bridge(function)(*arguments)


async def ready(dut) -> TB:
    tb = TB(dut)
    await tb.reset()
    await tb.do(tb.link.reset)
    return tb


def inverted(data: bytes) -> bytes:
    return bytes(byte ^ 0xFF for byte in data)


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def registers(dut):
    """READ and WRITE reach the AXI4-Lite side; an address that answers an error is named."""
    tb = await ready(dut)
    for address, value in ((0x10, 0x12345678), (0x7C, 0xFFFFFFFF), (0, 1)):
        await tb.do(tb.link.write, address, value)
        assert await tb.do(tb.link.read, address) == value
        assert tb.registers.read_dword(address) == value
    tb.registers.write_dword(0x20, 0xCAFEF00D)
    assert await tb.do(tb.link.read, 0x20) == 0xCAFEF00D


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def streams(dut):
    """Bytes arrive as beats with TLAST on every fifth, in any cut; results come back in order."""
    tb = await ready(dut)
    data = bytes(random.Random(2).randbytes(10 * 7))
    results = b""
    position = 0
    for size in (1, 9, 10, 3, 40, 7):
        assert await tb.do(tb.link.send, data[position : position + size])
        position += size
        await ClockCycles(dut.clk, 40)
        results += await tb.do(tb.link.receive, 11)
    while len(results) < len(data):
        results += await tb.do(tb.link.receive, protocol.MAX_PAYLOAD)
    assert results == inverted(data)
    assert [last for _, last in tb.beats] == ([False] * 4 + [True]) * 7
    assert await tb.do(tb.link.receive, 100) == b""


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def damaged_commands(dut):
    """Flipped bits, lost bytes and spikes on the way to the board: nothing is done twice and nothing is missing."""
    tb = await ready(dut)
    rng = random.Random(3)

    def spoil(byte):
        kind = rng.random()
        if kind < 0.015:
            return byte ^ 1 << rng.randrange(8)
        return None if kind < 0.03 else byte

    tb.pins.spoil = spoil
    tb.link.retries = 30
    data, results = rng.randbytes(100), b""
    for index in range(0, len(data), 20):
        assert await tb.do(tb.link.send, data[index : index + 20])
        results += await tb.do(tb.link.receive, 100)
    while len(results) < len(data):
        results += await tb.do(tb.link.receive, 100)
    assert results == inverted(data)
    assert tb.link.resent > 3
    tb.pins.spoil = lambda byte: byte
    counts = await tb.do(tb.link.errors)
    assert counts["crc_errors"] + counts["silences"] > 0


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def damaged_replies(dut):
    """Replies that are lost or damaged are had again; a command that was carried out is not carried out again."""
    tb = await ready(dut)
    rng = random.Random(4)

    def hear(byte):
        kind = rng.random()
        if kind < 0.01:
            return byte ^ 1 << rng.randrange(8)
        return None if kind < 0.02 else byte

    tb.pins.hear = hear
    tb.link.retries = 30
    data, results = rng.randbytes(100), b""
    for index in range(0, len(data), 20):
        assert await tb.do(tb.link.send, data[index : index + 20])
        results += await tb.do(tb.link.receive, 100)
    while len(results) < len(data):
        results += await tb.do(tb.link.receive, 100)
    assert results == inverted(data)
    assert tb.link.resent > 3


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def back_pressure(dut):
    """An accelerator that takes nothing: the buffer fills, SEND answers BUSY, and all goes on when it does again."""
    tb = await ready(dut)
    tb.open = False
    rng = random.Random(5)
    data = rng.randbytes(4 * BUFFER)
    chunks = [data[i : i + 16] for i in range(0, len(data), 16)]
    sent = 0
    while await tb.do(tb.link.send, chunks[sent]):
        sent += 1
    # A beat of two bytes waits in front of the accelerator.
    assert sent == BUFFER // 16
    assert not await tb.do(tb.link.send, chunks[sent])
    tb.open = True
    results = b""
    while sent < len(chunks):
        if await tb.do(tb.link.send, chunks[sent]):
            sent += 1
        elif len(results) < len(data):
            # Results that nobody fetches hold everything up.
            results += await tb.do(tb.link.receive, 50)
    while len(results) < len(data):
        results += await tb.do(tb.link.receive, 1000)
    assert results == inverted(data)


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def refusals(dut):
    """Unknown commands, wrong lengths and lengths beyond the greatest payload are answered, and do nothing."""
    tb = await ready(dut)
    pins = tb.pins

    async def answer(body: bytes, *, crc: bytes | None = None) -> bytes:
        packet = bytes([protocol.SYNC_COMMAND]) + body
        await pins.send(packet + (protocol.crc16(body).to_bytes(2, "big") if crc is None else crc))
        return await pins.take(7)

    codes = {status.name: status.code for status in protocol.STATUSES}
    assert (await answer(bytes([0x77, 1, 0, 0])))[1] == codes["COMMAND"]
    assert (await answer(bytes([protocol.command_code("READ"), 2, 1, 0, 0])))[1] == codes["LENGTH"]
    assert (await answer(bytes([protocol.command_code("SEND"), 3, 0, 0])))[1] == codes["LENGTH"]
    assert (await answer(bytes([protocol.command_code("SEND"), 4, 1, 0, 9]), crc=b"\0\0"))[1] == codes["CRC"]
    reply = await answer(bytes([protocol.command_code("SEND"), 5, 1, 4]), crc=b"")
    assert reply[1] == codes["CRC"], "nobody sends as much: the length is wrong"
    assert protocol.crc16(reply[1:]) == 0
    await ClockCycles(dut.clk, 200)
    assert not tb.beats
    with pytest.raises(LinkError, match="no such length"):
        await tb.do(tb.link.command, "READ", b"\0")


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def resynchronisation(dut):
    """After half a command, a spike, a byte with a low stop bit, and a break the next command is understood."""
    tb = await ready(dut)
    pins, half = tb.pins, bytes([protocol.SYNC_COMMAND, protocol.command_code("SEND"), 9, 100, 0, 1, 2, 3])
    before = await tb.do(tb.link.errors)
    await pins.send(half)
    await ClockCycles(dut.clk, SILENCE + 20)
    await tb.do(tb.link.write, 4, 44)
    await pins.spike(1)
    await ClockCycles(dut.clk, 20)
    await tb.do(tb.link.write, 8, 88)
    # A start bit, then low for eight bits with some high in between, and no stop bit.
    await pins.send(half)
    for level, bits in ((0, 1), (1, 2), (0, 8)):
        pins.rx.value = level
        await ClockCycles(dut.clk, bits * CLOCKS_PER_BIT)
    pins.rx.value = 1
    await ClockCycles(dut.clk, 4 * CLOCKS_PER_BIT)
    await tb.do(tb.link.write, 12, 1212)
    await pins.send(half)
    await pins.hold_low(30)
    assert await tb.do(tb.link.read, 4) == 44
    assert await tb.do(tb.link.read, 8) == 88
    assert await tb.do(tb.link.read, 12) == 1212
    after = await tb.do(tb.link.errors)
    assert after["silences"] == before["silences"] + 1
    assert after["framing_errors"] == before["framing_errors"] + 1
    assert after["breaks"] == before["breaks"] + 1
    assert tb.link.resent == 0
    assert not tb.beats


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def restart(dut):
    """RESET in the middle of a frame resets the accelerator and empties both buffers."""
    tb = await ready(dut)
    tb.open = False
    assert await tb.do(tb.link.send, bytes(range(30)))
    assert dut.aresetn.value == 1
    fell = cocotb.start_soon(_falls(dut.aresetn, dut.clk))
    await tb.do(tb.link.reset)
    assert fell.done()
    tb.open = True
    await ClockCycles(dut.clk, 200)
    assert not tb.beats
    assert await tb.do(tb.link.receive, 100) == b""
    assert await tb.do(tb.link.send, bytes(range(10)))
    await ClockCycles(dut.clk, 200)
    assert await tb.do(tb.link.receive, 100) == inverted(bytes(range(10)))
    assert [last for _, last in tb.beats] == [False] * 4 + [True]


async def _falls(signal, clk):
    while signal.value:
        await RisingEdge(clk)


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def silence_is_an_error(dut):
    """A board that does not answer: an error with what was seen, after all retries."""
    tb = await ready(dut)
    tb.pins.hear = lambda _: None
    with pytest.raises(LinkError, match=r"no good answer to READ .* silence"):
        await tb.do(tb.link.read, 0)
