"""axis_input: unpacking, admission of frames, TLAST, pulses; AXI4-Stream sources with random pauses."""

import itertools
import random

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

import bench
from admmfpga.blocks import AxisInput
from admmfpga.packing.memory import pack_words

PORTS = {
    "in_valid": "s_axis_tvalid",
    "in_ready": "s_axis_tready",
    "in_data": "s_axis_tdata",
    "in_last": "s_axis_tlast",
    "start": "start",
    "beat_taken": "beat_taken",
    "frame_taken": "frame_taken",
    "tlast_error": "tlast_error",
    "out_valid": "out_valid",
    "out_ready": "out_ready",
    "out_data": "out_data",
}
SHAPES = [
    # lanes, bits, signed, container, beats, depth
    (8, 8, False, 8, 9, 2),
    (1, 1, False, 8, 4, 1),
    (4, 5, True, 8, 1, 3),
    (2, 12, True, 16, 7, 70),
    (1, 8, False, 8, 2, 1),
]


def _cases():
    cases = {}
    for index, (lanes, bits, signed, container, beats, depth) in enumerate(SHAPES):
        block = AxisInput(lanes=lanes, bits=bits, signed=signed, container_bits=container, beats=beats, out_depth=depth)
        frames = 12
        values = bench.frame_of(block.sink, frames * beats, np.random.default_rng(index))
        cases[f"c{index}"] = bench.Case(block, frames=frames, values=values)
    return cases


CASES = _cases()


class TB(bench.TB):
    """With frames admitted unless a test says otherwise."""

    async def reset(self):
        for name in self.cases:
            self.port(name, "start").value = 1
            self.port(name, "in_last").value = 0
        await super().reset()


class SourceBus(AxiStreamBus):
    _signals = {"tdata": "in_data"}  # noqa: RUF012
    _optional_signals = {"tvalid": "in_valid", "tready": "in_ready", "tlast": "in_last"}  # noqa: RUF012


class SinkBus(AxiStreamBus):
    _signals = {"tdata": "out_data"}  # noqa: RUF012
    _optional_signals = {"tvalid": "out_valid", "tready": "out_ready"}  # noqa: RUF012


class CaseTB:
    """One case between an AXI4-Stream source and a sink, with the pulses of all cycles."""

    def __init__(self, tb, name):
        self.tb, self.name, self.block = tb, name, tb.cases[name].block
        self.source = AxiStreamSource(SourceBus.from_prefix(tb.dut, name), tb.dut.clk, tb.dut.rst)
        self.sink = AxiStreamSink(SinkBus.from_prefix(tb.dut, name), tb.dut.clk, tb.dut.rst, byte_lanes=1)
        self.beats, self.errors = [], 0
        cocotb.start_soon(self._watch())

    async def _watch(self):
        """Every beat as (frame number, whether START was high); checks the pulses against a count of beats."""
        valid, ready, last, start, beat, frame, error = (
            self.tb.port(self.name, port)
            for port in ("in_valid", "in_ready", "in_last", "start", "beat_taken", "frame_taken", "tlast_error")
        )
        while True:
            await RisingEdge(self.tb.dut.clk)
            taken = bool(valid.value and ready.value) and not self.tb.dut.rst.value
            place = len(self.beats) % self.block.beats
            is_last = place == self.block.beats - 1
            if self.tb.dut.rst.value:
                continue
            assert bool(beat.value) == taken
            assert bool(frame.value) == (taken and is_last)
            assert bool(error.value) == (taken and bool(last.value) != is_last)
            if place == 0 and not start.value:
                assert not ready.value, "TREADY although no frame may be admitted"
            if taken:
                self.beats.append(bool(start.value))
                self.errors += bool(error.value)

    def pause(self, seed, idle, hold):
        rng = random.Random(seed)
        self.source.set_pause_generator(rng.random() < idle for _ in itertools.count())
        self.sink.set_pause_generator(rng.random() < hold for _ in itertools.count())

    def random_frame(self, rng):
        """Bytes of a frame, and the words that must come out: padding bits of the containers are anything."""
        block = self.block
        data = rng.integers(0, 256, block.beats * block.source.width // 8).astype(np.uint8)
        containers = data.view(f"<u{block.container_bits // 8}").astype(np.int64).reshape(block.beats, block.lanes)
        return data.tobytes(), pack_words(containers & ((1 << block.bits) - 1), block.bits)

    async def expect(self, words):
        for word in words:
            frame = await with_timeout(self.sink.recv(), 100, "us")
            assert list(frame.tdata) == [word]


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await TB(dut, CASES).check(7, *bench.SCENARIOS[scenario])


@cocotb.test()
@cocotb.parametrize(stalls=[(0.0, 0.0), (0.5, 0.0), (0.0, 0.6), (0.4, 0.4)])
async def frames(dut, stalls):
    """Well-formed frames: everything arrives, nothing complains."""
    tb = TB(dut, CASES)
    benches = [CaseTB(tb, name) for name in CASES]
    await tb.reset()
    for index, each in enumerate(benches):
        each.pause(index, *stalls)
        rng, expected = np.random.default_rng(index), []
        for _ in range(6):
            data, words = each.random_frame(rng)
            each.source.send_nowait(AxiStreamFrame(data))
            expected += words
        await each.expect(expected)
        assert each.errors == 0
        assert len(each.beats) == 6 * each.block.beats


@cocotb.test()
async def wrong_tlast(dut):
    """TLAST early and late: reported each time, frames are counted in beats all the same."""
    tb = TB(dut, CASES)
    benches = [CaseTB(tb, name) for name in CASES]
    await tb.reset()
    for each in benches:
        rng, expected, data = np.random.default_rng(1), [], b""
        for _ in range(5):
            more, words = each.random_frame(rng)
            data += more
            expected += words
        size, beats, total = each.block.source.width // 8, each.block.beats, 5 * each.block.beats
        cuts = sorted({1, 2 * beats, total - 1, total})
        for first, last in itertools.pairwise([0, *cuts]):
            each.source.send_nowait(AxiStreamFrame(data[first * size : last * size]))
        await each.expect(expected)
        ends, lasts = {beats * (i + 1) for i in range(5)}, set(cuts)
        assert each.errors == len(ends ^ lasts)


@cocotb.test()
async def admission(dut):
    """START is looked at only at a frame's first beat: no frame begins without it, none is cut by its fall."""
    tb = TB(dut, CASES)
    benches = [CaseTB(tb, name) for name in CASES]
    await tb.reset()
    for name in CASES:
        tb.port(name, "start").value = 0
    for index, each in enumerate(benches):
        start = tb.port(each.name, "start")
        rng = np.random.default_rng(index)
        for count in range(4):
            data, words = each.random_frame(rng)
            each.source.send_nowait(AxiStreamFrame(data))
            await ClockCycles(dut.clk, 10)
            assert len(each.beats) == count * each.block.beats, "a beat was taken without START"
            start.value = 1
            await RisingEdge(dut.clk)  # its rise is visible from here on
            while len(each.beats) == count * each.block.beats:
                await RisingEdge(dut.clk)
            start.value = 0
            await each.expect(words)
        if each.block.beats > 2:
            assert not all(each.beats), "START was high all the time"


def test_axis_input():
    bench.simulate("test_axis_input", CASES, ports=PORTS)
