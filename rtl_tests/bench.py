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
from admmfpga.blocks.base import Process, fifo_latency
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

SIGNALS = ("valid", "ready", "data")


def stream_ports(block: Block) -> dict[str, str]:
    """Module ports of a stream block by the wrapper's names, which are the same."""
    return {
        f"{port}_{signal}": f"{port}_{signal}"
        for port in (*block.input_ports, *block.output_ports)
        for signal in SIGNALS
    }


def is_input(name: str, block: Block) -> bool:
    """Whether a port of the wrapper is driven from outside."""
    port, _, signal = name.rpartition("_")
    driven = ("valid", "data", "last") if port in block.input_ports else ("ready",) * (port in block.output_ports)
    return name == "start" or signal in driven


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

    def beats(self, rng: np.random.Generator) -> list[list[IntArray]]:
        """Beats by frame and input."""
        block = self.block
        if self.values is not None:
            return [[frame] for frame in np.split(self.values, self.frames)]
        return [
            [frame_of(port, count, rng) for port, count in zip(block.sources, block.beats_by_input, strict=True)]
            for _ in range(self.frames)
        ]


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
        block = case.block
        names = zip((*block.input_ports, *block.output_ports), (*block.sources, *block.sinks), strict=True)
        widths = {f"{name}_data": port.width for name, port in names}
        for ours in ports:
            kind = "input " if is_input(ours, block) else "output"
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
    ports = ports or stream_ports(next(iter(cases.values())).block)
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


def expected_times(
    block: Block, frames: int, offers: Sequence[Pattern], ready: Sequence[Pattern]
) -> tuple[list[list[int]], list[list[int]]]:
    """The rules of `blocks/base.py` for one block, cycle by cycle; the first cycle after reset is 0.

    Args:
        offers: of the source at each input; an offered beat stays offered until it is taken.
        ready: of the sink at each output.

    Returns:
        cycle in which each input beat is taken, by input, and each output beat, by output.
    """
    *inner, last = block.processes()
    outputs = [(depth, block.core_latency + fifo_latency(depth)) for depth in block.depths]
    if len(outputs) == 1:  # a block may have chosen its FIFO's memory itself
        outputs = [(outputs[0][0], block.latency)]
    chain = [_Sequence(process, [(process.depth, process.latency)]) for process in inner] + [_Sequence(last, outputs)]
    taken: list[list[int]] = [[] for _ in block.sources]
    given: list[list[int]] = [[] for _ in block.sinks]
    # What each process finds in front of it: cycles from which on its beats are there. Behind the last: by output.
    queues: list[list[int]] = [[] for _ in chain]
    results: list[list[int]] = [[] for _ in block.sinks]
    counts = [frames * beats for beats in block.beats_by_input]
    cycle, offered = 0, [False] * len(taken)
    while any(len(g) < frames * block.beats_out for g in given) or [len(t) for t in taken] != counts:
        for i, pattern in enumerate(offers):
            offered[i] = offered[i] or (len(taken[i]) < counts[i] and pattern(cycle))
        freed = []
        for index, sequence in enumerate(chain):
            if sequence.frame == frames:
                continue
            step = sequence.step
            here = offered if index == 0 else [bool(queues[index]) and queues[index][0] <= cycle]
            popped = [i for i, pops in enumerate(sequence.pops) if step in pops]
            if not all(here[i] for i in popped):
                continue
            if step in sequence.reserves and any(
                used >= depth for used, (depth, _) in zip(sequence.used, sequence.outputs, strict=True)
            ):
                continue
            for i in popped:
                if index == 0:
                    taken[i].append(cycle)
                    offered[i] = False
                else:
                    queues[index].pop(0)
            if step in sequence.releases and index > 0:
                freed.append((index - 1, 0))
            behind = results if sequence is chain[-1] else [queues[index + 1]]
            for i, (_, latency) in enumerate(sequence.outputs):
                sequence.used[i] += step in sequence.reserves
                if step in sequence.emits:
                    behind[i].append(cycle + latency)
            sequence.advance()
        for i, queue in enumerate(results):
            if queue and queue[0] <= cycle and ready[i](cycle):
                given[i].append(cycle)
                queue.pop(0)
                freed.append((len(chain) - 1, i))
        # A slot is free from the next cycle on.
        for index, i in freed:
            chain[index].used[i] -= 1
        cycle += 1
        assert cycle < 500_000, "the model deadlocks"
    return taken, given


