"""Network + foldings -> stages and streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from admmfpga.blocks import AxisInput, AxisOutput, Block, StreamFork
from admmfpga.mapping.design import AxisFormat, Stage, Stream, container_bits
from admmfpga.mapping.folding import Folding, divisors
from admmfpga.mapping.part import BEFORE, FilledRows, elements_of, fitted
from admmfpga.mapping.parts import parts
from admmfpga.mapping.support import hardware_nodes, stream_tensor
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
        packed = [n for n in divisors(source.elements) if n * small in (8, 16, 32, 64) and n > lanes]  # DMA's widths
        able = [n for n in packed if source.elements // n <= interval]
        if packed and small < box:
            entry = AxisFormat(able[0] if able else packed[-1], small)
    return entry, AxisFormat(fast[0] if fast else choices[-1], out_box)


class _Wiring:
    """The stages so far, and for each tensor the streams on which its readers find it."""

    def __init__(self) -> None:
        self.streams: dict[str, Stream] = {}
        self.stages: list[Stage] = []
        self._free: dict[str, list[Stream]] = {}

    def append(
        self,
        name: str,
        layer: str,
        block: Block,
        inputs: Sequence[Stream],
        outputs: Sequence[str] = (),
        contents: dict[str, IntArray] | None = None,
    ) -> list[Stream]:
        """Add a stage and return its output streams; without other names they have its own."""
        names = tuple(outputs) or (name,)
        found = [Stream(one, port) for one, port in zip(names, block.sinks, strict=True)]
        self.stages.append(Stage(name, layer, block, tuple(one.name for one in inputs), names, contents or {}))
        self.streams |= {one.name: one for one in found}
        return found

    def widen(
        self,
        name: str,
        layer: str,
        stream: Stream,
        lanes: int,
        elements: int,
        filled: FilledRows | None = None,
        ends: int = 0,
        begins: int = 0,
    ) -> Stream:
        """The stream with other lanes, by way of what is `fitted` if that takes some."""
        added = fitted(stream.port, lanes, elements, filled, ends, begins)
        for index, block in enumerate(added):
            (stream,) = self.append(name if len(added) == 1 else f"{name}{index}", layer, block, [stream])
        return stream

    def provide(self, tensor: str, layer: str, stream: Stream, readers: int, elements: int) -> None:
        """A tensor is complete on a stream: one copy for each reader."""
        found = []
        stem = stream.name
        for index in range(readers - 1):
            port = stream.port
            fork = StreamFork(lanes=port.lanes, bits=port.bits, signed=port.signed, beats=elements // port.lanes)
            name = f"{stem}_fork" if readers == 2 else f"{stem}_fork{index}"
            first, stream = self.append(
                name, layer, fork, [self._carrying(stream, tensor)], (f"{name}_first", f"{name}_second")
            )
            found.append(self._carrying(first, tensor))
        self._free[tensor] = [*found, self._carrying(stream, tensor)]

    def _carrying(self, stream: Stream, tensor: str) -> Stream:
        self.streams[stream.name] = replace(stream, tensor=tensor)
        return self.streams[stream.name]

    def take(self, tensor: str) -> Stream:
        """A stream of a tensor, for one reader."""
        return self._free[tensor].pop(0)


def lower(
    network: Network, chosen: dict[str, Folding], formats: tuple[AxisFormat, AxisFormat]
) -> tuple[list[Stage], dict[str, Stream]]:
    """Stages and streams of the whole accelerator, every FIFO at its least full-rate depth.

    Args:
        network: a graph of layers.
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
    nodes = hardware_nodes(network)
    last = stream_tensor(network, output.name)
    readers = Counter(stream_tensor(network, name) for node in nodes for name in node.inputs)
    readers[last] += 1

    wiring = _Wiring()
    outside = Stream("s_axis", entry.source)
    wiring.streams[outside.name] = outside
    (stream,) = wiring.append("axis_input", "", entry, [outside])
    wiring.provide(source.name, "", stream, readers[source.name], source.elements)
    for node in nodes:
        sources = [wiring.take(stream_tensor(network, name)) for name in node.inputs]
        sizes = [network.tensors[name].elements for name in node.inputs]
        stream, elements, ends = sources[0], sizes[0], 0
        for part in parts(network, node, chosen[node.name]):
            found = []
            for index, (where, port) in enumerate(zip(part.inputs, part.block.sources, strict=True)):
                one, size, unit = (stream, elements, ends) if where == BEFORE else (sources[where], sizes[where], 0)
                begins = 0 if index else part.block.unit_in
                name = f"{node.name}_to_{part.suffix}{'_second' if index else ''}"
                found.append(wiring.widen(name, node.name, one, port.lanes, size, part.filled, unit, begins))
            (stream,) = wiring.append(
                f"{node.name}_{part.suffix}", node.name, part.block, found, contents=part.contents
            )
            elements, ends = elements_of(part.block), part.block.unit_out
        wiring.provide(node.output, node.name, stream, readers[node.output], elements)
    exit_ = AxisOutput(
        lanes=axis_out.lanes,
        bits=output.dtype.bits,
        signed=output.dtype.signed,
        container_bits=axis_out.container_bits,
        beats=output.elements // axis_out.lanes,
    )
    stream = wiring.widen("output_to_axis", "", wiring.take(last), axis_out.lanes, output.elements)
    wiring.append("axis_output", "", exit_, [stream], ["m_axis"])
    stages = [
        replace(stage, block=stage.block.with_depths([stage.block.full_rate_depth] * len(stage.outputs)))
        for stage in wiring.stages
    ]
    return stages, wiring.streams
