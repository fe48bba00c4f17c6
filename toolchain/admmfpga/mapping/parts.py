"""A layer and its folding -> the blocks that compute it.

What is built and what is priced are the same blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm

import numpy as np

from admmfpga.blocks import Block, MaxPool, Port, Requantize, Threshold, WidthConverter, Window
from admmfpga.mapping.folding import Folding
from admmfpga.mapping.gather import KeptColumns, kept_columns
from admmfpga.mapping.units import matrix_unit, takes_bipolar
from admmfpga.network import Conv, Dense, IntArray, IntType, Network, Node, Requantization, Rescale, Tensor
from admmfpga.network import MaxPool as MaxPoolNode
from admmfpga.network.ranges import accumulator_range, accumulator_type, sum_type


@dataclass(frozen=True, eq=False)
class Part:
    """A block of a layer, before it is wired: name suffix, parameters, memory contents."""

    suffix: str
    block: Block
    contents: dict[str, IntArray]


def parts(network: Network, node: Node, folding: Folding) -> list[Part]:
    """The blocks of one layer, in order; widths between them may differ (`chain` puts converters in)."""
    source, output = network.input_of(node), network.output_of(node)
    match node:
        case Conv():
            return _conv(node, source, output, folding)
        case Dense():
            return _dense(node, source, folding)
        case MaxPoolNode():
            window = window_of(source, node.kernel, node.strides, node.pads, source.dtype.min, folding.channels)
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
            return [_output(node.requantization, source.dtype, low, high, folding, source.elements)]
    raise AssertionError(f"no hardware for {node.op}")


def window_of(
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
    output = _output(rule, accumulator, low, high, folding, vectors * len(matrix))
    return [Part("pe", unit, {"matrix": matrix}), output]


def may_threshold(rule: Requantization) -> bool:
    """Whether comparisons can stand for a requantization: outputs of at most 4 bits, and more than one code."""
    return rule.dtype.bits <= 4 and rule.low < rule.high


def _output(
    rule: Requantization, source: IntType, low: IntArray, high: IntArray, folding: Folding, elements: int
) -> Part:
    """From accumulators to codes.

    Args:
        source: type of the accumulators.
        low, high: (C,) their range.
        elements: of a frame.
    """
    if not folding.thresholds:
        return _requantize(rule, source, low, high, folding.pe, elements)
    found = rule.thresholds(low, high)
    channels, count = found.shape
    block = Threshold(
        lanes=folding.pe,
        groups=channels // folding.pe,
        positions=elements // channels,
        in_bits=source.bits,
        in_signed=source.signed,
        count=count,
        threshold_bits=IntType.signed_holding(int(found.min()), int(found.max())).bits,
        low=rule.low,
        out_bits=rule.dtype.bits,
        out_signed=rule.dtype.signed,
    )
    return Part("threshold", block, {"thresholds": found})


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


def elements_of(block: Block) -> int:
    """Codes that a block gives per frame, padding of beats included."""
    return block.beats_out * block.sink.lanes
