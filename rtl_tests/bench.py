"""What the block tests share: wrappers that put many configurations of a block side by side, their drivers, and the
timing that every one of them must meet.

A test file is both a pytest module, which builds and starts the simulation (`simulate`), and a cocotb module, which
runs inside it. Both sides see the same `CASES`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from admmfpga.blocks import Block, Port
from admmfpga.blocks.base import Process
from admmfpga.codegen.environment import make_environment
from admmfpga.codegen.rtl import compile_order, render_registers
from admmfpga.engine import registers as engine
from admmfpga.engine.simulation import rtl_files
from admmfpga.network import IntArray, IntType
from admmfpga.packing.memory import pack_words, unpack_words
from admmfpga.resources import resource_dir
from admmfpga.tools.cocotb_bench import run_bench

WRAPPER = "wrapper"
SIM_BUILD = Path(__file__).resolve().parent / "sim_build"

STREAM_PORTS = {name: name for name in ("in_valid", "in_ready", "in_data", "out_valid", "out_ready", "out_data")}
"""Module ports of a stream block by the wrapper's names."""

INPUTS = ("in_valid", "in_data", "in_last", "start", "out_ready")


@dataclass(frozen=True, eq=False)
class Case:
    """One configuration of a block.

    Attributes:
        block: its parameters.
        contents: what fills its memories.
        frames: how many a test sends.
        values: input beats of all frames, instead of random ones.
    """

    block: Block
    contents: Mapping[str, IntArray] = field(default_factory=dict)
    frames: int = 3
    values: IntArray | None = None

    def beats(self, rng: np.random.Generator) -> list[IntArray]:
        """Input beats by frame."""
        count = self.block.beats_in
        if self.values is not None:
            return np.split(self.values, self.frames)
        return [frame_of(self.block.source, count, rng) for _ in range(self.frames)]


# --- pytest side -----------------------------------------------------------------------------------------------------


def instance(name: str, case: Case, ports: Mapping[str, str], memories: Mapping[str, str]) -> str:
    """A block in the wrapper; its ports become the wrapper's, with the case's name in front.

    Args:
        ports: the module's port by the wrapper's name for it.
        memories: file names by parameter.
    """
    parameters = case.block.rtl_parameters() | {key: f'"{file}"' for key, file in memories.items()}
    connections = {"clk": "clk", "rst": "rst"} | {port: f"{name}_{ours}" for ours, port in ports.items()}
    chain = ""
    if case.block.loads:
        # Constant blocks have an end of the chain to themselves.
        links = (f"{name}_load_in", f"{name}_load_out") if case.block.reloadable else ("11'd0", f"{name}_unused_load")
        connections |= dict(zip(("load_in", "load_out"), links, strict=True))
        chain = "" if case.block.reloadable else f"  wire [10:0] {name}_unused_load;\n"
    return (
        f"{chain}  {case.block.stem} #({', '.join(f'.{key}({value})' for key, value in parameters.items())}) {name}_i\n"
        f"      ({', '.join(f'.{port}({net})' for port, net in connections.items())});\n"
    )


def wrapper(cases: Mapping[str, Case], ports: Mapping[str, str], instances: Iterable[str]) -> str:
    """SystemVerilog of a module with all cases side by side."""
    lines = ["  input wire clk", "  input wire rst"]
    for name, case in cases.items():
        widths = {"in_data": case.block.source.width, "out_data": case.block.sink.width}
        for ours in ports:
            kind = "input " if ours in INPUTS else "output"
            lines.append(f"  {kind} wire [{widths.get(ours, 1) - 1}:0] {name}_{ours}")
    chain = [name for name, case in cases.items() if case.block.reloadable]
    if chain:
        lines += ["  input wire [10:0] load", "  output wire [10:0] loaded"]
        ends = ["load", *(f"{name}_load_out" for name in chain)]
        links = [
            f"  wire [10:0] {name}_load_out, {name}_load_in = {end};\n" for name, end in zip(chain, ends, strict=False)
        ]
        instances = [*links, *instances, f"  assign loaded = {ends[-1]};\n"]
    header = f"`default_nettype none\nmodule {WRAPPER} (\n" + ",\n".join(lines) + "\n);\n"
    return header + "\n".join(instances) + "endmodule\n`default_nettype wire\n"


