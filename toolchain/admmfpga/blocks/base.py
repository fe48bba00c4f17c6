"""What every hardware block has in common.

A block is seen four ways under one stem: parameters, Python model, timing and resources (`blocks/<stem>.py`), HLS C++
(`hls_templates/hls/<stem>.hpp`), RTL (`hls_templates/rtl/<stem>.sv`) and its cocotb test (`rtl_tests/test_<stem>.py`).

Streams carry *beats* of equal lanes, lane 0 in the least significant bits. A stream block is a sequence of *steps*,
at most one a cycle. A step may take one beat from the input (pop) and may put one beat on the output (emit); which
steps do is fixed per frame and does not depend on data. Every block ends in a FIFO of `out_depth` beats and reserves a
slot in it when an emitting step is issued (credits), so nothing behind the issue ever stalls. Hence the exact timing:

    issue(k) = max(issue(k-1) + 1,
                   cycle in which the beat that step k pops becomes valid,
                   pop cycle of the beat emitted `out_depth` emissions earlier + 1)
    valid    = issue + latency

A block may have two inputs, each popped in steps of its own, or two outputs, each with a FIFO of its own, which emit in
the same steps. `source` and `sink` describe the first one.

A block may also be a chain of such sequences (`processes`): one that fills a buffer, one that works on what is in it.
Then a slot may be reserved before it is filled and released after it was first read, see `Schedule`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from admmfpga.blocks.block_ram import built
from admmfpga.blocks.calibration import Terms, costs
from admmfpga.blocks.families import family
from admmfpga.network import IntArray
from admmfpga.packing import Memory
from admmfpga.packing.memory import pack_words

LUTRAM_DEPTH = 64
"""Memories up to this depth are LUT-RAM, deeper ones block RAM. A FIFO in block RAM is one cycle slower."""

Contents = Mapping[str, IntArray]
"""What fills a block's memories, by the names that the block defines."""


NO_MEMORIES: Mapping[str, Memory] = MappingProxyType({})
"""Contents that are not known."""


@dataclass(frozen=True)
class Port:
    """A stream: `lanes` values of `bits` bits a beat."""

    lanes: int
    bits: int
    signed: bool

    @property
    def width(self) -> int:
        return self.lanes * self.bits


@dataclass(frozen=True, eq=False)
class Schedule:
    """Which steps of a frame pop and emit.

    Attributes:
        steps: per frame.
        pops, emits: sorted step indices.
        reserves: steps that take the slot of an emission, as many as `emits`, none of them later; None: the emitting
            steps themselves.
        releases: steps that give the slot of a popped beat back, as many as `pops`, none of them earlier; None: the
            popping steps themselves.
        second_pops: sorted steps that pop from the second input; None: there is none.
    """

    steps: int
    pops: IntArray
    emits: IntArray
    reserves: IntArray | None = None
    releases: IntArray | None = None
    second_pops: IntArray | None = None

    @property
    def pops_by_input(self) -> tuple[IntArray, ...]:
        """The popping steps of every input."""
        return (self.pops,) if self.second_pops is None else (self.pops, self.second_pops)


@dataclass(frozen=True, eq=False)
class Process:
    """One sequence of steps and the FIFO or buffer that it fills.

    Attributes:
        schedule: its steps.
        latency: cycles from issue to valid in the buffer.
        depth: slots of the buffer.
    """

    schedule: Schedule
    latency: int
    depth: int


@dataclass(frozen=True)
class Resources:
    """FPGA resources. BRAM is counted in RAMB18."""

    lut: int = 0
    ff: int = 0
    bram18: int = 0
    dsp: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(self.lut + other.lut, self.ff + other.ff, self.bram18 + other.bram18, self.dsp + other.dsp)

    def __mul__(self, count: int) -> Resources:
        """So many of it."""
        return Resources(self.lut * count, self.ff * count, self.bram18 * count, self.dsp * count)

    def as_dict(self) -> dict[str, int]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, eq=False)
class Table:
    """Constants that are structure, not weights: wiring in hardware, never reloaded.

    Attributes:
        values: (rows, entries) integers from 0.
        bits: of an entry.
    """

    values: IntArray
    bits: int

    @property
    def literal(self) -> str:
        """As one SystemVerilog number, row by row, the first entry in the least significant bits."""
        word = pack_words(self.values.reshape(1, -1), self.bits)[0]
        return f"{self.values.size * self.bits}'h{word:x}"


