"""Energy of a frame: an estimate from counted operations, for comparing networks, not for choosing a power supply.

Operations and bits moved follow from the mapped design; what one of them costs is taken from a published table for a
45 nm process (`SOURCES`). An FPGA takes several times as much for the same work, and static power comes on top; ratios
between designs of one architecture are what the figures are good for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from admmfpga.blocks import Block, CsrPE, DepthwisePE, MatrixUnit, Requantize, Threshold
from admmfpga.mapping import Design, Stage

_HOROWITZ = "M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014, 45 nm at 0.9 V"


@dataclass(frozen=True)
class Source:
    """What one operation costs.

    Attributes:
        operation: in words.
        picojoules: of one.
        scaling: how other widths follow from it.
        source: publication.
    """

    operation: str
    picojoules: float
    scaling: str
    source: str


MULTIPLY = Source("8-bit integer multiplication", 0.2, "with the product of both widths (our assumption)", _HOROWITZ)
ADD = Source("32-bit integer addition", 0.1, "with the width (our assumption)", _HOROWITZ)
READ = Source("64-bit read of an 8 KiB SRAM", 10.0, "with the bits read (our assumption), writes alike", _HOROWITZ)
SOURCES = (MULTIPLY, ADD, READ)

ASSUMPTIONS = (
    "all weights are on chip; no DRAM access",
    "every multiplier of a PE array works in every step of its schedule, on stored zeros and idle slots too",
    "one addition of the accumulator's width for every product",
    "every step reads one word of each weight, index and parameter memory, and the activations that the PEs take",
    "not counted: line buffers, FIFOs, clock tree, control, I/O, static power",
)


@dataclass(frozen=True)
class Energy:
    """Picojoules of a frame, by what they are for."""

    multiplications: float = 0.0
    additions: float = 0.0
    weights: float = 0.0
    activations: float = 0.0

    @property
    def total(self) -> float:
        return sum(self.as_dict().values())

    def __add__(self, other: Energy) -> Energy:
        return Energy(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def as_dict(self) -> dict[str, float]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


def multiplication(a_bits: int, b_bits: int) -> float:
    """Picojoules of a product."""
    return MULTIPLY.picojoules * a_bits * b_bits / 64


def addition(bits: int) -> float:
    """Picojoules of a sum."""
    return ADD.picojoules * bits / 32


def read(bits: int) -> float:
    """Picojoules of reading bits from a memory on chip."""
    return READ.picojoules * bits / 64


def weight_reads(stage: Stage) -> int:
    """Bits of weights, indices and parameters that a block reads in a frame: a word of each memory in every step."""
    return sum(m.width for m in stage.memories.values()) * stage.block.cycles


def activation_reads(block: Block) -> int:
    """Bits of activations that the PEs of a block take in a frame; 0 for blocks without PEs."""
    if not isinstance(block, MatrixUnit):
        return 0
    # Rows share an activation in a dense array; lanes that decode indices have each their own, shared by a row block.
    sharing = block.layout.height if isinstance(block, CsrPE) else block.sink_lanes
    return block.multipliers // sharing * block.in_bits * block.cycles


def stage_energy(stage: Stage) -> Energy:
    """Of one block and frame."""
    block = stage.block
    memories = Energy(weights=read(weight_reads(stage)))
    if isinstance(block, Requantize):
        products = block.lanes * block.cycles
        return memories + Energy(
            multiplications=products * multiplication(block.sum_bits, block.multiplier_bits),
            additions=products * addition(block.sum_bits),
        )
    if isinstance(block, Threshold):
        comparisons = block.lanes * block.count * block.cycles
        return memories + Energy(additions=comparisons * addition(block.threshold_bits))
    return memories + _array(block)


def energy(design: Design, layer: str | None = None) -> Energy:
    """Of one frame.

    Args:
        layer: only this one; None for all.
    """
    stages: Iterable[Stage] = design.stages if layer is None else design.of_layer(layer)
    return sum((stage_energy(stage) for stage in stages), Energy())


def nanojoules(picojoules: float) -> float:
    """For reports."""
    return round(picojoules / 1000, 3)


def _array(block: Block) -> Energy:
    """Of a PE array; nothing for other blocks."""
    if isinstance(block, DepthwisePE):
        products = block.multipliers * block.cycles
        return Energy(
            multiplications=products * multiplication(block.in_bits, block.weight_bits),
            additions=products * addition(block.acc_bits),
            activations=read(block.source.width * block.cycles),
        )
    if not isinstance(block, MatrixUnit):
        return Energy()
    products = block.multipliers * block.cycles
    return Energy(
        multiplications=products * multiplication(block.in_bits, block.weight_bits),
        additions=products * addition(block.acc_bits),
        activations=read(activation_reads(block)),
    )
