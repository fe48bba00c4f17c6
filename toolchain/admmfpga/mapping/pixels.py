"""Several pixels a cycle: pixels that lie beside each other taken as channels of one.

In NHWC order an image (H, W, C) and its *grouped* form (H, W/n, n*C) are the same stream. A convolution of one is a
convolution of the other whose filters stand there n times, shifted by a pixel each; taps beside a filter weigh nothing.
So the blocks are the same, only wider, and a window unit that takes a pixel of the grouped form takes n of the image.

Or the window unit alone is wider: each of its beats holds the windows of all results of a group side by side, and the
PE behind it, as it is for one pixel or for a few, takes them in turn (`spread_window`). Window unit and PE then each
work at the speed that the layer needs.

Where n does not divide W, each row is filled up to whole groups with the code that pads the image. What is filled in
reaches results only where padding would: as many windows fit as there are groups of results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from admmfpga.blocks import Window
from admmfpga.mapping.part import FilledRows, window_of
from admmfpga.network import Conv, MaxPool, Network, Node, Requantization, Tensor

PIXELS = (2, 3, 4, 6, 8, 12, 16)
"""Pixels beside each other that are tried."""


@dataclass(frozen=True)
class Spread:
    """A window unit on the grouped form.

    Attributes:
        width: of the kernel, in groups.
        pads: left and right, in groups.
        first: pixels of the leftmost group before the first tap.
        together: results that come out together.
    """

    width: int
    pads: tuple[int, int]
    first: int
    together: int


def spread(network: Network, node: Node, pixels: int) -> Spread | None:
    """The window unit that takes so many pixels of a convolution or pool at a time; None if that does not go."""
    source, output = network.input_of(node), network.output_of(node)
    if not isinstance(node, Conv | MaxPool) or node.dilations != (1, 1):
        return None
    if isinstance(node, Conv) and node.groups > 1:
        return None
    together, rest = divmod(pixels, node.strides[1])
    if rest or not together or output.shape[1] % together:
        return None
    left = -(-node.pads[1] // pixels)
    first = left * pixels - node.pads[1]
    width = -(-(first + (together - 1) * node.strides[1] + node.kernel[1]) // pixels)
    # As many windows as there are groups of results.
    right = output.shape[1] // together - _groups(source, pixels) - left + width - 1
    return Spread(width, (left, right), first, together) if 0 <= right < width else None


def able(network: Network, node: Node, pixels: int) -> bool:
    """Whether a pool or convolution can work on so many pixels of its input at a time, PE and all."""
    shape = spread(network, node, pixels)
    return shape is not None and (isinstance(node, MaxPool) or shape.together == pixels)


def filled_rows(network: Network, node: Node, pixels: int) -> FilledRows | None:
    """How rows are filled up in front of a layer that takes so many pixels at a time; None if they need not be."""
    source = network.input_of(node)
    if pixels == 1 or source.shape[1] % pixels == 0:
        return None
    assert isinstance(node, Conv | MaxPool), node
    fill = node.pad_value if isinstance(node, Conv) else source.dtype.min
    return FilledRows(source.shape[0], source.shape[1] * source.channels, pixels * source.channels, fill)


def grouped(network: Network, node: Conv, pixels: int) -> tuple[Network, Conv]:
    """The convolution on the grouped form of its tensors, in a network for itself; only if it is `able`.

    Args:
        network: without budgets.
    """
    source, output = network.input_of(node), network.output_of(node)
    shape = spread(network, node, pixels)
    assert shape is not None, node
    rows, kernel_h, kernel_w, channels = node.weights.shape
    weights = np.zeros((pixels, rows, kernel_h, shape.width * pixels, channels), dtype=np.int64)
    for pixel in range(pixels):
        # The leftmost tap of this pixel's filter, counted from the window's left edge.
        first = shape.first + pixel
        weights[pixel, :, :, first : first + kernel_w] = node.weights
    made = replace(
        node,
        weights=weights.reshape(pixels * rows, kernel_h, shape.width, pixels * channels),
        pads=(node.pads[0], shape.pads[0], node.pads[2], shape.pads[1]),
        requantization=repeated(node.requantization, pixels),
    )
    tensors = {tensor.name: _grouped(tensor, pixels) for tensor in (source, output)}
    return replace(network, nodes=[made], tensors=tensors, inputs=(source.name,), outputs=(output.name,)), made


def spread_window(network: Network, node: Conv | MaxPool, pixels: int, columns: Sequence[int] | None = None) -> Window:
    """The window unit of a layer on the grouped form of its input: a beat has the windows of all results that come out
    together, one after the other.

    Args:
        columns: of a window, as tap * channels + channel; None: for each tap the channels of all results.
    """
    source, shape = network.input_of(node), spread(network, node, pixels)
    assert shape is not None, node
    image, channels = _grouped(source, pixels), source.channels
    pad_value = node.pad_value if isinstance(node, Conv) else source.dtype.min
    window = window_of(
        image,
        (node.kernel[0], shape.width),
        (node.strides[0], 1),
        (node.pads[0], shape.pads[0], node.pads[2], shape.pads[1]),
        pad_value,
        image.channels,
    )
    if columns is None:
        taps, results, channel = np.indices((node.kernel[0] * node.kernel[1], shape.together, channels)).reshape(3, -1)
    else:
        results = np.repeat(np.arange(shape.together), len(columns))
        taps, channel = np.divmod(np.tile(np.array(columns), shape.together), channels)
    row, tap = np.divmod(taps, node.kernel[1])
    at = shape.first + results * node.strides[1] + tap
    lanes = ((row * shape.width + at // pixels) * pixels + at % pixels) * channels + channel
    if np.array_equal(lanes, np.arange(window.taps)):
        return window
    return replace(window, gather=(tuple(lanes.tolist()),))


def pool_pixels(node: MaxPool, pixels: int) -> int:
    """Pixels that come out of a pool together."""
    return pixels // node.strides[1]


def repeated(rule: Requantization, count: int) -> Requantization:
    """The rule for the channels of so many results."""
    return replace(rule, bias=np.tile(rule.bias, count), multiplier=np.tile(rule.multiplier, count))


def _groups(tensor: Tensor, pixels: int) -> int:
    return -(-tensor.shape[1] // pixels)


def _grouped(tensor: Tensor, pixels: int) -> Tensor:
    return replace(tensor, shape=(tensor.shape[0], _groups(tensor, pixels), tensor.channels * pixels))