class _Sequence:
    """A process and where it stands.

    Attributes:
        outputs: (depth, latency) of the FIFO or buffer behind each output.
    """

    def __init__(self, process: Process, outputs: list[tuple[int, int]]) -> None:
        schedule = process.schedule
        self.process, self.outputs = process, outputs
        self.pops = [set(pops.tolist()) for pops in schedule.pops_by_input]
        self.emits = set(schedule.emits.tolist())
        self.reserves = self.emits if schedule.reserves is None else set(schedule.reserves.tolist())
        self.releases = self.pops[0] if schedule.releases is None else set(schedule.releases.tolist())
        self.step = self.frame = 0
        self.used = [0] * len(outputs)

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
        for name, case in self.cases.items():
            for port in case.block.input_ports:
                self.port(name, f"{port}_valid").value = 0
            for port in case.block.output_ports:
                self.port(name, f"{port}_ready").value = 0
        await ClockCycles(self.dut.clk, 3)
        self.dut.rst.value = 0

    async def check(self, seed: int, offers: Callable[[int], Pattern], ready: Callable[[int], Pattern]) -> None:
        """Frames through all cases at once: every value and every cycle must be as the Python model says.

        Args:
            seed: of the frames.
            offers, ready: patterns by the number of the case; further inputs and outputs have others.
        """
        await self.reset()
        running = []
        for index, (name, case) in enumerate(self.cases.items()):
            sources = [offers(index + 101 * i) for i in range(len(case.block.sources))]
            sinks = [ready(index + 103 * i) for i in range(len(case.block.sinks))]
            running.append(cocotb.start_soon(self._check_case(name, case, [seed, index], sources, sinks)))
        for task in running:
            await task

    async def _check_case(
        self, name: str, case: Case, seed: list[int], offers: Sequence[Pattern], ready: Sequence[Pattern]
    ) -> None:
        block = case.block
        frames = case.beats(np.random.default_rng(seed))
        results = [block.execute_ports(frame, case.contents) for frame in frames]
        expected = [np.concatenate(beats) for beats in zip(*results, strict=True)]
        words = [
            pack_words(np.concatenate(beats), port.bits)
            for beats, port in zip(zip(*frames, strict=True), block.sources, strict=True)
        ]
        taken, given, received = await _Drive(self, name, case).run(words, [len(e) for e in expected], offers, ready)

        expected_taken, expected_given = expected_times(block, case.frames, offers, ready)
        for port, sink, got, wanted in zip(block.output_ports, block.sinks, received, expected, strict=True):
            values = unpack_words(got, sink.lanes, sink.bits, signed=sink.signed)
            wrong = np.argwhere(values != wanted)
            assert not len(wrong), (
                f"{name} {port}: {len(wrong)} values differ, first at beat {wrong[0][0]}, lane {wrong[0][1]}: "
                f"{values[tuple(wrong[0])]}, expected {wanted[tuple(wrong[0])]}; {block}"
            )
        assert [len(times) for times in expected_taken] == [len(w) for w in words], name
        for port, found, times in zip(block.input_ports, taken, expected_taken, strict=True):
            _compare(name, f"{port} beat", found, times, block)
        for port, found, times in zip(block.output_ports, given, expected_given, strict=True):
            _compare(name, f"{port} beat", found, times, block)


class _Drive:
    """Sends words to every input of a case and receives what comes out of every output."""

    def __init__(self, tb: TB, name: str, case: Case):
        self.name = name
        self.edge = RisingEdge(tb.dut.clk)
        block = case.block
        self.inputs = [[tb.port(name, f"{port}_{signal}") for signal in SIGNALS] for port in block.input_ports]
        self.outputs = [[tb.port(name, f"{port}_{signal}") for signal in SIGNALS] for port in block.output_ports]

    async def run(
        self,
        words: Sequence[Sequence[int]],
        counts: Sequence[int],
        offers: Sequence[Pattern],
        ready: Sequence[Pattern],
    ) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
        """Cycles of the handshakes at each input and output, and the words received.

        Args:
            words: by input.
            counts: beats by output.
        """
        name = self.name
        taken: list[list[int]] = [[] for _ in words]
        given: list[list[int]] = [[] for _ in counts]
        results: list[list[int]] = [[] for _ in counts]
        offered, waiting = [False] * len(words), [None] * len(counts)
        cycle = quiet = 0
        # What comes without being asked for would come soon after the last beat.
        while quiet < 40:
            assert cycle < 500_000, f"{name}: deadlock after {taken} in, {given} out"
            for i, (valid, _, data) in enumerate(self.inputs):
                if not offered[i] and len(taken[i]) < len(words[i]) and offers[i](cycle):
                    offered[i] = True
                    data.value = words[i][len(taken[i])]
                    valid.value = 1
            takes = [pattern(cycle) or len(g) >= n for pattern, g, n in zip(ready, given, counts, strict=True)]
            for is_ready, (_, out_ready, _) in zip(takes, self.outputs, strict=True):
                out_ready.value = is_ready
            await self.edge
            for i, (valid, in_ready, _) in enumerate(self.inputs):
                if offered[i] and in_ready.value:
                    taken[i].append(cycle)
                    offered[i] = False
                    valid.value = 0
            for i, (valid, _, data) in enumerate(self.outputs):
                if valid.value:
                    word = int(data.value)
                    assert waiting[i] in (None, word), f"{name}: data changed before it was taken, cycle {cycle}"
                    waiting[i] = word
                    if takes[i]:
                        given[i].append(cycle)
                        results[i].append(word)
                        waiting[i] = None
                else:
                    assert waiting[i] is None, f"{name}: valid fell before the beat was taken, cycle {cycle}"
            done = all(len(g) >= n for g, n in zip(given, counts, strict=True))
            if done and all(len(t) >= len(w) for t, w in zip(taken, words, strict=True)):
                quiet += 1
            cycle += 1
        assert [len(r) for r in results] == list(counts), f"{name}: {[len(r) for r in results]} beats, not {counts}"
        # Leave the block in the middle of things: the next reset has to clear them up.
        for _, out_ready, _ in self.outputs:
            out_ready.value = 0
        for valid, _, data in self.inputs:
            data.value = (1 << len(data)) - 1
            valid.value = 1
        for _ in range(5 + cycle % 60):
            await self.edge
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
