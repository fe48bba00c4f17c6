"""axis_output: containers, TLAST, pulses; AXI4-Stream sinks with random pauses."""

import itertools
import random

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource

import bench
from admmfpga.blocks import AxisOutput
from admmfpga.packing.memory import pack_bytes, pack_words

PORTS = {
    "in_valid": "in_valid",
    "in_ready": "in_ready",
    "in_data": "in_data",
    "out_valid": "m_axis_tvalid",
    "out_ready": "m_axis_tready",
    "out_data": "m_axis_tdata",
    "out_last": "m_axis_tlast",
    "first_given": "first_given",
    "frame_given": "frame_given",
}
SHAPES = [
    # lanes, bits, signed, container, beats, depth
    (1, 8, True, 8, 10, 2),
    (1, 5, True, 8, 4, 1),
    (3, 4, False, 8, 1, 3),
    (2, 12, True, 16, 7, 70),
    (1, 21, True, 32, 2, 1),
    (2, 17, False, 32, 3, 5),
]


def _cases():
    cases = {}
    for index, (lanes, bits, signed, container, beats, depth) in enumerate(SHAPES):
        block = AxisOutput(
            lanes=lanes, bits=bits, signed=signed, container_bits=container, beats=beats, out_depth=depth
        )
        cases[f"c{index}"] = bench.Case(block, frames=12)
    return cases


CASES = _cases()


class SourceBus(AxiStreamBus):
    _signals = {"tdata": "in_data"}  # noqa: RUF012
    _optional_signals = {"tvalid": "in_valid", "tready": "in_ready"}  # noqa: RUF012


class SinkBus(AxiStreamBus):
    _signals = {"tdata": "out_data"}  # noqa: RUF012
    _optional_signals = {"tvalid": "out_valid", "tready": "out_ready", "tlast": "out_last"}  # noqa: RUF012


class CaseTB:
    """One case between an AXI4-Stream source and a sink; checks the pulses in every cycle."""

    def __init__(self, tb, name):
        self.tb, self.name, self.block = tb, name, tb.cases[name].block
        self.source = AxiStreamSource(SourceBus.from_prefix(tb.dut, name), tb.dut.clk, tb.dut.rst, byte_lanes=1)
        self.sink = AxiStreamSink(SinkBus.from_prefix(tb.dut, name), tb.dut.clk, tb.dut.rst)
        self.given = 0
        cocotb.start_soon(self._watch())

    async def _watch(self):
        valid, ready, last, first, frame = (
            self.tb.port(self.name, port)
            for port in ("out_valid", "out_ready", "out_last", "first_given", "frame_given")
        )
        while True:
            await RisingEdge(self.tb.dut.clk)
            if self.tb.dut.rst.value:
                continue
            given = bool(valid.value and ready.value)
            place = self.given % self.block.beats
            assert bool(first.value) == (given and place == 0)
            assert bool(frame.value) == (given and place == self.block.beats - 1)
            if valid.value:
                assert bool(last.value) == (place == self.block.beats - 1)
            self.given += given

    def pause(self, seed, idle, hold):
        rng = random.Random(seed)
        self.source.set_pause_generator(rng.random() < idle for _ in itertools.count())
        self.sink.set_pause_generator(rng.random() < hold for _ in itertools.count())


@cocotb.test()
@cocotb.parametrize(scenario=list(bench.SCENARIOS))
async def streams(dut, scenario):
    """Values and cycles."""
    await bench.TB(dut, CASES).check(8, *bench.SCENARIOS[scenario])


@cocotb.test()
@cocotb.parametrize(stalls=[(0.0, 0.0), (0.5, 0.0), (0.0, 0.6), (0.4, 0.4)])
async def frames(dut, stalls):
    """Frames end where TLAST says so, with all their bytes."""
    tb = bench.TB(dut, CASES)
    benches = [CaseTB(tb, name) for name in CASES]
    await tb.reset()
    for index, each in enumerate(benches):
        each.pause(index, *stalls)
        rng, block = np.random.default_rng(index), each.block
        expected = []
        for _ in range(6):
            codes = bench.frame_of(block.source, block.beats, rng)
            each.source.send_nowait(AxiStreamFrame(pack_words(codes, block.bits)))
            expected.append(pack_bytes(codes, block.container_bits).tobytes())
        for data in expected:
            frame = await with_timeout(each.sink.recv(), 100, "us")
            assert bytes(frame.tdata) == data
        assert each.given == 6 * block.beats


def test_axis_output():
    bench.simulate("test_axis_output", CASES, ports=PORTS)
