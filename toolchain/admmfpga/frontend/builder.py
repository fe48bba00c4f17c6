"""Builds the network's tensors and nodes from what the operators found out."""

from __future__ import annotations

from dataclasses import replace
from math import inf, prod

import numpy as np

from admmfpga.frontend.naming import Names
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.scaling import check_width, clamped, multipliers, rescaling, whole_offsets
from admmfpga.frontend.values import Affine, Codes, FloatArray, GraphInput, Layer, Pool, stream_positions
from admmfpga.network import (
    Conv,
    Dense,
    Flatten,
    IntArray,
    IntType,
    MaxPool,
    Network,
    Node,
    Requantization,
    Rescale,
    Tensor,
)
from admmfpga.network.graph import window_positions
from admmfpga.network.ranges import accumulator_range

NEGLIGIBLE_STEPS = 2.0**-12
"""A channel whose weights can move the output by less than this part of a step is a constant."""

NOTABLE_STEPS = 0.01
"""Rounding of the bias to whole accumulator steps is reported above this part of an output step."""


class Builder:
    """The network so far.

    Attributes:
        network: nodes in topological order, without outputs until `finish`.
        layouts: per network tensor, the positions of its ONNX counterpart's elements (see `values`).
        input_layout: stream position of each element of the model's input, in the input's ONNX shape.
        realised: per closed layer, by its ONNX output: multiplier over wanted ratio, (C,).
        warnings: what the user should know.
    """

    def __init__(self, name: str) -> None:
        self.network = Network(name=name, inputs=(), outputs=())
        self.layouts: dict[str, IntArray] = {}
        self.input_layout: IntArray = np.zeros(0, dtype=np.int64)
        self.realised: dict[str, FloatArray] = {}
        self.warnings: list[str] = []
        self._names = Names()
        self._flat: dict[str, str] = {}
        self._closed: dict[tuple[object, ...], tuple[Affine, Codes]] = {}
        self._provisional: set[str] = (
            set()
        )  # tensors that are named after a real ONNX tensor for want of a quantized one

    def tensor(self, name: str) -> Tensor:
        return self.network.tensors[name]

    # Inputs

    def add_input(self, source: str, value: GraphInput, dtype: IntType, scale: float, zero_point: int) -> Codes:
        """The network's input. Images (1, C, H, W) become (H, W, C), all else vectors; `reorder_input` changes it.

        Args:
            source: ONNX name of the codes.
            value: what is quantized.
            scale, zero_point: from the model's input as it is given, before any scaling in the model.
        """
        onnx_shape = value.shape
        if len(onnx_shape) == 4:
            shape: tuple[int, ...] = (onnx_shape[2], onnx_shape[3], onnx_shape[1])
        else:
            shape = (prod(onnx_shape),)
        self.input_layout = np.ascontiguousarray(stream_positions(shape).reshape(onnx_shape))
        positions = self.input_layout.ravel()[value.positions]
        tensor = Tensor(self._names.unique("frame"), shape, dtype, np.array(scale), zero_point, source)
        self.network.tensors[tensor.name] = tensor
        self.network.inputs = (tensor.name,)
        self.layouts[tensor.name] = positions
        return Codes(tensor.name, positions)

    def reorder_input(self, shape: tuple[int, ...], order: IntArray) -> None:
        """Give the input another shape and stream order, which is free as long as nothing reads it.

        Args:
            order: new stream position of each old one.
        """
        name = self.network.inputs[0]
        assert not self.network.consumers(name)
        self.network.tensors[name] = replace(self.tensor(name), shape=shape)
        self.layouts[name] = order[self.layouts[name]]
        self.input_layout = order[self.input_layout]
        self._closed.clear()

    def assume(self, shape: tuple[int, ...]) -> Tensor:
        """A tensor out of nothing, for rehearsals: what a layer will read once the model is quantized."""
        tensor = Tensor(self._names.unique("assumed"), shape, IntType(8, signed=False))
        self.network.tensors[tensor.name] = tensor
        self.layouts[tensor.name] = stream_positions(shape)
        return tensor

    # Layers that only move codes

    def flattened(self, tensor: str) -> str:
        """The tensor as a vector; adds a Flatten node if it is an image."""
        source = self.tensor(tensor)
        if len(source.shape) == 1:
            return tensor
        if tensor not in self._flat:
            node = self._names.layer("flatten", "")
            self._flat[tensor] = self._append(
                Flatten(node, (tensor,), f"{node}_out"),
                replace(source, name=f"{node}_out", shape=(source.elements,)),
                self.layouts[tensor],
            )
        return self._flat[tensor]

    def pool(self, tensor: str, pool: Pool) -> str:
        """Maximum over windows of an image's codes."""
        source = self.tensor(tensor)
        name = self._names.layer("pool", pool.name)
        height, width = window_positions((source.shape[0], source.shape[1]), pool.kernel, pool.strides, pool.pads)
        shape = (height, width, source.channels)
        self._provisional.add(f"{name}_out")
        return self._append(
            MaxPool(name, (tensor,), f"{name}_out", pool.kernel, pool.strides, pool.pads),
            replace(source, name=f"{name}_out", shape=shape, source=pool.source),
            stream_positions(shape),
        )

    # Layers that compute

    def quantized(self, value: Affine, scale: float, zero_point: int, dtype: IntType, source: str) -> Codes:
        """What QuantizeLinear makes of a value: closes the pending layer, or rescales a tensor's codes.

        Args:
            source: ONNX name of the result.

        Raises:
            Unsupported: if the requantization cannot express it.
        """
        key = (id(value), scale, zero_point, dtype)
        if key in self._closed:
            return self._closed[key][1]
        if value.layer is None and self._is_identity(value, scale, zero_point, dtype):
            tensor = value.tensor
            if tensor not in self.network.inputs:  # codes of an integer input that were only pooled have no scale yet
                scaled = replace(self.tensor(tensor), scale=np.array(scale), zero_point=zero_point)
                self.network.tensors[tensor] = scaled
            self._claim(tensor, source, value.positions)
        else:
            # The result of the last node is the ONNX tensor; what comes before pools is only known by its real value.
            tensor = self._close(value, scale, zero_point, dtype)
            for pool in value.pools:
                tensor = self.pool(tensor, pool)
            self._provisional.add(tensor)
            self._claim(tensor, source, value.positions)
        codes = Codes(tensor, value.positions)
        self._closed[key] = (value, codes)  # holds the value, so that its id stays its own
        return codes

    def raw(self, value: Affine, source: str) -> Codes:
        """The accumulators themselves, with one scale per channel; for real outputs that nothing quantizes."""
        assert value.layer is not None
        layer, value = self._positive(value.layer, value)
        if np.any(value.scale == 0):
            raise Unsupported("a channel of the output is scaled by zero", "remove the channel")
        if (value.clipped and value.low != 0) or value.high < inf:
            raise Unsupported(
                "Clip on an output that nothing quantizes", "end the model with QuantizeLinear, DequantizeLinear"
            )
        bias = np.rint(value.offset / value.scale).astype(np.int64) + value.correction
        low, high = accumulator_range(_matrix(layer), self.tensor(value.tensor).dtype)
        dtype = IntType.signed_holding(int((low + bias).min()), int((high + bias).max()))
        requantization = Requantization(
            bias=bias,
            multiplier=np.ones(value.channels, dtype=np.int64),
            shift=0,
            zero_point=0,
            low=0 if value.clipped else dtype.min,
            high=dtype.max,
            dtype=dtype,
        )
        scale = value.scale if np.ptp(value.scale) else value.scale[0]
        tensor = self._add_layer(layer, value, requantization, np.asarray(scale))
        for pool in value.pools:
            tensor = self.pool(tensor, pool)
        self._provisional.add(tensor)
        self._claim(tensor, source, value.positions)
        return Codes(tensor, value.positions)

    def finish(self, output: str) -> Network:
        self.network.outputs = (output,)
        self.network.verify()
        return self.network

    # Inside

    def _is_identity(self, value: Affine, scale: float, zero_point: int, dtype: IntType) -> bool:
        if self.tensor(value.tensor).dtype != dtype:
            return False
        same = np.all(value.scale == scale) and not np.any(value.offset) and np.all(value.correction == -zero_point)
        return bool(same) and self._clip_codes(value, scale, zero_point, dtype) == (dtype.min, dtype.max)

    @staticmethod
    def _clip_codes(value: Affine, scale: float, zero_point: int, dtype: IntType) -> tuple[int, int]:
        target = Tensor("", (), dtype, np.array(scale), zero_point)
        low = dtype.min if value.low == -inf else int(target.quantize(np.array(value.low)))
        high = dtype.max if value.high == inf else int(target.quantize(np.array(value.high)))
        return low, high

    def _claim(self, tensor: str, source: str, positions: IntArray) -> None:
        """Note the ONNX tensor that has these codes, unless one is known already."""
        if source and (not self.tensor(tensor).source or tensor in self._provisional):
            self.network.tensors[tensor] = replace(self.tensor(tensor), source=source)
            self.layouts[tensor] = positions
            self._provisional.discard(tensor)

    def _positive(self, layer: Layer, value: Affine) -> tuple[Layer, Affine]:
        """Turn rows with a negative scale around, so that multipliers are unsigned."""
        negative = value.scale < 0
        if not np.any(negative):
            return layer, value
        if int(layer.weights[negative].min()) == -128:
            raise Unsupported(
                "a weight of -128 in a row with a negative scale, which would have to become +128",
                "quantize the weights to -127..127 (symmetric, narrow range)",
            )
        sign = np.where(negative, -1, 1)
        weights = layer.weights * sign.reshape(-1, *[1] * (layer.weights.ndim - 1))
        return replace(layer, weights=weights), replace(
            value, scale=value.scale * sign, correction=value.correction * sign
        )

    def _close(self, value: Affine, scale: float, zero_point: int, dtype: IntType) -> str:
        layer = value.layer
        source_type = self.tensor(value.tensor).dtype
        if layer is not None:
            layer, value = self._positive(layer, value)
            low, high = accumulator_range(_matrix(layer), source_type)
        else:
            if np.any(value.scale <= 0):
                raise Unsupported("a factor that is not positive on a quantized tensor", "fold it into a Conv or Gemm")
            low = np.full(value.channels, source_type.min, dtype=np.int64)
            high = np.full(value.channels, source_type.max, dtype=np.int64)

        ratio, correction = value.scale / scale, value.correction
        if layer is not None:
            reach = ratio * np.maximum(np.abs(low + correction), np.abs(high + correction))
            constant = reach < NEGLIGIBLE_STEPS
            if np.any(constant):
                # Such a channel is its offset. Any ratio that fits beside the others expresses it.
                weights = layer.weights.copy()
                weights[constant] = 0
                layer = replace(layer, weights=weights)
                unit = 2.0**-8 if np.all(constant) else float(ratio[~constant].min())
                ratio, correction = np.where(constant, unit, ratio), np.where(constant, 0, correction)
                low, high = np.where(constant, 0, low), np.where(constant, 0, high)
        multiplier, shift = multipliers(ratio, dtype)
        if layer is None and not np.any(value.offset) and np.ptp(ratio) == 0 and source_type.bits <= 8:
            multiplier, shift = self._exact_rescaling(value, scale, source_type)
        step = multiplier.astype(np.float64) / 2.0**shift
        if layer is not None:
            self.realised[layer.output] = np.where(constant, 1.0, step / ratio)
        offset, lost = whole_offsets(value.offset / scale, step)
        if lost > NOTABLE_STEPS:
            self.warnings.append(f"{value.source}: the bias is rounded by up to {lost:.3f} output steps")
        code_low, code_high = self._clip_codes(value, scale, zero_point, dtype)
        bias = clamped(offset + correction, step, low, high, (code_low - zero_point, code_high - zero_point))
        requantization = Requantization(bias, multiplier, shift, zero_point, code_low, code_high, dtype)
        check_width(requantization, low, high)
        if layer is not None:
            return self._add_layer(layer, value, requantization, np.array(scale))
        name = self._names.layer("rescale", "")
        tensor = Tensor(f"{name}_out", value.shape, dtype, np.array(scale), zero_point, value.source)
        return self._append(Rescale(name, (value.tensor,), tensor.name, requantization), tensor, value.positions)

    @staticmethod
    def _exact_rescaling(value: Affine, scale: float, source_type: IntType) -> tuple[IntArray, int]:
        codes = np.arange(source_type.min, source_type.max + 1) + value.correction[0]
        real = codes.astype(np.float32) * np.float32(value.scale[0])
        expected = np.rint(real / np.float32(scale)).astype(np.int64)
        multiplier, shift = rescaling(codes, expected, float(value.scale[0]) / scale)
        return np.full(value.channels, multiplier, dtype=np.int64), shift

    def _add_layer(self, layer: Layer, value: Affine, requantization: Requantization, scale: FloatArray) -> str:
        given = self.tensor(value.tensor)
        if layer.weights.ndim == 4:
            kernel = (layer.weights.shape[1], layer.weights.shape[2])
            name = self._names.layer("conv", layer.name)
            node: Node = Conv(
                name,
                (value.tensor,),
                f"{name}_out",
                layer.weights,
                layer.strides,
                layer.pads,
                layer.pad_value,
                requantization,
            )
            size = window_positions((given.shape[0], given.shape[1]), kernel, layer.strides, layer.pads)
            shape: tuple[int, ...] = (*size, layer.weights.shape[0])
        else:
            name = self._names.layer("fc", layer.name)
            node = Dense(name, (value.tensor,), f"{name}_out", layer.weights, requantization)
            shape = (layer.weights.shape[0],)
        zero_point = requantization.zero_point
        tensor = Tensor(node.output, shape, requantization.dtype, scale, zero_point, value.source)
        return self._append(node, tensor, stream_positions(shape))

    def _append(self, node: Node, tensor: Tensor, positions: IntArray) -> str:
        self.network.nodes.append(node)
        self.network.tensors[tensor.name] = tensor
        self.layouts[tensor.name] = positions
        return tensor.name


def _matrix(layer: Layer) -> IntArray:
    return layer.weights.reshape(layer.weights.shape[0], -1)
