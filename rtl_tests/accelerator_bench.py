"""The whole accelerator behind its AXI ports: one bench for the RTL and for the HLS C++ behind DPI.

Run by `admmfpga simulate` and by test_accelerator.py through `admmfpga.tools.cocotb_bench`, which put a bench.npz into
the folder it runs in: `input` (frames, beats) and `output` (frames, beats) words of TDATA, `in_bytes`, `out_bytes` per
beat, and `model` (the MODEL register).
"""

from __future__ import annotations

import itertools
import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

from admmfpga.blocks.registers import MAGIC, REGISTERS

OFFSET = {register.name: register.offset for register in REGISTERS}
BIT = {f"{register.name}.{field.name}": 1 << field.bit for register in REGISTERS for field in register.fields}


class TB:
    """Clock, reset, AXI4-Stream source and sink, AXI4-Lite master."""

    def __init__(self, dut):
        self.dut = dut
        self.data = np.load(os.environ.get("ADMMFPGA_BENCH", "bench.npz"))
        self.frames = len(self.data["input"])
        cocotb.start_soon(Clock(dut.aclk, 10, unit="ns").start())
        reset = {"reset": dut.aresetn, "reset_active_level": False}
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, **reset)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, **reset)
        self.control = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi_control"), dut.aclk, **reset)

    async def reset(self):
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 5)
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, 5)

    def stall(self, seed: int, idle: float, hold: float) -> None:
        """Random pauses: `idle` the chance that the source pauses in a cycle, `hold` that the sink does."""
        rng = random.Random(seed)
        self.source.set_pause_generator(rng.random() < idle for _ in itertools.count())
        self.sink.set_pause_generator(rng.random() < hold for _ in itertools.count())

    async def read(self, name: str) -> int:
        return await self.control.read_dword(OFFSET[name])

    async def write(self, name: str, value: int) -> None:
        await self.control.write_dword(OFFSET[name], value)

    def frame(self, index: int) -> bytes:
        return _bytes(self.data["input"][index], int(self.data["in_bytes"]))

    async def expect(self, index: int) -> None:
        """Receive one frame and compare it."""
        got = await with_timeout(self.sink.recv(), 100, "ms")
        expected = _bytes(self.data["output"][index], int(self.data["out_bytes"]))
        assert bytes(got.tdata) == expected, f"frame {index}: expected {expected.hex()}, got {bytes(got.tdata).hex()}"


def _bytes(words, size: int) -> bytes:
    return b"".join(int(word).to_bytes(8, "little")[:size] for word in words)


@cocotb.test()
@cocotb.parametrize(stalls=[(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.6)])
async def streams(dut, stalls):
    """All frames back to back under idle cycles and back-pressure; counters agree."""
    tb = TB(dut)
    await tb.reset()
    tb.stall(int(1000 * stalls[0] + 7), *stalls)
    assert await tb.read("ID") == MAGIC
    assert await tb.read("MODEL") == int(tb.data["model"])
    await tb.write("CONTROL", BIT["CONTROL.AP_START"] | BIT["CONTROL.AUTO_RESTART"])
    for index in range(tb.frames):
        tb.source.send_nowait(AxiStreamFrame(tb.frame(index)))
    for index in range(tb.frames):
        await tb.expect(index)
    await ClockCycles(dut.aclk, 3)
    assert tb.sink.empty(), "more came out than went in"
    assert await tb.read("FRAMES_IN") == tb.frames
    assert await tb.read("FRAMES_OUT") == tb.frames
    assert await tb.read("ERROR") == 0


@cocotb.test()
async def single_frames(dut):
    """Without AUTO_RESTART each AP_START admits exactly one frame; AP_DONE, AP_READY and the interrupt tell."""
    tb = TB(dut)
    await tb.reset()
    control = await tb.read("CONTROL")
    assert control & BIT["CONTROL.AP_IDLE"]
    tb.source.send_nowait(AxiStreamFrame(tb.frame(0)))
    await ClockCycles(dut.aclk, 50)
    assert await tb.read("FRAMES_IN") == 0, "a frame was taken before AP_START"
    await tb.write("GIER", BIT["GIER.ENABLE"])
    await tb.write("IER", BIT["IER.DONE"])
    for index in range(min(2, tb.frames)):
        if index:
            tb.source.send_nowait(AxiStreamFrame(tb.frame(index)))
        await tb.write("CONTROL", BIT["CONTROL.AP_START"])
        await tb.expect(index)
        if not dut.interrupt.value:
            await with_timeout(RisingEdge(dut.interrupt), 1, "us")
        control = await tb.read("CONTROL")
        assert control & BIT["CONTROL.AP_DONE"]
        assert not (await tb.read("CONTROL")) & BIT["CONTROL.AP_DONE"], "AP_DONE clears on read"
        await tb.write("ISR", BIT["ISR.DONE"])
        await ClockCycles(dut.aclk, 2)
        assert not dut.interrupt.value
        assert await tb.read("FRAMES_OUT") == index + 1


@cocotb.test()
async def reset_in_the_middle(dut):
    """A reset inside a frame leaves nothing behind: the next frame is right."""
    tb = TB(dut)
    await tb.reset()
    await tb.write("CONTROL", BIT["CONTROL.AP_START"] | BIT["CONTROL.AUTO_RESTART"])
    tb.source.send_nowait(AxiStreamFrame(tb.frame(0)))
    await ClockCycles(dut.aclk, max(3, tb.data["input"].shape[1] // 2))
    tb.dut.aresetn.value = 0
    await ClockCycles(dut.aclk, 5)
    tb.source.clear()
    tb.sink.clear()
    await tb.reset()
    await tb.write("CONTROL", BIT["CONTROL.AP_START"] | BIT["CONTROL.AUTO_RESTART"])
    tb.source.send_nowait(AxiStreamFrame(tb.frame(0)))
    await tb.expect(0)


@cocotb.test()
async def early_tlast(dut):
    """A TLAST in the wrong place is counted as an error and can be cleared; the beats still make up frames."""
    tb = TB(dut)
    await tb.reset()
    await tb.write("CONTROL", BIT["CONTROL.AP_START"] | BIT["CONTROL.AUTO_RESTART"])
    data = tb.frame(0)
    cut = int(tb.data["in_bytes"]) * (tb.data["input"].shape[1] // 2)
    if not cut:
        return
    tb.source.send_nowait(AxiStreamFrame(data[:cut]))
    tb.source.send_nowait(AxiStreamFrame(data[cut:]))
    await tb.expect(0)
    assert await tb.read("ERROR") == BIT["ERROR.TLAST"]
    await tb.write("ERROR", BIT["ERROR.TLAST"])
    assert await tb.read("ERROR") == 0
