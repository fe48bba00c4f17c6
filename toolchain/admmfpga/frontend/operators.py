"""One handler per ONNX operator, registered with ONNX's "since version" meaning.

A handler takes a node and returns the value of its first output, or raises `Unsupported`. It is responsible for all
models whose opset is at least its version and below the next registered version of the same operator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil, inf, prod

import numpy as np

from admmfpga.frontend.context import NodeView, as_int, dequantized, int_type, is_plain, numpy_type, per_channel
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.values import (
    Affine,
    Codes,
    Const,
    FloatArray,
    GraphInput,
    HostOutput,
    Layer,
    Pool,
    QuantConst,
    Value,
)
from admmfpga.network import HostOp, IntArray, IntType
from admmfpga.network.graph import window_positions

Handler = Callable[[NodeView], Value]

# Quantization


def quantize_linear(node: NodeView) -> Value:
    x = node.value(0)
    if isinstance(x, HostOutput):
        return x  # the host computes it in floating point
    if isinstance(x, Codes):
        raise Unsupported("quantizes integers", "put DequantizeLinear in front of it")
    if node.attribute("block_size", 0):
        raise Unsupported("blocked quantization of activations", "use one scale per tensor")
    scale = node.constant(1, "scale")
    if scale.size != 1:
        raise Unsupported("an activation has one scale per channel", "use one scale per tensor for activations")
    step = _step(scale)
    zero_point, dtype = _zero_point(node)
    if dtype.bits > 16:
        raise Unsupported(f"quantization of activations to {dtype}", "use int8, uint8, int4 or uint4")
    if isinstance(x, GraphInput):
        return _quantized_input(node, x, step, zero_point, dtype)
    assert isinstance(x, Affine), x
    return node.builder.quantized(x, step, zero_point, dtype, node.output)


def _quantized_input(node: NodeView, x: GraphInput, step: float, zero_point: int, dtype: IntType) -> Codes:
    if x.factor <= 0:
        raise Unsupported("the input is multiplied by a number that is not positive", "do this on the host")
    shift = x.shift / step
    if abs(shift - round(shift)) > 1e-3:
        raise Unsupported(
            "the number added to the input before it is quantized is not a multiple of the scale",
            "do this on the host, and quantize the input first thing in the model",
        )
    inputs = node.builder.network.inputs
    if inputs:
        tensor = node.builder.tensor(inputs[0])
        same = (float(tensor.scale), tensor.zero_point, tensor.dtype) == (
            step / x.factor,
            zero_point + round(shift),
            dtype,
        )
        if not same:
            raise Unsupported("the input is quantized in two different ways", "quantize it once and share the result")
        return Codes(inputs[0], node.builder.input_layout.ravel()[x.positions])
    return node.builder.add_input(node.output, x, dtype, step / x.factor, zero_point + round(shift))


def dequantize_linear(node: NodeView) -> Value:
    x = node.value(0)
    if isinstance(x, HostOutput):
        return x
    if node.attribute("block_size", 0):
        raise Unsupported("blocked quantization", "use one scale per tensor or per output channel")
    scale = node.constant(1, "scale")
    if np.any(scale <= 0):
        raise Unsupported("a scale that is not positive", "check how the model was quantized")
    per_tensor = scale.size == 1
    zero = _zero_points(node)
    if isinstance(x, Const):
        int_type(x.array.dtype)
        codes = as_int(x.array)
        axis = int(node.attribute("axis", 1))
        axis += codes.ndim if axis < 0 else 0
        if per_tensor and zero.size == 1:
            return QuantConst(codes - int(zero.flat[0]), np.array(float(scale.flat[0])), 0)
        if axis >= codes.ndim or scale.size != codes.shape[axis]:
            raise Unsupported(f"{scale.size} scales for a tensor of shape {codes.shape}")
        shape = [1] * codes.ndim
        shape[axis] = -1
        return QuantConst(codes - (zero if zero.size == 1 else zero.reshape(shape)), scale.ravel(), axis)
    if not isinstance(x, Codes):
        raise Unsupported("dequantizes real numbers", "put QuantizeLinear in front of it")
    if not per_tensor or zero.size != 1:
        raise Unsupported("an activation has one scale per channel", "use one scale per tensor for activations")
    return dequantized(node.builder.tensor(x.tensor), x.positions, scale.reshape(()), int(zero.flat[0]))


def _step(scale: FloatArray) -> float:
    step = float(scale.flat[0])
    if not step > 0:
        raise Unsupported(f"a scale of {step:g}", "scales must be positive; check how the model was quantized")
    return step


def _zero_points(node: NodeView) -> IntArray:
    if not node.has(2):
        return np.zeros(1, dtype=np.int64)
    value = node.value(2)
    if not isinstance(value, Const):
        raise Unsupported("its zero point is computed at run time", "only a constant is possible here")
    int_type(value.array.dtype)
    return as_int(np.atleast_1d(value.array)).ravel()


def _zero_point(node: NodeView) -> tuple[int, IntType]:
    """Zero point and type of QuantizeLinear's result."""
    zero = _zero_points(node)
    if zero.size != 1:
        raise Unsupported("an activation has one zero point per channel", "use one per tensor for activations")
    value = node.value(2) if node.has(2) else None
    if isinstance(value, Const):
        return int(zero[0]), int_type(value.array.dtype)
    named = int(node.attribute("output_dtype", 0))
    return 0, int_type(numpy_type(named)) if named else IntType(8, signed=False)


