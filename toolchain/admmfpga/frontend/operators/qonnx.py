"""QONNX's Quant and BipolarQuant (Pappalardo et al. 2022): real numbers rounded to those that a few bits can hold."""

from __future__ import annotations

import numpy as np

from admmfpga.frontend.context import NodeView, dequantized
from admmfpga.frontend.operators.quantization import positive_step, quantized_value
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.values import Codes, Const, HostOutput, QuantConst, Value
from admmfpga.network import BIPOLAR, IntArray, IntType
from admmfpga.network.types import FloatArray

DOMAINS = frozenset({"qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"})
"""Where exporters have put these operators."""

ROUNDING = {"ROUND": np.rint, "FLOOR": np.floor, "CEIL": np.ceil, "ROUND_TO_ZERO": np.trunc}


def quant(node: NodeView) -> Value:
    """Quant(x, scale, zero point, bits)."""
    x = node.value(0)
    if isinstance(x, HostOutput):
        return x  # the host computes it in floating point
    scale = node.constant(1, "scale")
    zero, bits = (node.constant(i, what) for i, what in ((2, "zero point"), (3, "bit width")))
    if zero.size != 1 or bits.size != 1 or float(zero.flat[0]) % 1 or not 1 <= float(bits.flat[0]) <= 32:
        raise Unsupported("its zero point or bit width is not one whole number", "use one for the whole tensor")
    zero_point, width = int(zero.flat[0]), int(np.ceil(bits.flat[0]))
    signed, narrow = bool(node.attribute("signed", 1)), bool(node.attribute("narrow", 0))
    dtype = IntType(width, signed)
    low, high = dtype.min + (narrow and signed), dtype.max - (narrow and not signed)
    mode = str(node.attribute("rounding_mode", "ROUND"))
    if isinstance(x, Const):
        if mode not in ROUNDING:
            raise Unsupported(f"rounding mode {mode}", "use ROUND")
        real = node.constant(0, "tensor")
        codes = np.clip(ROUNDING[mode](real / _steps(scale) + zero_point), low, high) - zero_point
        return _constant(codes.astype(np.int64), scale)
    if mode != "ROUND":
        raise Unsupported(f"rounding mode {mode} of activations", "use ROUND")
    if width > 16:
        raise Unsupported(f"quantization of activations to {width} bits", "use 16 or less")
    step = _one_step(scale)
    codes_ = quantized_value(node, x, step, zero_point, dtype)
    if (low, high) != (dtype.min, dtype.max):
        codes_ = Codes(node.builder.narrowed(codes_.tensor, low, high, node.output), codes_.positions)
    return dequantized(node.builder.tensor(codes_.tensor), codes_.positions, np.asarray(step), zero_point)


def bipolar_quant(node: NodeView) -> Value:
    """BipolarQuant(x, scale): scale where x is not negative, -scale elsewhere."""
    x = node.value(0)
    if isinstance(x, HostOutput):
        return x
    scale = node.constant(1, "scale")
    if isinstance(x, Const):
        _steps(scale)
        return _constant(np.where(node.constant(0, "tensor") >= 0, 1, -1), scale)
    step = _one_step(scale)
    codes = quantized_value(node, x, step, 0, BIPOLAR)
    return dequantized(node.builder.tensor(codes.tensor), codes.positions, np.asarray(step), 0)


def _one_step(scale: FloatArray) -> float:
    if scale.size != 1:
        raise Unsupported("an activation has one scale per channel", "use one scale per tensor for activations")
    return positive_step(scale)


def _steps(scale: FloatArray) -> FloatArray:
    if scale.size == 0 or np.any(scale <= 0):
        raise Unsupported("a scale that is not positive", "check how the model was quantized")
    return scale


def _constant(codes: IntArray, scale: FloatArray) -> QuantConst:
    """Codes with one scale, or one along the only axis that the scale has."""
    if scale.size == 1:
        return QuantConst(codes, scale.reshape(()), 0)
    shape = (1,) * (codes.ndim - scale.ndim) + scale.shape
    axes = [axis for axis, size in enumerate(shape) if size != 1]
    if len(axes) != 1 or len(shape) != codes.ndim or shape[axes[0]] != codes.shape[axes[0]]:
        raise Unsupported(
            f"scales of shape {scale.shape} for a tensor of shape {codes.shape}", "one per output channel"
        )
    return QuantConst(codes, scale.ravel(), axes[0])
