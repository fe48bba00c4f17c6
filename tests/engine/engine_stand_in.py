"""A small stand-in for the parts of pynq that the engine's driver uses, with an engine behind its registers.

It keeps what bites on a board: what the processor writes into a buffer is not in DRAM before `flush`, what the engine
writes is not seen before `invalidate`; reading CONTROL clears AP_DONE; a start runs what the registers point at.
"""

from __future__ import annotations

import numpy as np

from admmfpga.engine.model import run_bytes
from admmfpga.engine.program import TRANSFER_BYTES
from admmfpga.engine.registers import MAGIC, REGISTERS
from admmfpga.engine.shape import EngineShape

OFFSETS = {register.name: register.offset for register in REGISTERS}
START, DONE, IDLE = 1, 2, 4


class Buffer(np.ndarray):
    """As pynq.allocate gives it: the processor's view; `dram` is what the engine sees."""

    dram: np.ndarray
    device_address: int
    freed: bool = False

    def flush(self) -> None:
        self.dram[:] = self

    def invalidate(self) -> None:
        self[:] = self.dram

    def freebuffer(self) -> None:
        assert not self.freed, "freed twice"
        self.freed = True


class Engine:
    """The engine, and the memory that pynq has allocated.

    Attributes:
        polls: of CONTROL until a frame is complete; None: never.
        offset: bytes by which allocated memory misses the alignment.
        frames: that were run.
    """

    def __init__(self, shape: EngineShape, *, ident: int = MAGIC, polls: int | None = 3, offset: int = 0) -> None:
        self.shape, self.polls, self.offset, self.frames = shape, polls, offset, 0
        self.registers = dict.fromkeys(OFFSETS.values(), 0)
        self.registers[OFFSETS["ID"]] = ident
        self.registers[OFFSETS["SHAPE"]] = shape.pe << 16 | shape.simd
        self.buffers: list[Buffer] = []
        self.left: int | None = None  # polls until the frame is complete
        self.done = False

    def allocate(self, shape: tuple[int, ...], dtype: type) -> Buffer:
        buffer = np.full(shape, 0xEE, dtype).view(Buffer)
        buffer.dram = np.full(shape, 0xDD, dtype)
        buffer.device_address = 0x1_8000_0000 + 0x100_0000 * len(self.buffers) + self.offset
        self.buffers.append(buffer)
        return buffer

    def read(self, offset: int) -> int:
        if offset != OFFSETS["CONTROL"]:
            return self.registers[offset]
        if self.left is not None and self.polls is not None:
            self.left -= 1
            if self.left <= 0:
                self._complete()
        found = (DONE if self.done else 0) | (IDLE if self.left is None else START)
        self.done = False
        return found

    def write(self, offset: int, value: int) -> None:
        assert 0 <= value < 1 << 32
        if offset == OFFSETS["CONTROL"]:
            assert value == START
            assert self.left is None, "started while a frame runs"
            self.left = self.polls if self.polls is not None else 1
        else:
            assert offset not in (OFFSETS["ID"], OFFSETS["SHAPE"], OFFSETS["CYCLES"], OFFSETS["BUSY"])
            self.registers[offset] = value

    def _at(self, name: str) -> np.ndarray:
        address = self.registers[OFFSETS[f"{name}_LOW"]] | self.registers[OFFSETS[f"{name}_HIGH"]] << 32
        assert address % 4096 == 0
        return next(one.dram for one in self.buffers if one.device_address == address and not one.freed)

    def _complete(self) -> None:
        beats, transfers = (self.registers[OFFSETS[name]] for name in ("STREAM_BEATS", "TRANSFERS"))
        stream = self._at("STREAM")[: beats * self.shape.axi]
        run_bytes(self.shape, stream, self._at("LIST")[: transfers * TRANSFER_BYTES], self._at("DATA"))
        self.frames += 1
        self.left, self.done = None, True
        self.registers[OFFSETS["CYCLES"]] = 1000 * self.frames
        self.registers[OFFSETS["BUSY"]] = 900


class Overlay:
    """What `pynq.Overlay(bitstream)` gives, with the engine's cell."""

    engine: Engine

    def __init__(self, bitstream: str) -> None:
        self.bitstream = bitstream
        self.accelerator_0 = self.engine
