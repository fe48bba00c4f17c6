"""Operators with weights: convolutions and matrix products."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, prod

import numpy as np

from admmfpga.frontend.context import Image, NodeView, as_int, check_weights, dequantized
from admmfpga.frontend.layers import WeightLayer
from admmfpga.frontend.operators.quantization import zero_points
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.values import Affine, Codes, Const, QuantConst, Value, is_permutation
from admmfpga.network import IntArray
from admmfpga.network.graph import window_extent, window_positions
from admmfpga.network.ranges import signed_sums
from admmfpga.network.types import FloatArray

Pads = tuple[int, int, int, int]

LARGEST_EXPANSION = 1 << 26
"""Weights that a 3-D convolution may have as a 2-D one."""


@dataclass(frozen=True)
class WindowShape:
    """Geometry of a convolution or pooling in two dimensions.

    Attributes:
        kernel, strides, dilations: (vertical, horizontal).
        pads: (top, left, bottom, right).
        counted: the part of the padding that the model itself declares; rounding up adds more.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: Pads
    counted: Pads

    @property
    def extent(self) -> tuple[int, int]:
        return window_extent(self.kernel, self.dilations)

    def positions(self, size: tuple[int, int]) -> tuple[int, int]:
        return window_positions(size, self.extent, self.strides, self.pads)


def _pair(node: NodeView, name: str, rank: int, default: int = 1) -> tuple[int, int]:
    values = [int(v) for v in node.attribute(name, [default] * (rank - 2))]
    if len(values) != rank - 2:
        raise Unsupported(f"{name} {values} for a tensor of {rank} dimensions")
    return (values[0], values[1]) if rank == 4 else (1, values[0])


