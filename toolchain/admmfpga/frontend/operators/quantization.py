"""QuantizeLinear, DequantizeLinear, and what is done to codes between the two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from admmfpga.frontend.context import NodeView, as_int, channel_constant, dequantized, int_type, numpy_type
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.values import Affine, Codes, Const, GraphInput, HostOutput, Joined, Mapped, QuantConst, Value
from admmfpga.network import IntArray, IntType
from admmfpga.network.types import FloatArray


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
    step = positive_step(scale)
    zero_point, dtype = _zero_point(node)
    if dtype.bits > 16:
        raise Unsupported(f"quantization of activations to {dtype}", "use int8, uint8, int4 or uint4")
    return quantized_value(node, x, step, zero_point, dtype)


def quantized_value(node: NodeView, x: Value, step: float, zero_point: int, dtype: IntType) -> Codes:
    """Codes of a computed value."""
    if isinstance(x, GraphInput):
        return _quantized_input(node, x, step, zero_point, dtype)
    if not isinstance(x, Affine | Mapped | Joined):
        raise Unsupported("quantizes a constant", "fold it before export")
    return node.builder.quantized(x, step, zero_point, dtype, node.output)


def _quantized_input(node: NodeView, x: GraphInput, step: float, zero_point: int, dtype: IntType) -> Codes:
    if x.factor <= 0:
        raise Unsupported("the input is multiplied by a number that is not positive", "do this on the host")
    if dtype.bipolar and x.shift:
        raise Unsupported(
            "the input is shifted before its sign is taken", "do this on the host, or quantize the input to more bits"
        )
    shift = x.shift / step
    if not abs(shift) < 2**40 or abs(shift - round(shift)) > 1e-3:
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
    if scale.size == 0 or np.any(scale <= 0):
        raise Unsupported("a scale that is not positive", "check how the model was quantized")
    per_tensor = scale.size == 1
    zero = zero_points(node)
    if isinstance(x, Const):
        int_type(x.array.dtype)
        # Bytes stay bytes until the layer's weights are made of them.
        codes = x.array if x.array.dtype == np.int8 and not np.any(zero) else as_int(x.array)
        axis = int(node.attribute("axis", 1))
        axis += codes.ndim if axis < 0 else 0
        if per_tensor and zero.size == 1:
            codes = codes - int(zero.flat[0]) if np.any(zero) else codes
            return QuantConst(codes, np.array(float(scale.flat[0])), 0)
        if axis >= codes.ndim or scale.size != codes.shape[axis] or zero.size not in (1, scale.size):
            raise Unsupported(f"{scale.size} scales for a tensor of shape {codes.shape}")
        shape = [1] * codes.ndim
        shape[axis] = -1
        codes = codes - (zero if zero.size == 1 else zero.reshape(shape)) if np.any(zero) else codes
        return QuantConst(codes, scale.ravel(), axis)
    if not isinstance(x, Codes):
        raise Unsupported("dequantizes real numbers", "put QuantizeLinear in front of it")
    tensor = node.builder.tensor(x.tensor)
    if zero.size == 1 and per_tensor:
        return dequantized(tensor, x.positions, scale.reshape(()), int(zero.flat[0]))
    axis, rank = int(node.attribute("axis", 1)), x.positions.ndim
    if not -rank <= axis < rank or any(n not in (1, x.positions.shape[axis]) for n in (scale.size, zero.size)):
        raise Unsupported(f"{scale.size} scales for a tensor of shape {x.positions.shape}")
    along = [1] * rank
    along[axis] = -1
    scales, zeros = (
        channel_constant(v.ravel().reshape(along).astype(np.float64), x.positions, tensor.shape) for v in (scale, zero)
    )
    return replace(
        dequantized(tensor, x.positions, np.where(scales > 0, scales, 1.0), 0), correction=-zeros.astype(np.int64)
    )


def positive_step(scale: FloatArray) -> float:
    """The one scale of an activation."""
    step = float(scale.flat[0])
    if not step > 0:
        raise Unsupported(f"a scale of {step:g}", "scales must be positive; check how the model was quantized")
    return step


def zero_points(node: NodeView, index: int = 2) -> IntArray:
    """A constant input that holds zero points; 0 where it is left out."""
    if not node.has(index):
        return np.zeros(1, dtype=np.int64)
    value = node.value(index)
    if not isinstance(value, Const):
        raise Unsupported("its zero point is computed at run time", "only a constant is possible here")
    int_type(value.array.dtype)
    if value.array.size == 0:
        raise Unsupported("its zero point is empty", "the file is damaged")
    return as_int(np.atleast_1d(value.array)).ravel()


def _zero_point(node: NodeView) -> tuple[int, IntType]:
    """Zero point and type of QuantizeLinear's result."""
    zero = zero_points(node)
    if zero.size != 1:
        raise Unsupported("an activation has one zero point per channel", "use one per tensor for activations")
    value = node.value(2) if node.has(2) else None
    if isinstance(value, Const):
        return int(zero[0]), int_type(value.array.dtype)
    named = int(node.attribute("output_dtype", 0))
    return 0, int_type(numpy_type(named)) if named else IntType(8, signed=False)


def clipped_codes(node: NodeView, x: Codes, low: float, high: float) -> Codes:
    """Clip between QuantizeLinear and DequantizeLinear: how models hold codes of fewer bits than ONNX has types for."""
    dtype = node.builder.tensor(x.tensor).dtype
    least, most = max(dtype.min, int(np.ceil(max(low, -(2.0**62))))), min(dtype.max, int(np.floor(min(high, 2.0**62))))
    if least > most:
        raise Unsupported(f"clips {dtype} to {low:g}..{high:g}", "check how the model was quantized")
    if node.context.readers.get(node.proto.input[0], 1) > 1:
        raise Unsupported("codes are used both clipped and as they are", "give each its own QuantizeLinear")
    return Codes(node.builder.narrowed(x.tensor, least, most, node.output), x.positions)
