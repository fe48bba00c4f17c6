"""Index-decoding PE: multipliers that only ever meet non-zero weights.

A vector of `columns` activations arrives in beats of `in_lanes`; each lane stores those that its weights want in a
memory of its own, twice, so that the next vector arrives while this one is worked on. In every step each lane takes an
entry of its program (weights of `height` rows and an index), decodes the index to one of its activations, and
accumulates; what a row block's lanes have summed up is added by a tree and leaves in a step that the compiler chose.
Where the layout says so, lanes leave out row blocks in which they have nothing, and a memory of a bit for each lane and
row block says whose sums there are.
The program is the compile-time schedule of `packing/lanes.py`; it is data, in memories.

Two sequences of steps run side by side: loading pops a beat a step and fills one of two banks; computing takes a full
bank in its first step of a vector and gives it back in its last.

contents: "matrix" (rows, columns), columns in the order in which the stream brings the activations, with a layout's
batch that of several vectors (`packing.lanes.batched`); optionally "lanes" (groups, columns), which lane keeps an
activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from admmfpga.blocks.base import (
    LUTRAM_DEPTH,
    NO_MEMORIES,
    Block,
    Contents,
    Port,
    Process,
    Resources,
    Schedule,
    clog2,
    counter_terms,
    loaded_resources,
    loader_resources,
    ram_resources,
    rom_resources,
    tree_chains,
    weight_memory_resources,
)
from admmfpga.blocks.calibration import Terms
from admmfpga.blocks.dsp_packing import is_narrow, to_borrow_form
from admmfpga.blocks.families import family
from admmfpga.blocks.matrix_unit import MatrixUnit
from admmfpga.network import IntArray
from admmfpga.packing import Memory
from admmfpga.packing.lanes import (
    INDEX_FORMATS,
    LaneLayout,
    LaneProgram,
    LaneSchedule,
    lane_program,
    lane_schedule,
    with_slack,
)

BANKS = 2
"""Vectors that are kept: the one that is worked on and the one that arrives."""


@dataclass(frozen=True, kw_only=True)
class CsrPE(MatrixUnit):
    """A sparse matrix-vector unit; `CsrPE.of` makes one for a matrix.

    Attributes:
        layout: groups, lanes, format of the indices; see `packing.lanes.LaneLayout`.
        steps: of a vector.
        emits: steps of a vector that emit, one for each row block of a group.
        slots: activations that a lane keeps.
        partial_depth: sums that a lane keeps until the others have got that far; 0: none.
        weight_block_ram: the program in block RAM, or in LUTs.
    """

    stem: ClassVar[str] = "csr_pe"
    kind: ClassVar[str] = "csr"
    loads: ClassVar[bool] = True
    layout: LaneLayout
    steps: int
    emits: tuple[int, ...]
    slots: int
    partial_depth: int
    weight_block_ram: bool = True

    @classmethod
    def of(
        cls,
        matrix: IntArray,
        layout: LaneLayout,
        *,
        vectors: int,
        in_bits: int,
        in_signed: bool,
        weight_bits: int,
        acc_bits: int,
        use_dsp: bool = True,
        pack: int = 1,
        weight_block_ram: bool = True,
        out_depth: int = 2,
        slack: float | None = None,
    ) -> CsrPE:
        """The block whose schedule is that of a matrix.

        Args:
            slack: its programs can be exchanged, and it has that share of steps to spare; None: the matrix is constant.
        """
        schedule = lane_schedule(matrix, layout)
        if slack is not None:
            schedule = with_slack(schedule, layout, slack)
        return cls(
            rows=matrix.shape[0],
            columns=matrix.shape[1],
            vectors=vectors,
            layout=layout,
            steps=schedule.steps,
            emits=schedule.emits,
            slots=schedule.slots,
            partial_depth=schedule.partial_depth,
            in_bits=in_bits,
            in_signed=in_signed,
            weight_bits=weight_bits,
            acc_bits=acc_bits,
            use_dsp=use_dsp,
            pack=pack,
            weight_block_ram=weight_block_ram,
            out_depth=out_depth,
            reloadable=slack is not None,
        )

    def __post_init__(self) -> None:
        assert self.layout.height % self.pack == 0, self

    @property
    def pe(self) -> int:
        """Rows at a time."""
        return self.layout.groups * self.layout.height

    @property
    def simd(self) -> int:
        """Lanes of a row group."""
        return self.layout.lanes

    @property
    def sink_lanes(self) -> int:
        return self.pe

    @property
    def batch(self) -> int:
        return self.layout.batch

    @property
    def multipliers(self) -> int:
        return self.lanes * self.layout.height

    @property
    def vector_products(self) -> int:
        return self.multipliers * self.steps

    @property
    def format(self) -> str | None:
        # Formats of storage: the lanes' programs hold the same, dealt out and padded to equal lengths.
        if self.layout.index_format == "relative":
            return f"relative{self.layout.index_bits}"
        if self.layout.height > 1:
            return f"row_blocked{self.layout.height}"
        return self.layout.index_format

    @property
    def vector_cycles(self) -> int:
        return max(self.steps, self.vector_beats)

    @property
    def vector_beats(self) -> int:
        return self.columns // self.layout.in_lanes

    @property
    def row_blocks(self) -> int:
        """Of a row group."""
        return self.rows // self.pe

    @property
    def source(self) -> Port:
        return Port(self.layout.in_lanes, self.in_bits, self.in_signed)

    @property
    def core_latency(self) -> int:
        # Program, address, activation, product, accumulator; where sums wait, their memory's write and read, and the
        # adder tree (one level a cycle).
        return 5 + (2 if self.partial_depth else 0) + clog2(self.simd)

    def schedule(self) -> Schedule:
        starts = np.arange(self.vectors, dtype=np.int64)[:, None] * self.steps
        return Schedule(
            self.vectors * self.steps,
            pops=starts.ravel(),
            emits=(starts + np.array(self.emits)).ravel(),
            releases=(starts + self.steps - 1).ravel(),
        )

    def processes(self) -> tuple[Process, ...]:
        beats = self.vectors * self.vector_beats
        firsts = np.arange(0, beats, self.vector_beats, dtype=np.int64)
        loading = Schedule(beats, np.arange(beats), firsts + self.vector_beats - 1, reserves=firsts)
        return Process(loading, 1, BANKS), *super().processes()

    @property
    def beats_in(self) -> int:
        return self.vectors * self.vector_beats

    @property
    def beats_out(self) -> int:
        return self.vectors * self.row_blocks

    # --- memories ----------------------------------------------------------------------------------------------------

    @property
    def slot_bits(self) -> int:
        return max(1, clog2(self.slots))

    @property
    def index_bits(self) -> int:
        """Bits of an entry's index."""
        return {"csr": self.slot_bits, "relative": self.layout.index_bits, "bitmap": 0}[self.layout.index_format]

    @property
    def select_bits(self) -> int:
        """Which of the lanes that an arriving activation may go to."""
        return clog2(self.simd // self.layout.in_lanes)

    @property
    def write_bits(self) -> int:
        """Where an arriving activation goes in one row group: whether to any lane, to which, into which slot."""
        return 1 + self.select_bits + self.slot_bits

    @property
    def lanes(self) -> int:
        """Of all groups."""
        return self.layout.groups * self.simd

    def memories(self, name: str, layer: str, contents: Contents) -> dict[str, Memory]:
        program = self.program(contents)
        format_ = self.layout.index_format
        emits = np.zeros((self.steps, 1), dtype=np.int64)
        emits[list(self.emits)] = 1

        def memory(suffix: str, lanes: IntArray, bits: int, *, signed: bool = False, constant: bool = False) -> Memory:
            return Memory(f"{name}.{suffix}", lanes, bits, layer, format_, signed=signed, constant=constant)

        weights = program.weights.reshape(self.steps, -1)
        if self.pack > 1:
            assert is_narrow(weights, self.weight_bits), self
            weights = to_borrow_form(weights.reshape(self.steps, -1, self.pack)).reshape(weights.shape)
        images = {
            "WEIGHTS": memory("weights", weights, self.weight_bits, signed=True),
            # The steps in which rows leave are the schedule that everything behind is built for.
            "EMITS": memory("emits", emits, 1, constant=True),
            "WRITES": memory("writes", self._writes(program), self.write_bits),
        }
        if self.layout.skips:
            takes = program.takes.reshape(self.row_blocks, -1).astype(np.int64)
            images["TAKES"] = memory("takes", takes, 1, constant=True)
        if format_ == "bitmap":
            images["BITMAPS"] = memory("bitmaps", program.bitmaps.reshape(self.row_blocks, -1), 1)
        else:
            entries = program.last + 2 * program.indices
            images["INDICES"] = memory("indices", entries.reshape(self.steps, -1), self.index_bits + 1)
        return images

    @property
    def lane_schedule(self) -> LaneSchedule:
        return LaneSchedule(self.steps, self.emits, self.slots, self.partial_depth)

    def program(self, contents: Contents) -> LaneProgram:
        """The program that multiplies with a matrix.

        Raises:
            ProgramError: the block can be reloaded, but not with this matrix.
        """
        within = self.lane_schedule if self.reloadable else None
        program = lane_program(contents["matrix"], self.layout, within, contents.get("lanes"))
        found = LaneSchedule(program.steps, program.emits, program.slots, program.partial_depth)
        assert found == self.lane_schedule, "the schedule is another matrix'"
        return program

    @staticmethod
    def block_ram_parameter(memory: str) -> str:
        # Indices are with the weights.
        return "WEIGHT_BLOCK_RAM" if memory == "INDICES" else Block.block_ram_parameter(memory)

    def _writes(self, program: LaneProgram) -> IntArray:
        """(beats, groups * in_lanes) codes: bit 0 whether an activation is kept, then lane, then slot."""
        share = self.simd // self.layout.in_lanes
        kept = (program.lane_of >= 0).astype(np.int64)
        codes = kept * (1 + 2 * (program.lane_of % share) + (program.slot_of << (1 + self.select_bits)))
        split = codes.reshape(self.layout.groups, self.vector_beats, self.layout.in_lanes)
        return split.transpose(1, 0, 2).reshape(self.vector_beats, -1)

    # --- resources ---------------------------------------------------------------------------------------------------

    @property
    def bank_depth(self) -> int:
        """Words of a lane's activation memory."""
        return BANKS << self.slot_bits

    def core_terms(self) -> Terms:
        dsp = self.multipliers_in_dsp
        absorbs = dsp and family().dsp_absorbs
        chains = tree_chains(self.simd)
        adders = sum(level >= 1 for level, _ in chains)
        tree_registers = sum(length - (level == 0) for level, length in chains)
        step, beat, block = (counter_terms(n) for n in (self.steps, self.vector_beats, self.row_blocks))
        accumulators = 0 if absorbs and self.pack == 1 else self.multipliers * self.acc_bits
        carries = self.multipliers * (self.pack - 1) // self.pack * self.overlaps
        pointers = clog2(self.partial_depth) if self.partial_depth > 1 else 0
        # Of what is written, and of what is read next: lanes that leave nothing out read in one place.
        ends = 2 * self.lanes if self.layout.skips else self.lanes + 1
        relative = self.layout.index_format == "relative"
        bitmap = self.layout.index_format == "bitmap"
        slot_bits = clog2(self.slots)
        return Terms(
            lut={
                "control": 1,
                "counter_bits": step["counter_bits"] + beat["counter_bits"],
                "wrap_bits": step["wrap_bits"] + beat["wrap_bits"],
                # Which lane an arriving activation is for; when its sums are full.
                "lanes": self.lanes,
                # Distances are added up; of a bitmap the lowest bit is found.
                "relative_bits": self.lanes * slot_bits * relative,
                "bitmap_bits": self.lanes * self.slots * bitmap,
                "bitmap_lanes": self.lanes * bitmap,
                "accumulator_bits": accumulators,
                "adder_bits": self.pe * self.acc_bits * adders,
                "pointer_bits": pointers * ends,
                "carries": carries,
                "unsigned_multipliers": self.multipliers * self.one_multiplier.lut * (not dsp and not self.in_signed),
            },
            ff={
                "control": 1,
                "stages": self.core_latency,
                # The step is needed again when the weights are read.
                "counter_bits": 3 * step["counter_bits"] + beat["counter_bits"],
                "activation_bits": self.source.width,
                "lanes": self.lanes,
                "waiting_lanes": self.lanes * (self.partial_depth > 0),
                "address_bits": self.lanes * slot_bits,
                "relative_bits": self.lanes * slot_bits * relative,
                "bitmap_bits": self.lanes * (self.slots + block["counter_bits"]) * bitmap,
                "product_bits": 0 if absorbs else self.multipliers * self.product_bits,
                "accumulator_bits": accumulators,
                "tree_bits": self.pe * self.acc_bits * tree_registers,
                "pointer_bits": pointers * ends,
                # A memory of one word is a register.
                "waiting_bits": self.multipliers * self.acc_bits * (self.partial_depth == 1),
                "carries": carries,
            },
        )

    def part_resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        entry = self.lanes * (self.index_bits + 1)
        again, in_block = self.reloadable, self.weight_block_ram
        weights = self.multipliers * self.weight_bits
        total = weight_memory_resources(
            self.steps, weights, block_ram=in_block, reloadable=again, contents=memories.get("WEIGHTS")
        )
        if self.layout.index_format == "bitmap" and again:
            # One loader for memories of each lane's own.
            total += loader_resources(self.row_blocks, self.lanes * self.slots)
            total += loaded_resources(self.row_blocks, self.slots, block_ram=False) * self.lanes
        elif self.layout.index_format == "bitmap":
            total += rom_resources(self.row_blocks, self.lanes * self.slots, block_ram=False)
        else:
            indices = memories.get("INDICES")
            total += weight_memory_resources(self.steps, entry, block_ram=in_block, reloadable=again, contents=indices)
        total += rom_resources(self.steps, 1, block_ram=False)
        if self.layout.skips:
            total += self._skip_resources()
        writes = self.layout.groups * self.layout.in_lanes * self.write_bits
        total += weight_memory_resources(
            self.vector_beats,
            writes,
            block_ram=self.writes_in_block_ram,
            reloadable=again,
            contents=memories.get("WRITES"),
        )
        bank = ram_resources(self.bank_depth, self.in_bits, block_ram=self.bank_depth > LUTRAM_DEPTH)
        total += bank * self.lanes
        if self.partial_depth > 1:
            width = self.layout.height * self.acc_bits
            one = ram_resources(self.partial_depth, width, block_ram=self.partial_depth > LUTRAM_DEPTH)
            total += one * self.lanes
        if self.multipliers_in_dsp:
            total += Resources(dsp=self.multipliers // self.pack)
        elif self.in_signed:
            total += Resources(lut=self.multipliers * self.one_multiplier.lut)
        return total

    def _skip_resources(self) -> Resources:
        """Of leaving row blocks out: who takes part, and a gate behind every sum that waits."""
        block = counter_terms(self.row_blocks)
        bits = int(block["counter_bits"])
        counter = Resources(lut=bits + int(block["wrap_bits"]), ff=bits)
        # Of the two gates in front of an adder one goes into the adder's LUTs.
        gates = Resources(lut=self.multipliers * self.acc_bits // 2, ff=self.lanes)
        return counter + gates + rom_resources(self.row_blocks, self.lanes, block_ram=False)

    @property
    def writes_in_block_ram(self) -> bool:
        return self.weight_block_ram and self.vector_beats > LUTRAM_DEPTH

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "GROUPS": self.layout.groups,
            "LANES": self.simd,
            "IN_LANES": self.layout.in_lanes,
            "HEIGHT": self.layout.height,
            "LOAD_BEATS": self.vector_beats,
            "STEPS": self.steps,
            "ROW_BLOCKS": self.row_blocks,
            "SLOTS": self.slots,
            "PARTIAL_DEPTH": self.partial_depth,
            "SKIPS": int(self.layout.skips),
            "INDEX_FORMAT": INDEX_FORMATS.index(self.layout.index_format),
            "INDEX_BITS": self.index_bits,
            "IN_BITS": self.in_bits,
            "IN_SIGNED": int(self.in_signed),
            "WEIGHT_BITS": self.weight_bits,
            "ACC_BITS": self.acc_bits,
            "USE_DSP": int(self.multipliers_in_dsp),
            "PACK": self.pack,
            "SPACING": self.spacing,
            "WEIGHT_BLOCK_RAM": int(self.weight_block_ram),
            "WRITE_BLOCK_RAM": int(self.writes_in_block_ram),
            "RELOADABLE": int(self.reloadable),
            **self.output_parameters(),
        }
