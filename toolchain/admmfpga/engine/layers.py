"""Network -> engine layers: what the array computes for each node, and where channels lie in planes.

A tensor is a stack of planes, each of height x width words, a word being `simd` channels of one pixel. Joining tensors
along channels (Concat) is then a matter of addresses: the parts are written into planes of one buffer. Channels that
fill no whole word leave lanes free; `View.lanes` says which channel each lane carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from admmfpga.engine.gathered import Gather, gather
from admmfpga.engine.packed import NOTHING, Weights, smallest
from admmfpga.engine.placement import Placement
from admmfpga.engine.program import DEPTHWISE, FACTOR, LOOKUP, MATRIX, MAXIMUM, NORMALIZE, SERIAL_FIELDS
from admmfpga.engine.refusals import refusals
from admmfpga.engine.shape import EngineShape
from admmfpga.engine.views import InputFold, View, fold_input
from admmfpga.errors import UserError
from admmfpga.network import (
    Add,
    AveragePool,
    Concat,
    Conv,
    Dense,
    Flatten,
    IntArray,
    LocalResponseNorm,
    Lookup,
    MaxPool,
    Network,
    Node,
    Requantization,
    Rescale,
)

GATHERED_POSITIONS = 16
"""Output positions of a layer from which on its columns are gathered."""


@dataclass(frozen=True, eq=False)
class Part:
    """One compute command of an output group.

    Attributes:
        kind: of the command.
        source: index of the layer's input.
        first, planes: input planes.
        factor: see program.COMPUTE.
        weights: behind the header.
        gathered: a form of them that takes fewer steps.
    """

    kind: int
    source: int
    first: int
    planes: int
    factor: int
    weights: Weights
    gathered: Gather | None = None


@dataclass(frozen=True, eq=False)
class Group:
    """Output planes that are computed at a time: commands that add up in the same accumulators.

    Attributes:
        parts: the first clears the accumulators, the last drains them.
        first, planes: output planes.
        bias, multiplier: (lanes,).
    """

    parts: tuple[Part, ...]
    first: int
    planes: int
    bias: IntArray
    multiplier: IntArray


@dataclass(frozen=True, eq=False)
class EngineLayer:
    """A node on the engine.

    Attributes:
        name: of the node.
        op: for people.
        inputs, output: where its tensors are.
        kernel, strides, pads, dilations, pad_value: as network.Conv; all one and zero where there is no window.
        groups: output groups.
        shift, zero_point, low, high: of the requantization.
        macs: multiplications that the node asks for.
        table: of a serial command.
        tail: a sum that takes what this layer gives, tile by tile; the output is then the sum's.
    """

    name: str
    op: str
    inputs: tuple[View, ...]
    output: View
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    pad_value: int
    groups: tuple[Group, ...]
    shift: int
    zero_point: int
    low: int
    high: int
    macs: int
    table: Table | None = None
    tail: Tail | None = None

    @cached_property
    def whole(self) -> bool:
        """Whether a tile takes all of its input planes."""
        return self.table is not None or any(part.kind == MATRIX for group in self.groups for part in group.parts)

    @property
    def reads(self) -> tuple[View, ...]:
        """All tensors that it reads."""
        return self.inputs if self.tail is None else (*self.inputs, self.tail.other)

    def input_rows(self, first: int, end: int) -> tuple[int, int]:
        """Input rows [first, end) that exist and that output rows [first, end) need."""
        low = first * self.strides[0] - self.pads[0]
        high = (end - 1) * self.strides[0] - self.pads[0] + (self.kernel[0] - 1) * self.dilations[0] + 1
        return max(0, min(low, self.inputs[0].height)), max(0, min(high, self.inputs[0].height))


@dataclass(frozen=True, eq=False)
class Table:
    """Factors of a local response normalization, or a function of one code.

    Attributes:
        weights: a word is pe * simd / 4 entries of 32 bits.
        fields: of the commands that look into it, but for where things are.
    """

    weights: Weights
    fields: dict[str, int]


@dataclass(frozen=True, eq=False)
class Tail:
    """A sum of two tensors behind a convolution that computes one of them.

    Attributes:
        layer: the sum.
        which: the input that the convolution gives.
    """

    layer: EngineLayer
    which: int

    @property
    def other(self) -> View:
        """The input that is there already."""
        return self.layer.inputs[1 - self.which]


@dataclass(frozen=True, eq=False)
class Lowered:
    """A network as layers of an engine.

    Attributes:
        network: what is computed, its input possibly folded.
        layers: in order.
        buffers: planes of each buffer by name.
        views: of tensors by name.
        fold: how the host arranges the frame, None for as it is.
    """

    network: Network
    layers: tuple[EngineLayer, ...]
    buffers: dict[str, int]
    views: dict[str, View]
    fold: InputFold | None

    @property
    def input(self) -> View:
        return self.views[self.network.inputs[0]]

    @property
    def output(self) -> View:
        return self.views[self.network.outputs[0]]


def lower(network: Network, shape: EngineShape) -> Lowered:
    """Engine layers of a network.

    Raises:
        UserError: with every node that the engine cannot compute.
    """
    problems = refusals(network)
    if problems:
        raise UserError(
            f"the shared engine cannot compute {len(problems)} of the nodes: " + "; ".join(problems),
            "the dataflow architecture takes them, if it fits: --architecture dataflow",
        )
    network, fold = fold_input(network, shape)
    placement = Placement(network, shape)
    layers = []
    for node in network.nodes:
        if isinstance(node, Concat):
            layers += [_copy(name, source, target, shape) for name, source, target in placement.copies[node.name]]
        elif not isinstance(node, Flatten):
            layers.append(_layer(network, node, placement.views, shape))
    fused = _fuse(network, layers)
    used = {view.buffer for layer in fused for view in (*layer.reads, layer.output)}
    buffers = {name: planes for name, planes in placement.buffers.items() if name in used}
    return Lowered(network, fused, buffers, placement.views, fold)


def _fuse(network: Network, layers: list[EngineLayer]) -> tuple[EngineLayer, ...]:
    """Sums behind the convolution that gives one of their inputs, where nobody else reads that."""
    node_of = {node.name: node for node in network.nodes}
    index = {layer.name: i for i, layer in enumerate(layers)}
    found: dict[str, EngineLayer] = {}
    gone: set[str] = set()
    for layer in layers:
        node = node_of.get(layer.name)
        if not isinstance(node, Add) or len(node.inputs) != 2:
            continue
        # The later of the two producers, so that the other tensor is complete.
        producers = [network.producer(name) for name in node.inputs]
        places = [-1 if one is None else index.get(one.name, len(layers)) for one in producers]
        which = int(places[1] > places[0])
        producer = producers[which]
        if producer is None or places[0] == places[1] or producer.name not in index or producer.name in found:
            continue
        first = layers[index[producer.name]]
        private = len(network.consumers(producer.output)) == 1 and producer.output not in network.outputs
        matrix = first.table is None and first.groups[0].parts[0].kind == MATRIX
        if private and matrix and max(places) < len(layers) and first.output.buffer == producer.output:
            found[first.name] = replace(first, output=layer.output, tail=Tail(layer, which))
            gone.add(layer.name)
    return tuple(found.get(layer.name, layer) for layer in layers if layer.name not in gone)


# --- Layers ----------------------------------------------------------------------------------------------------------

_UNIT = {"kernel": (1, 1), "strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1), "pad_value": 0}


def _layer(network: Network, node: Node, views: dict[str, View], shape: EngineShape) -> EngineLayer:
    from admmfpga.network import macs

    inputs = tuple(views[name] for name in node.inputs)
    output = views[node.output]
    rule = getattr(node, "requantization", None) or _identity(output)
    window = dict(_UNIT)
    # Serial commands do not look at the parameters.
    table, none = None, np.zeros(0, dtype=np.int64)
    match node:
        case Conv():
            window = _window(node) | {"pad_value": node.pad_value}
            if node.depthwise and len(node.weights) == node.groups:
                groups = _depthwise(node, inputs[0], rule, shape)
            else:
                groups = _matrix(node.weights, node.groups, inputs[0], output, rule, shape)
        case Dense():
            height, width = inputs[0].height, inputs[0].width
            weights = node.weights.reshape(len(node.weights), height, width, -1)
            window["kernel"] = (height, width)
            groups = _matrix(weights, 1, inputs[0], output, rule, shape)
        case MaxPool():
            window = _window(node) | {"pad_value": inputs[0].dtype.min}
            groups = _lanewise(MAXIMUM, (1,), inputs, rule)
        case AveragePool():
            window = _window(node) | {"pad_value": node.pad_value}
            groups = _lanewise(FACTOR, (1,), inputs, rule)
        case Add():
            if any(not np.array_equal(view.lanes, inputs[0].lanes) for view in inputs):
                raise UserError(
                    f"the shared engine cannot add the inputs of {node.name}: joined channels lie differently in them",
                    f"join tensors whose channels are multiples of {shape.simd}",
                    node=node.name,
                )
            groups = _lanewise(FACTOR, tuple(int(m) for m in node.multipliers), inputs, rule)
        case Rescale():
            groups = _lanewise(FACTOR, (1,), inputs, rule)
        case LocalResponseNorm():
            if not np.array_equal(inputs[0].lanes, output.lanes):
                raise UserError(
                    f"the shared engine cannot normalize the channels of {node.name}: joined channels leave gaps",
                    f"join tensors whose channels are multiples of {shape.simd}",
                    node=node.name,
                )
            table = _normalization(node, inputs[0], shape)
            window["pad_value"] = node.zero_point
            groups = (Group((Part(NORMALIZE, 0, 0, output.planes, 0, NOTHING),), 0, output.planes, none, none),)
        case Lookup():
            table = _function(node, inputs[0], shape)
            # The table counts from the least code.
            low, high = node.dtype.min, node.dtype.max
            rule = Requantization(none, none, 0, low, low, high, node.dtype)
            groups = (Group((Part(LOOKUP, 0, 0, output.planes, 0, NOTHING),), 0, output.planes, none, none),)
        case _:
            raise AssertionError(node.op)
    return EngineLayer(
        name=node.name,
        op=node.op,
        inputs=inputs,
        output=output,
        groups=tuple(groups),
        shift=rule.shift,
        zero_point=rule.zero_point,
        low=rule.low,
        high=rule.high,
        macs=macs(network, node),
        table=table,
        **window,  # type: ignore[arg-type]
    )


def _normalization(node: LocalResponseNorm, source: View, shape: EngineShape) -> Table:
    channels = int(source.lanes.max()) + 1
    named = {"channels": channels, "before": node.before, "after": node.after, "table_shift": node.table_shift}
    return _table(node.table, named, shape)


def _function(node: Lookup, source: View, shape: EngineShape) -> Table:
    codes = np.arange(256)
    if source.dtype.signed:
        codes = codes.astype(np.uint8).view(np.int8).astype(np.int64)
    inside = (codes >= source.dtype.min) & (codes <= source.dtype.max)
    entries = np.where(inside, node.table[0][np.where(inside, codes - source.dtype.min, 0)] - node.dtype.min, 0)
    named = {"channels": source.planes * shape.simd, "before": 0, "after": 0, "table_shift": 0}
    return _table(entries, named, shape)


def _table(entries: IntArray, named: Mapping[str, int], shape: EngineShape) -> Table:
    """Entries in whole words, and fields by the names of `SERIAL_FIELDS`."""
    words = -(-4 * len(entries) // shape.word_bytes)
    padded = np.zeros(words * shape.word_bytes // 4, dtype="<u4")
    padded[: len(entries)] = entries
    named = {"last_entry": len(entries) - 1, **named}
    fields = {field: named[name] for name, field in SERIAL_FIELDS if name in named}
    return Table(Weights(np.frombuffer(padded.tobytes(), dtype=np.uint8), words), fields)


def _copy(name: str, source: View, target: View, shape: EngineShape) -> EngineLayer:
    """Moves a tensor into a place of a joined buffer."""
    rule = _identity(source)
    groups = tuple(_lanewise(FACTOR, (1,), (source,), rule))
    return EngineLayer(
        name=name,
        op="Copy",
        inputs=(source,),
        output=target,
        groups=groups,
        shift=0,
        zero_point=0,
        low=rule.low,
        high=rule.high,
        macs=0,
        **_UNIT,  # type: ignore[arg-type]
    )


def _window(node: Conv | MaxPool | AveragePool) -> dict[str, object]:
    return {"kernel": node.kernel, "strides": node.strides, "pads": node.pads, "dilations": node.dilations}


def _identity(view: View) -> Requantization:
    channels = int(view.lanes.max()) + 1
    zeros, ones = np.zeros(channels, dtype=np.int64), np.ones(channels, dtype=np.int64)
    return Requantization(zeros, ones, 0, 0, view.dtype.min, view.dtype.max, view.dtype)


def _taken(values: IntArray, lanes: IntArray) -> IntArray:
    """Per-channel values by lane; zero where there is no channel."""
    return np.where(lanes >= 0, values[np.maximum(lanes, 0)], 0)


def _matrix(
    weights: IntArray, count: int, source: View, output: View, rule: Requantization, shape: EngineShape
) -> Iterable[Group]:
    """Groups of pe output channels over the input planes that they read.

    Args:
        weights: (O, KH, KW, I / count).
        count: groups of the convolution.
    """
    rows, height, width, columns = weights.shape
    words = shape.pe // shape.simd
    narrow = weights.astype(np.int8)
    for first in range(0, output.planes, words):
        lanes = output.lanes[first : first + words].reshape(-1)
        channels = lanes[lanes >= 0]
        of_group = channels // (rows // count)
        reads = np.unique(of_group)[:, None] * columns + np.arange(columns)
        planes = np.flatnonzero(np.isin(source.lanes, reads.reshape(-1)).any(axis=1))
        low, end = int(planes[0]), int(planes[-1]) + 1
        # (pe, kernel rows, kernel columns, planes, simd); an input channel counts from its group's first.
        block = np.zeros((shape.pe, height, width, end - low, shape.simd), dtype=np.int8)
        seen = source.lanes[low:end]
        for group in np.unique(of_group):
            rows_of = np.flatnonzero((lanes >= 0) & (lanes // (rows // count) == group))
            local = seen - group * columns
            inside = (seen >= 0) & (local >= 0) & (local < columns)
            taken = narrow[lanes[rows_of]][..., np.clip(local, 0, columns - 1)]
            block[rows_of] = taken if inside.all() else np.where(inside, taken, np.int8(0))
        data = np.ascontiguousarray(block.transpose(3, 1, 2, 0, 4)).view(np.uint8).reshape(-1)
        # Where a step is short weights are what it waits for, and gathered ones are not packed.
        gathered = gather(block) if output.plane_words >= GATHERED_POSITIONS else None
        part = Part(MATRIX, 0, low, end - low, 0, smallest(shape, data), gathered)
        planes_out = min(words, output.planes - first)
        yield Group((part,), first, planes_out, _taken(rule.bias, lanes), _taken(rule.multiplier, lanes))


def _depthwise(node: Conv, source: View, rule: Requantization, shape: EngineShape) -> Iterable[Group]:
    taps = node.weights.reshape(len(node.weights), -1)
    per_word = shape.pe
    for plane, lanes in enumerate(source.lanes):
        rows = np.where(lanes[:, None] >= 0, taps[np.maximum(lanes, 0)], 0).T  # taps, simd
        padded = np.zeros((-(-len(rows) // per_word) * per_word, shape.simd), dtype=np.int64)
        padded[: len(rows)] = rows
        words = Weights((padded & 0xFF).astype(np.uint8).reshape(-1), len(padded) // per_word)
        part = Part(DEPTHWISE, 0, plane, 1, 0, words)
        yield Group((part,), plane, 1, _taken(rule.bias, lanes), _taken(rule.multiplier, lanes))


def _lanewise(kind: int, factors: Sequence[int], inputs: tuple[View, ...], rule: Requantization) -> Iterable[Group]:
    for plane, lanes in enumerate(inputs[0].lanes):
        parts = tuple(Part(kind, i, plane, 1, factor, NOTHING) for i, factor in enumerate(factors))
        yield Group(parts, plane, 1, _taken(rule.bias, lanes), _taken(rule.multiplier, lanes))
