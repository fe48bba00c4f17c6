"""axi_lite_control: AXI4-Lite protocol, ap_ctrl_hs semantics, interrupts, counters."""

import itertools
import os
import random

import cocotb
import pytest
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, Combine, RisingEdge, with_timeout
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

import bench
from admmfpga.blocks.registers import ADDRESS_BITS, MAGIC, REGISTERS

MODEL = 0xC0FFEE42
RELOADABLE = os.environ.get("ADMMFPGA_RELOADABLE") == "1"
OFFSET = {register.name: register.offset for register in REGISTERS}
BIT = {f"{register.name}.{field.name}": 1 << field.bit for register in REGISTERS for field in register.fields}
PULSES = ("beat_taken", "frame_taken", "tlast_error", "frame_given", "first_given")
STREAMS = ("s_axis_tvalid", "s_axis_tready", "m_axis_tvalid", "m_axis_tready")
STARTED = BIT["CONTROL.AP_START"]
IDLE = BIT["CONTROL.AP_IDLE"]


class TB:
    """Clock, reset, AXI4-Lite master, the cycle number; cycle 0 is the first one after reset."""

    def __init__(self, dut):
        self.dut = dut
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
        self.cycle = 0
        self.read_cycles = []  # of the address handshakes
        self.answers = []  # cycles in which BVALID rose, the cycle after the write
        self.taken = []  # cycles of frame_taken
        for name in (*PULSES, *STREAMS, "loaded"):
            getattr(dut, name).value = 0
        cocotb.start_soon(self._count())

    async def _count(self):
        answered = False
        while True:
            await RisingEdge(self.dut.clk)
            if self.dut.s_axi_bvalid.value and not answered:
                self.answers.append(self.cycle)
            answered = bool(self.dut.s_axi_bvalid.value)
            if self.dut.frame_taken.value:
                self.taken.append(self.cycle)
            if self.dut.s_axi_arvalid.value and self.dut.s_axi_arready.value:
                self.read_cycles.append(self.cycle)
            self.cycle = 0 if self.dut.rst.value else self.cycle + 1

    async def reset(self):
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 4)
        self.dut.rst.value = 0
        await ClockCycles(self.dut.clk, 2)

    def pause(self, seed, probability):
        """Random pauses on all five channels."""
        write, read = self.master.write_if, self.master.read_if
        channels = (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel)
        for index, channel in enumerate(channels):
            rng = random.Random(seed + index)
            channel.set_pause_generator(rng.random() < probability for _ in itertools.count())

    async def read(self, name):
        return await with_timeout(self.master.read_dword(OFFSET[name]), 100, "us")

    async def write(self, name, value):
        await with_timeout(self.master.write_dword(OFFSET[name], value), 100, "us")

    async def pulse(self, *names):
        """The named inputs for one cycle; returns in the cycle after it."""
        for name in names:
            getattr(self.dut, name).value = 1
        await RisingEdge(self.dut.clk)
        for name in names:
            getattr(self.dut, name).value = 0
        await RisingEdge(self.dut.clk)

    async def frame_in(self):
        await self.pulse("beat_taken")
        await self.pulse("beat_taken", "frame_taken")

    async def frame_out(self):
        await self.pulse("first_given")
        await self.pulse("frame_given")


@cocotb.test()
async def map_and_errors(dut):
    """Constants, reset values; unknown addresses answer SLVERR both ways, read-only registers ignore writes."""
    tb = TB(dut)
    await tb.reset()
    known = {register.offset for register in REGISTERS if RELOADABLE or not register.reloadable}
    for address in range(0, 1 << ADDRESS_BITS, 4):
        read = await tb.master.read(address, 4)
        write = await tb.master.write(address, b"\0\0\0\0")
        expected = AxiResp.OKAY if address in known else AxiResp.SLVERR
        assert read.resp == expected, hex(address)
        # No weights are taken before LOAD.HOLD is set.
        assert write.resp == (AxiResp.SLVERR if address == OFFSET["LOAD_DATA"] else expected), hex(address)
        if address not in known:
            assert read.data == b"\0\0\0\0"
    await tb.write("ID", 0xFFFFFFFF)
    await tb.write("MODEL", 0)
    assert await tb.read("ID") == MAGIC
    assert await tb.read("MODEL") == MODEL
    assert await tb.read("CONTROL") == IDLE
    assert await tb.read("ERROR") == (BIT["ERROR.LOAD"] if RELOADABLE else 0)
    await tb.write("ERROR", BIT["ERROR.LOAD"])
    for name in ("GIER", "IER", "ISR", "ERROR", "FRAMES_IN", "FRAMES_OUT", "LATENCY", "INTERVAL"):
        assert await tb.read(name) == 0, name
    # Nothing of this started anything, and an unknown address is not taken for the one it looks like.
    await tb.master.write(0x80 + OFFSET["CONTROL"], b"\xff\xff\xff\xff")
    await tb.master.write(0x80 + OFFSET["IER"], b"\xff\xff\xff\xff")
    assert await tb.read("CONTROL") == IDLE
    assert await tb.read("IER") == 0


