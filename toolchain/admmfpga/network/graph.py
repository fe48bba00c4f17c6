"""The integer network: a graph of nodes over integer tensors. Everything behind the front end works on this."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from admmfpga.network.requantization import Requantization
from admmfpga.network.types import IntArray, IntType, Tensor

if TYPE_CHECKING:
    from admmfpga.network.budgets import Budget


@dataclass(frozen=True, eq=False)
class Node:
    """One layer. Subclasses add the operator's own data.

    Attributes:
        name: unique in the network; also the stem of its files and hardware instances ([a-z][a-z0-9_]*).
        inputs: names of the tensors it reads.
        output: name of the tensor it writes.
    """

    name: str
    inputs: tuple[str, ...]
    output: str

    @property
    def op(self) -> str:
        """Operator's name as reports show it."""
        return type(self).__name__


@dataclass(frozen=True, eq=False)
class Conv(Node):
    """2-D convolution, then requantization.

    Attributes:
        weights: (O, KH, KW, I / groups) integers.
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), each smaller than the kernel's extent.
        pad_value: code of the padding (that of the input's zero point).
        requantization: bias and scaling of the accumulators.
        groups: output channels o of group o // (O / groups) see the input channels of the same group; as many groups
            as input channels is a depthwise convolution.
        dilations: (vertical, horizontal) distance of neighbouring taps.
    """

    weights: IntArray
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    pad_value: int
    requantization: Requantization
    groups: int = 1
    dilations: tuple[int, int] = (1, 1)

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weights.shape[1], self.weights.shape[2]

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns that the kernel spans, dilation included."""
        return window_extent(self.kernel, self.dilations)

    @property
    def depthwise(self) -> bool:
        """Each input channel has its own filters."""
        return self.groups > 1 and self.weights.shape[3] == 1

    @property
    def matrix(self) -> IntArray:
        """The GEMM view: (O, KH*KW*I/groups)."""
        return self.weights.reshape(self.weights.shape[0], -1)


@dataclass(frozen=True, eq=False)
class Dense(Node):
    """Matrix-vector product, then requantization.

    Attributes:
        weights: (O, I) integers; columns in the stream order of the input (H, W, C flattened).
        requantization: bias and scaling of the accumulators.
    """

    weights: IntArray
    requantization: Requantization

    @property
    def matrix(self) -> IntArray:
        """The GEMM view: (O, I)."""
        return self.weights


@dataclass(frozen=True, eq=False)
class MaxPool(Node):
    """Maximum over windows; codes keep their scale. Padding never wins (it is the type's smallest code)."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int] = (1, 1)

    @property
    def extent(self) -> tuple[int, int]:
        return window_extent(self.kernel, self.dilations)


@dataclass(frozen=True, eq=False)
class AveragePool(Node):
    """Sum over windows, then requantization: the multiplier holds the division.

    Attributes:
        kernel, strides, pads, dilations: as Conv.
        pad_value: code of the padding (the input's zero point).
        requantization: bias and scaling of the sums.
        counted: the part of `pads` that counts as taps all the same.
        edge_multipliers: the multipliers (C,) of windows that have only so many counted taps; they take the place of
            the requantization's, with the same bias and shift.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    pad_value: int
    requantization: Requantization
    dilations: tuple[int, int] = (1, 1)
    counted: tuple[int, int, int, int] = (0, 0, 0, 0)
    edge_multipliers: Mapping[int, IntArray] = field(default_factory=dict)

    @property
    def extent(self) -> tuple[int, int]:
        return window_extent(self.kernel, self.dilations)


@dataclass(frozen=True, eq=False)
class Add(Node):
    """Weighted sum of tensors with different scales, rounded once: requantization(sum of multipliers[i] * codes[i]).

    Shapes broadcast as numpy's do. What the zero points contribute is in the requantization's bias.

    Attributes:
        multipliers: (inputs,) signed integers, one per branch.
        requantization: its multiplier is 1 unless channels are scaled differently after the sum.
    """

    multipliers: IntArray
    requantization: Requantization


@dataclass(frozen=True, eq=False)
class Multiply(Node):
    """Product of two tensors: requantization((a - zero_points[0]) * (b - zero_points[1])). Shapes broadcast."""

    zero_points: tuple[int, int]
    requantization: Requantization


@dataclass(frozen=True, eq=False)
class Lookup(Node):
    """A function of one code, by table.

    Attributes:
        table: (1, 2**bits) output codes, or (C, 2**bits) for a table per channel; entry 0 is that of the least code.
        dtype: of the output.
    """

    table: IntArray
    dtype: IntType


@dataclass(frozen=True, eq=False)
class LocalResponseNorm(Node):
    """Division by a power of the energy of neighbouring channels, through a table of factors.

    out = requantization((x - zero_point) * table[min(energy >> table_shift, last entry)]), where energy is the sum of
    (x - zero_point)**2 over the channels c - before ... c + after that exist.

    Attributes:
        before, after: channels of the neighbourhood.
        zero_point: of the input; the requantization's bias is its negative.
        table: (entries,) multipliers, which take the place of the requantization's.
        table_shift: bits of the energy that the table does not see.
    """

    before: int
    after: int
    zero_point: int
    table: IntArray
    table_shift: int
    requantization: Requantization


@dataclass(frozen=True, eq=False)
class Concat(Node):
    """Tensors of one type and scale behind each other along an axis of (H, W, C)."""

    axis: int


@dataclass(frozen=True, eq=False)
class Pad(Node):
    """A border of one code, and as many rows and columns of it between neighbouring pixels as `spacing` less one.

    Attributes:
        pads: (top, left, bottom, right), of any size.
        pad_value: code of the border.
        spacing: (vertical, horizontal) distance that neighbouring pixels get: what a transposed convolution needs.
    """

    pads: tuple[int, int, int, int]
    pad_value: int
    spacing: tuple[int, int] = (1, 1)


@dataclass(frozen=True, eq=False)
class Resize(Node):
    """Nearest neighbour: every pixel becomes factors[0] x factors[1] pixels."""

    factors: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Reorder(Node):
    """Any other movement of codes: output element i in stream order is input element index[i].

    Attributes:
        index: (elements of the output,) stream positions in the input; may repeat and omit.
        shape: of the output.
        kind: what it is in the model ("Transpose", "DepthToSpace", ...), for people.
    """

    index: IntArray
    shape: tuple[int, ...]
    kind: str


@dataclass(frozen=True, eq=False)
class Rescale(Node):
    """Element by element from one scale, zero point and range to another (a Relu or Quantize that stands alone)."""

    requantization: Requantization


@dataclass(frozen=True, eq=False)
class Flatten(Node):
    """(H, W, C) to (H*W*C,) in stream order. Costs nothing in hardware."""


@dataclass(frozen=True)
class HostOp:
    """What is left to the host after the accelerator's last output.

    Attributes:
        op: "Softmax", "ArgMax", ...
        axis: of the results, frames first and channels innermost as on the stream.
        shape: what a frame's results are reshaped to before it, in the stream's order; () if they are in shape.
        keep: ArgMax keeps its axis, with length 1.
        last: ArgMax takes the last of equal maxima.
    """

    op: str
    axis: int = -1
    shape: tuple[int, ...] = ()
    keep: bool = False
    last: bool = False


@dataclass(eq=False)
class Network:
    """An integer network in topological order.

    Attributes:
        name: of the model; also the stem of the build.
        inputs, outputs: names of tensors.
        tensors: by name.
        nodes: in topological order.
        host_ops: what the host does with the output.
        budgets: by layer, how far its weights may change at run time (see `budgets`); empty: they are constants.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    host_ops: tuple[HostOp, ...] = ()
    budgets: dict[str, Budget] = field(default_factory=dict)

    def producer(self, tensor: str) -> Node | None:
        """The node that writes a tensor; None for network inputs."""
        return next((node for node in self.nodes if node.output == tensor), None)

    def consumers(self, tensor: str) -> list[Node]:
        """The nodes that read a tensor, in order."""
        return [node for node in self.nodes if tensor in node.inputs]

    def input_of(self, node: Node, index: int = 0) -> Tensor:
        return self.tensors[node.inputs[index]]

    def output_of(self, node: Node) -> Tensor:
        return self.tensors[node.output]

    def verify(self) -> None:
        """Check the invariants that everything behind the front end relies on.

        Raises:
            AssertionError: the front end or a pass has built a wrong graph (our mistake, never the user's).
        """
        known = set(self.inputs)
        names: set[str] = set()
        for node in self.nodes:
            assert node.name not in names, f"two nodes are called {node.name}"
            names.add(node.name)
            for name in node.inputs:
                assert name in known, f"{node.name} reads {name} before it is written"
            assert node.output not in known, f"{node.output} is written twice"
            known.add(node.output)
            expected = output_shape(node, [self.tensors[name] for name in node.inputs])
            assert self.output_of(node).shape == expected, (node.name, self.output_of(node).shape, expected)
            assert self.output_of(node).dtype == output_type(node, self.input_of(node)), node.name
            if isinstance(node, AveragePool | Add | Multiply | LocalResponseNorm | Rescale):
                assert not any(self.tensors[name].dtype.bipolar for name in node.inputs), node.name
            if isinstance(node, Concat):
                assert len({self.tensors[name].dtype for name in node.inputs}) == 1, node.name
        for name in self.outputs:
            assert name in known, f"output {name} is never written"
        assert known <= set(self.tensors), known - set(self.tensors)


def requantization_of(node: Node) -> Requantization | None:
    """The node's requantization, None for nodes that only move codes or look them up."""
    found = getattr(node, "requantization", None)
    assert found is None or isinstance(found, Requantization)
    return found


def output_type(node: Node, source: Tensor) -> IntType:
    if isinstance(node, Lookup):
        return node.dtype
    requantization = requantization_of(node)
    return source.dtype if requantization is None else requantization.dtype


def window_extent(kernel: tuple[int, int], dilations: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns that a dilated kernel spans."""
    return (kernel[0] - 1) * dilations[0] + 1, (kernel[1] - 1) * dilations[1] + 1


def window_positions(
    size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, int, int, int]
) -> tuple[int, int]:
    """(output height, output width) of a convolution or pooling, rounded down.

    Args:
        kernel: its extent, dilation included.
    """
    height = (size[0] + pads[0] + pads[2] - kernel[0]) // strides[0] + 1
    width = (size[1] + pads[1] + pads[3] - kernel[1]) // strides[1] + 1
    return height, width


class Averaging(Protocol):
    """What decides how many taps a window of an average has."""

    @property
    def kernel(self) -> tuple[int, int]: ...
    @property
    def strides(self) -> tuple[int, int]: ...
    @property
    def pads(self) -> tuple[int, int, int, int]: ...
    @property
    def dilations(self) -> tuple[int, int]: ...
    @property
    def counted(self) -> tuple[int, int, int, int]: ...


def taps_inside(size: tuple[int, int], node: Averaging) -> IntArray:
    """(output height, output width): how many taps of each window lie inside the image or count all the same."""
    counts = []
    extent = window_extent(node.kernel, node.dilations)
    for axis in (0, 1):
        positions = window_positions(size, extent, node.strides, node.pads)[axis]
        at = np.arange(positions)[:, None] * node.strides[axis] - node.pads[axis]
        taps = at + np.arange(node.kernel[axis]) * node.dilations[axis]
        first, end = -node.counted[axis], size[axis] + node.counted[axis + 2]
        counts.append(((taps >= first) & (taps < end)).sum(axis=1))
    result: IntArray = np.outer(counts[0], counts[1])
    return result


def padded_size(
    size: tuple[int, int], pads: tuple[int, int, int, int], spacing: tuple[int, int] = (1, 1)
) -> tuple[int, int]:
    """(height, width) after `Pad`."""
    return (
        (size[0] - 1) * spacing[0] + 1 + pads[0] + pads[2],
        (size[1] - 1) * spacing[1] + 1 + pads[1] + pads[3],
    )


def output_shape(node: Node, sources: list[Tensor]) -> tuple[int, ...]:
    """Shape that a node's output must have."""
    shape = sources[0].shape
    match node:
        case Conv():
            assert shape[2] == node.weights.shape[3] * node.groups, (node.name, shape, node.weights.shape)
            return (*window_positions(_size(shape), node.extent, node.strides, node.pads), node.weights.shape[0])
        case MaxPool() | AveragePool():
            return (*window_positions(_size(shape), node.extent, node.strides, node.pads), shape[2])
        case Dense():
            assert shape == (node.weights.shape[1],), (node.name, shape, node.weights.shape)
            return (node.weights.shape[0],)
        case Flatten():
            return (sources[0].elements,)
        case Add() | Multiply():
            return tuple(np.broadcast_shapes(*[source.shape for source in sources]))
        case Concat():
            total = sum(source.shape[node.axis] for source in sources)
            return tuple(total if i == node.axis else n for i, n in enumerate(shape))
        case Pad():
            return (*padded_size(_size(shape), node.pads, node.spacing), shape[2])
        case Resize():
            return (shape[0] * node.factors[0], shape[1] * node.factors[1], shape[2])
        case Reorder():
            return node.shape
        case Rescale() | Lookup() | LocalResponseNorm():
            return shape
    raise AssertionError(f"unknown node type {type(node).__name__}")


def macs(network: Network, node: Node) -> int:
    """Multiplications per frame that the node's weights ask for (pruned weights not counted out)."""
    match node:
        case Conv():
            height, width, _ = network.output_of(node).shape
            return int(node.weights.size) * height * width
        case Dense():
            return int(node.weights.size)
    return 0


def network_macs(network: Network) -> int:
    """Multiplications per frame of the whole network."""
    return sum(macs(network, node) for node in network.nodes)


def weighted(network: Network) -> Iterator[Conv | Dense]:
    """The nodes that have weights, in order."""
    for node in network.nodes:
        if isinstance(node, Conv | Dense):
            yield node


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    assert len(shape) == 3, shape
    return shape[0], shape[1]
