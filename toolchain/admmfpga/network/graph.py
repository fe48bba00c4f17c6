"""The integer network: a graph of nodes over integer tensors. Everything behind the front end works on this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from admmfpga.network.requantization import Requantization
from admmfpga.network.types import IntArray, IntType, Tensor


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
        weights: (O, KH, KW, I) integers.
        strides: (vertical, horizontal).
        pads: (top, left, bottom, right), each smaller than the kernel.
        pad_value: code of the padding (the input's zero point).
        requantization: bias and scaling of the accumulators.
    """

    weights: IntArray
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    pad_value: int
    requantization: Requantization

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weights.shape[1], self.weights.shape[2]

    @property
    def matrix(self) -> IntArray:
        """The GEMM view: (O, KH*KW*I)."""
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


@dataclass(frozen=True, eq=False)
class Rescale(Node):
    """Element by element from one scale, zero point and range to another (a Relu or Quantize that stands alone)."""

    requantization: Requantization


@dataclass(frozen=True, eq=False)
class Flatten(Node):
    """(H, W, C) to (H*W*C,) in stream order. Costs nothing in hardware."""


@dataclass(frozen=True)
class HostOp:
    """What is left to the host after the accelerator's last output: "Softmax", "ArgMax", ..."""

    op: str
    axis: int = -1


@dataclass(eq=False)
class Network:
    """An integer network in topological order.

    Attributes:
        name: of the model; also the stem of the build.
        inputs, outputs: names of tensors.
        tensors: by name.
        nodes: in topological order.
        host_ops: what the host does with the output.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    host_ops: tuple[HostOp, ...] = ()

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
        for name in self.outputs:
            assert name in known, f"output {name} is never written"
        assert known <= set(self.tensors), known - set(self.tensors)


def requantization_of(node: Node) -> Requantization | None:
    """The node's requantization, None for nodes that only move codes."""
    if isinstance(node, Conv | Dense | Rescale):
        return node.requantization
    return None


def output_type(node: Node, source: Tensor) -> IntType:
    requantization = requantization_of(node)
    return source.dtype if requantization is None else requantization.dtype


def window_positions(
    size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, int, int, int]
) -> tuple[int, int]:
    """(output height, output width) of a convolution or pooling, rounded down."""
    height = (size[0] + pads[0] + pads[2] - kernel[0]) // strides[0] + 1
    width = (size[1] + pads[1] + pads[3] - kernel[1]) // strides[1] + 1
    return height, width


def output_shape(node: Node, sources: list[Tensor]) -> tuple[int, ...]:
    """Shape that a node's output must have."""
    shape = sources[0].shape
    match node:
        case Conv():
            return (*window_positions(_size(shape), node.kernel, node.strides, node.pads), node.weights.shape[0])
        case MaxPool():
            return (*window_positions(_size(shape), node.kernel, node.strides, node.pads), shape[2])
        case Dense():
            assert shape == (node.weights.shape[1],), (node.name, shape, node.weights.shape)
            return (node.weights.shape[0],)
        case Flatten():
            return (sources[0].elements,)
        case Rescale():
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


def weighted(network: Network) -> Iterator[Conv | Dense]:
    """The nodes that have weights, in order."""
    for node in network.nodes:
        if isinstance(node, Conv | Dense):
            yield node


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    assert len(shape) == 3, shape
    return shape[0], shape[1]
