"""Network + foldings -> stages and streams.

One function per operator turns a layer and its folding into a chain of blocks; the candidates that folding chooses
from are the same chains, so what is priced is what is built.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import lcm

import numpy as np

from admmfpga.blocks import (
    AxisInput,
    AxisOutput,
    Block,
    CsrPE,
    DensePE,
    MaxPool,
    Port,
    Requantize,
    Resources,
    WidthConverter,
    Window,
)
from admmfpga.errors import UserError
from admmfpga.mapping.design import AxisFormat, Stage, Stream, container_bits
from admmfpga.mapping.folding import Candidate, Folding, divisors, pareto
from admmfpga.mapping.gather import KeptColumns, kept_columns
from admmfpga.mapping.units import KINDS, is_sparse, is_tiny, layouts, least_steps, matrix_unit, other_indices
from admmfpga.network import Conv, Dense, Flatten, IntArray, IntType, Network, Node, Requantization, Rescale, Tensor
from admmfpga.network import MaxPool as MaxPoolNode
from admmfpga.network.ranges import accumulator_range, accumulator_type, sum_type
from admmfpga.packing import LaneLayout

MAX_MULTIPLIERS = 4096
"""Foldings beyond this many multipliers a layer are not considered: no board here holds them."""


@dataclass(frozen=True, eq=False)
class Part:
    """A block of a layer, before it is wired: name suffix, parameters, memory contents."""

    suffix: str
    block: Block
    contents: dict[str, IntArray]


def hardware_nodes(network: Network) -> list[Node]:
    """The nodes that become hardware, in order.

    Raises:
        UserError: naming everything at once that has no block, and every tensor at which the graph branches.
    """
    missing = without_hardware(network)
    if missing:
        listed = "".join(f"\n  {name}: {reason}" for name, reason in missing)
        raise UserError(
            f"the dataflow architecture has no hardware for {len(missing)} of the model's layers:{listed}",
            "`admmfpga check` shows the whole model",
            node=missing[0][0] if len(missing) == 1 else "",
        )
    for name in network.tensors:
        readers = network.consumers(name)
        if len(readers) > 1 or (readers and name in network.outputs):
            raise UserError(
                f"tensor {name} is read by {len(readers)} layers; branches are not supported yet",
                "cut the model so that it is a chain of layers",
                node=readers[0].name,
            )
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise UserError(
            f"the model has {len(network.inputs)} inputs and {len(network.outputs)} outputs",
            "the accelerator takes one input and gives one output",
        )
    return [node for node in network.nodes if not isinstance(node, Flatten)]


def without_hardware(network: Network) -> list[tuple[str, str]]:
    """Layers that no block computes, with the reason, in order; a layer at which the graph branches is one of them."""
    found = []
    if not any(not isinstance(node, Flatten) for node in network.nodes):
        found.append((network.name, "there is no layer at all"))
    for node in network.nodes:
        match node:
            case Conv() if node.groups > 1:
                kind = "depthwise" if node.depthwise else f"grouped ({node.groups} groups)"
                found.append((node.name, f"{kind} convolution"))
            case Conv() | MaxPoolNode() if node.dilations != (1, 1):
                found.append((node.name, f"{node.op} with dilation {node.dilations[0]} x {node.dilations[1]}"))
            case Conv() | Dense() | MaxPoolNode() | Rescale() | Flatten():
                pass
            case _:
                found.append((node.name, node.op))
    joined = {name for name, _ in found}
    for name in network.tensors:
        readers = network.consumers(name)
        unfit = [reader.name for reader in readers if reader.name in joined]
        if len(readers) > 1 and not unfit:
            names = ", ".join(reader.name for reader in readers)
            found.append((readers[0].name, f"the graph branches: {name} is read by {names}"))
    return found


# --- parts of a layer ------------------------------------------------------------------------------------------------


def parts(network: Network, node: Node, folding: Folding) -> list[Part]:
    """The blocks of one layer, in order; widths between them may differ (`chain` puts converters in)."""
    source, output = network.input_of(node), network.output_of(node)
    match node:
        case Conv():
            return _conv(node, source, output, folding)
        case Dense():
            return _dense(node, source, folding)
        case MaxPoolNode():
            window = _window(source, node.kernel, node.strides, node.pads, source.dtype.min, folding.channels)
            pool = MaxPool(
                taps=node.kernel[0] * node.kernel[1],
                channels=folding.channels,
                bits=source.dtype.bits,
                signed=source.dtype.signed,
                beats=output.elements // folding.channels,
            )
            return [Part("window", window, {}), Part("pool", pool, {})]
        case Rescale():
            low = np.full(source.channels, source.dtype.min)
            high = np.full(source.channels, source.dtype.max)
            return [_requantize(node.requantization, source.dtype, low, high, folding.pe, source.elements)]
    raise AssertionError(f"no hardware for {node.op}")


def _window(
    source: Tensor,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    pad_value: int,
    channels: int,
) -> Window:
    return Window(
        height=source.shape[0],
        width=source.shape[1],
        channels=channels,
        groups=source.channels // channels,
        bits=source.dtype.bits,
        signed=source.dtype.signed,
        kernel=kernel,
        strides=strides,
        pads=pads,
        pad_value=pad_value,
    )


def _conv(node: Conv, source: Tensor, output: Tensor, folding: Folding) -> list[Part]:
    positions = output.elements // output.channels
    window = _window(source, node.kernel, node.strides, node.pads, node.pad_value, folding.channels)
    if kept := kept_columns(node):
        return _gathered(node, window, kept, source, positions, folding)
    if is_pointwise(node):
        return _matrix(node, node.matrix, source, positions, folding)
    # The window unit brings the columns in the order (channel group, kernel row, kernel column, channel).
    rows, taps = len(node.weights), node.kernel[0] * node.kernel[1]
    grouped = node.weights.reshape(rows, taps, window.groups, window.channels).transpose(0, 2, 1, 3)
    return [Part("window", window, {}), *_matrix(node, grouped.reshape(rows, -1), source, positions, folding)]


def _dense(node: Dense, source: Tensor, folding: Folding) -> list[Part]:
    if kept := kept_columns(node):
        # The vector is an image of one pixel; the window unit drops what nobody reads.
        pixel = replace(source, shape=(1, 1, source.channels))
        window = _window(pixel, (1, 1), (1, 1), (0, 0, 0, 0), 0, folding.channels)
        return _gathered(node, window, kept, source, 1, folding)
    return _matrix(node, node.matrix, source, 1, folding)


def _gathered(
    node: Conv | Dense, window: Window, kept: KeptColumns, source: Tensor, vectors: int, folding: Folding
) -> list[Part]:
    """A PE over kept columns only, and the window unit that brings them."""
    gather = kept.gather(folding.channels, folding.layout.in_lanes if folding.layout else folding.simd)
    window = replace(window, gather=gather.lists)
    return [Part("window", window, {}), *_matrix(node, gather.compact(node.matrix), source, vectors, folding)]


def is_pointwise(node: Conv) -> bool:
    """1x1 kernel, stride 1, no padding: every pixel is a vector already, no window unit needed."""
    return node.kernel == (1, 1) and node.strides == (1, 1) and not any(node.pads)


def _matrix(node: Conv | Dense, matrix: IntArray, source: Tensor, vectors: int, folding: Folding) -> list[Part]:
    accumulator = accumulator_type(matrix, source.dtype)
    unit = matrix_unit(matrix, source.dtype, vectors, folding)
    low, high = accumulator_range(matrix, source.dtype)
    requantize = _requantize(node.requantization, accumulator, low, high, folding.pe, vectors * len(matrix))
    return [Part("pe", unit, {"matrix": matrix}), requantize]


def _requantize(
    rule: Requantization, source: IntType, low: IntArray, high: IntArray, lanes: int, elements: int
) -> Part:
    channels = len(rule.bias)
    block = Requantize(
        lanes=lanes,
        groups=channels // lanes,
        positions=elements // channels,
        in_bits=source.bits,
        in_signed=source.signed,
        bias_bits=IntType.signed_holding(int(rule.bias.min()), int(rule.bias.max())).bits,
        sum_bits=sum_type(low, high, rule).bits,
        multiplier_bits=rule.multiplier_bits,
        shift=rule.shift,
        zero_point=rule.zero_point,
        low=rule.low,
        high=rule.high,
        out_bits=rule.dtype.bits,
        out_signed=rule.dtype.signed,
    )
    return Part("requantize", block, {"bias": rule.bias, "multiplier": rule.multiplier})


# --- candidates ------------------------------------------------------------------------------------------------------


def foldings(network: Network, node: Node) -> Iterable[Folding]:
    """Every folding that a layer can take."""
    source = network.input_of(node)
    match node:
        case Conv() | Dense() if kept := kept_columns(node):
            yield from _gathered_foldings(network, node, kept)
        case Conv() if not is_pointwise(node):
            taps = node.kernel[0] * node.kernel[1]
            for channels in divisors(source.channels):
                for simd in divisors(taps * channels):
                    # The same SIMD with fewer window channels is the same work on less hardware, unless the window
                    # unit limits; Pareto filtering decides.
                    yield from _matrix_foldings(len(node.weights), simd, channels)
        case Conv() | Dense():
            for simd in divisors(node.matrix.shape[1]):
                yield from _matrix_foldings(len(node.weights), simd, 1)
        case MaxPoolNode():
            yield from (Folding(channels=channels) for channels in divisors(source.channels))
        case _:
            yield from (Folding(pe=lanes) for lanes in divisors(source.channels))


def _gathered_foldings(network: Network, node: Conv | Dense, kept: KeptColumns) -> Iterable[Folding]:
    rows, output = len(node.weights), network.output_of(node)
    vectors = output.elements // output.channels
    source = network.input_of(node)
    pixels = source.elements // source.channels
    widths = divisors(source.channels)
    for narrower, channels in zip((0, *widths), widths, strict=False):
        for simd in kept.simd(channels):
            beats = kept.beats(channels, simd)
            assert beats is not None
            for folding in _matrix_foldings(rows, simd, channels):
                # Without taps nothing but speed asks for more channels at a time than keep up with the PE array.
                cycles = vectors * (rows // folding.pe) * (beats.columns // simd)
                if narrower and kept.mask.shape[0] == 1 and pixels * kept.groups(narrower) <= cycles:
                    continue
                yield folding


def _matrix_foldings(rows: int, simd: int, channels: int) -> Iterable[Folding]:
    for pe in divisors(rows):
        if pe * simd <= MAX_MULTIPLIERS:
            for use_dsp in (True, False):
                for weight_block_ram in (True, False):
                    yield Folding(pe, simd, channels, use_dsp, weight_block_ram)


def candidates(network: Network, node: Node, kinds: Collection[str] = KINDS) -> list[Candidate]:
    """Pareto-optimal ways to build a layer.

    Args:
        kinds: of PEs that may multiply; layers without weights have only one form.

    Raises:
        UserError: only PEs that the layer is too large for may multiply.
    """
    return pareto([one for options in candidates_by_kind(network, node, kinds).values() for one in options])


def candidates_by_kind(network: Network, node: Node, kinds: Collection[str] = KINDS) -> dict[str, list[Candidate]]:
    """Ways to build a layer, Pareto-optimal among those on the same kind of PE."""
    if not isinstance(node, Conv | Dense):
        return {"": pareto(_dense_candidates(network, node))}
    found = {}
    if "dense" in kinds:
        found["dense"] = pareto(_dense_candidates(network, node))
    if "csr" in kinds and (is_sparse(node.matrix) or "dense" not in kinds):
        found["csr"] = pareto(sparse_candidates(network, node))
    if "unrolled" in kinds and is_tiny(node.matrix):
        found["unrolled"] = pareto(unrolled_candidates(network, node))
    if not found:
        raise UserError(
            f"{node.name} has too many weights to be built of logic",
            "choose another PE for this layer",
            node=node.name,
        )
    return found


def _dense_candidates(network: Network, node: Node) -> list[Candidate]:
    found = []
    seen: dict[tuple[object, ...], tuple[int, Resources]] = {}
    # Parameters that do not change with the folding (worst-case widths) are computed once.
    base = parts(network, node, next(iter(foldings(network, node))))
    kept = kept_columns(node) if isinstance(node, Conv | Dense) else None
    windows: dict[tuple[int, int], Window] = {}
    for folding in foldings(network, node):
        blocks = _refold(base, folding, kept, windows)
        key = tuple(blocks)
        if key not in seen:
            seen[key] = _total(blocks)
        found.append(Candidate(folding, *seen[key]))
    return found


def sparse_candidates(network: Network, node: Conv | Dense, interval: int | None = None) -> list[Candidate]:
    """Ways to build a layer on index-decoding PEs.

    Layouts with absolute indices first; those that are worth it are tried with the other index formats too.

    Args:
        interval: cycles per frame that are wanted: forms that cannot keep up, or are several times too fast, are left
            out. None: all.
    """
    output = network.output_of(node)
    vectors = output.elements // output.channels
    found = list(layouts(node.matrix))
    if interval is not None:
        found = [one for one in found if interval < 4 * vectors * least_steps(node.matrix, one) <= 4 * interval]
    lean = pareto([one for layout in found for one in layout_candidates(network, node, layout)])
    kept = {one.folding.layout for one in lean if one.folding.layout is not None}
    for layout in sorted(kept, key=str):
        for other in other_indices(layout, node.matrix):
            lean += layout_candidates(network, node, other)
    return lean


def layout_candidates(network: Network, node: Conv | Dense, layout: LaneLayout) -> list[Candidate]:
    """Ways to build a layer on an index-decoding PE of one layout: multipliers in DSP blocks or in LUTs, the program in
    block RAM or in LUTs. Nothing if a window unit cannot bring the columns in beats of `layout.in_lanes`.
    """
    source, kept = network.input_of(node), kept_columns(node)
    channels = 1
    if kept or (isinstance(node, Conv) and not is_pointwise(node)):
        # The narrowest window unit that keeps up with the PE.
        pixels = positions = 1
        if isinstance(node, Conv):
            output = network.output_of(node)
            positions = output.elements // output.channels
            window = _window(source, node.kernel, node.strides, node.pads, node.pad_value, 1)
            pixels = window.padded[0] * window.padded[1]
        cycles = positions * least_steps(node.matrix, layout)
        able = [c for c in divisors(source.channels) if not kept or kept.beats(c, layout.in_lanes)]
        fast = [c for c in able if pixels * (source.channels // c) <= cycles]
        if not able:
            return []
        channels = fast[0] if fast else able[-1]
    folding = Folding(pe=layout.groups * layout.height, simd=layout.lanes, channels=channels, kind="csr", layout=layout)
    base = parts(network, node, folding)
    found = []
    for use_dsp in (True, False):
        for block_ram in (True, False):
            blocks: list[Block] = []
            for part in base:
                block = part.block
                if isinstance(block, CsrPE):
                    block = replace(block, use_dsp=use_dsp, weight_block_ram=block_ram)
                if blocks:
                    blocks.extend(converters(blocks[-1].sink, block.source.lanes, _elements(blocks[-1])))
                blocks.append(block)
            chosen = replace(folding, use_dsp=use_dsp, weight_block_ram=block_ram)
            found.append(Candidate(chosen, *_total(blocks)))
    return found


def unrolled_candidates(network: Network, node: Conv | Dense) -> list[Candidate]:
    """Ways to build a layer as logic: channels of the window unit, and how many rows are requantized at a time."""
    source, kept = network.input_of(node), kept_columns(node)
    windowed = kept is not None or (isinstance(node, Conv) and not is_pointwise(node))
    found = []
    for channels in divisors(source.channels) if windowed else (1,):
        columns = node.matrix.shape[1]
        if kept:
            beats = kept.beats(channels)
            if beats is None or not kept.gathers(channels):
                continue
            columns = beats.columns
        for pe in divisors(len(node.weights)):
            folding = Folding(pe, columns, channels, use_dsp=False, weight_block_ram=False, kind="unrolled")
            blocks: list[Block] = []
            for part in parts(network, node, folding):
                if blocks:
                    blocks.extend(converters(blocks[-1].sink, part.block.source.lanes, _elements(blocks[-1])))
                blocks.append(part.block)
            found.append(Candidate(folding, *_total(blocks)))
    return found


def _total(blocks: Sequence[Block]) -> tuple[int, Resources]:
    """Cycles of the slowest block, resources of all."""
    return max(block.cycles for block in blocks), sum((_price(block) for block in blocks), Resources())


@lru_cache(maxsize=1 << 14)
def _price(block: Block) -> Resources:
    return block.resources()


def _refold(
    base: list[Part], folding: Folding, kept: KeptColumns | None, windows: dict[tuple[int, int], Window]
) -> list[Block]:
    """The blocks of a layer under another folding, without touching weights (converters included).

    Args:
        windows: those made so far, by channels and SIMD: gather lists are long.
    """
    blocks: list[Block] = []
    gather = kept.gather(folding.channels, folding.simd) if kept else None
    for part in base:
        block = part.block
        if isinstance(block, Window):
            all_channels = block.channels * block.groups
            key = folding.channels, folding.simd if gather else 0
            if key not in windows:
                groups, lists = all_channels // folding.channels, gather.lists if gather else ()
                windows[key] = replace(block, channels=folding.channels, groups=groups, gather=lists)
            block = windows[key]
        elif isinstance(block, DensePE):
            block = replace(
                block,
                pe=folding.pe,
                simd=folding.simd,
                columns=len(gather.columns) if gather else block.columns,
                use_dsp=folding.use_dsp,
                weight_block_ram=folding.weight_block_ram,
            )
        elif isinstance(block, Requantize):
            block = replace(block, lanes=folding.pe, groups=block.lanes * block.groups // folding.pe)
        elif isinstance(block, MaxPool):
            all_elements = block.channels * block.beats
            block = replace(block, channels=folding.channels, beats=all_elements // folding.channels)
        if blocks:
            elements = _elements(blocks[-1])
            blocks.extend(converters(blocks[-1].sink, block.source.lanes, elements))
        blocks.append(block)
    return blocks


def _elements(block: Block) -> int:
    return block.beats_out * block.sink.lanes


# --- wiring ----------------------------------------------------------------------------------------------------------


def converters(port: Port, lanes: int, elements: int) -> list[WidthConverter]:
    """Width converters from a stream to another number of lanes: none, one, or two by way of the common multiple."""
    if port.lanes == lanes:
        return []
    common = lcm(port.lanes, lanes)
    waypoints = [w for w in (common, lanes) if w not in (port.lanes,)]
    if common == lanes:
        waypoints = [lanes]
    result, current = [], port.lanes
    for waypoint in waypoints:
        result.append(
            WidthConverter(in_lanes=current, out_lanes=waypoint, bits=port.bits, signed=port.signed, elements=elements)
        )
        current = waypoint
    return result


def axis_formats(network: Network, interval: int | None = None) -> tuple[AxisFormat, AxisFormat]:
    """TDATA of input and output: input as wide as 64 bits allow; output one element a beat unless that limits.

    Args:
        interval: frame interval in cycles that the output must keep up with.
    """
    source, output = network.tensors[network.inputs[0]], network.tensors[network.outputs[0]]
    box = container_bits(source.dtype)
    lanes = max(n for n in (8, 4, 2, 1) if n * box <= 64 and source.elements % n == 0)
    out_box = container_bits(output.dtype)
    choices = [n for n in (1, 2, 4, 8) if n * out_box <= 64 and output.elements % n == 0]
    fast = [n for n in choices if interval is None or output.elements // n <= interval]
    return AxisFormat(lanes, box), AxisFormat(fast[0] if fast else choices[-1], out_box)


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
            elements = _elements(part.block)
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
