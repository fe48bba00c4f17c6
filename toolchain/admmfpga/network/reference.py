"""Integer execution of a network in numpy: the definition of every result, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from admmfpga.network.graph import (
    Add,
    AveragePool,
    Concat,
    Conv,
    Dense,
    Flatten,
    LocalResponseNorm,
    Lookup,
    MaxPool,
    Multiply,
    Network,
    Node,
    Pad,
    Reorder,
    Rescale,
    Resize,
    padded_size,
    taps_inside,
    window_extent,
)
from admmfpga.network.ranges import accumulator_range
from admmfpga.network.types import IntArray, IntType, Tensor

CHUNK_BYTES = 1 << 27
"""Frames are run in chunks whose largest im2col matrix stays below this."""


def run(network: Network, frames: IntArray) -> IntArray:
    """Codes of the network's output for a batch of input codes.

    Args:
        network: with one input and one output.
        frames: (N, H, W, C) or (N, C) integers within the input's type.

    Returns:
        (N, *output shape) integers.
    """
    return run_all(network, frames, keep=network.outputs)[network.outputs[0]]


def run_all(network: Network, frames: IntArray, keep: tuple[str, ...] | None = None) -> dict[str, IntArray]:
    """As `run`, but returns the tensors named in `keep` (all if None) by name.

    Raises:
        ValueError: if the frames do not have the input's shape or leave its range.
    """
    source = network.tensors[network.inputs[0]]
    if frames.shape[1:] != source.shape:
        raise ValueError(f"frames of shape {frames.shape[1:]} where the network takes {source.shape}")
    if frames.size and (frames.min() < source.dtype.min or frames.max() > source.dtype.max):
        raise ValueError(f"input codes leave the range of {source.dtype}")
    wanted = tuple(network.tensors) if keep is None else keep
    chunk = max(1, CHUNK_BYTES // _largest_matrix_bytes(network))
    parts = [_run_chunk(network, frames[i : i + chunk], wanted) for i in range(0, max(1, len(frames)), chunk)]
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}


def _run_chunk(network: Network, frames: IntArray, wanted: tuple[str, ...]) -> dict[str, IntArray]:
    values: dict[str, IntArray] = {network.inputs[0]: frames.astype(np.int64)}
    for node in network.nodes:
        values[node.output] = run_node(node, [values[name] for name in node.inputs], network.input_of(node))
    return {name: values[name] for name in wanted}


def run_node(node: Node, inputs: list[IntArray], source: Tensor) -> IntArray:
    """Output codes of one node. Arrays are (N, *shape).

    Args:
        source: the node's first input.
    """
    x = inputs[0]
    match node:
        case Conv():
            return node.requantization.apply(_convolution(x, node, source.dtype))
        case Dense():
            return node.requantization.apply(exact_matmul(source.dtype.values(x), node.matrix, source.dtype))
        case MaxPool():
            best: IntArray = np.maximum.reduce(
                list(_taps(x, node.kernel, node.strides, node.pads, node.dilations, source.dtype.min))
            )
            return best
        case AveragePool():
            return _average(x, node, source)
        case Add():
            total = sum(factor * codes for factor, codes in zip(node.multipliers, inputs, strict=True))
            return node.requantization.apply(np.asarray(total))
        case Multiply():
            first, second = (codes - zero for codes, zero in zip(inputs, node.zero_points, strict=True))
            return node.requantization.apply(first * second)
        case Lookup():
            entries = x - source.dtype.min
            if len(node.table) == 1:
                return np.asarray(node.table[0][entries])
            return np.asarray(node.table[np.arange(len(node.table)), entries])
        case LocalResponseNorm():
            return _local_response(x, node)
        case Concat():
            return np.concatenate(inputs, axis=node.axis + 1)
        case Pad():
            return _padded(x, node)
        case Resize():
            return x.repeat(node.factors[0], axis=1).repeat(node.factors[1], axis=2)
        case Reorder():
            return x.reshape(len(x), -1)[:, node.index].reshape(len(x), *node.shape)
        case Rescale():
            return node.requantization.apply(x)
        case Flatten():
            return x.reshape(len(x), source.elements)
    raise AssertionError(f"unknown node type {type(node).__name__}")


def _convolution(codes: IntArray, node: Conv, source: IntType) -> IntArray:
    """Accumulators, (N, OH, OW, O)."""
    x, pad_value = source.values(codes), int(source.values(np.array(node.pad_value)))
    rows, columns = node.weights.shape[0], node.weights.shape[3]
    if node.depthwise:
        acc: IntArray = np.zeros(1, dtype=np.int64)
        filters = node.weights.reshape(node.groups, rows // node.groups, -1)
        for tap, view in enumerate(_taps(x, node.kernel, node.strides, node.pads, node.dilations, pad_value)):
            acc = acc + view[..., None] * filters[:, :, tap]
        return acc.reshape(*acc.shape[:3], rows)
    parts = []
    for group in range(node.groups):
        channels = x[..., group * columns : (group + 1) * columns]
        matrix = node.matrix[group * rows // node.groups : (group + 1) * rows // node.groups]
        windows = im2col(channels, node.kernel, node.strides, node.pads, pad_value, node.dilations)
        parts.append(exact_matmul(windows, matrix, source))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def _average(x: IntArray, node: AveragePool, source: Tensor) -> IntArray:
    taps = _taps(x, node.kernel, node.strides, node.pads, node.dilations, node.pad_value)
    acc = np.asarray(sum(taps))
    if not node.edge_multipliers:
        return node.requantization.apply(acc)
    inside = taps_inside((source.shape[0], source.shape[1]), node)
    multiplier = np.empty((*inside.shape, source.channels), dtype=np.int64)
    for count in np.unique(inside):
        multiplier[inside == count] = node.edge_multipliers.get(int(count), node.requantization.multiplier)
    return node.requantization.apply(acc, multiplier)


def _local_response(x: IntArray, node: LocalResponseNorm) -> IntArray:
    squares = np.square(x - node.zero_point)
    energy = np.zeros_like(squares)
    channels = x.shape[-1]
    for distance in range(-node.before, node.after + 1):
        first, last = max(0, -distance), min(channels, channels - distance)
        if first < last:
            energy[..., first:last] += squares[..., first + distance : last + distance]
    entry = np.minimum(energy >> node.table_shift, len(node.table) - 1)
    return node.requantization.apply(x, node.table[entry])


def _padded(x: IntArray, node: Pad) -> IntArray:
    height, width = padded_size((x.shape[1], x.shape[2]), node.pads, node.spacing)
    result = np.full((len(x), height, width, x.shape[3]), node.pad_value, dtype=np.int64)
    top, left, bottom, right = node.pads
    result[:, top : height - bottom : node.spacing[0], left : width - right : node.spacing[1]] = x
    return result


def _taps(
    x: IntArray,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    dilations: tuple[int, int],
    pad_value: int,
) -> Iterator[IntArray]:
    """Tap by tap, the pixels that all windows have there: kernel rows times columns arrays (N, OH, OW, C)."""
    top, left, bottom, right = pads
    if any(pads):
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=pad_value)
    extent = window_extent(kernel, dilations)
    rows, columns = x.shape[1] - extent[0] + 1, x.shape[2] - extent[1] + 1
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            y, z = i * dilations[0], j * dilations[1]
            yield x[:, y : y + rows : strides[0], z : z + columns : strides[1]]


def im2col(
    x: IntArray,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    pad_value: int,
    dilations: tuple[int, int] = (1, 1),
) -> IntArray:
    """Windows of an image as GEMM columns: (N, H, W, C) -> (N, OH, OW, KH*KW*C), channels innermost."""
    top, left, bottom, right = pads
    if any(pads):
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=pad_value)
    extent = window_extent(kernel, dilations)
    view = np.lib.stride_tricks.sliding_window_view(x, extent, axis=(1, 2))  # N, H', W', C, KH, KW
    view = view[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]].transpose(0, 1, 2, 4, 5, 3)
    return view.reshape(*view.shape[:3], -1)


def exact_matmul(x: IntArray, matrix: IntArray, source: IntType) -> IntArray:
    """x @ matrix.T in exact integer arithmetic, through BLAS.

    Products of small integers are exact in floating point as long as no partial sum can leave the significand:
    2**24 for float32, 2**53 for float64. Partial sums are bounded by the worst case of the weights.
    """
    low, high = accumulator_range(matrix, source)
    bound = max(int(-low.min()), int(high.max()), 1)
    if bound < 2**24:
        dtype: type[np.floating] = np.float32
    elif bound < 2**53:
        dtype = np.float64
    else:
        return x @ matrix.T
    product: npt.NDArray[np.floating] = x.astype(dtype) @ matrix.T.astype(dtype)
    return product.astype(np.int64)


def _largest_matrix_bytes(network: Network) -> int:
    sizes = [network.tensors[network.inputs[0]].elements]
    for node in network.nodes:
        output = network.output_of(node)
        columns = 1
        if isinstance(node, Conv) and not node.depthwise:
            columns = node.matrix.shape[1]
        sizes.append(output.elements + output.elements // output.channels * columns)
    return 8 * max(sizes)
