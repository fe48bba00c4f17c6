"""What an operator's handler sees: one node, the values of its inputs, and the network that is being built."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnx

from admmfpga.frontend.builder import Builder
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.values import (
    Affine,
    Codes,
    Const,
    GraphInput,
    HostOutput,
    Joined,
    Mapped,
    QuantConst,
    Unknown,
    Value,
    is_permutation,
    same_positions,
    stream_positions,
)
from admmfpga.network import IntArray, IntType, Tensor
from admmfpga.network.types import FloatArray

T = TypeVar("T")

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


@dataclass(frozen=True, eq=False)
class WeightRequest:
    """Weights that a float model must have quantized.

    Attributes:
        output: ONNX name of the first output of the node that reads them.
        index: which input of that node.
        array: the real weights.
        axis: of the output channels; None for one scale.
    """

    output: str
    index: int
    array: npt.NDArray[Any]
    axis: int | None


@dataclass
class Rehearsal:
    """What a float model needs so that it can become integers, found by walking through it.

    Attributes:
        tensors: ONNX tensors to quantize, in the order in which they are computed, and a range that each must cover.
        weights: weights to quantize.
        constants: the model's initializers as arrays, by name; making them anew copies all weights.
    """

    tensors: dict[str, tuple[float, float]] = field(default_factory=dict)
    weights: list[WeightRequest] = field(default_factory=list)
    constants: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


@dataclass
class Context:
    """State of the traversal.

    Attributes:
        builder: the network so far.
        values: of all ONNX tensors so far.
        opset: of the model.
        ir_version: of the model.
        readers: how many nodes read each ONNX tensor.
        terminal: ONNX tensors behind which nothing is computed but what the host may do.
        rehearsal: the model is a float model yet to be quantized: its activations are quantized where a layer asks for
            it, to assumed scales.
        memory: see `remembered`.
    """

    builder: Builder
    values: dict[str, Value]
    opset: int
    ir_version: int
    readers: Mapping[str, int] = field(default_factory=dict)
    terminal: frozenset[str] = frozenset()
    rehearsal: Rehearsal | None = None
    memory: dict[tuple[str, str], Any] = field(default_factory=dict)

    def remembered(self, what: str, name: str, compute: Callable[[], T]) -> T:
        """What depends on weights' codes and their place only, computed once for several walks through one model.

        Args:
            what, name: together say which.
        """
        if self.rehearsal is not None:
            return compute()
        if (what, name) not in self.memory:
            self.memory[what, name] = compute()
        found: T = self.memory[what, name]
        return found

    def settle(self, name: str) -> Value:
        """In a rehearsal: quantize an ONNX tensor for all that read it from now on."""
        assert self.rehearsal is not None
        value = self.values.get(name, Unknown())
        if isinstance(value, GraphInput):
            if self.builder.network.inputs:
                raise Unsupported("the input is scaled in two different ways", "scale it once and share the result")
            codes = self.builder.add_input(name, value, IntType(8, signed=False), 1 / 255, 0)
        elif isinstance(value, Affine | Mapped | Joined):
            low, high = self._assumed_range(value)
            low, high = min(low, 0.0), max(high, 0.0)
            scale = (high - low) / 255 or 1.0
            codes = self.builder.quantized(value, scale, round(-low / scale), IntType(8, signed=False), name)
        else:
            return value
        self.rehearsal.tensors.setdefault(name, (0.0, 0.0))
        settled = dequantized(self.builder.tensor(codes.tensor), codes.positions)
        self.values[name] = settled
        return settled

    def _assumed_range(self, value: Affine | Mapped | Joined | Const) -> tuple[float, float]:
        """What the numbers can be at most; calibration finds out what they are."""
        if isinstance(value, Const):
            return float(value.array.min()), float(value.array.max())
        if isinstance(value, Joined):
            ranges = [self._assumed_range(part) for part in value.parts]
            return min(low for low, _ in ranges), max(high for _, high in ranges)
        if isinstance(value, Mapped):
            finite = value.table[np.isfinite(value.table)]
            return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        tensors = self.builder.tensor
        if value.layer is None:
            dtype = tensors(value.tensor).dtype
            ends = [np.full(value.channels, dtype.min), np.full(value.channels, dtype.max)]
        else:
            found = value.layer.settled(tensors, value.scale, None)
            layer = value.layer
            if found is not None:
                layer, scale, correction = found
                value = replace(value, scale=scale, correction=correction)
            ends = list(layer.range(tensors, value.channels))
        reach = np.stack([value.scale * (end + value.correction) + value.offset for end in ends])
        clipped = np.clip(reach, value.low, value.high)
        return float(clipped.min()), float(clipped.max())


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

    @property
    def opset_import(self) -> onnx.OperatorSetIdProto:
        return onnx.helper.make_opsetid("", self.context.opset)

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

    def integers(self, index: int, what: str) -> list[int]:
        """A constant input as a list of integers (a shape, axes)."""
        return [int(i) for i in self.constant(index, what).ravel()]

    # Layer inputs

    def computed(self, index: int) -> Value:
        """An input; in a rehearsal it is quantized first if it is not (a layer or table needs codes to work on)."""
        value = self.value(index)
        if self.context.rehearsal is None or not isinstance(value, Affine | Mapped | Joined | GraphInput):
            return value
        if isinstance(value, Affine) and value.layer is None:
            return value
        return self.context.settle(self.proto.input[index])

    def activation(self, index: int) -> Affine:
        """An input of a layer: dequantized codes and nothing else, one scale and zero point.

        Raises:
            Unsupported: if it is a constant, or real numbers that nothing quantizes.
        """
        value = self.value(index)
        if isinstance(value, Affine) and is_plain(value):
            return value
        if self.context.rehearsal is not None and isinstance(value, Affine | Mapped | Joined | GraphInput):
            value = self.context.settle(self.proto.input[index])
            assert isinstance(value, Affine), value
            return value
        if isinstance(value, Affine | Mapped | Joined | GraphInput):
            raise Unsupported("its input is not quantized", QUANTIZE_HINT)
        if isinstance(value, Codes):
            raise Unsupported("its input is integer codes", "put DequantizeLinear in front of it")
        if isinstance(value, HostOutput):
            raise Unsupported("comes after an operator that is left to the host", "cut the model before that operator")
        raise Unsupported("its first input is a constant", "only the second input may be constant")

    def image(self, value: Affine, *, any_order: bool = False) -> Image:
        """A value as an image: its network tensor is (H, W, C) for the ONNX shape (1, C, H, W) or (1, C, W).

        Args:
            any_order: the caller takes channels in the tensor's order, whatever that is in the model.

        Raises:
            Unsupported: if it is anything else.
        """
        given = value.positions.shape
        if len(given) not in (3, 4) or given[0] != 1:
            raise Unsupported(
                f"works on a tensor of shape {given}", "only images (1, C, H, W) and sequences (1, C, W) are possible"
            )
        value = replace(value, positions=value.positions.reshape(1, given[1], -1, given[-1]))
        _, channels, height, width = value.positions.shape
        expected = stream_positions((height, width, channels))
        builder, network = self.builder, self.builder.network
        if value.shape == (height, width, channels):
            order = value.positions[0, :, 0, 0]
            in_order = np.array_equal(order, np.arange(channels))
            permuted = in_order or (any_order and is_permutation(order))
            if permuted and same_positions(value.positions, expected if in_order else expected[:, order]):
                return Image(value, order, len(given))
        elements = builder.tensor(value.tensor).elements
        one_to_one = value.positions.size == elements and is_permutation(value.positions)
        if value.layer is not None:
            raise Unsupported("its input is moved before it is quantized", "quantize before Transpose and Reshape")
        if value.tensor in network.inputs and one_to_one and self._input_is_free(value.tensor):
            order = np.empty(value.positions.size, dtype=np.int64)
            order[value.positions.ravel()] = expected.ravel()
            self._reorder_input((height, width, channels), order)
            value = replace(value, shape=(height, width, channels), positions=expected)
            return Image(value, np.arange(channels), len(given))
        if np.ptp(value.scale) or np.ptp(value.offset) or np.ptp(value.correction):
            raise Unsupported("is moved after it was scaled per channel", "quantize before Transpose and Reshape")
        index = np.ascontiguousarray(value.positions[0].transpose(1, 2, 0)).ravel()
        tensor = builder.moved(value.tensor, index, (height, width, channels), "Reorder")
        value = replace(value, tensor=tensor, shape=(height, width, channels), positions=expected)
        value = replace(
            value,
            scale=np.full(channels, value.scale[0]),
            offset=np.full(channels, value.offset[0]),
            correction=np.full(channels, value.correction[0]),
        )
        return Image(value, np.arange(channels), len(given))

    def vector(self, value: Affine) -> Affine:
        """A quantized value as a vector whose stream order is the ONNX order; moves codes if it has to."""
        stream = value.positions.ravel()
        builder = self.builder
        if np.array_equal(stream, np.arange(builder.tensor(value.tensor).elements)):
            return replace(value, tensor=builder.flattened(value.tensor), shape=(stream.size,)).spread(stream.size)
        tensor = builder.moved(value.tensor, stream, (stream.size,), "Reorder")
        positions = np.arange(stream.size, dtype=np.int64).reshape(value.positions.shape)
        return replace(value, tensor=tensor, shape=(stream.size,), positions=positions).spread(stream.size)

    def weights(self, index: int, axis: int | None) -> QuantConst:
        """Quantized weights: 8 bits, of which a zero point may have made 9 signed ones.

        Args:
            axis: of the output channels, which may have a scale each; None if they cannot.

        Raises:
            Unsupported: if they do not, are not quantized or not constant.
        """
        value = self.value(index)
        if isinstance(value, Const):
            if not is_finite(value.array):
                self.constant(index, "weight tensor")
            rehearsal = self.context.rehearsal
            if rehearsal is None:
                raise Unsupported(
                    "its weights are not quantized", "give them a DequantizeLinear, or use the float model"
                )
            request = WeightRequest(self.output, index, value.array, axis)
            rehearsal.weights.append(request)
            value = stand_in(value.array.shape, axis)
        if not isinstance(value, QuantConst):
            raise Unsupported("its weights are computed at run time", "only constant weights are possible")
        if value.codes.size == 0:
            raise Unsupported("its weights are empty")
        check_weights(value.codes)
        return value

    def _input_is_free(self, name: str) -> bool:
        """Whether nothing depends yet on the order of the network's input."""
        values = [v for v in self.context.values.values() if isinstance(v, Affine) and v.tensor == name]
        alike = all(not (np.ptp(v.scale) or np.ptp(v.offset) or np.ptp(v.correction)) for v in values)
        mapped = [v for v in self.context.values.values() if isinstance(v, Mapped) and v.tensor == name]
        return alike and all(len(v.table) == 1 for v in mapped) and not self.builder.network.consumers(name)

    def _reorder_input(self, shape: tuple[int, ...], order: IntArray) -> None:
        name = self.builder.network.inputs[0]
        self.builder.reorder_input(shape, order)
        for key, value in self.context.values.items():
            if isinstance(value, Affine) and value.tensor == name:
                moved = replace(value, shape=shape, positions=order[value.positions])
                self.context.values[key] = moved.spread(shape[-1])
            elif isinstance(value, Mapped) and value.tensor == name and len(value.table) == 1:
                self.context.values[key] = replace(value, shape=shape, positions=order[value.positions])
            elif isinstance(value, Codes) and value.tensor == name:
                self.context.values[key] = replace(value, positions=order[value.positions])


