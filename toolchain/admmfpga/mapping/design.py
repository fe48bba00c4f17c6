"""A mapped network: stages (block instances) joined by streams. What codegen renders and `simulate` runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from admmfpga.blocks import Block, Port, Resources
from admmfpga.network import IntArray, Network
from admmfpga.packing import Memory


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

    @property
    def memories(self) -> dict[str, Memory]:
        """Memory images by the RTL parameter that takes the file's name."""
        return self.block.memories(self.name, self.layer, self.contents)


@dataclass(frozen=True)
class Stream:
    """A valid/ready link between two stages; it carries `tensor` when complete, "" inside a layer."""

    name: str
    port: Port
    tensor: str = ""


@dataclass(frozen=True)
class Timing:
    """Exact cycles without stalls from outside.

    Attributes:
        latency: first input beat taken to first output beat given, first frame after reset.
        frame_interval: between the ends of consecutive frames in steady state.
    """

    latency: int
    frame_interval: int


@dataclass(frozen=True, eq=False)
class Design:
    """A network on a board.

    Attributes:
        network: what it computes.
        stages: in topological order; the first is axis_input, the last axis_output.
        streams: by name; "s_axis" and "m_axis" are the outside.
        timing: of the whole pipeline.
    """

    network: Network
    stages: tuple[Stage, ...]
    streams: dict[str, Stream]
    timing: Timing

    def of_layer(self, layer: str) -> Iterator[Stage]:
        """The stages of one layer, in order."""
        return (stage for stage in self.stages if stage.layer == layer)

    def resources(self) -> Resources:
        total = Resources()
        for stage in self.stages:
            total += stage.block.resources()
        return total