# Layers


def conv(node: NodeView) -> Value:
    weights = node.weights(1)
    codes = weights.codes
    if codes.ndim != 4:
        raise Unsupported(f"a convolution over {codes.ndim - 2} dimensions", "only 2-D convolutions are possible")
    x = node.image(node.activation(0))
    groups = int(node.attribute("group", 1))
    if groups != 1:
        raise Unsupported(f"group={groups} (depthwise or grouped)", "only group=1 is possible")
    kernel = (codes.shape[2], codes.shape[3])
    if list(node.attribute("kernel_shape", kernel)) != list(kernel):
        raise Unsupported("kernel_shape contradicts the weights' shape")
    if codes.shape[1] != x.channels:
        raise Unsupported(f"weights for {codes.shape[1]} channels on an image of {x.channels}")
    strides, pads = _window(node, x, kernel)
    scale = _per_output(weights, 0)
    zero_point = -int(x.correction[0])
    dtype = node.builder.tensor(x.tensor).dtype
    if any(pads) and not dtype.min <= zero_point <= dtype.max:
        raise Unsupported(f"zero point {zero_point} is not a code of {dtype}", "check how the model was quantized")
    ordered = np.ascontiguousarray(codes.transpose(0, 2, 3, 1))
    pad_value = zero_point if any(pads) else 0
    layer = Layer(node.proto.name, ordered, strides, pads, pad_value, output=node.output)
    rows = len(codes)
    bias = node.constant(2, "bias").ravel() if node.has(2) else np.zeros(rows)
    if bias.size != rows:
        raise Unsupported(f"{bias.size} biases for {rows} channels")
    shape = (*window_positions((x.shape[0], x.shape[1]), kernel, strides, pads), rows)
    return _layer_value(x, layer, shape, node.canonical(shape), scale, bias)


def gemm(node: NodeView) -> Value:
    if int(node.attribute("transA", 0)):
        raise Unsupported("transA=1", "only vectors (1, K) are possible as the first input")
    weights = node.weights(1)
    if weights.codes.ndim != 2:
        raise Unsupported(f"weights of shape {weights.codes.shape}")
    transposed = bool(int(node.attribute("transB", 0)))
    codes = weights.codes if transposed else weights.codes.T
    rows = len(codes)
    scale = _per_output(weights, 0 if transposed else 1) * float(node.attribute("alpha", 1.0))
    value = _product(node, codes, scale)
    if not node.has(2):
        return value
    bias = float(node.attribute("beta", 1.0)) * node.constant(2, "bias")
    if bias.ndim > 2 or bias.size not in (1, rows) or (bias.size == rows and rows > 1 and bias.shape[-1] != rows):
        raise Unsupported(f"a bias of shape {bias.shape} for {rows} outputs")
    return replace(value, offset=np.broadcast_to(bias.ravel(), (rows,)).copy())


