"""A small stand-in for the parts of pynq that the driver uses, with an accelerator behind the DMA.

It keeps pynq's rules: a transfer on a busy channel, a wait on an idle channel and a length of 0 are errors; transfers
move bytes only when the device gets to run; a simple-mode receive ends with the sender's frame, and tells its length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from admmfpga.blocks.registers import MAGIC, REGISTERS

OFFSETS = {register.name: register.offset for register in REGISTERS}
LOAD = OFFSETS["LOAD"]
HOLD, READY = 1, 2


class Buffer(np.ndarray):
    """As pynq.allocate gives it."""

    freed: bool = False

    def freebuffer(self) -> None:
        assert not self.freed, "freed twice"
        self.freed = True


class Device:
    """The accelerator: bytes of one frame in, bytes of one result out.

    Attributes:
        compute: what it computes.
        delay: polls of a DMA channel until a transfer is done; None: never.
        frames: what arrived.
        word_bytes: of each word of the memories that take new weights, in order.
        loaded: bytes that came for them.
        lost: words of LOAD_DATA that get lost.
    """

    def __init__(
        self, compute: Callable[[bytes], bytes], *, model: int, ident: int = MAGIC, delay: int | None = 3
    ) -> None:
        self.compute = compute
        self.delay = delay
        self.frames: list[bytes] = []
        self.results: deque[bytes] = deque()
        self.registers = dict.fromkeys(OFFSETS.values(), 0)
        self.registers[OFFSETS["ID"]] = ident
        self.registers[OFFSETS["MODEL"]] = model
        self.registers[OFFSETS["WEIGHTS"]] = model
        self.writes: list[tuple[int, int]] = []
        self.word_bytes: list[int] = []
        self.loaded = bytearray()
        self.lost = 0

    @property
    def started(self) -> bool:
        return self.registers[OFFSETS["CONTROL"]] & 0x81 == 0x81

    def read(self, offset: int) -> int:
        if offset == LOAD:
            held = self.registers[LOAD] & HOLD
            return held | (READY if held and not self.results else 0)
        if offset == OFFSETS["LOAD_WORDS"]:
            ends = np.cumsum(self.word_bytes)
            return int((ends <= len(self.loaded)).sum())
        return self.registers[offset]

    def write(self, offset: int, value: int) -> None:
        self.writes.append((offset, value))
        if offset == LOAD and value & HOLD:
            self.loaded.clear()
        if offset == OFFSETS["LOAD_DATA"]:
            assert self.read(LOAD) & READY, "weights while frames are inside"
            self.registers[OFFSETS["WEIGHTS"]] = 0
            if self.lost:
                self.lost -= 1
            else:
                self.loaded += value.to_bytes(4, "little")
        self.registers[offset] = self.registers[offset] & ~value if offset == OFFSETS["ERROR"] else value

    def take(self, frame: bytes) -> bool:
        if not self.started or self.registers[LOAD] & HOLD or len(self.results) > 1:
            return False
        self.frames.append(frame)
        self.results.append(self.compute(frame))
        self.registers[OFFSETS["FRAMES_IN"]] += 1
        return True


class Channel:
    """One direction of a DMA in simple mode."""

    def __init__(self, device: Device, *, sends: bool) -> None:
        self.device = device
        self.sends = sends
        self.active: Buffer | None = None
        self.polls = 0
        self.error = False
        self.waited = True
        self.transferred = 0

    def transfer(self, array: Buffer) -> None:
        assert isinstance(array, Buffer), "DMA needs a buffer from allocate"
        assert not array.freed
        assert self.active is None, "DMA channel not idle"
        assert self.waited, "the buffer of the last transfer was never made visible"
        assert array.nbytes > 0, "transfer length 0"
        self.active = array
        self.polls = 0
        self.waited = False

    @property
    def idle(self) -> bool:
        if self.active is None:
            return True
        self.polls += 1
        if self.device.delay is None or self.polls < self.device.delay:
            return False
        if self.sends:
            if not self.device.take(self.active.tobytes()):
                return False
        else:
            if not self.device.results:
                return False
            result = self.device.results.popleft()
            assert len(result) <= self.active.nbytes, "DMA internal error"
            self.transferred = len(result)
            self.active[: len(result)] = np.frombuffer(result, dtype=np.uint8)
            self.device.registers[OFFSETS["FRAMES_OUT"]] += 1
        self.active = None
        return True

    def wait(self) -> None:
        if self.error:
            raise RuntimeError("DMA Slave Error")
        assert self.active is None, "wait would block"
        self.waited = True


class Overlay:
    """What `pynq.Overlay(bitstream)` gives, with the cells of our block design."""

    device: Device
    bitstream: str

    def __init__(self, bitstream: str) -> None:
        self.bitstream = bitstream
        self.accelerator_0 = self.device
        self.axi_dma_0 = type("DMA", (), {})()
        self.axi_dma_0.sendchannel = Channel(self.device, sends=True)
        self.axi_dma_0.recvchannel = Channel(self.device, sends=False)


def allocate(shape: tuple[int, ...], dtype: type) -> Buffer:
    return np.full(shape, 0xEE, dtype).view(Buffer)