@dataclass(frozen=True, eq=False)
class Image:
    """A value that is an image.

    Attributes:
        value: with positions of four dimensions.
        order: (C,) stream channel of each ONNX channel.
        rank: of the ONNX tensor: 4, or 3 for a sequence (1, C, W), which is an image of one row.
    """

    value: Affine
    order: IntArray
    rank: int

    @property
    def size(self) -> tuple[int, int]:
        return self.value.shape[0], self.value.shape[1]

    @property
    def channels(self) -> int:
        return self.value.shape[2]

    def positions(self, shape: tuple[int, ...], order: IntArray | None = None) -> IntArray:
        """Positions of an ONNX tensor of the same rank in a network tensor of that shape.

        Args:
            shape: (H, W, C).
            order: (C,) as `order`; None for the model's own.
        """
        positions = stream_positions(shape)
        if order is not None:
            positions = positions[:, order]
        return positions if self.rank == 4 else positions.reshape(1, shape[2], -1)


def check_weights(codes: IntArray) -> None:
    """Refuse weights of more than 9 signed bits.

    Raises:
        Unsupported: if they are wider.
    """
    low, high = int(codes.min()), int(codes.max())
    if low < -255 or high > 255:
        raise Unsupported(
            f"weights minus zero point span {low}..{high}, more than 9 signed bits",
            "quantize the weights symmetrically to int8 (zero point 0)",
        )


