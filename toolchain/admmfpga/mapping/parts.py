"""A layer and its folding -> the blocks that compute it.

What is built and what is priced are the same blocks.
"""

from __future__ import annotations

from dataclasses import replace

from admmfpga.blocks import Window
from admmfpga.mapping import other_layers
from admmfpga.mapping.folding import Folding
from admmfpga.mapping.gather import KeptColumns, kept_columns
from admmfpga.mapping.part import Part, output_part, window_of
from admmfpga.mapping.units import matrix_unit, takes_bipolar
from admmfpga.network import Conv, Dense, IntArray, IntType, Network, Node, Tensor
from admmfpga.network.ranges import accumulator_range, accumulator_type


def parts(network: Network, node: Node, folding: Folding) -> list[Part]:
    """The blocks of one layer, in order; widths between them may differ (converters come between)."""
    source, output = network.input_of(node), network.output_of(node)
    match node:
        case Conv() if not node.depthwise:
            return _conv(node, source, output, folding)
        case Dense():
            return _dense(node, source, folding)
    return other_layers.parts(network, node, folding)


def _conv(node: Conv, source: Tensor, output: Tensor, folding: Folding) -> list[Part]:
    positions = output.elements // output.channels
    window = window_of(source, node.kernel, node.strides, node.pads, node.pad_value, folding.channels)
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
        window = window_of(pixel, (1, 1), (1, 1), (0, 0, 0, 0), 0, folding.channels)
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
    dtype, rule = source.dtype, node.requantization
    if dtype.bipolar and not takes_bipolar(folding.kind):
        # A bit b means 2b - 1: twice the weights over plain bits, less the sum of the weights.
        dtype, rule = IntType(1, signed=False), replace(rule, bias=rule.bias - matrix.sum(axis=1))
        matrix = 2 * matrix
    accumulator = accumulator_type(matrix, dtype)
    unit = matrix_unit(matrix, dtype, vectors, folding)
    low, high = accumulator_range(matrix, dtype)
    output = output_part(rule, accumulator, low, high, folding, vectors * len(matrix))
    return [Part("pe", unit, {"matrix": matrix}), output]
