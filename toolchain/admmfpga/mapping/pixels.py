"""Several pixels a cycle: pixels that lie beside each other taken as channels of one.

In NHWC order an image (H, W, C) and its *grouped* form (H, W/n, n*C) are the same stream. A convolution of one is a
convolution of the other whose filters stand there n times, shifted by a pixel each; taps beside a filter weigh nothing.
So the blocks are the same, only wider, and a window unit that takes a pixel of the grouped form takes n of the image.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from admmfpga.blocks import Window
from admmfpga.mapping.part import window_of
from admmfpga.network import Conv, MaxPool, Network, Node, Requantization, Tensor

PIXELS = (2, 4, 8)
"""Pixels beside each other that are tried."""


def able(network: Network, node: Node, pixels: int) -> bool:
    """Whether a layer can work on so many pixels of its input at a time."""
    source, output = network.input_of(node), network.output_of(node)
    if not isinstance(node, Conv | MaxPool) or node.dilations != (1, 1) or source.shape[1] % pixels:
        return False
    if isinstance(node, MaxPool):
        return not any(node.pads[1::2]) and _pooled(node, source, output, pixels) is not None
    plain = node.groups == 1 and node.strides[1] == 1 and output.shape[1] % pixels == 0
    return plain and _pads(node, source, output, pixels)[1] >= 0


def grouped(network: Network, node: Conv, pixels: int) -> tuple[Network, Conv]:
    """The convolution on the grouped form of its tensors, in a network for itself; only if it is `able`.

    Args:
        network: without budgets.
    """
    source, output = network.input_of(node), network.output_of(node)
    left, right = _pads(node, source, output, pixels)
    rows, kernel_h, kernel_w, channels = node.weights.shape
    width = _kernel_width(node, pixels)
    weights = np.zeros((pixels, rows, kernel_h, width * pixels, channels), dtype=np.int64)
    for pixel in range(pixels):
        # The leftmost tap of this pixel's filter, counted from the window's left edge.
        first = left * pixels - node.pads[1] + pixel
        weights[pixel, :, :, first : first + kernel_w] = node.weights
    made = replace(
        node,
        weights=weights.reshape(pixels * rows, kernel_h, width, pixels * channels),
        pads=(node.pads[0], left, node.pads[2], right),
        requantization=_repeated(node.requantization, pixels),
    )
    tensors = {tensor.name: _grouped(tensor, pixels) for tensor in (source, output)}
    return replace(network, nodes=[made], tensors=tensors, inputs=(source.name,), outputs=(output.name,)), made


def pool_window(network: Network, node: MaxPool, pixels: int) -> Window:
    """The window unit of a pool on the grouped form: for each tap the channels of all pixels that come out together."""
    source, output = network.input_of(node), network.output_of(node)
    shape = _pooled(node, source, output, pixels)
    assert shape is not None, node
    width, together = shape
    image, channels = _grouped(source, pixels), source.channels
    window = window_of(
        image,
        (node.kernel[0], width),
        (node.strides[0], 1),
        (node.pads[0], 0, node.pads[2], 0),
        source.dtype.min,
        image.channels,
    )
    row, tap, pixel, channel = np.indices((node.kernel[0], node.kernel[1], together, channels)).reshape(4, -1)
    at = pixel * node.strides[1] + tap
    lanes = ((row * width + at // pixels) * pixels + at % pixels) * channels + channel
    if np.array_equal(lanes, np.arange(window.taps)):
        return window
    return replace(window, gather=(tuple(lanes.tolist()),))


def pool_pixels(node: MaxPool, pixels: int) -> int:
    """Pixels that come out of a pool together."""
    return pixels // node.strides[1]


def _pooled(node: MaxPool, source: Tensor, output: Tensor, pixels: int) -> tuple[int, int] | None:
    """Width of a pool's kernel on the grouped form, and the pixels that come out together; None if that does not go."""
    together, rest = divmod(pixels, node.strides[1])
    if rest or not together or output.shape[1] % together:
        return None
    width = -(-((together - 1) * node.strides[1] + node.kernel[1]) // pixels)
    # The grouped form has as many windows as there are groups of results.
    fits = source.shape[1] // pixels - width + 1 == output.shape[1] // together
    return (width, together) if fits else None


def _kernel_width(node: Conv, pixels: int) -> int:
    """Of the grouped form: as many groups as the filters of all pixels touch."""
    left = -(-node.pads[1] // pixels)
    return -(-(left * pixels - node.pads[1] + pixels - 1 + node.kernel[1]) // pixels)


def _pads(node: Conv, source: Tensor, output: Tensor, pixels: int) -> tuple[int, int]:
    """Left and right padding of the grouped form; negative to the right if the image is wider than what is read."""
    left = -(-node.pads[1] // pixels)
    return left, (output.shape[1] - source.shape[1]) // pixels + _kernel_width(node, pixels) - 1 - left


def _grouped(tensor: Tensor, pixels: int) -> Tensor:
    height, width, channels = tensor.shape
    return replace(tensor, shape=(height, width // pixels, channels * pixels))


def _repeated(rule: Requantization, pixels: int) -> Requantization:
    return replace(rule, bias=np.tile(rule.bias, pixels), multiplier=np.tile(rule.multiplier, pixels))