def matmul(node: NodeView) -> Value:
    if isinstance(node.value(0), Const | QuantConst):
        raise Unsupported("weights times activations", "write it as activations times weights (transpose both)")
    weights = node.weights(1)
    if weights.codes.ndim != 2:
        raise Unsupported(f"weights of shape {weights.codes.shape}", "only a matrix (K, M) is possible")
    return _product(node, weights.codes.T, _per_output(weights, 1))


def _product(node: NodeView, codes: IntArray, scale: FloatArray) -> Affine:
    """Vector times matrix. codes: (O, I) in the ONNX order of the input; columns are brought to stream order."""
    x = node.activation(0)
    *lead, columns = x.positions.shape
    if prod(lead) != 1:
        raise Unsupported(
            f"a product of {prod(lead)} vectors per frame (input shape {x.positions.shape})",
            "only one vector per frame is possible; is a Flatten missing?",
        )
    if columns != codes.shape[1]:
        raise Unsupported(f"weights for {codes.shape[1]} inputs on a vector of {columns}")
    ordered = np.empty_like(codes)
    ordered[:, x.positions.ravel()] = codes
    x = replace(x, tensor=node.builder.flattened(x.tensor))
    rows = len(codes)
    positions = np.arange(rows, dtype=np.int64).reshape(*lead, rows)
    layer = Layer(node.proto.name, ordered, output=node.output)
    return _layer_value(x, layer, (rows,), positions, scale, np.zeros(rows))


def _layer_value(
    x: Affine, layer: Layer, shape: tuple[int, ...], positions: IntArray, scale: FloatArray, bias: FloatArray
) -> Affine:
    rows = len(layer.weights)
    return Affine(
        tensor=x.tensor,
        layer=layer,
        shape=shape,
        positions=positions,
        scale=float(x.scale[0]) * np.broadcast_to(scale, (rows,)),
        offset=bias,
        correction=int(x.correction[0]) * layer.weights.reshape(rows, -1).sum(axis=1),
    )


def _per_output(weights: QuantConst, axis: int) -> FloatArray:
    if weights.scale.ndim and weights.axis != axis:
        raise Unsupported("weights have one scale per input channel", "use one scale per tensor or per output channel")
    return weights.scale


