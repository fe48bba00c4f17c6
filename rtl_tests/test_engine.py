"""The shared engine: RTL against the reference, cycles against the timing model, AXI4 under random stalls."""

from __future__ import annotations

import os
import random
from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiRamRead, AxiReadBus, AxiResp

import bench
from admmfpga.engine.layers import lower
from admmfpga.engine.program import GATHERED
from admmfpga.engine.registers import MAGIC, REGISTERS
from admmfpga.engine.schedule import Program, make_program
from admmfpga.engine.simulation import EngineRtl, rtl_files, rtl_parameters
from admmfpga.engine.timing import skipped, time_program
from admmfpga.errors import UserError
from admmfpga.network import IntArray, IntType, Network
from admmfpga.network.reference import run
from engine_made import SHAPES, EngineMaker, random_engine_network, random_frames

OFFSET = {register.name: register.offset for register in REGISTERS}
LIST, DATA = 0x100000, 0x200000
PROTOCOL = 3
"""Shape under cocotb: a scratchpad so small that tensors stream."""


def programs(which: int, count: int) -> list[tuple[Network, Program, IntArray]]:
    """Random networks that fit a shape, with their programs and a frame."""
    found, seed = [], 1000 * which
    while len(found) < count:
        rng = np.random.default_rng(seed)
        seed += 1
        network = random_engine_network(rng)
        frame = random_frames(network, 1, rng)
        try:
            found.append((network, make_program(lower(network, SHAPES[which]), SHAPES[which]), frame))
        except UserError:
            continue
    return found


def normalized(which: int) -> list[tuple[Network, Program, IntArray]]:
    """Local response normalization and tables: signed and unsigned inputs, channels that fill no word."""
    found = []
    for seed, dtype in enumerate((IntType(8, False), IntType(6, True))):
        rng = np.random.default_rng(20 + seed)
        maker = EngineMaker((5, 4, 3), IntType(8, False), rng)
        maker.conv(20 + seed, (3, 3), pads=(1, 1, 1, 1), dtype=dtype)
        network = maker.normalize(2, 2 - seed).activation().conv(9, (1, 1)).normalize(0, 3).done()
        program = make_program(lower(network, SHAPES[which]), SHAPES[which])
        found.append((network, program, random_frames(network, 1, rng)))
    return found


def column_pruned(which: int) -> list[tuple[Network, Program, IntArray]]:
    """Columns without weights: padding, strides, dilation, steps for which one word of indices is not enough."""
    rng = np.random.default_rng(0)
    maker = EngineMaker((9, 8, 3), IntType(8, False), rng)
    maker.conv(20, (3, 3), pads=(1, 1, 1, 1))
    maker.columns = 0.4
    maker.grouped(21, 1, (3, 3), pads=(2, 1, 2, 1), dilations=(2, 1)).conv(17, (3, 3), (2, 1), (1, 1, 1, 0))
    network = maker.done()
    program = make_program(lower(network, SHAPES[which]), SHAPES[which])
    assert {command.layer for command in program.commands if command.fields["flags"] & GATHERED} == {1, 2}
    return [(network, program, random_frames(network, 1, rng))]


def block_pruned(which: int) -> list[tuple[Network, Program, IntArray]]:
    """Few weights left, none for a whole plane of input channels."""
    rng = np.random.default_rng(0)
    maker = EngineMaker((3, 4, 3), IntType(8, False), rng)
    network = maker.conv(24, (1, 1)).conv(20, (1, 1)).done()
    weights = network.nodes[1].weights
    weights[..., 8:16] = 0
    weights[rng.random(weights.shape) < 0.8] = 0
    program = make_program(lower(network, SHAPES[which]), SHAPES[which])
    commands = [command for command in program.commands if command.layer == 1]
    assert all(sum(skipped(one, word) for word in range(one.weights.words)) == 1 for one in commands)
    return [(network, program, random_frames(network, 1, rng))]


@pytest.mark.slow
def test_values_and_cycles() -> None:
    """Twice as many output channels as input channels at a time; headers of two words; packed weights."""
    which = 1
    rtl = EngineRtl(SHAPES[which], bench.SIM_BUILD / f"engine{which}")
    rtl.compile()
    made = [*programs(which, 3), *normalized(which), *column_pruned(which), *block_pruned(which)]
    for network, program, frame in made:
        expected = run(network, frame)[0]
        for latency in (1, 30):
            ran = rtl.run(program, frame[0], latency=latency)
            np.testing.assert_array_equal(ran.output, expected)
            timing = time_program(program, latency)
            assert (ran.cycles, ran.busy) == (timing.cycles, timing.busy)
        stalled = rtl.run(program, frame[0], latency=7, stalls=40, seed=which)
        np.testing.assert_array_equal(stalled.output, expected)


# --- cocotb: what a register says, and another model of DRAM.


