"""Dense PE array: PE x SIMD multipliers over the GEMM view of a layer.

A vector of SF*SIMD activations arrives in SF beats of `simd` lanes. Step (nf, sf) multiplies beat sf with the weights
of rows nf*PE .. nf*PE+PE-1 and adds up; the last step of a row group emits PE accumulators. In row group 0 the beats
come from the stream and are kept; the other groups read them back, so a vector is taken once and used NF times. Weights
come from a ROM, one word of PE*SIMD lanes a step (lane pe*SIMD + simd, address nf*SF + sf).

Where PE does not divide the rows, the last row group is filled up with copies of the last row, which whoever reads the
stream drops. Where SIMD does not divide the columns, a vector's last beat has some elements of the one before once
more, and zero weights for them. Some rows may multiply in LUTs while the others do in DSP blocks, and some have their
weights in a ROM of LUTs.

contents: "matrix" (rows, columns), columns in the order in which the stream brings the activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from admmfpga.blocks.base import (
    LUTRAM_DEPTH,
    NO_MEMORIES,
    Contents,
    Port,
    Resources,
    Schedule,
    clog2,
    counter_terms,
    every,
    ram_resources,
    tree_chains,
    weight_memory_resources,
)
from admmfpga.blocks.calibration import Terms
from admmfpga.blocks.dsp_packing import from_borrow_form, is_narrow, to_borrow_form
from admmfpga.blocks.families import family
from admmfpga.blocks.matrix_unit import MatrixUnit
from admmfpga.blocks.width_converter import last_beat_full
from admmfpga.network import IntArray
from admmfpga.packing import Memory


@dataclass(frozen=True, kw_only=True)
class DensePE(MatrixUnit):
    """A folded matrix-vector unit.

    Attributes:
        pe, simd: rows and columns at a time; the last row group, and a vector's last beat, may have to be filled up.
        weight_block_ram: weights in block RAM, or in LUTs; None: by depth.
        lut_rows: the last rows of `pe`, which multiply in LUTs while the others do in DSP blocks.
        lut_weight_rows: the last rows of `pe`, whose weights are in LUTs while the others' are in block RAM.
    """

    stem: ClassVar[str] = "dense_pe"
    kind: ClassVar[str] = "dense"
    loads: ClassVar[bool] = True
    pe: int
    simd: int
    weight_block_ram: bool | None = None
    lut_rows: int = 0
    lut_weight_rows: int = 0

    def __post_init__(self) -> None:
        assert self.pe <= self.rows, self
        assert self.simd <= self.columns, self
        assert self.first_rows % self.pack == 0, self
        assert 0 <= self.lut_rows < self.pe, self
        assert 0 <= self.lut_weight_rows < self.pe, self

    @property
    def first_rows(self) -> int:
        """Rows of `pe` that multiply as `use_dsp` and `pack` say; all where products are too small for DSP blocks."""
        return self.pe - self.lut_rows if self.multipliers_in_dsp else self.pe

    @property
    def neuron_folds(self) -> int:
        return -(-self.rows // self.pe)

    @property
    def synapse_folds(self) -> int:
        return -(-self.columns // self.simd)

    @property
    def source(self) -> Port:
        return Port(self.simd, self.in_bits, self.in_signed)

    @property
    def sink_lanes(self) -> int:
        return self.pe

    @property
    def multipliers(self) -> int:
        return self.pe * self.simd

    @property
    def vector_products(self) -> int:
        return self.vector_cycles * self.multipliers

    @property
    def format(self) -> str | None:
        return "dense"

    @property
    def core_latency(self) -> int:
        # ROM read, operand registers, product register, adder tree (one level a cycle), accumulator.
        return 4 + clog2(self.simd)

    @property
    def vector_cycles(self) -> int:
        return self.neuron_folds * self.synapse_folds

    @property
    def vector_beats(self) -> int:
        return self.synapse_folds

    @property
    def beats_out(self) -> int:
        return self.vectors * self.neuron_folds

    @property
    def unit_out(self) -> int:
        return self.rows if self.rows % self.pe else 0

    @property
    def unit_in(self) -> int:
        return self.columns if self.columns % self.simd else 0

    def _filled(self, matrix: IntArray) -> IntArray:
        """The matrix in whole row groups and beats. Rows are filled up with the last one, whose sums are no wider than
        those of the others."""
        if self.unit_in:
            matrix = matrix[:, last_beat_full(self.columns, self.simd)]
            done = self.columns // self.simd * self.simd
            matrix[:, done : done + self.simd - self.columns % self.simd] = 0
        return np.pad(matrix, ((0, self.neuron_folds * self.pe - self.rows), (0, 0)), mode="edge")

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        vectors = beats.reshape(-1, self.synapse_folds * self.simd)
        found: IntArray = (vectors @ self._filled(contents["matrix"]).T).reshape(-1, self.pe)
        return found

    def schedule(self) -> Schedule:
        per_vector = self.neuron_folds * self.synapse_folds
        starts = np.arange(self.vectors, dtype=np.int64)[:, None] * per_vector
        pops = (starts + np.arange(self.synapse_folds)).ravel()
        emits = every(self.synapse_folds, self.cycles, self.synapse_folds - 1)
        return Schedule(self.cycles, pops, emits)

    def memories(self, name: str, layer: str, contents: Contents) -> dict[str, Memory]:
        matrix = self._filled(contents["matrix"])
        columns = matrix.shape[1]
        split = matrix.reshape(self.neuron_folds, self.pe, columns)
        if self.pack > 1:
            first = split[:, : self.first_rows]
            assert is_narrow(first, self.weight_bits), self
            # Rows that share a DSP block stand next to each other.
            rows = first.reshape(-1, self.pack, columns).transpose(0, 2, 1)
            first = to_borrow_form(rows).transpose(0, 2, 1).reshape(first.shape)
            split = np.concatenate([first, split[:, self.first_rows :]], axis=1)

        def memory(suffix: str, rows: IntArray) -> Memory:
            folded = rows.reshape(self.neuron_folds, -1, self.synapse_folds, self.simd).transpose(0, 2, 1, 3)
            lanes = folded.reshape(self.weight_depth, -1)
            return Memory(f"{name}.{suffix}", lanes, self.weight_bits, layer, "dense")

        cut = self.pe - self.lut_weight_rows
        images = {"WEIGHTS": memory("weights", split[:, :cut])}
        return images | ({"LUT_WEIGHTS": memory("lut_weights", split[:, cut:])} if self.lut_weight_rows else {})

    @staticmethod
    def matrix_from(lanes: IntArray, pe: int, simd: int, synapse_folds: int, pack: int = 1) -> IntArray:
        """The inverse of the packing in `memories`: ROM lanes of `pe` rows back to the (rows, columns) matrix."""
        split = lanes.reshape(-1, synapse_folds, pe, simd).transpose(0, 2, 1, 3)
        matrix = split.reshape(-1, synapse_folds * simd)
        rows = matrix.reshape(-1, pack, matrix.shape[1]).transpose(0, 2, 1)
        return from_borrow_form(rows).transpose(0, 2, 1).reshape(matrix.shape)

    @property
    def weight_depth(self) -> int:
        return self.neuron_folds * self.synapse_folds

    @property
    def weights_in_block_ram(self) -> bool:
        return self.weight_depth > LUTRAM_DEPTH if self.weight_block_ram is None else self.weight_block_ram

    @property
    def accumulators_in_dsp(self) -> bool:
        """Without an adder tree between them, product and accumulator share a DSP block."""
        return self.multipliers_in_dsp and family().dsp_absorbs and self.simd == 1 and self.pack == 1

    def core_terms(self) -> Terms:
        width = self.source.width
        last = self.pe - self.first_rows
        # Rows by whether their multipliers are in DSP blocks.
        rows = {self.multipliers_in_dsp: self.first_rows} | ({False: last} if last else {})
        registers = shifted = adders = accumulators = 0
        for dsp, count in rows.items():
            # A DSP block has the product register, and the first level's adder with its register unless it is shared.
            absorbed = 1 + (self.pack == 1) if dsp and family().dsp_absorbs else 0
            for level, length in tree_chains(self.simd):
                bits = min(self.product_bits + level, self.acc_bits)
                adders += count * bits * (level >= max(1, absorbed))
                left = length - max(0, absorbed - level)
                shifted += count * bits * (left >= family().shift_register)
                registers += count * bits * max(0, left) * (left < family().shift_register)
            accumulators += 0 if dsp and self.accumulators_in_dsp else count * self.acc_bits
        # Whether operands of all rows, and of how many, are in DSP blocks.
        absorbs = self.multipliers_in_dsp and family().dsp_absorbs
        all_absorb = absorbs and not last
        registered = self.pe if not absorbs or self.pack > 1 else last
        replays = self.neuron_folds > 1
        unsigned = rows.get(False, 0) * self.simd * (not self.in_signed)
        # Lanes that lose something to those below: all but the lowest of a DSP block.
        carries = self.first_rows * self.simd * (self.pack - 1) // self.pack * self.overlaps
        address, synapse = counter_terms(self.weight_depth), counter_terms(self.synapse_folds)
        return Terms(
            lut={
                "control": 1,
                "counter_bits": address["counter_bits"] + synapse["counter_bits"],
                "wrap_bits": address["wrap_bits"] + synapse["wrap_bits"],
                # Activations from the stream or from the replay buffer.
                "replay_bits": width * replays,
                "adder_bits": adders,
                # The first product of a row starts the sum anew.
                "accumulator_bits": accumulators * (self.synapse_folds > 1),
                # Odd ones out that wait for a later level of the adder tree.
                "shift_registers": shifted,
                # Lanes that overlap: the lowest bit of a product, what is lost, the adder's carry in.
                "carries": carries,
                # LUT multipliers of unsigned activations, whose sign is known; of single bits they are gates.
                "unsigned_multipliers": unsigned * self.one_multiplier.lut * (self.in_bits > 1),
                "gate_bits": unsigned * self.weight_bits * (self.in_bits == 1),
            },
            ff={
                "control": 1,
                # Steps under way: valid, emits.
                "stages": self.core_latency,
                "counter_bits": address["counter_bits"] + synapse["counter_bits"],
                # Activations as they came: in the DSP block, unless there is a choice behind them.
                "activation_bits": width * (replays or not all_absorb),
                # Operands of multipliers without registers of their own: activations and weights. Of a shared DSP block
                # the weights too, since their signs are extended behind the register.
                "operand_bits": width * (not all_absorb),
                "weight_operand_bits": registered * self.simd * self.weight_bits,
                "tree_bits": registers,
                "accumulator_bits": accumulators,
                "carries": carries,
                # Lowest bits of the activations, which the DSP blocks have too.
                "parity_bits": self.simd * self.overlaps,
            },
        )

    def part_resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        first, width = self.first_rows * self.simd, self.source.width
        last = self.multipliers - first
        total = weight_memory_resources(
            self.weight_depth,
            (self.pe - self.lut_weight_rows) * self.simd * self.weight_bits,
            block_ram=self.weights_in_block_ram,
            contents=memories.get("WEIGHTS"),
            reloadable=self.reloadable,
        )
        if self.lut_weight_rows:
            total += weight_memory_resources(
                self.weight_depth,
                self.lut_weight_rows * self.simd * self.weight_bits,
                block_ram=False,
                contents=memories.get("LUT_WEIGHTS"),
                reloadable=self.reloadable,
            )
        if self.multipliers_in_dsp:
            total += Resources(dsp=first // self.pack)
        else:
            last += first
        if self.in_signed:
            # Product registers are part of the adder tree here.
            total += Resources(lut=last * self.one_multiplier.lut)
        if self.neuron_folds > 1:
            depth = self.synapse_folds
            if depth == 1:
                total += Resources(ff=width)
            else:
                total += ram_resources(depth, width, block_ram=depth > LUTRAM_DEPTH, single_port=True)
        return total

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "PE": self.pe,
            "SIMD": self.simd,
            "NEURON_FOLDS": self.neuron_folds,
            "SYNAPSE_FOLDS": self.synapse_folds,
            "IN_BITS": self.in_bits,
            "IN_SIGNED": int(self.in_signed),
            "WEIGHT_BITS": self.weight_bits,
            "ACC_BITS": self.acc_bits,
            "USE_DSP": int(self.multipliers_in_dsp),
            "PACK": self.pack,
            "SPACING": self.spacing,
            "LUT_ROWS": self.pe - self.first_rows,
            "LUT_WEIGHT_ROWS": self.lut_weight_rows,
            "WEIGHT_BLOCK_RAM": int(self.weights_in_block_ram),
            "RELOADABLE": int(self.reloadable),
            **self.output_parameters(),
        }
