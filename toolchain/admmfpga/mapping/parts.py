"""A layer and its folding -> the blocks that compute it.

What is built and what is priced are the same blocks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from admmfpga.blocks import Deal, Window
from admmfpga.mapping import other_layers
from admmfpga.mapping.folding import Folding
from admmfpga.mapping.gather import PADDING, Gather, KeptColumns, all_columns, balanced, kept_columns
from admmfpga.mapping.part import Part, output_part, window_of
from admmfpga.mapping.pixels import filled_rows, grouped, repeated, spread_window
from admmfpga.mapping.units import matrix_unit, numbers_of, takes_bipolar
from admmfpga.network import Budget, Conv, Dense, IntArray, IntType, Network, Node, Tensor
from admmfpga.packing import LaneLayout
from admmfpga.packing.lanes import batched


def parts(network: Network, node: Node, folding: Folding) -> list[Part]:
    """The blocks of one layer, in order; widths between them may differ (converters come between)."""
    if isinstance(node, Conv) and folding.pixels > 1:
        filled = filled_rows(network, node, folding.pixels)
        if folding.together:
            window, *rest = _spread(network, node, folding)
        else:
            window, *rest = parts(*grouped(network, node, folding.pixels), replace(folding, pixels=1))
        return [replace(window, filled=filled), *rest]
    source, output = network.input_of(node), network.output_of(node)
    match node:
        case Conv() if not node.depthwise:
            return _conv(node, source, output, folding, network.budgets.get(node.name))
        case Dense():
            return _dense(node, source, folding, network.budgets.get(node.name))
    return other_layers.parts(network, node, folding)


def _conv(node: Conv, source: Tensor, output: Tensor, folding: Folding, budget: Budget | None) -> list[Part]:
    positions = output.elements // output.channels
    window = window_of(source, node.kernel, node.strides, node.pads, node.pad_value, folding.channels)
    if kept := gathered_columns(node, folding):
        return _gathered(node, window, kept, source, positions, folding, budget)
    if is_pointwise(node):
        return _matrix(node, node.matrix, source, positions, folding, budget)
    matrix = by_channel_groups(node.matrix, node.kernel, window.groups)
    brought = [Part("window", window, {})]
    if folding.dealt:
        deal = deal_behind(window, folding)
        brought.append(Part("deal", deal, {}))
        matrix = in_order(matrix, deal.order())
    return [*brought, *_matrix(node, matrix, source, positions, folding, budget)]


def deal_behind(window: Window, folding: Folding) -> Deal:
    """What deals out some of a window unit's beats to the others, in beats that SIMD divides."""
    lanes, beats, stored = window.sink.lanes, window.groups, folding.dealt
    wide = lanes - (-stored * lanes // (beats - stored))
    rows, columns = window.positions
    return Deal(
        lanes=lanes,
        extra=-(-wide // folding.simd) * folding.simd - lanes,
        stored=stored,
        beats=beats,
        units=rows * columns,
        bits=window.bits,
        signed=window.signed,
    )


def in_order(matrix: IntArray, order: IntArray) -> IntArray:
    """Columns in another order, with zeros where it has `PADDING`."""
    found: IntArray = np.where(order == PADDING, 0, matrix[:, order])
    return found


def spread_columns(node: Conv, simd: int) -> Gather:
    """The columns of a result's window in the beats of a spread window unit.

    Args:
        simd: for one result; beats are filled up to a multiple.
    """
    kept = kept_columns(node) or all_columns(node.kernel[0] * node.kernel[1], node.weights.shape[-1])
    return kept.gather(node.weights.shape[-1], simd)


def _spread(network: Network, node: Conv, folding: Folding) -> list[Part]:
    """A PE for some results at a time behind a window unit that takes more pixels than that."""
    source, output, count = network.input_of(node), network.output_of(node), folding.together
    gather = spread_columns(node, folding.simd // count)
    window = spread_window(network, node, folding.pixels, gather.lists[0])
    # Each result's rows read its own window only.
    matrix = np.kron(np.eye(count, dtype=np.int64), gather.compact(node.matrix))
    node = replace(node, requantization=repeated(node.requantization, count))
    positions = output.elements // output.channels // count
    return [Part("window", window, {}), *_matrix(node, matrix, source, positions, folding, None)]


def by_channel_groups(matrix: IntArray, kernel: tuple[int, int], groups: int) -> IntArray:
    """Columns in the order in which a window unit brings them: channel group, kernel row, kernel column, channel."""
    split = matrix.reshape(len(matrix), kernel[0] * kernel[1], groups, -1).transpose(0, 2, 1, 3)
    return split.reshape(len(matrix), -1)


def _dense(node: Dense, source: Tensor, folding: Folding, budget: Budget | None) -> list[Part]:
    if kept := kept_columns(node):
        # The vector is an image of one pixel; the window unit drops what nobody reads.
        pixel = replace(source, shape=(1, 1, source.channels))
        window = window_of(pixel, (1, 1), (1, 1), (0, 0, 0, 0), 0, folding.channels)
        return _gathered(node, window, kept, source, 1, folding, budget)
    return _matrix(node, node.matrix, source, 1, folding, budget)


def _gathered(
    node: Conv | Dense,
    window: Window,
    kept: KeptColumns,
    source: Tensor,
    vectors: int,
    folding: Folding,
    budget: Budget | None,
) -> list[Part]:
    """A PE over kept columns only, and the window unit that brings them."""
    gather = gather_of(node, kept, folding)
    window = replace(window, gather=gather.lists)
    matrix = gather.compact(node.matrix)
    return [Part("window", window, {}), *_matrix(node, matrix, source, vectors, folding, budget)]


def gathered_columns(node: Conv | Dense, folding: Folding) -> KeptColumns | None:
    """The columns that a window unit gathers; None if it brings all of them in their order, or there is no such unit.

    For lanes that decode indices it gathers even where all columns are kept: beats are filled up where they do not
    divide by what the lanes take, and put in an order that gives all positions as much to do.
    """
    if kept := kept_columns(node):
        return kept
    if folding.layout is None:
        return filled_columns(node, folding)
    if not isinstance(node, Conv) or is_pointwise(node):
        return None
    every = all_columns(node.kernel[0] * node.kernel[1], node.weights.shape[-1])
    return every if gathers_for(every, folding.channels, folding.layout) and folding.layout.in_lanes > 1 else None


def gathers_for(columns: KeptColumns, channels: int, layout: LaneLayout) -> bool:
    """Whether a window unit with so many channels can bring columns in beats for a layout's lanes."""
    return columns.beats(channels, layout.in_lanes) is not None and columns.gathers(channels)


def gather_of(node: Conv | Dense, kept: KeptColumns, folding: Folding) -> Gather:
    """The gather list of a folding."""
    if folding.layout is None:
        return kept.gather(folding.channels, folding.simd)
    return balanced(kept.gather(folding.channels, folding.layout.in_lanes), node.matrix, folding.layout)


def stream_order(node: Conv | Dense, source: Tensor, folding: Folding) -> Callable[[IntArray], IntArray]:
    """What brings the columns of a (rows, columns) matrix into the order in which a layer's activations arrive.

    Args:
        node: whose weights decide which columns are kept, and in which order lanes take them.
    """
    if kept := gathered_columns(node, folding):
        return gather_of(node, kept, folding).compact
    if isinstance(node, Conv) and not is_pointwise(node):
        groups = source.channels // folding.channels
        if folding.dealt:
            window = window_of(source, node.kernel, node.strides, node.pads, node.pad_value, folding.channels)
            order = deal_behind(window, folding).order()
            return lambda matrix: in_order(by_channel_groups(matrix, node.kernel, groups), order)
        return lambda matrix: by_channel_groups(matrix, node.kernel, groups)
    return lambda matrix: matrix


def filled_columns(node: Node, folding: Folding) -> KeptColumns | None:
    """All columns as if they were kept ones, where SIMD does not divide what the window unit brings and beats have to
    be filled up; None where it does.
    """
    if not isinstance(node, Conv) or is_pointwise(node) or folding.kind != "dense" or folding.dealt:
        return None
    taps = node.kernel[0] * node.kernel[1]
    return all_columns(taps, node.weights.shape[-1]) if taps * folding.channels % folding.simd else None


def is_pointwise(node: Conv) -> bool:
    """1x1 kernel, stride 1, no padding: every pixel is a vector already, no window unit needed."""
    return node.kernel == (1, 1) and node.strides == (1, 1) and not any(node.pads)


def _matrix(
    node: Conv | Dense, matrix: IntArray, source: Tensor, vectors: int, folding: Folding, budget: Budget | None
) -> list[Part]:
    dtype, rule = source.dtype, node.requantization
    if dtype.bipolar and not takes_bipolar(folding.kind):
        assert budget is None, "bipolar activations have no budgets"
        # A bit b means 2b - 1: twice the weights over plain bits, less the sum of the weights.
        dtype, rule = IntType(1, signed=False), replace(rule, bias=rule.bias - matrix.sum(axis=1))
        matrix = 2 * matrix
    numbers = numbers_of(matrix, dtype, budget)
    elements = vectors * len(matrix)
    if folding.layout and folding.layout.batch > 1:
        matrix, vectors = batched(matrix, folding.layout.batch), vectors // folding.layout.batch
    unit = matrix_unit(matrix, dtype, vectors, folding, numbers)
    output = output_part(rule, numbers.accumulator, numbers.low, numbers.high, folding, elements, budget)
    return [Part("pe", unit, {"matrix": matrix}), output]