class TB:
    """Clock, reset, AXI4-Lite master, two RAMs."""

    def __init__(self, dut):
        self.dut = dut
        cocotb.start_soon(Clock(dut.aclk, 10, unit="ns").start())
        self.control = AxiLiteMaster(
            AxiLiteBus.from_prefix(dut, "s_axi_control"), dut.aclk, dut.aresetn, reset_active_level=False
        )
        self.stream = AxiRamRead(
            AxiReadBus.from_prefix(dut, "m_axi_stream"), dut.aclk, dut.aresetn, reset_active_level=False, size=1 << 22
        )
        self.data = AxiRam(
            AxiBus.from_prefix(dut, "m_axi_data"), dut.aclk, dut.aresetn, reset_active_level=False, size=1 << 22
        )

    def pause(self, seed: int) -> None:
        """Random pauses on all channels of DRAM."""
        write, read = self.data.write_if, self.data.read_if
        channels = [write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel]
        channels += [self.stream.ar_channel, self.stream.r_channel]
        for index, channel in enumerate(channels):
            rng = random.Random(seed + index)
            channel.set_pause_generator(iter(lambda rng=rng: rng.random() < 0.4, None))

    async def reset(self) -> None:
        self.dut.aresetn.value = 0
        await ClockCycles(self.dut.aclk, 4)
        self.dut.aresetn.value = 1
        await ClockCycles(self.dut.aclk, 4)

    async def read(self, name: str) -> int:
        return await self.control.read_dword(OFFSET[name])

    async def run(self, program: Program, frame: IntArray) -> IntArray:
        stream, transfers = program.stream(), program.transfer_list()
        data = program.frame_bytes(frame)
        self.stream.write(0, stream.tobytes())
        self.data.write(LIST, transfers.tobytes())
        self.data.write(DATA + program.input_address, data.tobytes())
        settings = {
            "STREAM_LOW": 0,
            "STREAM_BEATS": program.stream_beats,
            "LIST_LOW": LIST,
            "TRANSFERS": len(program.transfers),
            "DATA_LOW": DATA,
            "COMMANDS": len(program.commands),
            "CONTROL": 1,
        }
        for name, value in settings.items():
            await self.control.write_dword(OFFSET[name], value)
        for _ in range(400):
            if await self.read("CONTROL") & 2:
                break
            await ClockCycles(self.dut.aclk, 100)
        else:
            raise AssertionError("AP_DONE does not come")
        output = self.data.read(DATA + program.output_address, program.output_bytes)
        return program.result(np.frombuffer(output, dtype=np.uint8))


@cocotb.test()
async def frames_under_stalls(dut):
    tb = TB(dut)
    await tb.reset()
    assert await tb.read("ID") == MAGIC
    assert await tb.read("SHAPE") == SHAPES[PROTOCOL].pe << 16 | SHAPES[PROTOCOL].simd
    for seed, (network, program, frame) in enumerate(programs(PROTOCOL, 3)):
        expected = run(network, frame)[0]
        np.testing.assert_array_equal(await tb.run(program, frame[0]), expected)
        assert await tb.read("CONTROL") == 4, "done is cleared by reading, idle"
        if seed == 0:
            tb.pause(seed)
        assert await tb.read("BUSY") == time_program(program).busy


@cocotb.test()
async def addresses_and_reset(dut):
    tb = TB(dut)
    await tb.reset()
    await tb.control.write_dword(OFFSET["DATA_HIGH"], 0x12345678)
    assert await tb.read("DATA_HIGH") == 0x12345678
    assert (await tb.control.read(0xF0, 4)).resp == AxiResp.SLVERR
    assert (await tb.control.write(0xF0, b"1234")).resp == AxiResp.SLVERR
    assert (await tb.control.write(OFFSET["ID"], b"1234")).resp == AxiResp.OKAY
    assert await tb.read("ID") == MAGIC
    # A reset in the middle of a frame: the next frame is right.
    network, program, frame = programs(PROTOCOL, 1)[0]
    await tb.reset()
    assert await tb.read("DATA_HIGH") == 0
    task = cocotb.start_soon(tb.run(program, frame[0]))
    await ClockCycles(dut.aclk, 400)
    task.cancel()
    await tb.reset()
    np.testing.assert_array_equal(await tb.run(program, frame[0]), run(network, frame)[0])


def test_engine_protocol() -> None:
    folder = bench.SIM_BUILD / "test_engine"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in rtl_files().items():
        bench.write(folder / name, text)
    parameters = [f"-G{name}={value}" for name, value in rtl_parameters(SHAPES[PROTOCOL]).items()]
    sources = [folder / name for name in rtl_files()]
    # Only this file's own tests: what it imports from tests/ is found through PYTHONPATH.
    tests = str(Path(__file__).resolve().parents[1] / "tests")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH", "")]))
    bench.run("test_engine", top="engine", sources=sources, folder=folder, arguments=parameters)