def simulate(
    module: str,
    cases: Mapping[str, Case],
    *,
    ports: Mapping[str, str] | None = None,
    render: Callable[..., str] = instance,
) -> None:
    """Build all cases into one model, warnings being errors, and run the cocotb tests of a module on it.

    Args:
        module: name of the test module.
        cases: by name; names are prefixes of the wrapper's ports.
        ports: the module's port by the wrapper's name for it.
        render: SystemVerilog of one case, see `instance`.
    """
    folder = SIM_BUILD / module
    folder.mkdir(parents=True, exist_ok=True)
    ports = ports or STREAM_PORTS
    instances = []
    for name, case in cases.items():
        memories = case.block.memories(name, name, dict(case.contents))
        for memory in memories.values():
            words = [f"{word:0{-(-memory.width // 4)}x}\n" for word in memory.words()]
            (folder / f"{memory.name}.mem").write_text("".join(words))
        instances.append(render(name, case, ports, {key: f"{m.name}.mem" for key, m in memories.items()}))
    source = folder / f"{WRAPPER}.sv"
    write(source, wrapper(cases, ports, instances))
    run(module, top=WRAPPER, sources=[source], folder=folder, arguments=["-y", str(rtl_folder())])


def rtl_folder() -> Path:
    """The blocks' SystemVerilog."""
    return resource_dir("hls_templates") / "rtl"


def register_package(folder: Path) -> list[Path]:
    """The rendered register packages, in `folder`."""
    files = render_registers(make_environment()) | {f"{engine.PACKAGE}.sv": rtl_files()[f"{engine.PACKAGE}.sv"]}
    for name, text in files.items():
        write(folder / name, text)
    return [folder / name for name in compile_order(list(files))]


def run(module: str, *, top: str, sources: Sequence[Path], folder: Path, arguments: Sequence[str] = ()) -> None:
    """Build `top` with warnings as errors and run the cocotb tests of a module on it."""
    result = run_bench(
        module, top=top, sources=sources, build_dir=folder, test_dir=folder, build_args=["-Wall", *arguments]
    )
    assert result.tests, f"no tests in {module}: {result.log}"
    assert not result.failed, f"{', '.join(result.failed)}: {result.log}"


def write(path: Path, text: str) -> None:
    # An unchanged file keeps its time, so that nothing is built again.
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)


# --- Timing ----------------------------------------------------------------------------------------------------------

Pattern = Callable[[int], bool]
"""Of a cycle number: whether a source that waits offers its next beat, or whether a sink is ready."""


def always(_: int) -> bool:
    return True


def chance(probability: float, seed: int) -> Pattern:
    """True with some probability, the same for every call with a cycle."""
    rng, drawn = random.Random(seed), list[bool]()

    def pattern(cycle: int) -> bool:
        while len(drawn) <= cycle:
            drawn.append(rng.random() < probability)
        return drawn[cycle]

    return pattern


def bursts(on: int, off: int) -> Pattern:
    """`on` cycles true, `off` cycles false, and so on."""
    return lambda cycle: cycle % (on + off) < on


