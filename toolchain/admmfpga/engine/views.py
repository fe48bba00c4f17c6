"""Tensors as planes of words, and how the host arranges a frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from admmfpga.engine.program import Bytes
from admmfpga.engine.shape import EngineShape
from admmfpga.network import Conv, IntArray, IntType, Network


@dataclass(frozen=True, eq=False)
class View:
    """A tensor as planes of a buffer.

    Attributes:
        buffer: its name; tensors that are joined share one.
        first: plane in the buffer.
        lanes: (planes, simd) channel of each lane, -1 for none.
        height, width: of a plane.
        dtype: of the codes.
    """

    buffer: str
    first: int
    lanes: IntArray
    height: int
    width: int
    dtype: IntType

    @property
    def planes(self) -> int:
        return len(self.lanes)

    @property
    def plane_words(self) -> int:
        return self.height * self.width

    def pack(self, codes: IntArray) -> Bytes:
        """(height, width, channels) codes as (planes, height, width, simd) bytes; free lanes are zero."""
        image = codes.reshape(self.height, self.width, -1)
        lanes = np.where(
            self.lanes[:, None, None, :] >= 0, image[..., np.maximum(self.lanes, 0)].transpose(2, 0, 1, 3), 0
        )
        return (lanes & 0xFF).astype(np.uint8)

    def unpack(self, data: Bytes) -> IntArray:
        """The inverse: (height * width * channels,) codes."""
        values = (data.view(np.int8) if self.dtype.signed else data).astype(np.int64)
        planes = values.reshape(self.planes, self.plane_words, -1)
        plane, lane = np.nonzero(self.lanes >= 0)
        order = np.argsort(self.lanes[plane, lane], kind="stable")
        return planes[plane[order], :, lane[order]].T.reshape(-1)


def standard_lanes(channels: int, simd: int) -> IntArray:
    """Channels in their order, free lanes at the end."""
    count = -(-channels // simd) * simd
    lanes = np.arange(count)
    return np.where(lanes < channels, lanes, -1).reshape(-1, simd)


# --- What the host does to a frame -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class InputFold:
    """The taps of a kernel's row become channels of one pixel, so that a first layer of three channels fills words.

    Attributes:
        columns: of the kernel.
        stride, dilation: horizontal.
        pad: columns on the left.
        pad_value: code of the padding.
        width: columns of the folded frame.
    """

    columns: int
    stride: int
    dilation: int
    pad: int
    pad_value: int
    width: int

    def apply(self, frames: IntArray) -> IntArray:
        """(N, H, W, C) -> (N, H, width, columns * C)."""
        count, height, width, channels = frames.shape
        need = (self.width - 1) * self.stride + (self.columns - 1) * self.dilation + 1
        padded = np.full((count, height, max(need, self.pad + width), channels), self.pad_value, dtype=np.int64)
        padded[:, :, self.pad : self.pad + width] = frames
        at = np.arange(self.width)[:, None] * self.stride + np.arange(self.columns) * self.dilation
        return padded[:, :, at].reshape(count, height, self.width, self.columns * channels)


def fold_input(network: Network, shape: EngineShape) -> tuple[Network, InputFold | None]:
    """The network with a first convolution that reads a folded frame, where that takes fewer steps."""
    name = network.inputs[0]
    readers = network.consumers(name)
    if len(readers) != 1 or not isinstance(readers[0], Conv) or readers[0].groups != 1 or name in network.outputs:
        return network, None
    node, source = readers[0], network.tensors[name]
    rows, kernel_rows, kernel_columns, channels = node.weights.shape
    words = -(-channels // shape.simd)
    if -(-channels * kernel_columns // shape.simd) >= words * kernel_columns:
        return network, None
    width = network.output_of(node).shape[1]
    fold = InputFold(kernel_columns, node.strides[1], node.dilations[1], node.pads[1], node.pad_value, width)
    folded = replace(
        node,
        weights=node.weights.reshape(rows, kernel_rows, 1, kernel_columns * channels),
        strides=(node.strides[0], 1),
        pads=(node.pads[0], 0, node.pads[2], 0),
        dilations=(node.dilations[0], 1),
    )
    tensor = replace(source, shape=(source.shape[0], width, kernel_columns * channels), scale=np.array(1.0))
    result = replace(
        network,
        tensors=network.tensors | {name: tensor},
        nodes=[folded if one is node else one for one in network.nodes],
    )
    result.verify()
    return result, fold