def window(node: NodeView, size: tuple[int, int], kernel: tuple[int, int], rank: int) -> WindowShape:
    """Strides, dilations and pads of a convolution or pooling.

    Args:
        size: (H, W) of the image.
        kernel: (KH, KW).
        rank: of the ONNX tensor; 3 means a sequence, which is an image of one row.
    """
    strides, dilations = _pair(node, "strides", rank), _pair(node, "dilations", rank)
    if min(strides) < 1 or min(dilations) < 1 or min(kernel) < 1:
        raise Unsupported(f"strides {strides}, dilations {dilations}, kernel {kernel}", "they must be positive")
    mode = node.attribute("auto_pad", "NOTSET")
    extent = window_extent(kernel, dilations)
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        sums = [max((ceil(n / s) - 1) * s + k - n, 0) for n, s, k in zip(size, strides, extent, strict=True)]
        less, more = [n // 2 for n in sums], [n - n // 2 for n in sums]
        before, after = (less, more) if mode == "SAME_UPPER" else (more, less)
        pads = (before[0], before[1], after[0], after[1])
    elif mode == "VALID":
        pads = (0, 0, 0, 0)
    elif mode == "NOTSET":
        given = [int(p) for p in node.attribute("pads", [0] * (2 * rank - 4))]
        if len(given) != 2 * rank - 4 or min(given) < 0:
            raise Unsupported(f"pads {given}", "negative padding is not possible; crop with Slice")
        pads = (given[0], given[1], given[2], given[3]) if rank == 4 else (0, given[0], 0, given[1])
    else:
        raise Unsupported(f"auto_pad={mode}", "use explicit pads")
    counted = pads
    if int(node.attribute("ceil_mode", 0)) and mode == "NOTSET":
        bottom, right = (_ceil_pad(size[i], extent[i], strides[i], pads[i], pads[i + 2]) for i in (0, 1))
        pads = (pads[0], pads[1], bottom, right)
    for i in (0, 1):
        if size[i] + pads[i] + pads[i + 2] < extent[i]:
            raise Unsupported(f"kernel {list(extent)} is larger than the padded image {list(size)}")
    return WindowShape(kernel, strides, dilations, pads, counted)


def _ceil_pad(size: int, kernel: int, stride: int, before: int, after: int) -> int:
    """Padding at the end that gives as many windows as rounding up does, dropping one that starts in the padding."""
    count = -(-(size + before + after - kernel) // stride) + 1
    if (count - 1) * stride >= size + before:
        count -= 1
    return max((count - 1) * stride + kernel - size - before, 0)


def one_number(codes: IntArray) -> bool:
    """Whether each output's weights are one number, as the stand-ins of a rehearsal are, and take no memory."""
    return not any(codes.strides[1:])


# Convolutions


def conv(node: NodeView) -> Value:
    weights = node.weights(1, 0)
    bias = node.constant(2, "bias").ravel() if node.has(2) else np.zeros(len(weights.codes))
    return convolution(node, node.activation(0), weights, bias)


def conv_integer(node: NodeView) -> Value:
    return convolution(node, _integer_input(node, 2), _integer_weights(node, 3), None)


def convolution(node: NodeView, x: Affine, weights: QuantConst, bias: FloatArray | None) -> Affine:
    """A convolution of a quantized value."""
    codes = weights.codes
    if codes.ndim == 5:
        return _convolution_3d(node, x, weights, bias)
    if codes.ndim not in (3, 4) or codes.ndim != x.positions.ndim:
        raise Unsupported(
            f"a convolution over {codes.ndim - 2} dimensions of a tensor of shape {x.positions.shape}",
            "only 1-D, 2-D and 3-D convolutions are possible",
        )
    if codes.ndim == 3:
        codes = codes[:, :, None, :]
    scale = _per_output(weights, 0)
    groups = int(node.attribute("group", 1))
    rows, columns = codes.shape[:2]
    if groups < 1 or rows % groups or x.positions.shape[1] != columns * groups:
        raise Unsupported(f"weights for {columns} channels in {groups} groups on {x.positions.shape[1]} channels")
    kernel = (codes.shape[2], codes.shape[3])
    if list(node.attribute("kernel_shape", kernel[-(weights.codes.ndim - 2) :])) != list(weights.codes.shape[2:]):
        raise Unsupported("kernel_shape contradicts the weights' shape")
    image = node.image(x, any_order=groups == 1 or columns == 1)
    shape = window(node, image.size, kernel, image.rank)
    bias = np.zeros(rows) if bias is None else bias
    if bias.size != rows:
        raise Unsupported(f"{bias.size} biases for {rows} channels")
    return placed_convolution(node, image, codes, scale, bias, shape, groups)


def placed_convolution(
    node: NodeView,
    image: Image,
    codes: IntArray,
    scale: FloatArray,
    bias: FloatArray,
    shape: WindowShape,
    groups: int,
) -> Affine:
    """A convolution whose geometry is known.

    Args:
        codes: (O, I / groups, KH, KW).
        scale: () or (O,) of the weights.
        bias: (O,) real.
    """
    x, rows = image.value, len(codes)
    scale = np.broadcast_to(scale, (rows,))
    out_order: IntArray | None = None
    inverse = np.argsort(image.order)
    in_order = np.array_equal(inverse, np.arange(len(inverse)))
    if groups == 1 and not one_number(codes) and not in_order:
        codes = codes[:, inverse]
    elif groups > 1 and not np.array_equal(inverse, np.arange(len(inverse))):
        # Depthwise: the filters follow their channels.
        each = rows // groups
        source = (inverse[:, None] * each + np.arange(each)).ravel()
        codes, scale, bias = codes[source], scale[source], bias[source]
        out_order = np.argsort(source)
    x, pads, pad_value = bordered(node, x, shape, "a convolution")
    ordered, sums = node.context.remembered("ordered", node.output, lambda: _summed(codes.transpose(0, 2, 3, 1)))
    layer = WeightLayer(
        node.proto.name,
        (x.tensor,),
        node.output,
        ordered,
        sums,
        shape.strides,
        pads,
        pad_value,
        groups,
        shape.dilations,
    )
    result = (*shape.positions(image.size), rows)
    return _layer_value(x, layer, result, image.positions(result, out_order), scale, bias)


def bordered(node: NodeView, x: Affine, shape: WindowShape, what: str) -> tuple[Affine, Pads, int]:
    """The image, with a Pad of its own where the padding reaches beyond the window; pads, and the code of zero."""
    if not any(shape.pads):
        return x, shape.pads, 0
    code = zero_code(node, x, f"{what} with padding")
    if all(max(shape.pads[i], shape.pads[i + 2]) < shape.extent[i] for i in (0, 1)):
        return x, shape.pads, code
    tensor = node.builder.padded(x.tensor, shape.pads, code)
    return replace(x, tensor=tensor, shape=node.builder.tensor(tensor).shape), (0, 0, 0, 0), 0


def zero_code(node: NodeView, x: Affine, what: str) -> int:
    """The code of a quantized value that means zero.

    Args:
        what: needs it.
    """
    dtype, zero_point = node.builder.tensor(x.tensor).dtype, -int(x.correction[0])
    code = dtype.code(zero_point)
    if code is None and dtype.bipolar:
        raise Unsupported(
            f"{what} of activations -1 and +1, of which none is zero", "leave out padding, or pad with -1 by a Pad node"
        )
    if code is None:
        raise Unsupported(
            f"{what}, where zero point {zero_point} is not a code of {dtype}", "check how the model was quantized"
        )
    return code


def _convolution_3d(node: NodeView, x: Affine, weights: QuantConst, bias: FloatArray | None) -> Affine:
    if x.positions.ndim != 5:
        raise Unsupported(f"a convolution over 3 dimensions of a tensor of shape {x.positions.shape}")
    return convolution_3d(node, x, weights, bias, int(node.attribute("group", 1)))


def convolution_3d(node: NodeView, x: Affine, weights: QuantConst, bias: FloatArray | None, groups: int) -> Affine:
    """As a convolution over images whose channels are those of all depths; weights between them are mostly zero.

    Args:
        x: (1, C, D, H, W).
        weights: (O, C / groups, KD, KH, KW).
    """
    codes, scale = weights.codes, _per_output(weights, 0)
    rows, columns, kernel = codes.shape[0], codes.shape[1], codes.shape[2:]
    _, channels, depth, height, width = x.positions.shape
    if groups < 1 or rows % groups or channels != columns * groups:
        raise Unsupported(f"weights for {columns} channels in {groups} groups on {channels} channels")
    if node.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise Unsupported("auto_pad over 3 dimensions", "use explicit pads")
    attributes = [list(node.attribute(name, [1, 1, 1])) for name in ("strides", "dilations")]
    pads = list(node.attribute("pads", [0] * 6))
    if [len(a) for a in (*attributes, pads)] != [3, 3, 6] or min(*pads, 0) < 0 or min(map(min, attributes)) < 1:
        raise Unsupported(f"strides {attributes[0]}, dilations {attributes[1]}, pads {pads}")
    strides, dilations = attributes
    depths = (depth + pads[0] + pads[3] - (kernel[0] - 1) * dilations[0] - 1) // strides[0] + 1
    if depths < 1:
        raise Unsupported(f"kernel {list(kernel)} is larger than the padded volume")
    if rows * depths * channels * depth * kernel[1] * kernel[2] > LARGEST_EXPANSION:
        raise Unsupported("a 3-D convolution that is too large as a 2-D one", "use a 2-D network")
    flat = np.zeros((rows, depths, channels, depth, kernel[1], kernel[2]), dtype=np.int64)
    for row in range(rows):
        first = row // (rows // groups) * columns
        for out in range(depths):
            for tap in range(kernel[0]):
                at = out * strides[0] + tap * dilations[0] - pads[0]
                if 0 <= at < depth:
                    flat[row, out, first : first + columns, at] = codes[row, :, tap]
    image = node.image(replace(x, positions=x.positions.reshape(1, channels * depth, height, width)), any_order=True)
    pads_2d = (pads[1], pads[2], pads[4], pads[5])
    shape = WindowShape(
        (kernel[1], kernel[2]), (strides[1], strides[2]), (dilations[1], dilations[2]), pads_2d, pads_2d
    )
    if min(shape.positions((height, width))) < 1:
        raise Unsupported(f"kernel {list(kernel)} is larger than the padded volume")
    if bias is not None and bias.size != rows:
        raise Unsupported(f"{bias.size} biases for {rows} channels")
    spread = [np.repeat(np.broadcast_to(v, (rows,)), depths) for v in (scale, np.zeros(rows) if bias is None else bias)]
    value = placed_convolution(
        node,
        image,
        flat.reshape(rows * depths, channels * depth, kernel[1], kernel[2]),
        spread[0],
        spread[1],
        shape,
        1,
    )
    return replace(value, positions=value.positions.reshape(1, rows, depths, *value.positions.shape[2:]))


def conv_transpose(node: NodeView) -> Value:
    """As a convolution over an image with gaps between its pixels."""
    groups = int(node.attribute("group", 1))
    weights = node.weights(1, 1 if groups == 1 else None)
    codes = weights.codes
    rank = codes.ndim
    x = node.activation(0)
    if rank not in (3, 4) or rank != x.positions.ndim:
        raise Unsupported(f"a transposed convolution over {rank - 2} dimensions", "only 1-D and 2-D are possible")
    if rank == 3:
        codes = codes[:, :, None, :]
    if groups < 1 or codes.shape[0] % groups or codes.shape[0] != x.positions.shape[1]:
        raise Unsupported(f"weights for {codes.shape[0]} channels on an image of {x.positions.shape[1]}")
    strides, dilations = _pair(node, "strides", rank), _pair(node, "dilations", rank)
    extra = _pair(node, "output_padding", rank, 0)
    kernel = (codes.shape[2], codes.shape[3])
    extent = window_extent(kernel, dilations)
    image = node.image(x)
    full = [(n - 1) * s + e + o for n, s, e, o in zip(image.size, strides, extent, extra, strict=True)]
    if min(strides) < 1 or min(dilations) < 1 or min(extra) < 0:
        raise Unsupported(f"strides {strides}, dilations {dilations}, output_padding {extra}")
    crop = _transposed_pads(node, full, strides, image.size, rank)
    scale = _per_output(weights, 1)
    each = codes.shape[1]
    rows = each * groups
    grouped = codes.reshape(groups, codes.shape[0] // groups, each, *kernel).transpose(0, 2, 1, 3, 4)[..., ::-1, ::-1]
    value = image.value
    if strides != (1, 1) or any(extra):
        code = zero_code(node, value, "a transposed convolution")
        tensor = node.builder.padded(value.tensor, (0, 0, extra[0], extra[1]), code, strides)
        value = replace(value, tensor=tensor, shape=node.builder.tensor(tensor).shape)
        image = replace(image, value=value)
    # Cropping less than the kernel's reach is less padding; cropping more cuts the result.
    border = [e - 1 - c for e, c in zip((*extent, *extent), crop, strict=True)]
    pads = (max(border[0], 0), max(border[1], 0), max(border[2], 0), max(border[3], 0))
    shape = WindowShape(kernel, (1, 1), dilations, pads, pads)
    if min(shape.positions(image.size)) < 1:
        raise Unsupported("its output is empty")
    bias = node.constant(2, "bias").ravel() if node.has(2) else np.zeros(rows)
    if bias.size != rows:
        raise Unsupported(f"{bias.size} biases for {rows} channels")
    result = placed_convolution(
        node, image, grouped.reshape(rows, codes.shape[0] // groups, *kernel), scale, bias, shape, groups
    )
    positions = result.positions.reshape(1, rows, *result.shape[:2])
    cut = [max(-b, 0) for b in border]
    positions = positions[:, :, cut[0] : result.shape[0] - cut[2], cut[1] : result.shape[1] - cut[3]]
    if positions.size == 0:
        raise Unsupported("its output is empty")
    return replace(result, positions=positions if rank == 4 else positions[:, :, 0])


def _transposed_pads(
    node: NodeView, full: list[int], strides: tuple[int, int], size: tuple[int, int], rank: int
) -> Pads:
    """(top, left, bottom, right) that a transposed convolution cuts off its full result."""
    mode = node.attribute("auto_pad", "NOTSET")
    wanted = [int(v) for v in node.attribute("output_shape", [])]
    if not wanted and mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [n * s for n, s in zip(size, strides, strict=True)][-(rank - 2) :]
    if wanted:
        wanted = wanted[-(rank - 2) :]
        if rank == 3:
            wanted = [1, *wanted]
        totals = [n - w for n, w in zip(full, wanted, strict=True)]
        if min(totals) < 0:
            raise Unsupported(f"output_shape {wanted} is larger than the result {full}", "use output_padding")
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        before, after = (small, large) if mode == "SAME_UPPER" else (large, small)
        return before[0], before[1], after[0], after[1]
    given = [int(p) for p in node.attribute("pads", [0] * (2 * rank - 4))] if mode == "NOTSET" else [0] * (2 * rank - 4)
    if len(given) != 2 * rank - 4 or min(given) < 0:
        raise Unsupported(f"pads {given}")
    return (given[0], given[1], given[2], given[3]) if rank == 4 else (0, given[0], 0, given[1])


# Matrix products


def gemm(node: NodeView) -> Value:
    transposed = bool(int(node.attribute("transB", 0)))
    weights = node.weights(1, 0 if transposed else 1)
    if weights.codes.ndim != 2:
        raise Unsupported(f"weights of shape {weights.codes.shape}")
    codes = weights.codes if transposed else weights.codes.T
    rows = len(codes)
    scale = _per_output(weights, 0 if transposed else 1) * float(node.attribute("alpha", 1.0))
    x = node.activation(0)
    if int(node.attribute("transA", 0)):
        if x.positions.ndim != 2:
            raise Unsupported(f"transA=1 on a tensor of shape {x.positions.shape}")
        x = replace(x, positions=x.positions.T)
    value = product(node, x, codes, scale)
    if not node.has(2):
        return value
    bias = float(node.attribute("beta", 1.0)) * node.constant(2, "bias")
    if bias.ndim > 2 or bias.size not in (1, rows) or (bias.size == rows and rows > 1 and bias.shape[-1] != rows):
        raise Unsupported(f"a bias of shape {bias.shape} for {rows} outputs", "one number per output is possible")
    return replace(value, offset=np.broadcast_to(bias.ravel(), (rows,)).copy())


def matmul(node: NodeView) -> Value:
    if isinstance(node.value(0), Const | QuantConst):
        raise Unsupported("weights times activations", "write it as activations times weights (transpose both)")
    second = node.value(1)
    flat = isinstance(second, Const) and second.array.ndim != 2
    return product(node, node.activation(0), *_matrix(node.weights(1, None if flat else 1)))


def matmul_integer(node: NodeView) -> Value:
    return product(node, _integer_input(node, 2), *_matrix(_integer_weights(node, 3)))


def _matrix(weights: QuantConst) -> tuple[IntArray, FloatArray]:
    """(O, I) codes and their scale."""
    codes = weights.codes
    if codes.ndim > 2 and prod(codes.shape[:-2]) == 1 and weights.scale.ndim == 0:
        codes = codes.reshape(codes.shape[-2:])
    if codes.ndim == 1:
        codes = codes[:, None]
    if codes.ndim != 2:
        raise Unsupported(f"weights of shape {codes.shape}", "only a matrix (K, M) is possible")
    return codes.T, _per_output(weights, weights.codes.ndim - 1)


def product(node: NodeView, x: Affine, codes: IntArray, scale: FloatArray) -> Affine:
    """Vectors times a matrix. codes: (O, I) in the ONNX order of the input; columns are brought to stream order.

    One vector a frame is a dense layer, several are the pixels of a 1x1 convolution.
    """
    *lead, columns = x.positions.shape
    if columns != codes.shape[1]:
        raise Unsupported(f"weights for {codes.shape[1]} inputs on a vector of {columns}")
    rows = len(codes)
    if prod(lead) != 1:
        pixels = replace(x, positions=x.positions.reshape(prod(lead), columns).T.reshape(1, columns, prod(lead), 1))
        image = node.image(pixels, any_order=True)
        shape = WindowShape((1, 1), (1, 1), (1, 1), (0, 0, 0, 0), (0, 0, 0, 0))
        value = placed_convolution(node, image, codes[:, :, None, None], scale, np.zeros(rows), shape, 1)
        return replace(value, positions=value.positions.reshape(rows, -1).T.reshape(*lead, rows))
    if columns == node.builder.tensor(x.tensor).elements and is_permutation(x.positions):
        stream = x.positions.ravel()
        in_order = one_number(codes) or np.array_equal(stream, np.arange(columns))
        order = None if in_order else np.argsort(stream)
        x = replace(x, tensor=node.builder.flattened(x.tensor))
    else:
        order = None
        x = node.vector(x)
    positions = np.arange(rows, dtype=np.int64).reshape(*lead, rows)
    ordered, sums = node.context.remembered(
        "ordered", node.output, lambda: _summed(codes if order is None else np.take(codes, order, axis=1))
    )
    layer = WeightLayer(node.proto.name, (x.tensor,), node.output, ordered, sums)
    return _layer_value(x, layer, (rows,), positions, scale, np.zeros(rows))


def _summed(weights: IntArray) -> tuple[IntArray, tuple[IntArray, IntArray]]:
    """Weights in memory's order, and `signed_sums` of their matrix."""
    weights = weights if one_number(weights) else np.ascontiguousarray(weights, dtype=np.int64)
    return weights, signed_sums(weights.reshape(len(weights), -1))


def _layer_value(
    x: Affine, layer: WeightLayer, shape: tuple[int, ...], positions: IntArray, scale: FloatArray, bias: FloatArray
) -> Affine:
    rows = len(layer.weights)
    return Affine(
        tensor=x.tensor,
        layer=layer,
        shape=shape,
        positions=positions,
        scale=float(x.scale[0]) * np.broadcast_to(scale, (rows,)),
        offset=bias,
        correction=int(x.correction[0]) * (layer.sums[0] + layer.sums[1]),
    )


def _per_output(weights: QuantConst, axis: int) -> FloatArray:
    if weights.scale.ndim and weights.axis != axis:
        raise Unsupported("weights have one scale per input channel", "use one scale per tensor or per output channel")
    return weights.scale


# Integer operators: what they compute is their accumulators


def _integer_input(node: NodeView, zero_index: int) -> Affine:
    x = node.value(0)
    zero = zero_points(node, zero_index)
    if not isinstance(x, Codes):
        raise Unsupported("its input is not integer codes", "quantize it with QuantizeLinear")
    if zero.size != 1:
        raise Unsupported("an activation has one zero point per row", "use one per tensor for activations")
    return dequantized(node.builder.tensor(x.tensor), x.positions, np.ones(()), int(zero[0]))


def _integer_weights(node: NodeView, zero_index: int) -> QuantConst:
    value = node.value(1)
    if not isinstance(value, Const) or value.array.dtype.kind not in "iu":
        raise Unsupported("its weights are computed at run time", "only constant weights are possible")
    codes, zero = as_int(value.array), zero_points(node, zero_index)
    # One for each output: a convolution's filter, a matrix's column.
    outputs = 0 if codes.ndim > 2 else codes.ndim - 1
    if codes.size == 0:
        raise Unsupported("its weights are empty")
    if zero.size not in (1, codes.shape[outputs]):
        raise Unsupported(f"{zero.size} zero points for weights of shape {codes.shape}")
    codes = codes - zero.reshape(-1, *[1] * (codes.ndim - 1 - outputs))
    check_weights(codes)
    return QuantConst(codes, np.ones(()), 0)