def _window(node: NodeView, x: Affine, kernel: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
    """Strides and (top, left, bottom, right) pads of a convolution or pooling."""
    if any(int(d) != 1 for d in node.attribute("dilations", [1, 1])):
        raise Unsupported("dilations other than 1", "only dense kernels are possible")
    strides = tuple(int(s) for s in node.attribute("strides", [1, 1]))
    if len(strides) != 2 or min(strides) < 1:
        raise Unsupported(f"strides {strides}")
    vertical, horizontal = strides
    mode = node.attribute("auto_pad", "NOTSET")
    size = (x.shape[0], x.shape[1])
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        sums = [max((ceil(n / s) - 1) * s + k - n, 0) for n, s, k in zip(size, strides, kernel, strict=True)]
        less, more = [n // 2 for n in sums], [n - n // 2 for n in sums]
        before, after = (less, more) if mode == "SAME_UPPER" else (more, less)
        pads = (before[0], before[1], after[0], after[1])
    elif mode == "VALID":
        pads = (0, 0, 0, 0)
    elif mode == "NOTSET":
        given = [int(p) for p in node.attribute("pads", [0, 0, 0, 0])]
        if len(given) != 4 or min(given) < 0:
            raise Unsupported(f"pads {given}")
        pads = (given[0], given[1], given[2], given[3])
    else:
        raise Unsupported(f"auto_pad={mode}", "use explicit pads")
    if int(node.attribute("ceil_mode", 0)):
        bottom, right = (_ceil_pad(size[i], kernel[i], strides[i], pads[i], pads[i + 2]) for i in (0, 1))
        pads = (pads[0], pads[1], bottom, right)
    for i in (0, 1):
        if max(pads[i], pads[i + 2]) >= kernel[i]:
            raise Unsupported(f"padding {list(pads)} as large as the kernel {list(kernel)}", "pad less")
        if size[i] + pads[i] + pads[i + 2] < kernel[i]:
            raise Unsupported(f"kernel {list(kernel)} is larger than the padded image {list(size)}")
    return (vertical, horizontal), pads


def _ceil_pad(size: int, kernel: int, stride: int, before: int, after: int) -> int:
    """Padding at the end that gives as many windows as rounding up does, dropping one that starts in the padding."""
    count = -(-(size + before + after - kernel) // stride) + 1
    if (count - 1) * stride >= size + before:
        count -= 1
    return max(after, (count - 1) * stride + kernel - size - before)


def max_pool(node: NodeView) -> Value:
    if len(node.proto.output) > 1 and node.proto.output[1]:
        raise Unsupported("indices of the maxima are used", "remove the second output")
    kernel = tuple(int(k) for k in node.attribute("kernel_shape", []))
    return _pooled(node, kernel)


def global_max_pool(node: NodeView) -> Value:
    return _pooled(node, None)


def _pooled(node: NodeView, kernel: tuple[int, ...] | None) -> Value:
    x = node.value(0)
    if isinstance(x, Codes):
        tensor = node.builder.tensor(x.tensor)
        pooled = _pooled_value(node, dequantized(tensor, x.positions), kernel)
        assert isinstance(pooled, Affine)
        return Codes(pooled.tensor, pooled.positions)
    if isinstance(x, GraphInput):
        x = node.activation(0)
    if not isinstance(x, Affine):
        raise Unsupported("its input is a constant")
    return _pooled_value(node, x, kernel)


def _pooled_value(node: NodeView, x: Affine, kernel: tuple[int, ...] | None) -> Affine:
    x = node.image(x)
    size = (x.shape[0], x.shape[1])
    if kernel is not None and len(kernel) != 2:
        raise Unsupported(f"pooling over {len(kernel)} dimensions", "only 2-D pooling is possible")
    if np.any(x.scale <= 0) and x.layer is None:
        raise Unsupported("a factor that is not positive on a quantized tensor", "fold it into a Conv or Gemm")
    shape_2d = size if kernel is None else (kernel[0], kernel[1])
    strides, pads = ((1, 1), (0, 0, 0, 0)) if kernel is None else _window(node, x, shape_2d)
    shape = (*window_positions(size, shape_2d, strides, pads), x.channels)
    unchanged = is_plain(x)
    pool = Pool(node.proto.name, shape_2d, strides, pads, node.output if unchanged or x.layer is not None else "")
    value = replace(x, shape=shape, positions=node.canonical(shape))
    if x.layer is not None:
        return replace(value, pools=(*x.pools, pool))
    return replace(value, tensor=node.builder.pool(x.tensor, pool))


# Elementwise


def relu(node: NodeView) -> Value:
    return _clipped(node, 0.0, inf)


def clip_attributes(node: NodeView) -> Value:
    return _clipped(node, float(node.attribute("min", -inf)), float(node.attribute("max", inf)))


def clip(node: NodeView) -> Value:
    bounds = [-inf, inf]
    for index, what in ((1, "lower bound"), (2, "upper bound")):
        if node.has(index):
            bounds[index - 1] = float(node.constant(index, what, finite=False).ravel()[0])
    return _clipped(node, min(bounds), bounds[1])


def _clipped(node: NodeView, low: float, high: float) -> Value:
    x = node.value(0)
    if isinstance(x, GraphInput):
        x = node.activation(0)
    if not isinstance(x, Affine):
        raise Unsupported("clips integer codes", "put DequantizeLinear in front of it")
    if x.layer is None:
        dtype = node.builder.tensor(x.tensor).dtype
        ends = [x.scale * (code + x.correction) + x.offset for code in (dtype.min, dtype.max)]
        if low <= float(np.minimum(*ends).min()) and float(np.maximum(*ends).max()) <= high:
            return x  # no code is beyond the bounds
    return _changed(x.clip(low, high))


def add(node: NodeView) -> Value:
    x, constant, _ = _operands(node, "adding two computed tensors", "only constants can be added as yet")
    return _affine(x, np.ones(()), constant)


def sub(node: NodeView) -> Value:
    x, constant, swapped = _operands(node, "subtracting two computed tensors", "only constants can be subtracted")
    return _affine(x, -np.ones(()), constant) if swapped else _affine(x, np.ones(()), -constant)


def mul(node: NodeView) -> Value:
    x, constant, _ = _operands(node, "multiplying two computed tensors", "only constants can be multiplied")
    return _affine(x, constant, np.zeros(()))


def div(node: NodeView) -> Value:
    x, constant, swapped = _operands(node, "dividing two computed tensors", "only division by a constant is possible")
    if swapped:
        raise Unsupported("divides a constant by a computed tensor", "only division by a constant is possible")
    if np.any(constant == 0):
        raise Unsupported("divides by zero")
    return _affine(x, 1.0 / constant, np.zeros(()))


def batch_normalization(node: NodeView) -> Value:
    if int(node.attribute("training_mode", 0)):
        raise Unsupported("training_mode=1", "export the model in evaluation mode")
    x = node.value(0)
    gamma, beta = node.constant(1, "scale").ravel(), node.constant(2, "bias").ravel()
    mean, variance = node.constant(3, "mean").ravel(), node.constant(4, "variance").ravel()
    epsilon = float(node.attribute("epsilon", 1e-5))
    if np.any(variance + epsilon <= 0):
        raise Unsupported("a variance that is not positive")
    if not isinstance(x, Affine | GraphInput):
        raise Unsupported("works on integer codes", "put DequantizeLinear in front of it")
    factor = gamma / np.sqrt(variance + epsilon)
    shape = (1, -1, *[1] * (x.positions.ndim - 2))
    return _affine(x, factor.reshape(shape), (beta - mean * factor).reshape(shape))


def _operands(node: NodeView, message: str, hint: str) -> tuple[Affine | GraphInput, FloatArray, bool]:
    """The computed operand, the constant one, and whether the constant comes first."""
    first, second = node.value(0), node.value(1)
    swapped = isinstance(first, Const | QuantConst)
    x = second if swapped else first
    if not swapped and not isinstance(second, Const | QuantConst):
        raise Unsupported(message, hint)
    if not isinstance(x, Affine | GraphInput):
        raise Unsupported("works on integer codes", "put DequantizeLinear in front of it")
    return x, node.constant(0 if swapped else 1, "constant operand"), swapped


def _affine(x: Affine | GraphInput, factor: FloatArray, shift: FloatArray) -> Value:
    if isinstance(x, GraphInput):
        return x.affine(factor, shift)
    return _changed(x.affine(per_channel(factor, x), per_channel(shift, x)))


def _changed(x: Affine) -> Affine:
    """After a change of value: what came before pools is no longer equal to a tensor of the model."""
    if not x.pools:
        return x
    return replace(x, source="", pools=tuple(replace(pool, source="") for pool in x.pools))


# Layout


def reshape(node: NodeView) -> Value:
    target = node.integers(1, "shape")
    keep_zero = bool(int(node.attribute("allowzero", 0)))

    def shape(old: tuple[int, ...]) -> list[int]:
        return [old[i] if d == 0 and not keep_zero and i < len(old) else d for i, d in enumerate(target)]

    return _moved(node, lambda array: array.reshape(shape(array.shape)))


def flatten(node: NodeView) -> Value:
    axis = int(node.attribute("axis", 1))

    def move(array: IntArray) -> IntArray:
        cut = axis + array.ndim if axis < 0 else axis
        return array.reshape(prod(array.shape[:cut]), -1)

    return _moved(node, move)


def transpose(node: NodeView) -> Value:
    permutation = node.attribute("perm", None)
    return _moved(node, lambda array: array.transpose(permutation))


def squeeze(node: NodeView) -> Value:
    axes = tuple(node.integers(1, "axes")) if node.has(1) else None
    return _moved(node, lambda array: array.squeeze(axes))


def unsqueeze(node: NodeView) -> Value:
    axes = tuple(node.integers(1, "axes"))
    return _moved(node, lambda array: np.expand_dims(array, axes))


def _moved(node: NodeView, move: Callable[[IntArray], IntArray]) -> Value:
    x = node.value(0)
    try:
        if isinstance(x, GraphInput | Codes | Affine):
            return replace(x, positions=move(x.positions))
        if isinstance(x, QuantConst):
            return _moved_constant(x, move)
    except ValueError as error:
        raise Unsupported(
            f"this shape does not fit: {error}", "is the batch size fixed? export with batch size 1 or a dynamic one"
        ) from None
    if isinstance(x, HostOutput):
        return x
    raise AssertionError(x)  # constants are folded before


def _moved_constant(x: QuantConst, move: Callable[[IntArray], IntArray]) -> QuantConst:
    codes = move(x.codes)
    if x.scale.ndim == 0:
        return replace(x, codes=codes)
    along = [1] * x.codes.ndim
    along[x.axis] = -1
    index = move(np.broadcast_to(np.arange(len(x.scale)).reshape(along), x.codes.shape))
    for axis, count in enumerate(codes.shape):
        shape = [1] * codes.ndim
        shape[axis] = -1
        if count == len(x.scale) and np.array_equal(
            index, np.broadcast_to(np.arange(count).reshape(shape), codes.shape)
        ):
            return QuantConst(codes, x.scale, axis)
    raise Unsupported("reshapes weights so that their scales no longer belong to one axis", "reshape before quantizing")


def shape_of(node: NodeView) -> Value:
    x = node.value(0)
    if isinstance(x, QuantConst):
        shape: tuple[int, ...] = x.codes.shape
    elif isinstance(x, GraphInput | Codes | Affine):
        shape = x.positions.shape
    else:
        raise Unsupported("asks for the shape of what the host computes")
    end = node.attribute("end", None)
    return Const(np.array(shape[int(node.attribute("start", 0)) : None if end is None else int(end)], dtype=np.int64))


# Pass through


def identity(node: NodeView) -> Value:
    return node.value(0)


def dropout(node: NodeView) -> Value:
    if node.has(2) and bool(node.constant(2, "training mode").any()):
        raise Unsupported("training_mode=true", "export the model in evaluation mode")
    return node.value(0)


def cast(node: NodeView) -> Value:
    x = node.value(0)
    if isinstance(x, HostOutput):
        return x
    kind = numpy_type(int(node.attribute("to", 1)))
    if kind.name not in ("float16", "float32", "float64", "bfloat16"):
        raise Unsupported(f"converts activations to {kind.name}", "quantize with QuantizeLinear")
    if isinstance(x, Codes):
        return dequantized(node.builder.tensor(x.tensor), x.positions, np.ones(()), 0)
    return x


# Left to the host


def _to_host(node: NodeView, op: str, axis: int | None) -> Value:
    x = node.value(0)
    before: tuple[HostOp, ...] = ()
    if isinstance(x, HostOutput):
        before = x.ops
        x = x.value
    if isinstance(x, GraphInput) or not isinstance(x, Affine | Codes):
        raise Unsupported("works on the input itself", "leave it to the host")
    rank = x.positions.ndim
    if axis is not None:
        axis += rank if axis < 0 else 0
        # The channel axis of (1, C, H, W), or the one axis of a vector.
        if not (axis == 1 and rank == 4) and x.positions.shape[axis] != x.positions.size:
            raise Unsupported(
                f"axis {axis} of a tensor of shape {x.positions.shape}", "only the channel axis is possible"
            )
    return HostOutput(x, (*before, HostOp(op, -1)))


def softmax(node: NodeView) -> Value:
    return _to_host(node, node.proto.op_type, int(node.attribute("axis", -1)))


def arg_max(node: NodeView) -> Value:
    if int(node.attribute("select_last_index", 0)):
        raise Unsupported("select_last_index=1", "the host takes the first of equal maxima")
    return _to_host(node, "ArgMax", int(node.attribute("axis", 0)))


def sigmoid(node: NodeView) -> Value:
    return _to_host(node, "Sigmoid", None)


REGISTRY: dict[str, dict[int, Handler]] = {
    "Add": {7: add},
    "ArgMax": {1: arg_max},
    "BatchNormalization": {9: batch_normalization},
    "Cast": {6: cast},
    "Clip": {6: clip_attributes, 11: clip},
    "Conv": {1: conv},
    "DequantizeLinear": {10: dequantize_linear},
    "Div": {7: div},
    "Dropout": {7: dropout},
    "Flatten": {1: flatten},
    "Gemm": {7: gemm},
    "GlobalMaxPool": {1: global_max_pool},
    "Identity": {1: identity},
    "LogSoftmax": {13: softmax},
    "MatMul": {1: matmul},
    "MaxPool": {1: max_pool},
    "Mul": {7: mul},
    "QuantizeLinear": {10: quantize_linear},
    "Relu": {1: relu},
    "Reshape": {5: reshape},
    "Shape": {1: shape_of},
    "Sigmoid": {1: sigmoid},
    "Softmax": {13: softmax},
    "Squeeze": {13: squeeze},
    "Sub": {7: sub},
    "Transpose": {1: transpose},
    "Unsqueeze": {13: unsqueeze},
}

CONTRIBUTED = frozenset({"QuantizeLinear", "DequantizeLinear"})
"""Operators that ONNX Runtime's own domain, com.microsoft, has with the same meaning."""

AFTER_HOST = frozenset(
    {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze", "QuantizeLinear", "DequantizeLinear"}
    | {"Softmax", "LogSoftmax", "ArgMax", "Sigmoid"}
)
"""What may follow an operator that is left to the host."""

_FLOAT_ONLY = "leave it to the host (cut the model before it), or train with Relu"
_AVERAGE = "use MaxPool, or a Conv with stride"
HINTS: dict[str, str] = {
    "AveragePool": _AVERAGE,
    "GlobalAveragePool": _AVERAGE,
    "ReduceMean": _AVERAGE,
    "BatchNorm": "export the model in evaluation mode",
    "Concat": "only chains of layers are possible as yet",
    "Sum": "only chains of layers are possible as yet",
    "Elu": _FLOAT_ONLY,
    "Gelu": _FLOAT_ONLY,
    "HardSigmoid": _FLOAT_ONLY,
    "HardSwish": _FLOAT_ONLY,
    "LeakyRelu": "train with Relu or Clip",
    "PRelu": "train with Relu or Clip",
    "Selu": _FLOAT_ONLY,
    "Tanh": _FLOAT_ONLY,
    "ConvTranspose": "only Conv is possible",
    "Pad": "put the padding into the Conv or MaxPool that follows",
    "LRN": "retrain with BatchNormalization in its place",
    "DynamicQuantizeLinear": "quantize statically, with calibration images",
    "QLinearConv": "export in QDQ format (QuantizeLinear, DequantizeLinear around Conv)",
    "QLinearMatMul": "export in QDQ format (QuantizeLinear, DequantizeLinear around MatMul)",
    "ConvInteger": "export in QDQ format (QuantizeLinear, DequantizeLinear around Conv)",
    "MatMulInteger": "export in QDQ format (QuantizeLinear, DequantizeLinear around MatMul)",
    "Quant": "convert it with qonnx's QCDQ export",
    "BipolarQuant": "convert it with qonnx's QCDQ export",
    "If": "remove control flow before export",
    "Loop": "remove control flow before export",
    "Scan": "remove control flow before export",
    "LSTM": "only feed-forward networks are possible",
    "GRU": "only feed-forward networks are possible",
    "RNN": "only feed-forward networks are possible",
}


def handler(op: str, domain: str, opset: int) -> Handler:
    """The handler of an operator in a model of that opset.

    Raises:
        Unsupported: if there is none; the hint says what is possible.
    """
    versions = REGISTRY.get(op, {})
    if domain not in ("", "ai.onnx") and not (domain == "com.microsoft" and op in CONTRIBUTED):
        raise Unsupported(f"operator of the domain {domain} is not supported", HINTS.get(op, _supported()))
    if domain == "com.microsoft":
        return versions[max(versions)]
    since = max((version for version in versions if version <= opset), default=None)
    if since is None:
        raise Unsupported("this operator is not supported", HINTS.get(op, _supported()))
    return versions[since]


def _supported() -> str:
    return "supported are " + ", ".join(sorted(REGISTRY))
