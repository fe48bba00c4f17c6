"""The HLS data path behind DPI on its own ports: streams under random stalls, pulses, admission, reset.

Run by test_dpi.py. bench.npz in the working folder: `input` and `output` (frames, beats) words of TDATA, `in_bytes` and
`out_bytes` of a beat.
"""

from __future__ import annotations

import itertools
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

PULSES = ("frame_taken", "tlast_error", "beat_taken", "frame_given", "first_given")


class TB:
    """Clock, AXI4-Stream source and sink, counters of the pulses, a check of the output's handshake."""

    def __init__(self, dut):
        self.dut = dut
        self.data = np.load("bench.npz")
        self.counts = dict.fromkeys(PULSES, 0)
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.clk, dut.rst)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.clk, dut.rst)
        cocotb.start_soon(self._watch())

    async def reset(self, start: int = 1):
        self.dut.rst.value = 1
        self.dut.start.value = start
        await ClockCycles(self.dut.clk, 3)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 3)

    def stall(self, idle: float, hold: float) -> None:
        rng = random.Random(int(100 * idle + 10 * hold))
        self.source.set_pause_generator(rng.random() < idle for _ in itertools.count())
        self.sink.set_pause_generator(rng.random() < hold for _ in itertools.count())

    def frame(self, index: int) -> bytes:
        return _bytes(self.data["input"][index], int(self.data["in_bytes"]))

    async def expect(self, index: int) -> None:
        got = await with_timeout(self.sink.recv(), 10, "ms")
        assert bytes(got.tdata) == _bytes(self.data["output"][index], int(self.data["out_bytes"])), f"frame {index}"

    async def _watch(self) -> None:
        dut, held = self.dut, None
        while True:
            await RisingEdge(dut.clk)
            if int(dut.rst.value):
                held = None
                continue
            for name in PULSES:
                self.counts[name] += int(getattr(dut, name).value)
            now = (int(dut.m_axis_tdata.value), int(dut.m_axis_tlast.value)) if int(dut.m_axis_tvalid.value) else None
            assert held is None or now == held, f"output changed from {held} to {now} before it was taken"
            held = None if int(dut.m_axis_tready.value) else now


def _bytes(words, size: int) -> bytes:
    return b"".join(int(word).to_bytes(8, "little")[:size] for word in words)


@cocotb.test()
@cocotb.parametrize(stalls=[(0.0, 0.0), (0.6, 0.0), (0.0, 0.7), (0.4, 0.4)])
async def streams(dut, stalls):
    """All frames back to back; every pulse as often as it must come."""
    tb = TB(dut)
    await tb.reset()
    tb.stall(*stalls)
    frames = len(tb.data["input"])
    for index in range(frames):
        tb.source.send_nowait(AxiStreamFrame(tb.frame(index)))
    for index in range(frames):
        await tb.expect(index)
    await ClockCycles(dut.clk, 5)
    assert tb.counts == {
        "frame_taken": frames,
        "tlast_error": 0,
        "beat_taken": tb.data["input"].size,
        "frame_given": frames,
        "first_given": frames,
    }
    assert tb.sink.empty()


@cocotb.test()
async def start_admits_frames(dut):
    """Without start no frame begins; a frame that has begun goes on without it."""
    tb = TB(dut)
    await tb.reset(start=0)
    for index in (0, 1):
        tb.source.send_nowait(AxiStreamFrame(tb.frame(index)))
    await ClockCycles(dut.clk, 20)
    assert tb.counts["beat_taken"] == 0
    dut.start.value = 1
    await ClockCycles(dut.clk, 1)
    dut.start.value = 0
    await tb.expect(0)
    await ClockCycles(dut.clk, 3 * tb.data["input"].shape[1])
    assert tb.counts["frame_taken"] == 1
    assert tb.counts["beat_taken"] == tb.data["input"].shape[1]
    dut.start.value = 1
    await tb.expect(1)


@cocotb.test()
async def wrong_tlast_is_reported(dut):
    """Early and missing TLAST: two pulses, and the frame is counted in beats all the same."""
    tb = TB(dut)
    await tb.reset()
    size = int(tb.data["in_bytes"])
    whole = tb.frame(0)
    tb.source.send_nowait(AxiStreamFrame(whole[:size]))
    tb.source.send_nowait(AxiStreamFrame(whole[size:] + tb.frame(1)))
    await tb.expect(0)
    await tb.expect(1)
    assert tb.counts["tlast_error"] == 2
    assert tb.counts["frame_taken"] == 2


@cocotb.test()
async def input_stops_when_nobody_takes_results(dut):
    """Results do not pile up without bound."""
    tb = TB(dut)
    await tb.reset()
    tb.sink.pause = True
    frames = len(tb.data["input"])
    for index in range(frames):
        tb.source.send_nowait(AxiStreamFrame(tb.frame(index)))
    await ClockCycles(dut.clk, frames * tb.data["input"].shape[1] + 50)
    assert 2 <= tb.counts["frame_taken"] < frames
    tb.sink.pause = False
    for index in range(frames):
        await tb.expect(index)


@cocotb.test()
async def reset_in_a_frame(dut):
    """Reset with half a frame taken and results waiting: nothing of them comes out."""
    tb = TB(dut)
    await tb.reset()
    tb.sink.pause = True
    beats, size = tb.data["input"].shape[1], int(tb.data["in_bytes"])
    tb.source.send_nowait(AxiStreamFrame(tb.frame(2)))
    tb.source.send_nowait(AxiStreamFrame(tb.frame(3)[: beats // 2 * size]))
    while tb.counts["beat_taken"] < beats + beats // 2:
        await RisingEdge(dut.clk)
    tb.source.clear()
    await tb.reset()
    tb.sink.clear()
    tb.sink.pause = False
    tb.source.send_nowait(AxiStreamFrame(tb.frame(1)))
    await tb.expect(1)
    await ClockCycles(dut.clk, 20)
    assert tb.sink.empty()