@cocotb.test()
async def writable_bits(dut):
    """All ones written: only the bits of the table stay, and only where strobes allow."""
    tb = TB(dut)
    await tb.reset()
    for name in ("GIER", "IER"):
        fields = sum(1 << f.bit for r in REGISTERS if r.name == name for f in r.fields)
        for lane in (1, 2, 3):
            await tb.master.write(OFFSET[name] + lane, b"\xff")
            assert await tb.read(name) == 0, "a strobe for another byte changed a bit"
        await tb.write(name, 0xFFFFFFFF)
        assert await tb.read(name) == fields
        await tb.master.write(OFFSET[name] + 1, b"\0\0\0")
        assert await tb.read(name) == fields
        await tb.master.write(OFFSET[name], b"\0")
        assert await tb.read(name) == 0
    await tb.master.write(OFFSET["CONTROL"] + 1, b"\xff\xff\xff")
    assert not dut.start.value
    await tb.write("CONTROL", BIT["CONTROL.AUTO_RESTART"])
    assert not dut.start.value
    assert await tb.read("CONTROL") == BIT["CONTROL.AUTO_RESTART"] | IDLE


@cocotb.test()
async def start_done_idle_ready(dut):
    """One frame a START; AP_DONE and AP_READY stay until read; AP_IDLE from the last output to the next START."""
    tb = TB(dut)
    await tb.reset()
    done, ready = BIT["CONTROL.AP_DONE"], BIT["CONTROL.AP_READY"]
    for _ in range(2):
        assert not dut.start.value
        await tb.write("CONTROL", STARTED)
        assert dut.start.value
        assert await tb.read("CONTROL") == STARTED
        await tb.write("CONTROL", 0)  # AP_START cannot be taken back
        assert dut.start.value
        await tb.pulse("beat_taken")
        assert await tb.read("CONTROL") == STARTED
        dut.beat_taken.value = dut.frame_taken.value = 1
        await RisingEdge(dut.clk)
        assert dut.start.value
        dut.beat_taken.value = dut.frame_taken.value = 0
        await RisingEdge(dut.clk)
        assert not dut.start.value, "the cycle after the last beat would admit another frame"
        assert await tb.read("CONTROL") == ready
        assert await tb.read("CONTROL") == 0
        await tb.frame_out()
        assert await tb.read("CONTROL") == done | IDLE
        assert await tb.read("CONTROL") == IDLE
    assert await tb.read("FRAMES_IN") == await tb.read("FRAMES_OUT") == 2


@cocotb.test()
async def auto_restart(dut):
    """AUTO_RESTART keeps START up; taking it away lets the running frame be the last one."""
    tb = TB(dut)
    await tb.reset()
    auto = BIT["CONTROL.AUTO_RESTART"]
    await tb.write("CONTROL", STARTED | auto)
    for _ in range(3):
        await tb.frame_in()
        assert dut.start.value
        await tb.frame_out()
        assert not (await tb.read("CONTROL")) & IDLE
    await tb.write("CONTROL", 0)
    assert dut.start.value
    await tb.frame_in()
    assert not dut.start.value