def expected_times(block: Block, frames: int, offers: Pattern, ready: Pattern) -> tuple[list[int], list[int]]:
    """The rules of `blocks/base.py` for one block, cycle by cycle; the first cycle after reset is 0.

    Args:
        offers: an offered beat stays offered until it is taken.
        ready: of the sink.

    Returns:
        cycle in which each input beat is taken, and each output beat.
    """
    chain = [_Sequence(process) for process in block.processes()]
    taken: list[int] = []
    given: list[int] = []
    # What each process finds in front of it: cycles from which on its beats are there.
    queues: list[list[int]] = [[] for _ in range(len(chain) + 1)]
    count = frames * block.beats_in
    cycle, offered = 0, False
    while len(given) < frames * block.beats_out or len(taken) < count:
        offered = offered or (len(taken) < count and offers(cycle))
        freed = []
        for index, sequence in enumerate(chain):
            if sequence.frame == frames:
                continue
            kind, step = sequence.kind, sequence.step
            here = offered if index == 0 else bool(queues[index]) and queues[index][0] <= cycle
            if step in kind["pops"] and not here:
                continue
            if step in kind["reserves"] and sequence.used >= sequence.process.depth:
                continue
            if step in kind["pops"]:
                if index == 0:
                    taken.append(cycle)
                    offered = False
                else:
                    queues[index].pop(0)
            if step in kind["releases"] and index > 0:
                freed.append(index - 1)
            sequence.used += step in kind["reserves"]
            if step in kind["emits"]:
                queues[index + 1].append(cycle + sequence.process.latency)
            sequence.advance()
        if queues[-1] and queues[-1][0] <= cycle and ready(cycle):
            given.append(cycle)
            queues[-1].pop(0)
            freed.append(len(chain) - 1)
        # A slot is free from the next cycle on.
        for index in freed:
            chain[index].used -= 1
        cycle += 1
        assert cycle < 500_000, "the model deadlocks"
    return taken, given


class _Sequence:
    """A process and where it stands."""

    def __init__(self, process: Process) -> None:
        schedule = process.schedule
        self.process = process
        kinds = {
            "pops": schedule.pops,
            "emits": schedule.emits,
            "reserves": schedule.emits if schedule.reserves is None else schedule.reserves,
            "releases": schedule.pops if schedule.releases is None else schedule.releases,
        }
        self.kind = {name: set(steps.tolist()) for name, steps in kinds.items()}
        self.step = self.frame = self.used = 0

    def advance(self) -> None:
        self.step += 1
        if self.step == self.process.schedule.steps:
            self.step, self.frame = 0, self.frame + 1


# --- cocotb side -----------------------------------------------------------------------------------------------------


def frame_of(port: Port, beats: int, rng: np.random.Generator) -> IntArray:
    """Random beats with many extremes among them."""
    dtype = IntType(port.bits, port.signed)
    shape = (beats, port.lanes)
    values = rng.integers(dtype.min, dtype.max, shape, endpoint=True)
    kind = rng.random(shape)
    values[kind < 0.15] = dtype.min
    values[kind > 0.85] = dtype.max
    return values


