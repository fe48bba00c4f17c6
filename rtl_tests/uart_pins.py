"""A serial port whose other end are two pins of a simulated design: what the driver sees as pyserial.

The driver runs in a thread of its own (`cocotb.task.bridge`); its reads and writes take simulated time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cocotb
from cocotb.task import resume
from cocotb.triggers import ClockCycles, Event, FallingEdge, First, Timer
from cocotb.utils import get_sim_time


class Pins:
    """Bit by bit: 8 data bits, no parity, one stop bit.

    Attributes:
        spoil: changes what goes to the board, byte by byte: the byte, or None to lose it.
        hear: the same for what comes back.
    """

    def __init__(self, clk: Any, rx: Any, tx: Any, *, clocks_per_bit: int, timeout_clocks: int) -> None:
        """
        Args:
            clk: clock of 10 ns.
            rx, tx: pins as the board sees them.
            clocks_per_bit: of both ends.
            timeout_clocks: of a read, beside the time that its bytes take.
        """
        self.clk, self.rx, self.tx = clk, rx, tx
        self.bit_ns = 10 * clocks_per_bit
        self.timeout_ns = 10 * timeout_clocks
        self.spoil: Callable[[int], int | None] = lambda byte: byte
        self.hear: Callable[[int], int | None] = lambda byte: byte
        self.received = bytearray()
        self.arrived = Event()
        rx.value = 1
        cocotb.start_soon(self._listen())

    async def _listen(self) -> None:
        while True:
            await FallingEdge(self.tx)
            await Timer(self.bit_ns // 2, unit="ns")
            assert self.tx.value == 0, "a start bit that is not one"
            byte = 0
            for index in range(8):
                await Timer(self.bit_ns, unit="ns")
                byte |= int(self.tx.value) << index
            await Timer(self.bit_ns, unit="ns")
            assert self.tx.value == 1, "no stop bit"
            if (heard := self.hear(byte)) is not None:
                self.received.append(heard)
            self.arrived.set()

    async def send(self, data: bytes) -> None:
        """Bytes to the board."""
        for byte in data:
            if (sent := self.spoil(byte)) is None:
                await Timer(10 * self.bit_ns, unit="ns")
                continue
            for bit in (0, *(sent >> index & 1 for index in range(8)), 1):
                self.rx.value = bit
                await Timer(self.bit_ns, unit="ns")

    async def hold_low(self, bits: float) -> None:
        """The line low for so many bits, then high again."""
        self.rx.value = 0
        await Timer(round(bits * self.bit_ns), unit="ns")
        self.rx.value = 1
        await Timer(2 * self.bit_ns, unit="ns")

    async def spike(self, cycles: int) -> None:
        """The line low for a few clocks only."""
        self.rx.value = 0
        await ClockCycles(self.clk, cycles)
        self.rx.value = 1

    async def take(self, size: int) -> bytes:
        """So many bytes from the board; fewer after the time-out."""
        end = get_sim_time("ns") + self.timeout_ns + 11 * size * self.bit_ns
        while len(self.received) < size and (left := end - get_sim_time("ns")) > 0:
            self.arrived.clear()
            await First(self.arrived.wait(), Timer(round(left), unit="ns"))
        found = bytes(self.received[:size])
        del self.received[:size]
        return found


class Port:
    """The pins as the driver wants a port."""

    def __init__(self, pins: Pins) -> None:
        self.pins = pins
        self.closed = False

    def write(self, data: bytes) -> int:
        resume(self.pins.send)(data)
        return len(data)

    def read(self, size: int = 1) -> bytes:
        return resume(self.pins.take)(size)

    def send_break(self, duration: float = 0.25) -> None:
        resume(self.pins.hold_low)(12)

    def reset_input_buffer(self) -> None:
        self.pins.received.clear()

    def close(self) -> None:
        self.closed = True


def clock_us() -> float:
    """Simulated time as the driver's clock: a microsecond here is a second there."""
    return get_sim_time("us")
