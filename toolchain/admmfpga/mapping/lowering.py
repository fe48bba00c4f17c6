"""Network + foldings -> stages and streams."""

from __future__ import annotations

from dataclasses import replace

from admmfpga.blocks import AxisInput, AxisOutput, Block
from admmfpga.mapping.design import AxisFormat, Stage, Stream, container_bits
from admmfpga.mapping.folding import Folding, divisors
from admmfpga.mapping.parts import converters, elements_of, parts
from admmfpga.mapping.support import hardware_nodes
from admmfpga.network import IntArray, Network


def axis_formats(network: Network, interval: int | None = None) -> tuple[AxisFormat, AxisFormat]:
    """TDATA of input and output: input as wide as 64 bits allow; output one element a beat unless that limits.

    Where bytes would limit, an input of 4 bits or fewer has several elements in a byte.

    Args:
        interval: frame interval in cycles that the streams must keep up with.
    """
    source, output = network.tensors[network.inputs[0]], network.tensors[network.outputs[0]]
    box = container_bits(source.dtype)
    lanes = max(n for n in (8, 4, 2, 1) if n * box <= 64 and source.elements % n == 0)
    out_box = container_bits(output.dtype)
    choices = [n for n in (1, 2, 4, 8) if n * out_box <= 64 and output.elements % n == 0]
    fast = [n for n in choices if interval is None or output.elements // n <= interval]
    entry = AxisFormat(lanes, box)
    if interval is not None and source.elements // lanes > interval:
        small = next(bits for bits in (1, 2, 4, 8) if source.dtype.bits <= bits or bits == 8)
        packed = [n for n in divisors(source.elements) if n * small <= 64 and n * small % 8 == 0 and n > lanes]
        able = [n for n in packed if source.elements // n <= interval]
        if packed and small < box:
            entry = AxisFormat(able[0] if able else packed[-1], small)
    return entry, AxisFormat(fast[0] if fast else choices[-1], out_box)


class _Wiring:
    """Appends blocks one behind the other."""

    def __init__(self, stream: Stream) -> None:
        self.streams = {stream.name: stream}
        self.stages: list[Stage] = []
        self.current = stream

    def append(self, name: str, layer: str, block: Block, contents: dict[str, IntArray], sink: str = "") -> None:
        stream = Stream(sink or name, block.sink)
        self.stages.append(Stage(name, layer, block, (self.current.name,), (stream.name,), contents))
        self.streams[stream.name] = stream
        self.current = stream

    def widen(self, name: str, layer: str, lanes: int, elements: int) -> None:
        added = converters(self.current.port, lanes, elements)
        for index, block in enumerate(added):
            self.append(name if len(added) == 1 else f"{name}{index}", layer, block, {})

    def carries(self, tensor: str) -> None:
        self.current = replace(self.current, tensor=tensor)
        self.streams[self.current.name] = self.current


def lower(
    network: Network, chosen: dict[str, Folding], formats: tuple[AxisFormat, AxisFormat]
) -> tuple[list[Stage], dict[str, Stream]]:
    """Stages and streams of the whole accelerator, every FIFO at its least full-rate depth.

    Args:
        network: a chain of layers.
        chosen: folding by layer name.
        formats: TDATA of input and output.
    """
    source, output = network.tensors[network.inputs[0]], network.tensors[network.outputs[0]]
    axis_in, axis_out = formats
    entry = AxisInput(
        lanes=axis_in.lanes,
        bits=source.dtype.bits,
        signed=source.dtype.signed,
        container_bits=axis_in.container_bits,
        beats=source.elements // axis_in.lanes,
    )
    wiring = _Wiring(Stream("s_axis", entry.source))
    wiring.append("axis_input", "", entry, {})
    wiring.carries(network.inputs[0])
    for node in hardware_nodes(network):
        elements = network.input_of(node).elements
        for part in parts(network, node, chosen[node.name]):
            wiring.widen(f"{node.name}_to_{part.suffix}", node.name, part.block.source.lanes, elements)
            wiring.append(f"{node.name}_{part.suffix}", node.name, part.block, part.contents)
            elements = elements_of(part.block)
        wiring.carries(node.output)
    exit_ = AxisOutput(
        lanes=axis_out.lanes,
        bits=output.dtype.bits,
        signed=output.dtype.signed,
        container_bits=axis_out.container_bits,
        beats=output.elements // axis_out.lanes,
    )
    wiring.widen("output_to_axis", "", axis_out.lanes, output.elements)
    wiring.append("axis_output", "", exit_, {}, sink="m_axis")
    stages = [
        replace(stage, block=replace(stage.block, out_depth=stage.block.full_rate_depth)) for stage in wiring.stages
    ]
    return stages, wiring.streams