class TB:
    """All cases of a wrapper: clock, reset, drivers that note the cycle of every handshake."""

    def __init__(self, dut, cases: Mapping[str, Case]):
        self.dut = dut
        self.cases = cases
        cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())

    def port(self, name: str, port: str):
        return getattr(self.dut, f"{name}_{port}")

    async def reset(self) -> None:
        """Returns at the edge after which cycle 0 begins."""
        self.dut.rst.value = 1
        for name in self.cases:
            self.port(name, "in_valid").value = 0
            self.port(name, "out_ready").value = 0
        await ClockCycles(self.dut.clk, 3)
        self.dut.rst.value = 0

    async def check(self, seed: int, offers: Callable[[int], Pattern], ready: Callable[[int], Pattern]) -> None:
        """Frames through all cases at once: every value and every cycle must be as the Python model says.

        Args:
            seed: of the frames.
            offers, ready: patterns by the number of the case.
        """
        await self.reset()
        running = []
        for index, (name, case) in enumerate(self.cases.items()):
            running.append(cocotb.start_soon(self._check_case(name, case, [seed, index], offers(index), ready(index))))
        for task in running:
            await task

    async def _check_case(self, name: str, case: Case, seed: list[int], offers: Pattern, ready: Pattern) -> None:
        block = case.block
        frames = case.beats(np.random.default_rng(seed))
        expected = np.concatenate([block.execute(frame, case.contents) for frame in frames])
        words = pack_words(np.concatenate(frames), block.source.bits)
        taken, given, results = await self._drive(name, words, len(expected), offers, ready)

        sink = block.sink
        values = unpack_words(results, sink.lanes, sink.bits, signed=sink.signed)
        wrong = np.argwhere(values != expected)
        assert not len(wrong), (
            f"{name}: {len(wrong)} values differ, first at beat {wrong[0][0]}, lane {wrong[0][1]}: "
            f"{values[tuple(wrong[0])]}, expected {expected[tuple(wrong[0])]}; {block}"
        )
        expected_taken, expected_given = expected_times(block, case.frames, offers, ready)
        assert len(expected_taken) == len(words), name
        _compare(name, "input beat", taken, expected_taken, block)
        _compare(name, "output beat", given, expected_given, block)

    async def _drive(
        self, name: str, words: Sequence[int], count: int, offers: Pattern, ready: Pattern
    ) -> tuple[list[int], list[int], list[int]]:
        """Send words and receive `count` beats: cycles of the handshakes on both sides, and what was received."""
        in_valid, in_ready, in_data = (self.port(name, port) for port in ("in_valid", "in_ready", "in_data"))
        out_valid, out_ready, out_data = (self.port(name, port) for port in ("out_valid", "out_ready", "out_data"))
        edge = RisingEdge(self.dut.clk)
        taken: list[int] = []
        given: list[int] = []
        results: list[int] = []
        offered, waiting = False, None
        cycle = quiet = 0
        # What comes without being asked for would come soon after the last beat.
        while quiet < 40:
            assert cycle < 500_000, f"{name}: deadlock after {len(taken)} beats in, {len(given)} out"
            if not offered and len(taken) < len(words) and offers(cycle):
                offered = True
                in_data.value = words[len(taken)]
                in_valid.value = 1
            is_ready = ready(cycle) or len(given) >= count
            out_ready.value = is_ready
            await edge
            if offered and in_ready.value:
                taken.append(cycle)
                offered = False
                in_valid.value = 0
            if out_valid.value:
                word = int(out_data.value)
                assert waiting in (None, word), f"{name}: out_data changed before it was taken, cycle {cycle}"
                waiting = word
                if is_ready:
                    given.append(cycle)
                    results.append(word)
                    waiting = None
            else:
                assert waiting is None, f"{name}: out_valid fell before the beat was taken, cycle {cycle}"
            if len(given) >= count and len(taken) >= len(words):
                quiet += 1
            cycle += 1
        assert len(results) == count, f"{name}: {len(results)} beats, expected {count}"
        # Leave the block in the middle of things: the next reset has to clear them up.
        out_ready.value = 0
        in_data.value = (1 << len(in_data)) - 1
        in_valid.value = 1
        for _ in range(5 + cycle % 60):
            await edge
        return taken, given, results


def _compare(name: str, what: str, found: list[int], expected: list[int], block: Block) -> None:
    if found != expected:
        index = next(i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
        raise AssertionError(f"{name}: {what} {index} in cycle {found[index]}, expected {expected[index]}; {block}")


SCENARIOS: dict[str, tuple[Callable[[int], Pattern], Callable[[int], Pattern]]] = {
    "full_rate": (lambda _: always, lambda _: always),
    "sink_bursts": (lambda _: always, lambda index: bursts(3 + index % 5, 2 + index % 7)),
    "source_idle": (lambda index: chance(0.4, index), lambda _: always),
    "slow_sink": (lambda _: always, lambda index: chance(0.3, index)),
    "both": (lambda index: chance(0.6, index), lambda index: chance(0.6, index + 1000)),
}
"""Patterns of source and sink by the number of the case."""
