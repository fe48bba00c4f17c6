"""What the PEs that multiply a GEMM matrix with vectors have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from admmfpga.blocks.base import Block, Contents, Port, Resources
from admmfpga.blocks.calibration import Terms, costs
from admmfpga.blocks.dsp_packing import spacing
from admmfpga.blocks.families import family
from admmfpga.network import IntArray


@dataclass(frozen=True, kw_only=True)
class MatrixUnit(Block):
    """A matrix-vector unit: beats of activations in, beats of `pe` accumulators out, rows in their order.

    Attributes:
        kind: the word for it in foldings and on the command line.
        rows, columns: of the GEMM matrix.
        vectors: input vectors a frame (output positions of a convolution).
        in_bits, in_signed: activations.
        weight_bits: signed weights, 2 to 8 bits.
        acc_bits: signed accumulators, wide enough for the worst case.
        use_dsp: multipliers in DSP blocks, or in LUTs.
        pack: rows that share a DSP block, see `dsp_packing`; they stand next to each other.
    """

    kind: ClassVar[str]
    rows: int
    columns: int
    vectors: int
    in_bits: int
    in_signed: bool
    weight_bits: int
    acc_bits: int
    use_dsp: bool = True
    pack: int = 1

    @property
    @abstractmethod
    def multipliers(self) -> int:
        """Weights that are worked on in a step."""

    @property
    def batch(self) -> int:
        """Vectors of the layer that a vector of this unit holds, one behind the other: rows and columns are theirs."""
        return 1

    @property
    @abstractmethod
    def vector_products(self) -> int:
        """Multiplications of a vector, with weights that only fill up."""

    @property
    @abstractmethod
    def format(self) -> str | None:
        """Weight format, one of `packing.FORMATS`; None if there is no memory for weights."""

    @property
    @abstractmethod
    def vector_cycles(self) -> int:
        """Cycles that a vector takes."""

    @property
    @abstractmethod
    def vector_beats(self) -> int:
        """Input beats of a vector."""

    @property
    def sink(self) -> Port:
        return Port(self.sink_lanes, self.acc_bits, signed=True)

    @property
    @abstractmethod
    def sink_lanes(self) -> int:
        """Rows that leave together."""

    @property
    def cycles(self) -> int:
        return self.vectors * self.vector_cycles

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        vectors = beats.reshape(-1, self.columns)
        return (vectors @ contents["matrix"].T).reshape(-1, self.sink_lanes)

    @property
    def product_bits(self) -> int:
        """Product of an activation and a weight, no wider than the accumulator. Packed weights are narrow."""
        return min(self.in_bits + self.weight_bits - (self.pack > 1 and self.in_signed), self.acc_bits)

    @property
    def spacing(self) -> int:
        """Bits between packed weights; 0: nothing is packed."""
        if self.pack == 1:
            return 0
        found = spacing(self.pack, self.in_bits, self.weight_bits, signed=self.in_signed)
        assert found is not None, self
        return found

    @property
    def overlaps(self) -> bool:
        """Whether packed products are wider than their spacing, and carries have to be added to them."""
        return self.pack > 1 and self.spacing < self.in_bits + self.weight_bits - self.in_signed

    @property
    def factor_bits(self) -> tuple[int, int]:
        """Signed factors: an unsigned activation gets a sign."""
        return self.in_bits + (not self.in_signed), self.weight_bits

    @property
    def multipliers_in_dsp(self) -> bool:
        """Whether they are: small products only are if they are packed."""
        if self.pack > 1:
            return True
        return self.use_dsp and self.product_bits >= family().product_bits and min(self.factor_bits) > 1

    @property
    def one_multiplier(self) -> Resources:
        """A multiplier in LUTs, its product register left out."""
        return replace(multiplier_resources(*self.factor_bits, self.product_bits), ff=0)

    def frame_parameters(self) -> dict[str, int]:
        return {"VECTORS": self.vectors}


def multiplier_terms(a_bits: int, b_bits: int, out_bits: int) -> Terms:
    """A signed multiplier in LUTs with its product register: Booth recoding, two bits of the narrower factor a row."""
    wide, rows = max(a_bits, b_bits), (min(a_bits, b_bits) + 1) // 2
    return Terms(
        lut={
            "rows": rows,
            # The first row is added to nothing.
            "first_row_bits": wide,
            "next_row_bits": wide * (rows - 1),
        },
        ff={"product_bits": out_bits},
    )


def multiplier_resources(a_bits: int, b_bits: int, out_bits: int) -> Resources:
    """A multiplier in LUTs."""
    return Resources(**costs("multiplier", multiplier_terms(a_bits, b_bits, out_bits)))