@cocotb.test()
async def start_races_with_ready(dut):
    """A START written in the cycle in which a frame's last beat clears the one before admits another frame."""
    tb = TB(dut)
    await tb.reset()
    lead = set()
    for distance in range(12):
        await tb.write("CONTROL", STARTED)
        written = cocotb.start_soon(tb.write("CONTROL", STARTED))
        await ClockCycles(dut.clk, distance)
        await tb.pulse("beat_taken", "frame_taken")
        await written
        # A frame that ends later takes the second START along with the first.
        lead.add(tb.answers[-1] - 1 - tb.taken[-1])
        assert bool(dut.start.value) == (tb.taken[-1] <= tb.answers[-1] - 1)
        if dut.start.value:
            await tb.frame_in()
        assert not dut.start.value
    assert {-1, 0, 1} <= lead, "the race was not run"


@cocotb.test()
async def clear_on_read_races_with_events(dut):
    """Whenever AP_DONE happens, exactly one read shows it."""
    tb = TB(dut)
    await tb.reset()
    done = BIT["CONTROL.AP_DONE"]
    for distance in range(10):
        reads = []

        async def poll(reads=reads):
            for _ in range(4):
                reads.append(await tb.read("CONTROL"))

        polling = cocotb.start_soon(poll())
        await ClockCycles(dut.clk, distance)
        await tb.pulse("frame_given")
        await polling
        reads.append(await tb.read("CONTROL"))
        assert sum(bool(value & done) for value in reads) == 1, distance


@cocotb.test()
@cocotb.parametrize(source=[("DONE", "frame_given"), ("READY", "frame_taken")])
async def interrupts(dut, source):
    """ISR follows enabled events, toggles on write; GIER gates the output."""
    event, pulse = source
    tb = TB(dut)
    await tb.reset()
    mine = BIT[f"IER.{event}"]
    other = sum(BIT[f"IER.{name}"] for name in ("DONE", "READY")) ^ mine
    await tb.write("GIER", 1)
    await tb.write("IER", other)
    await tb.pulse(pulse)
    assert await tb.read("ISR") == 0, "the event is not enabled"
    await tb.write("IER", mine)
    await tb.write("GIER", 0)
    await tb.pulse(pulse)
    assert await tb.read("ISR") == BIT[f"ISR.{event}"]
    assert not dut.interrupt.value
    await tb.write("GIER", BIT["GIER.ENABLE"])
    await ClockCycles(dut.clk, 2)
    assert dut.interrupt.value
    await tb.write("ISR", 0)
    assert await tb.read("ISR") == BIT[f"ISR.{event}"]
    await tb.write("ISR", BIT[f"ISR.{event}"])
    await ClockCycles(dut.clk, 2)
    assert not dut.interrupt.value
    await tb.write("ISR", BIT[f"ISR.{event}"])
    await ClockCycles(dut.clk, 2)
    assert dut.interrupt.value, "a write toggles"


@cocotb.test()
async def tlast_error_is_sticky(dut):
    tb = TB(dut)
    await tb.reset()
    await tb.pulse("tlast_error")
    for _ in range(2):
        assert await tb.read("ERROR") == BIT["ERROR.TLAST"]
    await tb.write("ERROR", 0)
    assert await tb.read("ERROR") == BIT["ERROR.TLAST"]
    await tb.write("ERROR", BIT["ERROR.TLAST"])
    assert await tb.read("ERROR") == 0


@cocotb.test()
async def latency_and_interval(dut):
    """LATENCY of frames that began alone only; INTERVAL between the ends of the latest two."""
    tb = TB(dut)
    await tb.reset()

    async def at(cycle, *names):
        while tb.cycle < cycle:
            await RisingEdge(dut.clk)
        await tb.pulse(*names)

    start = tb.cycle + 10
    await at(start, "beat_taken")
    await at(start + 5, "beat_taken", "frame_taken")
    await at(start + 10, "beat_taken", "frame_taken")  # a second frame, not alone
    await at(start + 37, "first_given")
    await at(start + 50, "frame_given")
    await at(start + 60, "first_given", "frame_given")
    assert await tb.read("LATENCY") == 37
    assert await tb.read("INTERVAL") == 10
    start = tb.cycle + 10
    await at(start, "beat_taken", "frame_taken")
    await at(start + 4, "first_given", "frame_given")
    assert await tb.read("LATENCY") == 4
    assert await tb.read("INTERVAL") > 10
    # The result is out before the frame's last beat is in: such a frame is inside until then.
    start = tb.cycle + 10
    await at(start, "beat_taken")
    await at(start + 6, "first_given", "frame_given")
    await at(start + 20, "beat_taken")
    assert await tb.read("LATENCY") == 6
    assert not (await tb.read("CONTROL")) & IDLE
    await at(start + 90, "beat_taken", "frame_taken")
    assert await tb.read("LATENCY") == 6
    assert (await tb.read("CONTROL")) & IDLE


