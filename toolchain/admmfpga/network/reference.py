"""Integer execution of a network in numpy: the definition of every result, bit for bit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from admmfpga.network.graph import Conv, Dense, Flatten, MaxPool, Network, Node, Rescale
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
    """Output codes of one node. Arrays are (N, *shape)."""
    x = inputs[0]
    match node:
        case Conv():
            windows = im2col(x, node.kernel, node.strides, node.pads, node.pad_value)
            return node.requantization.apply(exact_matmul(windows, node.matrix, source.dtype))
        case Dense():
            return node.requantization.apply(exact_matmul(x, node.matrix, source.dtype))
        case MaxPool():
            windows = im2col(x, node.kernel, node.strides, node.pads, source.dtype.min)
            taps = node.kernel[0] * node.kernel[1]
            best: IntArray = windows.reshape(*windows.shape[:-1], taps, x.shape[-1]).max(axis=-2)
            return best
        case Rescale():
            return node.requantization.apply(x)
        case Flatten():
            return x.reshape(len(x), source.elements)
    raise AssertionError(f"unknown node type {type(node).__name__}")


def im2col(
    x: IntArray, kernel: tuple[int, int], strides: tuple[int, int], pads: tuple[int, int, int, int], pad_value: int
) -> IntArray:
    """Windows of an image as GEMM columns: (N, H, W, C) -> (N, OH, OW, KH*KW*C), channels innermost."""
    top, left, bottom, right = pads
    if any(pads):
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=pad_value)
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))  # N, H', W', C, KH, KW
    view = view[:, :: strides[0], :: strides[1]].transpose(0, 1, 2, 4, 5, 3)
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
        if isinstance(node, Conv | MaxPool):
            columns = node.kernel[0] * node.kernel[1] * network.input_of(node).channels
        sizes.append(output.elements + output.elements // output.channels * columns)
    return 8 * max(sizes)