@dataclass(frozen=True, kw_only=True)
class Block(ABC):
    """Parameters of one hardware block; subclasses are listed in `blocks.BLOCKS`.

    Attributes:
        stem: name of its sources.
        loads: whether it has a place in the chain that brings new weights (`load_in`, `load_out` of the module).
        input_ports, output_ports: prefixes of the module's stream ports.
        out_depth: beats in the output FIFO.
        reloadable: memories take new contents at run time; only blocks with `loads`.
    """

    stem: ClassVar[str]
    loads: ClassVar[bool] = False
    input_ports: ClassVar[tuple[str, ...]] = ("in",)
    output_ports: ClassVar[tuple[str, ...]] = ("out",)
    out_depth: int = 2
    reloadable: bool = False

    @property
    @abstractmethod
    def source(self) -> Port:
        """The input stream."""

    @property
    @abstractmethod
    def sink(self) -> Port:
        """The output stream."""

    @property
    def sources(self) -> tuple[Port, ...]:
        """The input streams, by `input_ports`."""
        return (self.source,)

    @property
    def sinks(self) -> tuple[Port, ...]:
        """The output streams, by `output_ports`."""
        return (self.sink,) * len(self.output_ports)

    @property
    def depths(self) -> tuple[int, ...]:
        """Beats in the FIFO of every output."""
        return (self.out_depth,)

    def with_depths(self, depths: Sequence[int]) -> Block:
        """The block with other output FIFOs."""
        (depth,) = depths
        return replace(self, out_depth=depth)

    @property
    @abstractmethod
    def core_latency(self) -> int:
        """Cycles from issue to the push into the output FIFO (0: same cycle)."""

    @abstractmethod
    def schedule(self) -> Schedule:
        """Steps of one frame; of a chain the last process."""

    def processes(self) -> tuple[Process, ...]:
        """The chain of step sequences from input to output FIFO; most blocks have one."""
        return (Process(self.schedule(), self.latency, self.out_depth),)

    @abstractmethod
    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        """Python model: one frame of input beats (n, lanes) to output beats (m, lanes)."""

    def execute_ports(self, inputs: Sequence[IntArray], contents: Contents) -> tuple[IntArray, ...]:
        """As `execute`, with the beats of every input and of every output."""
        (beats,) = inputs
        return (self.execute(beats, contents),)

    @abstractmethod
    def core_terms(self) -> Terms:
        """What the block has of LUTs and FFs besides output FIFO, memories and multipliers."""

    @abstractmethod
    def rtl_parameters(self) -> dict[str, int | str]:
        """Parameters of the SystemVerilog module, without memory file names."""

    def frame_parameters(self) -> dict[str, int]:
        """What the HLS C++ needs to know in addition: loop bounds of one frame."""
        return {}

    def tables(self) -> dict[str, Table]:
        """Constant tables by RTL parameter; `rtl_parameters` has their literals."""
        return {}

    def memories(self, name: str, layer: str, contents: Contents) -> dict[str, Memory]:
        """Memory images by the RTL parameter that takes the file's name.

        Args:
            name: instance name, the stem of the files.
            layer: the network's node.
            contents: the arrays that the block's docstring names.
        """
        return {}

    @staticmethod
    def block_ram_parameter(memory: str) -> str:
        """The RTL parameter that puts a memory into block RAM; memories without one are made of LUTs."""
        return f"{memory.removesuffix('S')}_BLOCK_RAM"

    @property
    def latency(self) -> int:
        """Cycles from issue to valid at the output."""
        return self.core_latency + fifo_latency(self.out_depth)

    @property
    def cycles(self) -> int:
        """Closed form: cycles per frame in steady state when neither side stalls. One step a cycle."""
        return max(process.schedule.steps for process in self.processes())

    @property
    def beats_in(self) -> int:
        """Beats popped per frame."""
        return len(self.processes()[0].schedule.pops)

    @property
    def beats_by_input(self) -> tuple[int, ...]:
        """Beats popped per frame from every input."""
        return tuple(len(pops) for pops in self.processes()[0].schedule.pops_by_input)

    @property
    def beats_out(self) -> int:
        """Beats emitted per frame."""
        return len(self.schedule().emits)

    @property
    def unit_in(self) -> int:
        """Elements of the input that begin in a beat of their own; the last beat holds the last ones of them, some of
        which the beat before had too. 0: beats go on over all elements."""
        return 0

    @property
    def unit_out(self) -> int:
        """Elements of the output that end in a beat of their own, the last lanes of which are filled up with anything;
        0: all lanes of all beats are elements."""
        return 0

    def part_resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        """Memories and multipliers.

        Args:
            memories: as `memories` gives them, if the contents are known: bits that never change are not stored.
                Without them, contents are taken to be random.
        """
        return Resources()

    def output_resources(self) -> Resources:
        """The output FIFO."""
        return fifo_resources(self.out_depth, self.sink.width)

    def resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        """The whole block: BRAM and DSP by the inference rules, LUT and FF modelled (see `calibration`).

        Args:
            memories: see `part_resources`.
        """
        core = Resources(**costs(self.stem, self.core_terms()))
        return core + self.part_resources(memories) + self.output_resources()

    def output_parameters(self) -> dict[str, int | str]:
        """The parameters of the output FIFO, which every block passes on."""
        return {"OUT_DEPTH": self.out_depth, "OUT_BLOCK_RAM": int(self.out_depth > LUTRAM_DEPTH)}

    @property
    def full_rate_depth(self) -> int:
        """Least output FIFO that never holds the block back while the consumer takes what is there.

        A slot is busy from the issue until the cycle after the pop, `core_latency + 2` cycles: as many slots as steps
        can emit in that time.
        """
        schedule = self.schedule()
        busy = self.core_latency + 2
        frames = np.arange(2 + busy // schedule.steps)[:, None] * schedule.steps
        emits = (schedule.emits + frames).ravel()
        inside = np.searchsorted(emits, emits + busy) - np.arange(len(emits))
        return max(2, min(busy, int(inside.max(initial=1))))


@dataclass(frozen=True, kw_only=True)
class Join(Block):
    """A block with two inputs."""

    input_ports: ClassVar[tuple[str, ...]] = ("in0", "in1")

    @property
    @abstractmethod
    def sources(self) -> tuple[Port, ...]: ...

    @property
    def source(self) -> Port:
        return self.sources[0]

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        raise AssertionError(f"{self.stem} has two inputs")

    @abstractmethod
    def execute_ports(self, inputs: Sequence[IntArray], contents: Contents) -> tuple[IntArray, ...]: ...


@dataclass(frozen=True, kw_only=True)
class BeatByBeat(Block):
    """A block that takes one beat and gives one beat in every step.

    Attributes:
        beats: a frame.
    """

    beats: int

    @property
    def cycles(self) -> int:
        return self.beats

    @property
    def beats_out(self) -> int:
        return self.beats

    @property
    def core_latency(self) -> int:
        return 0

    def schedule(self) -> Schedule:
        steps = every(1, self.beats)
        return Schedule(self.beats, steps, steps)

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        return beats


def every(period: int, steps: int, phase: int = 0) -> IntArray:
    """Steps phase, phase + period, ... below `steps`."""
    return np.arange(phase, steps, period, dtype=np.int64)


def fifo_latency(depth: int) -> int:
    """Cycles from push to valid."""
    return 2 if depth > LUTRAM_DEPTH else 1


def fifo_terms(depth: int, width: int) -> Terms:
    """LUTs and FFs of a FIFO besides its memory."""
    if depth == 1:
        return Terms(lut={"single_slot": 1}, ff={"slot_bits": width, "single_slot": 1})
    pointer, count = clog2(depth), depth.bit_length()
    block_ram = depth > LUTRAM_DEPTH
    return Terms(
        lut={"two_slots": depth == 2, "three_slots": depth == 3}
        if depth < 4
        else {
            # Credits, full and empty.
            "control": 1,
            # Two pointers and the credit counter.
            "pointer_bits": pointer,
            # Pointers that go back to zero before they overflow compare with the last slot.
            "wrap_bits": pointer * (not _power_of_two(depth)),
        },
        ff={
            "control": 1,
            # Read and write pointer; a read of LUT-RAM has its address registered once more.
            "pointer_bits": pointer * (2 if block_ram else 3),
            "count_bits": count,
            # Whether the block RAM's output register holds a beat.
            "output_valid": int(block_ram),
        },
    )


def fifo_fixed(depth: int, width: int) -> Resources:
    """A FIFO's memory."""
    return ram_resources(depth, width, block_ram=depth > LUTRAM_DEPTH, registered=False) if depth > 1 else Resources()


def fifo_resources(depth: int, width: int) -> Resources:
    """A FIFO of `depth` beats."""
    return Resources(**costs("fifo", fifo_terms(depth, width))) + fifo_fixed(depth, width)


def rom_terms(depth: int, width: int) -> Terms:
    """A ROM in LUTs with its output register."""
    if depth == 1:
        return Terms()
    if family().table_words == 16:
        return _rom_of_16_terms(depth, width)
    blocks = -(-depth // 256)
    return Terms(
        # A LUT6 holds 64 words of a bit; up to four of them are joined by the slice's multiplexers, more by LUTs.
        # Two words are constants, the address or its inverse.
        lut={
            "tables": width * -(-depth // 64) * (depth > 2),
            "inverters": width * (depth == 2),
            "multiplexers": width * (blocks > 1) * -(-blocks // 4),
        },
        ff={"output_bits": width},
    )


def _rom_of_16_terms(depth: int, width: int) -> Terms:
    """A LUT4 holds 16 words of a bit, and a slice's multiplexers join 2, 4 or 8 of them.

    Deeper ones Yosys makes of multiplexers, in which ABC does not find the tables again: nearly twice as many LUTs.
    """
    tables = -(-depth // 16)
    luts = 1 << clog2(tables) if tables <= 8 else round(1.9 * tables)
    return Terms(
        lut={"tables": width * luts * (depth > 2), "words": depth == 2},
        # Two words are constants, the address or its inverse.
        ff={"output_bits": width * (depth > 2)},
    )


def rom_resources(
    depth: int, width: int, *, block_ram: bool, registered: bool = True, contents: Memory | None = None
) -> Resources:
    """A ROM.

    Args:
        contents: if they are known: a bit that is the same in all words is no memory in block RAM.
        registered: the output register is made of FFs, not part of a DSP block (block RAM has its own).
    """
    if depth == 1:
        return Resources()
    if block_ram:
        # Of random words so many bits are not the same in all.
        kept = max(1, round(width * (1 - 0.5 ** (depth - 1)))) if contents is None else contents.varying_bits
        return _block_ram(depth, kept, written=False) if kept else Resources()
    found = Resources(**costs("rom", rom_terms(depth, width)))
    return found if registered else replace(found, ff=0)


def ram_resources(
    depth: int, width: int, *, block_ram: bool, registered: bool = True, single_port: bool = False
) -> Resources:
    """A RAM of more than one word.

    Args:
        registered: LUT-RAM with an output register.
        single_port: reads and writes have the same address.
    """
    if block_ram:
        return _block_ram(depth, width, written=True) + _old_words(depth, width)
    luts, bits = family().lut_ram
    if family().table_words == 16:
        lut = _lut_ram_of_16(depth, width)
    # RAM32M, RAM64M, RAM32M16, RAM64M8: one of the LUTs only writes unless reads and writes have one address.
    elif single_port:
        lut = luts * -(-width // (2 * luts)) if depth <= 32 else width
    else:
        lut = luts * -(-width // (bits if depth <= 32 else bits // 2))
    return Resources(lut=lut, ff=width if registered else 0)


LOADER_LUT = 9
"""Counters and comparisons of a `loader`, the median of Yosys synthesis; its FFs are counted."""


def weight_memory_resources(
    depth: int,
    width: int,
    *,
    block_ram: bool,
    reloadable: bool,
    registered: bool = True,
    contents: Memory | None = None,
) -> Resources:
    """A memory of weights: a ROM, or a RAM with its loader.

    Args:
        registered: the output register is made of FFs, not part of a DSP block (block RAM has its own).
        contents: what a ROM holds, if it is known; a RAM holds anything.
    """
    if not reloadable:
        return rom_resources(depth, width, block_ram=block_ram, registered=registered, contents=contents)
    return loader_resources(depth, width) + loaded_resources(depth, width, block_ram=block_ram, registered=registered)


def loader_resources(depth: int, width: int) -> Resources:
    """A place in the load chain: the link, a word being put together, address, part of the word, write and open."""
    size = -(-width // 8)
    return Resources(lut=LOADER_LUT, ff=11 + 8 * size + max(1, clog2(depth)) + max(1, clog2(size)) + 2)


def loaded_resources(depth: int, width: int, *, block_ram: bool, registered: bool = True) -> Resources:
    """The RAM behind a loader; of any depth also in LUTs."""
    if block_ram or depth <= LUTRAM_DEPTH:
        return ram_resources(max(2, depth), width, block_ram=block_ram, registered=registered)
    banks = -(-depth // LUTRAM_DEPTH)
    bank = ram_resources(LUTRAM_DEPTH, width, block_ram=False, registered=False)
    # A LUT joins four banks of a bit, and a bank has its write enable.
    return bank * banks + Resources(lut=width * -(-banks // 4) + banks, ff=width if registered else 0)


def bram18(depth: int, width: int, *, written: bool = True) -> int:
    """RAMB18 or EBR of a memory, by the rule of the family's synthesis."""
    return built(depth, width, family().block_rams, written=written).halves


def _block_ram(depth: int, width: int, *, written: bool) -> Resources:
    """Block RAM, and where several lie one above the other, the multiplexers behind them and the registered select."""
    found = built(depth, width, family().block_rams, written=written)
    if found.slices == 1:
        return Resources(bram18=found.halves)
    # Four inputs and two selects fit a LUT6; a LUT4 joins two.
    multiplexers = -(-found.slices // 4) if family().table_words == 64 else found.slices - 1
    return Resources(lut=width * multiplexers, ff=clog2(found.slices), bram18=found.halves)


def _old_words(depth: int, width: int) -> Resources:
    """Logic beside a block RAM that remembers the word which is being written and gives the one before."""
    if family().reads_old:
        return Resources()
    return Resources(lut=width + 2 * clog2(depth), ff=2 * width + clog2(depth) + 2)


def _lut_ram_of_16(depth: int, width: int) -> int:
    """LUTs of 16 x 4 memories: two slices that hold it and the LUTs of a third one, and multiplexers behind them."""
    stacked = -(-depth // 16)
    luts, bits = family().lut_ram
    return luts * -(-width // bits) * stacked + width * (stacked - 1) + stacked * (stacked > 1)


def tree_chains(inputs: int) -> list[tuple[int, int]]:
    """Registers of a binary tree with one register a level: (level of the first, how many in a row) of each chain.

    Two chains end in an operation, whose result begins the next; an odd one out is passed on.
    """
    chains, ended, level = [(0, 1)] * inputs, [], 0
    while len(chains) > 1:
        level += 1
        pairs, odd = divmod(len(chains), 2)
        ended += chains[: 2 * pairs]
        chains = [(level, 1)] * pairs + [(start, length + 1) for start, length in chains[len(chains) - odd :]]
    return ended + chains


def _power_of_two(value: int) -> bool:
    return value & (value - 1) == 0


def counter_terms(values: int) -> dict[str, float]:
    """A counter through 0 ... values - 1: its bits, and those that are compared with the last value."""
    bits = clog2(values)
    return {"counter_bits": bits, "wrap_bits": bits * (not _power_of_two(values))}


def dsp_pieces(a_bits: int, b_bits: int) -> tuple[int, int]:
    """Into how many parts the wider and the narrower signed factor are cut, with the family's multipliers.

    Parts but the last have 17 bits of a factor, since they are unsigned.
    """
    spare = 0 if family().splits_two_bits else 1
    wide, narrow = (
        1 + max(0, -(-(bits - most - spare) // 17))
        for bits, most in zip((max(a_bits, b_bits), min(a_bits, b_bits)), family().multiplier, strict=True)
    )
    return wide, narrow


def clog2(value: int) -> int:
    """Levels of a binary tree over `value` leaves: ceil(log2(value)), 0 for 1."""
    return (value - 1).bit_length()