@cocotb.test()
async def counters(dut):
    """Random activity on both streams, counted in Python too; CYCLES to the cycle of the read."""
    tb = TB(dut)
    await tb.reset()
    rng = random.Random(1)
    count = dict.fromkeys(("INPUT_STALLS", "OUTPUT_STALLS", "FRAMES_IN", "FRAMES_OUT"), 0)
    for _ in range(500):
        values = {name: rng.random() < 0.5 for name in STREAMS}
        values["frame_taken"] = values["beat_taken"] = rng.random() < 0.3
        values["frame_given"] = rng.random() < 0.2
        for name, value in values.items():
            getattr(dut, name).value = value
        await RisingEdge(dut.clk)
        count["INPUT_STALLS"] += values["s_axis_tready"] and not values["s_axis_tvalid"]
        count["OUTPUT_STALLS"] += values["m_axis_tvalid"] and not values["m_axis_tready"]
        count["FRAMES_IN"] += values["frame_taken"]
        count["FRAMES_OUT"] += values["frame_given"]
    for name in (*STREAMS, "frame_taken", "beat_taken", "frame_given"):
        getattr(dut, name).value = 0
    for name, value in count.items():
        assert await tb.read(name) == value, name
    for _ in range(3):
        cycles = await tb.read("CYCLES")
        assert cycles == tb.read_cycles[-1]
        await ClockCycles(dut.clk, rng.randint(1, 40))


@cocotb.test()
@cocotb.parametrize(probability=[0.0, 0.3, 0.7])
async def pauses_on_all_channels(dut, probability):
    """Reads and writes at once under pauses: every answer is the latest completed write's."""
    tb = TB(dut)
    await tb.reset()
    tb.pause(3, probability)

    async def writer():
        rng = random.Random(2)
        for _ in range(60):
            value = rng.randrange(4)
            await tb.write("IER", value)
            assert await tb.read("IER") == value

    async def reader():
        for _ in range(120):
            assert await tb.read("ID") == MAGIC
            assert (await tb.master.read(0xFC, 4)).resp == AxiResp.SLVERR

    await Combine(cocotb.start_soon(writer()), cocotb.start_soon(reader()))


@cocotb.test()
@cocotb.parametrize(order=["address_first", "data_first", "together"])
async def write_channels_are_independent(dut, order):
    """Address and data are taken in any order; the response waits for both, and for BREADY."""
    tb = TB(dut)
    await tb.reset()
    tb.pause(0, 1.0)  # the master keeps off; signals are driven by hand
    await ClockCycles(dut.clk, 2)
    for value in (1, 2, 3, 0, 2):
        dut.s_axi_awaddr.value = OFFSET["IER"]
        dut.s_axi_wdata.value = value
        dut.s_axi_wstrb.value = 0xF
        dut.s_axi_bready.value = 0
        for channel in {"address_first": ("aw", "w"), "data_first": ("w", "aw"), "together": ("aw+w",)}[order]:
            assert not dut.s_axi_bvalid.value
            names = channel.split("+")
            for name in names:
                getattr(dut, f"s_axi_{name}valid").value = 1
            await RisingEdge(dut.clk)
            for name in names:
                assert getattr(dut, f"s_axi_{name}ready").value
                getattr(dut, f"s_axi_{name}valid").value = 0
            await ClockCycles(dut.clk, 5)
        for _ in range(4):
            assert dut.s_axi_bvalid.value
            assert dut.s_axi_bresp.value == 0
            await RisingEdge(dut.clk)
        dut.s_axi_bready.value = 1
        await RisingEdge(dut.clk)
        dut.s_axi_bready.value = 0
        await ClockCycles(dut.clk, 2)
        assert not dut.s_axi_bvalid.value
    tb.pause(0, 0.0)
    assert await tb.read("IER") == 2


@cocotb.test()
async def no_handshake_in_reset(dut):
    """READY and VALID are low while reset is high."""
    tb = TB(dut)
    await tb.reset()
    await tb.write("CONTROL", STARTED)
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    for _ in range(3):
        await RisingEdge(dut.clk)
        for name in ("awready", "wready", "arready", "bvalid", "rvalid"):
            assert not getattr(dut, f"s_axi_{name}").value, name
        assert not dut.start.value


