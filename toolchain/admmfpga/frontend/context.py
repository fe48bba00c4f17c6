"""What an operator's handler sees: one node, the values of its inputs, and the network that is being built."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from admmfpga.frontend.builder import Builder
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.values import (
    Affine,
    Codes,
    Const,
    FloatArray,
    GraphInput,
    QuantConst,
    Value,
    stream_positions,
)
from admmfpga.network import IntArray, IntType, Tensor

QUANTIZE_HINT = "put QuantizeLinear, DequantizeLinear in front of it, or give the float model and let it be quantized"


def int_type(dtype: np.dtype[Any]) -> IntType:
    """The integer type of a numpy (or ml_dtypes) dtype.

    Raises:
        Unsupported: for anything that is not an integer.
    """
    match = re.fullmatch(r"(u?)int(\d+)", dtype.name)
    if match is None:
        raise Unsupported(f"quantization to {dtype.name}", "use int8, uint8, int4 or uint4")
    return IntType(int(match[2]), signed=not match[1])


def numpy_type(number: int) -> np.dtype[Any]:
    """numpy's (or ml_dtypes') type of an ONNX element type.

    Raises:
        Unsupported: if there is no such type.
    """
    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(number))
    except KeyError:
        raise Unsupported(f"element type {number} does not exist", "the file is damaged") from None


def as_int(array: npt.NDArray[Any]) -> IntArray:
    """Integers of any width (int4 too) as int64."""
    return array.astype(np.int64)


@dataclass
class Context:
    """State of the traversal.

    Attributes:
        builder: the network so far.
        values: of all ONNX tensors so far.
        rehearsal: the model is a float model yet to be quantized: take every activation and weight as quantized.
    """

    builder: Builder
    values: dict[str, Value]
    rehearsal: bool = False


class NodeView:
    """One ONNX node with its inputs' values.

    Attributes:
        proto: the node.
        name: ONNX name, or that of the first output.
        inputs: values in order; None for an optional input that is left out.
    """

    def __init__(self, context: Context, proto: onnx.NodeProto) -> None:
        self.context = context
        self.proto = proto
        self.name: str = proto.name or next((name for name in proto.output if name), "")
        self.inputs: list[Value | None] = [context.values[name] if name else None for name in proto.input]
        self._attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}

    @property
    def builder(self) -> Builder:
        return self.context.builder

    @property
    def output(self) -> str:
        """ONNX name of the first output."""
        return str(self.proto.output[0])

    def attribute(self, name: str, default: Any) -> Any:
        """An attribute's value; strings as str."""
        value = self._attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def has(self, index: int) -> bool:
        """Whether an optional input is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index: int) -> Value:
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            raise Unsupported(f"input {index} is missing")
        return value

    def constant(self, index: int, what: str, *, finite: bool = True) -> FloatArray:
        """A constant input as real numbers.

        Raises:
            Unsupported: if it is computed at run time, or not finite.
        """
        value = self.value(index)
        if isinstance(value, QuantConst):
            return value.real
        if not isinstance(value, Const):
            raise Unsupported(f"its {what} is computed at run time", "only a constant is possible here")
        with np.errstate(invalid="ignore"):  # signalling NaNs, in damaged files
            real: FloatArray = value.array.astype(np.float64)
        if np.any(np.isnan(real)) or (finite and not np.all(np.isfinite(real))):
            raise Unsupported(f"its {what} contains NaN or infinity", "check how the model was trained and exported")
        return real

    @staticmethod
    def canonical(shape: tuple[int, ...]) -> IntArray:
        """Positions of a fresh layer output."""
        return stream_positions(shape)

    def integers(self, index: int, what: str) -> list[int]:
        """A constant input as a list of integers (a shape, axes)."""
        return [int(i) for i in self.constant(index, what).ravel()]

    # Layer inputs

    def activation(self, index: int) -> Affine:
        """An input of a layer: dequantized codes and nothing else, one scale and zero point.

        Raises:
            Unsupported: if it is a constant, or real numbers that nothing quantizes.
        """
        value = self.value(index)
        if self.context.rehearsal and isinstance(value, Affine | GraphInput):
            value = self._assumed(value)
        if isinstance(value, Affine) and is_plain(value):
            return value
        if isinstance(value, Affine | GraphInput):
            raise Unsupported("its input is not quantized", QUANTIZE_HINT)
        if isinstance(value, Codes):
            raise Unsupported("its input is integer codes", "put DequantizeLinear in front of it")
        raise Unsupported("its first input is a constant", "only the second input may be constant")

    def image(self, value: Affine) -> Affine:
        """The same value; its network tensor is (H, W, C) for the ONNX shape (1, C, H, W).

        Raises:
            Unsupported: if it is anything else.
        """
        if value.positions.ndim != 4 or value.positions.shape[0] != 1:
            raise Unsupported(
                f"works on a tensor of shape {value.positions.shape}", "only 2-D images (1, C, H, W) are possible"
            )
        _, channels, height, width = value.positions.shape
        expected = stream_positions((height, width, channels))
        if value.shape == (height, width, channels) and np.array_equal(value.positions, expected):
            return value
        network = self.builder.network
        if value.layer is None and value.tensor in network.inputs and not network.consumers(value.tensor):
            order = np.empty(value.positions.size, dtype=np.int64)
            order[value.positions.ravel()] = expected.ravel()
            self._reorder_input((height, width, channels), order)
            return replace(value, shape=(height, width, channels), positions=expected)
        raise Unsupported(
            "its input is an image in another order than the layers before it left it",
            "remove Reshape and Transpose between image layers",
        )

    def weights(self, index: int) -> QuantConst:
        """Quantized weights that fit 8 signed bits.

        Raises:
            Unsupported: if they do not, are not quantized or not constant.
        """
        value = self.value(index)
        if isinstance(value, Const):
            real = self.constant(index, "weight tensor")
            if not self.context.rehearsal:
                raise Unsupported(
                    "its weights are not quantized", "give them a DequantizeLinear, or use the float model"
                )
            scale = max(float(np.abs(real).max(initial=0.0)), 1e-30) / 127
            value = QuantConst(np.rint(real / scale).astype(np.int64), np.array(scale), 0)
        if not isinstance(value, QuantConst):
            raise Unsupported("its weights are computed at run time", "only constant weights are possible")
        if value.codes.size == 0:
            raise Unsupported("its weights are empty")
        low, high = int(value.codes.min()), int(value.codes.max())
        if low < -128 or high > 127:
            raise Unsupported(
                f"weights minus zero point span {low}..{high}, more than 8 signed bits",
                "quantize the weights symmetrically to int8 (zero point 0)",
            )
        return value

    def _assumed(self, value: Affine | GraphInput) -> Affine:
        builder = self.builder
        if isinstance(value, GraphInput):
            if builder.network.inputs:
                name = builder.network.inputs[0]
                return dequantized(builder.tensor(name), builder.input_layout.ravel()[value.positions])
            codes = builder.add_input(value.name, value, IntType(8, signed=False), 1.0, 0)
            return dequantized(builder.tensor(codes.tensor), codes.positions)
        if is_plain(value):
            return value
        return dequantized(builder.assume(value.shape), value.positions)

    def _reorder_input(self, shape: tuple[int, ...], order: IntArray) -> None:
        name = self.builder.network.inputs[0]
        self.builder.reorder_input(shape, order)
        for key, value in self.context.values.items():
            if isinstance(value, Affine) and value.tensor == name:
                self.context.values[key] = replace(value, shape=shape, positions=order[value.positions])
            elif isinstance(value, Codes) and value.tensor == name:
                self.context.values[key] = replace(value, positions=order[value.positions])


def is_plain(value: Affine) -> bool:
    """Whether a value is dequantized codes and nothing else, with one scale and one zero point."""
    return (
        value.layer is None
        and not value.clipped
        and not np.any(value.offset)
        and np.ptp(value.scale) == 0
        and bool(value.scale[0] > 0)
        and np.ptp(value.correction) == 0
    )


def dequantized(
    tensor: Tensor, positions: IntArray, scale: FloatArray | None = None, zero_point: int | None = None
) -> Affine:
    """The real numbers that a network tensor's codes stand for.

    Args:
        scale, zero_point: those of the DequantizeLinear; the tensor's own if None. scale is () or (C,).
    """
    channels = tensor.shape[-1]
    zero = tensor.zero_point if zero_point is None else zero_point
    return Affine(
        tensor=tensor.name,
        layer=None,
        shape=tensor.shape,
        positions=positions,
        scale=np.broadcast_to(np.asarray(tensor.scale if scale is None else scale, dtype=np.float64), (channels,)),
        offset=np.zeros(channels),
        correction=np.full(channels, -zero, dtype=np.int64),
    )


def per_channel(constant: FloatArray, value: Affine) -> FloatArray:
    """A constant operand of an elementwise operator as one number per channel, (C,).

    Raises:
        Unsupported: if it differs between pixels or would enlarge the tensor.
    """
    try:
        full = np.broadcast_to(constant, value.positions.shape)
    except ValueError:
        raise Unsupported(
            f"a constant of shape {constant.shape} against a tensor of shape {value.positions.shape}",
            "the constant must have one number, or one per channel",
        ) from None
    if constant.size == 1:
        return np.full(value.channels, float(constant.ravel()[0]))
    stream = np.empty(prod(value.shape))
    stream[value.positions.ravel()] = full.ravel()
    rows = stream.reshape(-1, value.channels)
    if np.any(rows != rows[0]):
        raise Unsupported("a constant that differs between pixels", "only one number per channel is possible")
    one: FloatArray = rows[0].copy()
    return one
