"""Integer networks of known topologies with random weights: AlexNet, VGG-16, ResNet-50, MobileNetV2."""

from __future__ import annotations

import numpy as np

from admmfpga.network import (
    Add,
    AveragePool,
    Conv,
    Dense,
    Flatten,
    IntArray,
    IntType,
    LocalResponseNorm,
    MaxPool,
    Network,
    Node,
    Requantization,
    Tensor,
    window_positions,
)

CODES = IntType(8, False)


class Builder:
    """Appends layers with random 8-bit weights."""

    def __init__(self, name: str, size: int) -> None:
        self.rng = np.random.default_rng(0)
        self.network = Network(name, ("input",), ())
        self.network.tensors["input"] = Tensor("input", (size, size, 3), CODES)
        self.last = "input"

    def _append(self, node: Node, shape: tuple[int, ...]) -> str:
        self.network.nodes.append(node)
        self.network.tensors[node.output] = Tensor(node.output, shape, CODES)
        self.last = node.output
        return node.output

    def _weights(self, *shape: int) -> IntArray:
        return self.rng.integers(-127, 128, shape, dtype=np.int8).astype(np.int64)

    def _rule(self, channels: int, ratio: float) -> Requantization:
        shift = 24
        multiplier = np.full(channels, max(1, round(ratio * 2**shift)))
        bias = self.rng.integers(-50, 50, channels)
        return Requantization(bias, multiplier, shift, 0, 0, 255, CODES)

    def conv(self, channels: int, kernel: int, stride: int = 1, pad: int | None = None, groups: int = 1) -> str:
        shape = self.network.tensors[self.last].shape
        pad = kernel // 2 if pad is None else pad
        weights = self._weights(channels, kernel, kernel, shape[2] // groups)
        name, pads = f"conv{len(self.network.nodes)}", (pad, pad, pad, pad)
        ratio = 0.02 / np.sqrt(weights[0].size)
        node = Conv(name, (self.last,), name, weights, (stride, stride), pads, 0, self._rule(channels, ratio), groups)
        height, width = window_positions(shape[:2], (kernel, kernel), (stride, stride), pads)
        return self._append(node, (height, width, channels))

    def pool(self, kernel: int, stride: int, pad: int = 0) -> str:
        shape, name, pads = (
            self.network.tensors[self.last].shape,
            f"pool{len(self.network.nodes)}",
            (pad, pad, pad, pad),
        )
        node = MaxPool(name, (self.last,), name, (kernel, kernel), (stride, stride), pads)
        height, width = window_positions(shape[:2], (kernel, kernel), (stride, stride), pads)
        return self._append(node, (height, width, shape[2]))

    def normalize(self) -> str:
        """Local response normalization over five channels, a table as the front end makes it (bias 1, beta 0.75)."""
        shape, name, shift = self.network.tensors[self.last].shape, f"lrn{len(self.network.nodes)}", 6
        energy = (np.arange((5 * 255 * 255 >> shift) + 1) + 0.5) * 2.0**shift
        table = np.rint(2.0**22 * (1 + 2e-6 * energy) ** -0.75).astype(np.int64)
        nothing, largest = np.zeros(shape[2], dtype=np.int64), np.full(shape[2], table.max())
        rule = Requantization(nothing, largest, 22, 0, 0, 255, CODES)
        return self._append(LocalResponseNorm(name, (self.last,), name, 2, 2, 0, table, shift, rule), shape)

    def average(self) -> str:
        shape, name = self.network.tensors[self.last].shape, f"average{len(self.network.nodes)}"
        rule = self._rule(shape[2], 1 / (shape[0] * shape[1]))
        node = AveragePool(name, (self.last,), name, shape[:2], (1, 1), (0, 0, 0, 0), 0, rule)
        return self._append(node, (1, 1, shape[2]))

    def add(self, a: str, b: str) -> str:
        name = f"add{len(self.network.nodes)}"
        channels = self.network.tensors[a].channels
        rule = Requantization(
            np.zeros(channels, dtype=np.int64), np.ones(channels, dtype=np.int64), 16, 0, 0, 255, CODES
        )
        return self._append(Add(name, (a, b), name, np.array([40000, 39000]), rule), self.network.tensors[a].shape)

    def dense(self, rows: int) -> str:
        shape = self.network.tensors[self.last].shape
        columns = int(np.prod(shape))
        if len(shape) == 3:
            self._append(Flatten(f"flatten{len(self.network.nodes)}", (self.last,), f"{self.last}_flat"), (columns,))
        name = f"fc{len(self.network.nodes)}"
        rule = self._rule(rows, 0.02 / np.sqrt(columns))
        return self._append(Dense(name, (self.last,), name, self._weights(rows, columns), rule), (rows,))

    def done(self) -> Network:
        self.network.outputs = (self.last,)
        self.network.verify()
        return self.network


def prune(network: Network, conv: float, dense: float, columns: float = 1.0) -> None:
    """Zeroes random weights in place, down to these densities; depthwise convolutions keep theirs.

    Args:
        columns: share of a convolution's columns (input channel and tap) that all its filters keep.
    """
    rng = np.random.default_rng(1)
    for node in network.nodes:
        if isinstance(node, Conv | Dense) and not (isinstance(node, Conv) and node.depthwise):
            density = conv if isinstance(node, Conv) else dense
            if isinstance(node, Conv) and columns < 1:
                node.weights[:, rng.random(node.weights.shape[1:]) >= columns] = 0
            if density < 1:
                node.weights[rng.random(node.weights.shape, dtype=np.float32) >= density] = 0


def vgg16(size: int = 224) -> Network:
    """Simonyan and Zisserman 2014, configuration D."""
    b = Builder("vgg16", size)
    for channels, layers in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(layers):
            b.conv(channels, 3)
        b.pool(2, 2)
    b.dense(4096)
    b.dense(4096)
    b.dense(1000)
    return b.done()


def alexnet(size: int = 227) -> Network:
    """Krizhevsky et al. 2012, one tower's width twice: groups in the second, fourth and fifth convolution."""
    b = Builder("alexnet", size)
    b.conv(96, 11, 4, pad=0)
    b.normalize()
    b.pool(3, 2)
    b.conv(256, 5, groups=2)
    b.normalize()
    b.pool(3, 2)
    b.conv(384, 3)
    b.conv(384, 3, groups=2)
    b.conv(256, 3, groups=2)
    b.pool(3, 2)
    b.dense(4096)
    b.dense(4096)
    b.dense(1000)
    return b.done()


def resnet50(size: int = 224) -> Network:
    """He et al. 2015; strides in the 3 x 3 convolutions, as PyTorch has it."""
    b = Builder("resnet50", size)
    b.conv(64, 7, 2)
    b.pool(3, 2, 1)
    for stage, (channels, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            bottleneck(b, channels, 2 if stage and not block else 1, project=block == 0)
    b.average()
    b.dense(1000)
    return b.done()


def bottleneck(b: Builder, channels: int, stride: int = 1, *, project: bool = False) -> str:
    """1 x 1, 3 x 3, 1 x 1 with four times the channels, and the sum with the block's input."""
    start = b.last
    b.conv(channels, 1)
    b.conv(channels, 3, stride)
    branch = b.conv(4 * channels, 1)
    if project:
        b.last = start
        start = b.conv(4 * channels, 1, stride)
    return b.add(branch, start)


def mobilenet_v2(size: int = 224) -> Network:
    """Sandler et al. 2018, width 1."""
    b = Builder("mobilenet_v2", size)
    b.conv(32, 3, 2)
    plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expansion, channels, blocks, stride in plan:
        for block in range(blocks):
            inverted_residual(b, expansion, channels, stride if block == 0 else 1)
    b.conv(1280, 1)
    b.average()
    b.dense(1000)
    return b.done()


def inverted_residual(b: Builder, expansion: int, channels: int, stride: int = 1) -> str:
    """1 x 1 expansion, depthwise 3 x 3, 1 x 1; the sum with the input where shapes agree."""
    start = b.last
    before = b.network.tensors[start].channels
    if expansion > 1:
        b.conv(before * expansion, 1)
    b.conv(before * expansion, 3, stride, groups=before * expansion)
    branch = b.conv(channels, 1)
    return b.add(branch, start) if stride == 1 and before == channels else branch
