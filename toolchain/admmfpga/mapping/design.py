"""A mapped network: stages (block instances) joined by streams. What codegen renders and `simulate` runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from admmfpga.blocks import Block, Port, Resources
from admmfpga.mapping.folding import Folding
from admmfpga.network import IntArray, IntType, Network, Tensor
from admmfpga.packing import Memory

if TYPE_CHECKING:
    from admmfpga.mapping.bounds import IntervalBound
    from admmfpga.mapping.choice import PeChoice


@dataclass(frozen=True, eq=False)
class Stage:
    """One block instance.

    Attributes:
        name: unique; the instance's name in RTL and HLS ("conv1_window").
        layer: name of the network's node it belongs to ("" for the AXI wrappers).
        block: its parameters.
        inputs, outputs: names of streams.
        contents: arrays that fill its memories.
    """

    name: str
    layer: str
    block: Block
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    contents: dict[str, IntArray] = field(default_factory=dict)

    @cached_property
    def memories(self) -> dict[str, Memory]:
        """Memory images by the RTL parameter that takes the file's name."""
        found = self.block.memories(self.name, self.layer, self.contents)
        return found if self.block.reloadable else {k: replace(m, constant=True) for k, m in found.items()}

    def resources(self) -> Resources:
        """Of the block with these contents, which stay as they are unless it can be loaded."""
        return self.block.resources() if self.block.reloadable else self.block.resources(self.memories)


@dataclass(frozen=True)
class Stream:
    """A valid/ready link between two stages; it carries `tensor` when complete, "" inside a layer."""

    name: str
    port: Port
    tensor: str = ""


@dataclass(frozen=True)
class AxisFormat:
    """Layout of TDATA: `lanes` elements, each in a container of `container_bits`.

    Containers are whole bytes, or parts of a byte (1, 2 or 4 bits) in a beat of whole bytes.
    """

    lanes: int
    container_bits: int

    @property
    def width(self) -> int:
        return self.lanes * self.container_bits


def container_bits(dtype: IntType) -> int:
    """Byte-aligned container of a code: 8, 16, 32 or 64 bits."""
    return next(size for size in (8, 16, 32, 64) if dtype.bits <= size)


@dataclass(frozen=True)
class Timing:
    """Exact cycles without stalls from outside.

    Attributes:
        latency: first input beat taken to first output beat given, first frame after reset.
        frame_interval: between the ends of consecutive frames in steady state.
        settled_frames: frames after which that state is reached; 0 if frames do not end at one interval.
    """

    latency: int
    frame_interval: int
    settled_frames: int


@dataclass(frozen=True)
class Search:
    """How the foldings were found.

    Attributes:
        bounds: what no folding gets below, the longest interval first.
        target_interval: that was asked for; None: the least.
        least_interval: no choice of foldings that fits is faster: proven; the one that was chosen unless the search was
            given up. 0 with a target.
        price_gap: by what share the choice may be dearer than the cheapest one.
    """

    bounds: tuple[IntervalBound, ...]
    target_interval: int | None
    least_interval: int
    price_gap: float


@dataclass(frozen=True, eq=False)
class Design:
    """A network on a board.

    Attributes:
        network: what is built: without constant and unread channels (see `network.compact`).
        original: the network before that, which defines the results.
        stages: in topological order; the first is axis_input, the last axis_output.
        streams: by name; "s_axis" and "m_axis" are the outside.
        timing: of the whole pipeline.
        foldings: by layer name.
        formats: TDATA layout of input and output.
        choices: why the layers got their PEs, by layer name; empty where the design was made from given foldings.
        search: how the foldings were found; None where they were given.
    """

    network: Network
    original: Network
    stages: tuple[Stage, ...]
    streams: dict[str, Stream]
    timing: Timing
    foldings: dict[str, Folding]
    formats: tuple[AxisFormat, AxisFormat]
    choices: dict[str, PeChoice] = field(default_factory=dict)
    search: Search | None = None

    @property
    def input(self) -> Tensor:
        """The tensor that frames bring."""
        return self.network.tensors[self.network.inputs[0]]

    @property
    def output(self) -> Tensor:
        """The tensor that results carry."""
        return self.network.tensors[self.network.outputs[0]]

    @property
    def in_beats(self) -> int:
        """AXI4-Stream beats of one input frame."""
        return self.input.elements // self.formats[0].lanes

    @property
    def out_beats(self) -> int:
        """AXI4-Stream beats of one result."""
        return self.output.elements // self.formats[1].lanes

    @property
    def depths(self) -> dict[str, int]:
        """Beats in the FIFO of each stream, by the stream's name."""
        return {
            name: depth for stage in self.stages for name, depth in zip(stage.outputs, stage.block.depths, strict=True)
        }

    @property
    def settle_cycles(self) -> int:
        """Cycles after reset in which blocks do what needs no input (padding above the first row)."""
        pops = (stage.block.processes()[0].schedule.pops_by_input for stage in self.stages)
        return max(min(int(steps[0]) for steps in inputs) for inputs in pops) + 1

    def of_layer(self, layer: str) -> Iterator[Stage]:
        """The stages of one layer, in order."""
        return (stage for stage in self.stages if stage.layer == layer)

    @property
    def reloadable(self) -> bool:
        """Whether weights can be loaded at run time."""
        return bool(self.network.budgets)

    def memories(self) -> list[Memory]:
        """All memory images; those that are not constant in the order of the load chain."""
        return [memory for stage in self.stages for memory in stage.memories.values()]

    def resources(self) -> Resources:
        total = Resources()
        for stage in self.stages:
            total += stage.resources()
        return total
