"""A whole board: the driver, pins, UART link and accelerator of a small network, with noise on the line.

The PLL is the stand-in of hls_templates/sim. Results must be the reference's, and the driver's self-test must pass.
"""

import os
import random
from pathlib import Path

import cocotb
import numpy as np
import pytest
from cocotb.clock import Clock
from cocotb.task import bridge
from cocotb.triggers import ClockCycles, RisingEdge

from admmfpga.boards import load_board
from admmfpga.codegen.board import TOP, board_order
from admmfpga.codegen.render import render_design, write_files
from admmfpga.codegen.rtl import compile_order
from admmfpga.mapping import map_network
from admmfpga.network import IntType
from admmfpga.network.reference import run
from admmfpga.resources import resource_dir
from admmfpga.runtime.build import Build
from admmfpga.runtime.uart import LinkError, UartAccelerator
from admmfpga.tools.cocotb_bench import run_bench
from admmfpga.tools.verilated import link_memories
from made import NetworkMaker, random_frames
from uart_pins import Pins, Port, clock_us

CLOCKS_PER_BIT = 8
SILENCE = 400
SHA256 = "0123abcd" + "0" * 56


def small_build(folder: Path) -> Build:
    """Convolution, pool and dense layer for the ULX3S; the same in pytest and in the simulation."""
    rng = np.random.default_rng(11)
    maker = NetworkMaker((6, 6, 1), IntType(8, False), rng)
    network = maker.conv(2, (3, 3)).pool((2, 2), (2, 2)).flatten().dense(4, IntType(8, True)).done()
    board = load_board("ulx3s")
    design = map_network(network, board.resources, board=board.name, target_interval=200)
    if not folder.is_dir():
        write_files(folder, render_design(design, board, board.clock_mhz, SHA256))
    return Build(folder, design, SHA256, {})


@pytest.mark.slow
def test_board(tmp_path):
    folder = tmp_path / "build"
    small_build(folder)
    sources = [folder / "board" / name for name in board_order([p.name for p in (folder / "board").glob("*.sv")])]
    sources += [folder / "rtl" / name for name in compile_order([p.name for p in (folder / "rtl").glob("*.sv")])]
    sources.append(resource_dir("hls_templates") / "sim" / "ehxplll.sv")
    work = tmp_path / "run"
    link_memories(folder, work)
    parameters = {"CLOCKS_PER_BIT": CLOCKS_PER_BIT, "SILENCE_CLOCKS": SILENCE, "LAMP_BITS": 6}
    result = run_bench(
        "test_board",
        top=TOP,
        sources=sources,
        build_dir=tmp_path / "model",
        test_dir=work,
        build_args=["-Wall", *(f"-G{name}={value}" for name, value in parameters.items())],
        environment={"ADMMFPGA_BUILD": str(folder)},
    )
    assert result.tests, result.log
    assert not result.failed, f"{', '.join(result.failed)}: {result.log}"


class TB:
    def __init__(self, dut):
        self.dut = dut
        self.build = small_build(Path(os.environ["ADMMFPGA_BUILD"]))
        dut.button.value = 0
        cocotb.start_soon(Clock(dut.clk_osc, 10, unit="ns").start())
        self.pins = Pins(
            dut.clk_osc, dut.uart_rx, dut.uart_tx, clocks_per_bit=CLOCKS_PER_BIT, timeout_clocks=2 * SILENCE
        )
        self.port = Port(self.pins)

    async def open(self) -> UartAccelerator:
        # The PLL locks, and the reset is over.
        await ClockCycles(self.dut.clk_osc, 400)
        # A microsecond of the simulation is a second of the driver.
        return await self.do(lambda: UartAccelerator(self.build, self.port, clock=clock_us, timeout_s=300))

    async def do(self, function, *arguments):
        return await bridge(function)(*arguments)

    def frames(self, count: int):
        codes = random_frames(self.build.design.network, count, np.random.default_rng(12))
        return codes, run(self.build.design.original, codes)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def self_test_and_frames(dut):
    """The build's vectors and random frames, over a clean line; the counters say what happened."""
    tb = TB(dut)
    accelerator = await tb.open()
    assert await tb.do(accelerator.self_test) == 4
    codes, expected = tb.frames(5)
    assert np.array_equal(await tb.do(accelerator.run_codes, codes), expected)
    counters = await tb.do(accelerator.counters)
    assert counters["FRAMES_IN"] == counters["FRAMES_OUT"] == 9
    assert counters["ERROR"] == 0
    errors = await tb.do(accelerator.link.errors)
    # Opening sends one break.
    assert errors == {"crc_errors": 0, "framing_errors": 0, "silences": 0, "breaks": 1, "resent": 0}


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def noise_on_the_line(dut):
    """Flipped and lost bytes both ways: results are right all the same."""
    tb = TB(dut)
    accelerator = await tb.open()
    rng = random.Random(13)

    def spoil(byte):
        kind = rng.random()
        if kind < 0.006:
            return byte ^ 1 << rng.randrange(8)
        return None if kind < 0.01 else byte

    tb.pins.spoil = tb.pins.hear = spoil
    accelerator.link.retries = 50
    codes, expected = tb.frames(5)
    assert np.array_equal(await tb.do(accelerator.run_codes, codes), expected)
    assert accelerator.link.resent > 0


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def button_and_reopening(dut):
    """The button in the middle of a frame, and a driver that begins anew: nothing is left of what was there."""
    tb = TB(dut)
    accelerator = await tb.open()
    codes, expected = tb.frames(2)
    assert await tb.do(accelerator.link.send, bytes(10))
    dut.button.value = 1
    await ClockCycles(dut.clk_osc, 20)
    dut.button.value = 0
    with pytest.raises(LinkError, match=r"no progress|no good answer"):
        await tb.do(accelerator.run_codes, codes)
    accelerator = await tb.open()
    assert await tb.do(accelerator.link.send, bytes(10))
    accelerator = await tb.open()
    assert np.array_equal(await tb.do(accelerator.run_codes, codes), expected)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def lamps(dut):
    """One lamp blinks, one shows commands, one frames; none of them errors."""
    tb = TB(dut)
    accelerator = await tb.open()
    seen = 0

    async def watch():
        nonlocal seen
        while True:
            await RisingEdge(dut.clk_osc)
            seen |= int(dut.led.value)

    watching = cocotb.start_soon(watch())
    codes, _ = tb.frames(1)
    await tb.do(accelerator.run_codes, codes)
    watching.cancel()
    assert seen == 0b1011
