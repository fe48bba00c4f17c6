"""Dense PE array: PE x SIMD multipliers over the GEMM view of a layer.

A vector of SF*SIMD activations arrives in SF beats of `simd` lanes. Step (nf, sf) multiplies beat sf with the weights
of rows nf*PE .. nf*PE+PE-1 and adds up; the last step of a row group emits PE accumulators. In row group 0 the beats
come from the stream and are kept; the other groups read them back, so a vector is taken once and used NF times. Weights
come from a ROM, one word of PE*SIMD lanes a step (lane pe*SIMD + simd, address nf*SF + sf).

contents: "matrix" (rows, columns), columns in the order in which the stream brings the activations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from admmfpga.blocks.base import (
    LUTRAM_DEPTH,
    Block,
    Contents,
    Port,
    Resources,
    Schedule,
    bram18,
    clog2,
    every,
)
from admmfpga.network import IntArray
from admmfpga.packing import Memory


@dataclass(frozen=True, kw_only=True)
class DensePE(Block):
    """A folded matrix-vector unit.

    Attributes:
        rows, columns: of the GEMM matrix; `pe` divides rows, `simd` divides columns.
        vectors: input vectors a frame (output positions of a convolution).
        in_bits, in_signed: activations.
        weight_bits: signed weights, 2 to 8 bits.
        acc_bits: signed accumulators, wide enough for the worst case.
        use_dsp: multipliers in DSP blocks, or in LUTs.
        weight_block_ram: weights in block RAM, or in LUTs; None: by depth.
    """

    stem: ClassVar[str] = "dense_pe"
    rows: int
    columns: int
    vectors: int
    pe: int
    simd: int
    in_bits: int
    in_signed: bool
    weight_bits: int
    acc_bits: int
    use_dsp: bool = True
    weight_block_ram: bool | None = None

    def __post_init__(self) -> None:
        assert self.rows % self.pe == 0, self
        assert self.columns % self.simd == 0, self

    @property
    def neuron_folds(self) -> int:
        return self.rows // self.pe

    @property
    def synapse_folds(self) -> int:
        return self.columns // self.simd

    @property
    def source(self) -> Port:
        return Port(self.simd, self.in_bits, self.in_signed)

    @property
    def sink(self) -> Port:
        return Port(self.pe, self.acc_bits, signed=True)

    @property
    def core_latency(self) -> int:
        # ROM read, operand registers, product register, adder tree (one level a cycle), accumulator.
        return 4 + clog2(self.simd)

    @property
    def cycles(self) -> int:
        return self.vectors * self.neuron_folds * self.synapse_folds

    @property
    def beats_out(self) -> int:
        return self.vectors * self.neuron_folds

    def schedule(self) -> Schedule:
        per_vector = self.neuron_folds * self.synapse_folds
        starts = np.arange(self.vectors, dtype=np.int64)[:, None] * per_vector
        pops = (starts + np.arange(self.synapse_folds)).ravel()
        emits = every(self.synapse_folds, self.cycles, self.synapse_folds - 1)
        return Schedule(self.cycles, pops, emits)

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        vectors = beats.reshape(-1, self.columns)
        return (vectors @ contents["matrix"].T).reshape(-1, self.pe)

    def memories(self, name: str, layer: str, contents: Contents) -> dict[str, Memory]:
        folded = contents["matrix"].reshape(self.neuron_folds, self.pe, self.synapse_folds, self.simd)
        lanes = folded.transpose(0, 2, 1, 3).reshape(-1, self.pe * self.simd)
        return {"WEIGHTS": Memory(f"{name}.weights", lanes, self.weight_bits, layer, "dense")}

    @staticmethod
    def matrix_from(lanes: IntArray, pe: int, simd: int, synapse_folds: int) -> IntArray:
        """The inverse of the packing in `memories`: ROM lanes back to the (rows, columns) matrix."""
        split = lanes.reshape(-1, synapse_folds, pe, simd).transpose(0, 2, 1, 3)
        return split.reshape(-1, synapse_folds * simd)

    @property
    def weight_depth(self) -> int:
        return self.neuron_folds * self.synapse_folds

    @property
    def weights_in_block_ram(self) -> bool:
        return self.weight_depth > LUTRAM_DEPTH if self.weight_block_ram is None else self.weight_block_ram

    def core_resources(self) -> Resources:
        multipliers = self.pe * self.simd
        product = self.in_bits + self.weight_bits
        lut = 40 + self.pe * self.acc_bits + self.pe * (self.simd - 1) * (product + 1)
        ff = 40 + self.pe * self.acc_bits + self.pe * (self.simd - 1) * (product + 2) + self.source.width * 2
        dsp = multipliers if self.use_dsp else 0
        if not self.use_dsp:
            lut += multipliers * multiplier_luts(self.in_bits, self.weight_bits)
            ff += multipliers * (product + self.weight_bits)
        width = multipliers * self.weight_bits
        bram = 0
        if self.weights_in_block_ram:
            bram += bram18(self.weight_depth, width)
        else:
            lut += width * -(-self.weight_depth // 64)
            ff += width
        if self.neuron_folds > 1:
            if self.synapse_folds > LUTRAM_DEPTH:
                bram += bram18(self.synapse_folds, self.source.width)
            else:
                lut += 4 * -(-self.source.width // 6) * -(-self.synapse_folds // 32)
        return Resources(lut=lut, ff=ff, bram18=bram, dsp=dsp)

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
            "USE_DSP": int(self.use_dsp),
            "WEIGHT_BLOCK_RAM": int(self.weights_in_block_ram),
            **self.output_parameters(),
        }

    def frame_parameters(self) -> dict[str, int]:
        return {"VECTORS": self.vectors}


def multiplier_luts(in_bits: int, weight_bits: int) -> int:
    """LUTs of a signed multiplier without DSP: partial-product rows of carry chains, about in*weight + in."""
    return in_bits * weight_bits + in_bits
