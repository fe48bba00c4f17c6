"""Binary PE array: weights -1 and +1, or -1, 0 and +1, without multipliers.

Steps, foldings and memories are those of `dense_pe`. Activations of several bits are added or subtracted; bipolar ones
are compared with the weights (XNOR) and the agreements counted.

contents: "matrix" (rows, columns), as of `dense_pe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from admmfpga.blocks.base import (
    LUTRAM_DEPTH,
    NO_MEMORIES,
    Contents,
    Resources,
    clog2,
    counter_terms,
    ram_resources,
    rom_resources,
    tree_chains,
)
from admmfpga.blocks.calibration import Terms
from admmfpga.blocks.dense_pe import DensePE
from admmfpga.blocks.families import family
from admmfpga.network import IntArray
from admmfpga.packing import Memory


@dataclass(frozen=True, kw_only=True)
class BinaryPE(DensePE):
    """A folded matrix-vector unit for weights of at most one in magnitude.

    Attributes:
        weight_bits: 1 for -1 and +1, 2 where there are zeros.
        in_bipolar: activations are bits that mean -1 and +1.
    """

    stem: ClassVar[str] = "binary_pe"
    kind: ClassVar[str] = "binary"
    in_bipolar: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.weight_bits in (1, 2), self
        assert self.weight_bits == 2 or not self.unit_in, self
        assert not self.in_bipolar or (self.in_bits == 1 and not self.in_signed), self

    @staticmethod
    def bits_of(matrix: IntArray) -> int | None:
        """Bits of a weight: 1 without zeros, 2 with them; None where the weights are others."""
        if matrix.min() < -1 or matrix.max() > 1:
            return None
        return 2 if (matrix == 0).any() else 1

    @property
    def multipliers_in_dsp(self) -> bool:
        return False

    @property
    def product_bits(self) -> int:
        return min(self.in_bits + 1, self.acc_bits)

    @property
    def leaves(self) -> int:
        """Inputs of an adder tree. Agreements are counted in groups that a LUT with six inputs can look at."""
        return -(-self.simd // self._group)

    @property
    def _group(self) -> int:
        if not self.in_bipolar:
            return 1
        return 3 if self.weight_bits == 1 else 2

    @property
    def _leaf_bits(self) -> int:
        if not self.in_bipolar:
            return self.product_bits
        return 2 if self.weight_bits == 1 else 3

    @property
    def core_latency(self) -> int:
        # As dense_pe: ROM read, operand registers, leaf register, adder tree, accumulator.
        return 4 + clog2(self.leaves)

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        return super().execute(2 * beats - 1 if self.in_bipolar else beats, contents)

    def memories(self, name: str, layer: str, contents: Contents) -> dict[str, Memory]:
        matrix = contents["matrix"]
        if self.weight_bits == 1:
            # A set bit means +1; the signed number of one set bit is -1.
            matrix = -(matrix + 1) // 2
        return super().memories(name, layer, {**contents, "matrix": matrix})

    def core_terms(self) -> Terms:
        width = self.source.width
        sum_bits = self.acc_bits - (self.in_bipolar and self.weight_bits == 1)
        registers = shifted = adders = 0
        for level, length in tree_chains(self.leaves):
            bits = min(self._leaf_bits + level, sum_bits)
            adders += bits * (level >= 1)
            shifted += bits * (length >= family().shift_register)
            registers += bits * length * (length < family().shift_register)
        replays = self.neuron_folds > 1
        lanes = self.pe * self.simd
        address, synapse = counter_terms(self.weight_depth), counter_terms(self.synapse_folds)
        return Terms(
            lut={
                "control": 1,
                "counter_bits": address["counter_bits"] + synapse["counter_bits"],
                "wrap_bits": address["wrap_bits"] + synapse["wrap_bits"],
                # Activations from the stream or from the replay buffer.
                "replay_bits": width * replays,
                # An activation or its negative; or the count of a leaf.
                "product_bits": lanes * self.product_bits * (not self.in_bipolar),
                "count_bits": self.pe * self.leaves * self._leaf_bits * self.in_bipolar,
                "adder_bits": self.pe * adders,
                # The first step of a row starts the sum anew.
                "accumulator_bits": self.pe * sum_bits * (self.synapse_folds > 1),
                # Agreements of one step, less half of the columns.
                "offset_bits": self.pe * sum_bits * (self.synapse_folds == 1 and self.in_bipolar),
                # Odd ones out that wait for a later level of the adder tree.
                "shift_registers": self.pe * shifted,
            },
            ff={
                "control": 1,
                # Steps under way: valid, emits.
                "stages": self.core_latency,
                "counter_bits": address["counter_bits"] + synapse["counter_bits"],
                "activation_bits": width,
                "operand_bits": width,
                "weight_operand_bits": lanes * self.weight_bits,
                "tree_bits": self.pe * registers,
                "accumulator_bits": self.pe * sum_bits,
            },
        )

    def part_resources(self, memories: Mapping[str, Memory] = NO_MEMORIES) -> Resources:
        total = rom_resources(
            self.weight_depth,
            self.pe * self.simd * self.weight_bits,
            block_ram=self.weights_in_block_ram,
            contents=memories.get("WEIGHTS"),
        )
        if self.neuron_folds > 1:
            depth, width = self.synapse_folds, self.source.width
            if depth == 1:
                total += Resources(ff=width)
            else:
                total += ram_resources(depth, width, block_ram=depth > LUTRAM_DEPTH, single_port=True)
        return total

    def rtl_parameters(self) -> dict[str, int | str]:
        parameters = super().rtl_parameters() | {"IN_BIPOLAR": int(self.in_bipolar)}
        for name in ("USE_DSP", "PACK", "SPACING", "LUT_ROWS", "LUT_WEIGHT_ROWS"):
            del parameters[name]
        return parameters