def is_finite(array: npt.NDArray[Any]) -> bool:
    """Whether real numbers are neither infinite nor NaN; makes no copy."""
    if array.dtype.kind != "f" or not array.size:
        return array.dtype.kind in "iub"
    return bool(np.isfinite(array.min()) and np.isfinite(array.max()))


def stand_in(shape: tuple[int, ...], axis: int | None) -> QuantConst:
    """Weights of a rehearsal, which take no memory: 1 for every other output, -1 for the rest.

    Their scale is such that results are as large as inputs, however many layers there are.
    """
    outputs = (axis if axis is not None else len(shape) - 1) if shape else 0
    along = [1] * len(shape)
    if shape:
        along[outputs] = -1
    signs = np.resize(np.array([1, -1]), shape[outputs] if shape else 1).reshape(along)
    columns = max(1, prod(shape) // max(1, signs.size))
    scale = np.full(() if axis is None else signs.size, 1.0 / columns)
    return QuantConst(np.broadcast_to(signs, shape), scale, 0 if axis is None else axis)


def quantized_weights(real: npt.NDArray[Any], axis: int | None) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Weights as int8 codes, -127..127; one scale for each index along `axis`, or one scale.

    The scales are float32, as a model holds them.
    """
    rows = real.reshape(1, -1) if axis is None else np.moveaxis(real, axis, 0).reshape(real.shape[axis], -1)
    codes, scales = np.empty(rows.shape, dtype=np.int8), np.empty(len(rows))
    width = max(1, min(rows.shape[1], WEIGHTS_AT_ONCE))
    height = max(1, WEIGHTS_AT_ONCE // width)
    for top in range(0, len(rows), height):
        some = rows[top : top + height]
        parts = [some[:, left : left + width].astype(np.float64) for left in range(0, some.shape[1], width)]
        most = np.max([np.abs(part).max(axis=1, initial=0.0) for part in parts], axis=0, initial=0.0)
        scale = np.where(most > 0, most / 127, 1.0).astype(np.float32).astype(np.float64)
        scale = np.where(scale > 0, scale, np.finfo(np.float32).tiny)
        scales[top : top + height] = scale
        for index, part in enumerate(parts):
            part /= scale[:, None]
            np.clip(np.rint(part, out=part), -127, 127, out=part)
            codes[top : top + height, index * width : index * width + part.shape[1]] = part
    if axis is None:
        return codes.reshape(real.shape), scales[0]
    moved = np.moveaxis(real, axis, 0).shape
    return np.ascontiguousarray(np.moveaxis(codes.reshape(moved), 0, axis)), scales


WEIGHTS_AT_ONCE = 1 << 16
"""That are quantized together: what fits a processor's cache."""


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
    return channel_constant(constant, value.positions, value.shape)


def channel_constant(constant: FloatArray, positions: IntArray, shape: tuple[int, ...]) -> FloatArray:
    """As `per_channel`, for a value with these positions in a network tensor of that shape."""
    channels = shape[-1]
    try:
        full = np.broadcast_to(constant, positions.shape)
    except ValueError:
        raise Unsupported(
            f"a constant of shape {constant.shape} against a tensor of shape {positions.shape}",
            "the constant must have one number, or one per channel",
        ) from None
    if constant.size == 1:
        return np.full(channels, float(constant.ravel()[0]))
    # Elements that the model does not look at (of a slice) take part in nothing.
    one: FloatArray = np.zeros(channels)
    one[positions.ravel() % channels] = full.ravel()
    if not np.array_equal(one[positions.ravel() % channels], full.ravel()):
        raise Unsupported("a constant that differs between pixels", "only one number per channel is possible")
    return one