@cocotb.test(skip=not RELOADABLE)
async def load(dut):
    """Bytes leave in order and only while frames are kept out; words are counted; WEIGHTS tells what is loaded."""
    tb = TB(dut)
    await tb.reset()
    chain = []

    async def watch():
        while True:
            await RisingEdge(dut.clk)
            link = int(dut.load.value)
            if link & 0x300:
                chain.append(link)

    cocotb.start_soon(watch())
    await tb.write("WEIGHTS", MODEL)  # no reset brings it back, and tests before this one write it
    hold, ready = BIT["LOAD.HOLD"], BIT["LOAD.READY"]
    # A frame is inside: HOLD keeps the next one out at once, READY comes when the result has left.
    await tb.write("CONTROL", STARTED | BIT["CONTROL.AUTO_RESTART"])
    await tb.frame_in()
    assert dut.start.value
    await tb.pulse("beat_taken")
    await tb.write("LOAD", hold)
    assert not dut.start.value
    for step in ("beat_taken", "frame_taken"), ("frame_given",), ("frame_given",):
        assert await tb.read("LOAD") == hold
        refused = await tb.master.write(OFFSET["LOAD_DATA"], b"\1\2\3\4")
        assert refused.resp == AxiResp.SLVERR
        await tb.pulse(*step)
    assert await tb.read("LOAD") == hold | ready
    assert await tb.read("ERROR") == BIT["ERROR.LOAD"]
    assert await tb.read("WEIGHTS") == MODEL, "what was refused changed nothing"
    await tb.write("ERROR", BIT["ERROR.LOAD"])
    assert await tb.read("ERROR") == 0
    assert chain == [0x200], "setting HOLD begins, and nothing else was sent"
    # Back to back, and under pauses; only bytes whose strobes are set.
    for seed in range(2):
        chain.clear()
        tb.pause(seed, 0.4 * seed)
        await tb.write("LOAD", hold)
        data = bytes(random.Random(seed).randrange(256) for _ in range(50))
        await tb.master.write(OFFSET["LOAD_DATA"], data[:4])
        assert await tb.read("WEIGHTS") == 0
        tasks = [tb.master.write(OFFSET["LOAD_DATA"], data[at : at + 4]) for at in range(4, 50, 4)]
        for task in tasks:
            assert (await task).resp == AxiResp.OKAY
        await tb.write("WEIGHTS", 0x12345678 + seed)
        assert chain == [0x200, *(0x100 | byte for byte in data)]
        assert await tb.read("WEIGHTS") == 0x12345678 + seed
        dut.loaded.value = 0x400
        await ClockCycles(dut.clk, 3 + seed)
        dut.loaded.value = 0x2FF
        await ClockCycles(dut.clk, 2)
        assert await tb.read("LOAD_WORDS") == 3 + seed
    await tb.write("LOAD", 0)
    assert dut.start.value
    # The memories outlive a reset, and so does what they hold.
    await tb.reset()
    assert await tb.read("WEIGHTS") == 0x12345679
    assert await tb.read("LOAD") == 0
    assert await tb.read("LOAD_WORDS") == 0
    await tb.write("WEIGHTS", MODEL)


@pytest.mark.parametrize("reloadable", [False, True])
def test_axi_lite_control(reloadable, monkeypatch):
    monkeypatch.setenv("ADMMFPGA_RELOADABLE", str(int(reloadable)))
    if not reloadable:
        monkeypatch.setenv("COCOTB_TEST_FILTER", "map_and_errors")
    folder = bench.SIM_BUILD / f"test_axi_lite_control{'_reloadable' if reloadable else ''}"
    folder.mkdir(parents=True, exist_ok=True)
    bench.run(
        "test_axi_lite_control",
        top="axi_lite_control",
        sources=[
            *(path for path in bench.register_package(folder) if path.name == "admmfpga_registers.sv"),
            bench.rtl_folder() / "axi_lite_control.sv",
        ],
        folder=folder,
        arguments=[f"-GMODEL_HASH=32'h{MODEL:08x}", f"-GRELOADABLE={int(reloadable)}"],
    )
