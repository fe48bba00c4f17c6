"""Builds the network's tensors and nodes from what the operators found out."""

from __future__ import annotations

from dataclasses import replace
from math import inf, prod

import numpy as np

from admmfpga.frontend.layers import AverageLayer, Layer, Mask, ResponseLayer, WeightLayer
from admmfpga.frontend.naming import Names
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.scaling import check_width, clamped, multipliers, rescaling, sign_thresholds, whole_offsets
from admmfpga.frontend.values import (
    Affine,
    Codes,
    Const,
    GraphInput,
    Joined,
    Mapped,
    Pool,
    is_permutation,
    stream_positions,
)
from admmfpga.network import (
    BIPOLAR,
    Concat,
    Flatten,
    IntArray,
    IntType,
    Lookup,
    MaxPool,
    Network,
    Node,
    Pad,
    Reorder,
    Requantization,
    Rescale,
    Resize,
    Tensor,
    fixed_point,
    requantization_of,
)
from admmfpga.network.graph import output_shape, padded_size, window_extent, window_positions
from admmfpga.network.types import FloatArray

NEGLIGIBLE_STEPS = 2.0**-12
"""A channel whose weights can move the output by less than this part of a step is a constant."""

LARGEST_PADDED = 1 << 25
"""Elements of an image with a border."""

FINER = (64, 128)
"""Steps, from and below, that a code becomes where an offset needs finer ones."""

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
        rehearsal: scales are assumed, so whether integers can express them is not looked at.
    """

    def __init__(self, name: str, *, rehearsal: bool = False) -> None:
        self.rehearsal = rehearsal
        self.network = Network(name=name, inputs=(), outputs=())
        self.layouts: dict[str, IntArray] = {}
        self.input_layout: IntArray = np.zeros(0, dtype=np.int64)
        self.realised: dict[str, FloatArray] = {}
        self.warnings: list[str] = []
        self._names = Names()
        self._flat: dict[str, str] = {}
        self._moved: dict[tuple[object, ...], str] = {}
        self._closed: dict[tuple[object, ...], tuple[Affine | Mapped | Joined, Codes]] = {}
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
        whole = positions.size == tensor.elements and is_permutation(positions)
        self.layouts[tensor.name] = positions if whole else self.input_layout
        if not whole:  # what is quantized is a part of the input, or repeats it
            self.network.tensors[tensor.name] = replace(tensor, source="")
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
        extent = window_extent(pool.kernel, pool.dilations)
        height, width = window_positions((source.shape[0], source.shape[1]), extent, pool.strides, pool.pads)
        shape = (height, width, source.channels)
        self._provisional.add(f"{name}_out")
        return self._append(
            MaxPool(name, (tensor,), f"{name}_out", pool.kernel, pool.strides, pool.pads, pool.dilations),
            replace(source, name=f"{name}_out", shape=shape, source=pool.source),
            stream_positions(shape),
        )

    def padded(
        self, tensor: str, pads: tuple[int, int, int, int], pad_value: int, spacing: tuple[int, int] = (1, 1)
    ) -> str:
        """An image's codes with a border, and with gaps between its pixels."""
        source = self.tensor(tensor)
        name = self._names.layer("pad", "")
        shape = (*padded_size((source.shape[0], source.shape[1]), pads, spacing), source.channels)
        if prod(shape) > LARGEST_PADDED:
            raise Unsupported(f"padding to {shape[0]} x {shape[1]} pixels of {shape[2]} channels", "pad less")
        node = Pad(name, (tensor,), f"{name}_out", pads, pad_value, spacing)
        result = replace(source, name=node.output, shape=shape, source="")
        return self._append(node, result, stream_positions(shape))

    def moved(self, tensor: str, index: IntArray, shape: tuple[int, ...], kind: str) -> str:
        """The codes at some stream positions of a tensor, as a tensor of its own.

        Args:
            index: stream position of every element of the result.
            shape: of the result.
            kind: the operator's name, for people.
        """
        source = self.tensor(tensor)
        if shape == source.shape and np.array_equal(index, np.arange(source.elements)):
            return tensor
        key = (tensor, shape, index.tobytes())
        if key not in self._moved:
            factors = _magnification(source.shape, index, shape)
            stem = "resize" if factors else "reorder"
            name = self._names.layer(stem, "")
            node: Node
            if factors:
                node = Resize(name, (tensor,), f"{name}_out", factors)
            else:
                node = Reorder(name, (tensor,), f"{name}_out", index, shape, kind)
            result = replace(source, name=node.output, shape=shape, source="")
            self._moved[key] = self._append(node, result, stream_positions(shape))
        return self._moved[key]

    def joined(self, parts: list[Codes], axis: int) -> Codes:
        """Tensors of one type behind each other.

        Args:
            axis: of the ONNX tensors.
        """
        whole = []
        for part in parts:
            tensor = self.tensor(part.tensor)
            if part.positions.size == tensor.elements and is_permutation(part.positions):
                whole.append(part)
                continue
            images = part.positions.ndim == 4 and len(part.positions) == 1
            shape = (*part.positions.shape[2:], part.positions.shape[1]) if images else (part.positions.size,)
            canonical = stream_positions(shape).reshape(part.positions.shape)
            index = np.empty(part.positions.size, dtype=np.int64)
            index[canonical.ravel()] = part.positions.ravel()
            whole.append(Codes(self.moved(part.tensor, index, shape, "Slice"), canonical))
        shapes = [self.tensor(part.tensor).shape for part in whole]
        along = {1: 2, 2: 0, 3: 1}.get(axis, 0) if len(shapes[0]) == 3 else 0
        same = len({(*shape[:along], *shape[along + 1 :]) for shape in shapes}) == 1
        if not same or len({len(shape) for shape in shapes}) > 1:
            along = 0
            whole = [Codes(self.flattened(part.tensor), part.positions) for part in whole]
            shapes = [self.tensor(part.tensor).shape for part in whole]
        total = sum(shape[along] for shape in shapes)
        shape = tuple(total if i == along else n for i, n in enumerate(shapes[0]))
        place = np.split(
            np.arange(prod(shape), dtype=np.int64).reshape(shape), np.cumsum([s[along] for s in shapes])[:-1], along
        )
        positions = [where.ravel()[part.positions] for where, part in zip(place, whole, strict=True)]
        name = self._names.layer("concat", "")
        node = Concat(name, tuple(part.tensor for part in whole), f"{name}_out", along)
        result = replace(self.tensor(whole[0].tensor), name=node.output, shape=shape, source="")
        onnx_positions = np.concatenate(positions, axis)
        return Codes(self._append(node, result, onnx_positions), onnx_positions)

    def narrowed(self, tensor: str, low: int, high: int, name: str) -> str:
        """A tensor's codes clipped to a narrower type: free in the layer that computes them, if unread.

        Args:
            name: ONNX name of the clipped codes.
        """
        source = self.tensor(tensor)
        dtype = IntType.holding(low, high) if low >= 0 else IntType.signed_holding(low, high)
        if (low, high) == (source.dtype.min, source.dtype.max):
            return tensor
        producer = self.network.producer(tensor)
        free = not self.network.consumers(tensor)
        if free and producer is None and (low, high) == (dtype.min, dtype.max):
            pass
        elif free and producer is not None and (requantization_of(producer) or isinstance(producer, Lookup)):
            at = self.network.nodes.index(producer)
            self.network.nodes[at] = _clipped_node(producer, low, high, dtype)
        elif free and isinstance(producer, MaxPool):
            self.narrowed(producer.inputs[0], low, high, "")
        else:
            codes = np.arange(source.dtype.min, source.dtype.max + 1)
            mapped = Mapped(tensor, source.shape, self.layouts[tensor], np.zeros((1, 1), np.float32), name)
            return self.looked_up(mapped, np.clip(codes, low, high)[None], replace(source, dtype=dtype))
        # Import.quantize saturates to the type of an input.
        self.network.tensors[tensor] = replace(source, dtype=dtype, source=name or source.source)
        return tensor

    def looked_up(self, value: Mapped, table: IntArray, target: Tensor) -> str:
        """Codes by table.

        Args:
            table: (1 or C, 2**bits).
            target: scale, zero point and type of the result.
        """
        name = self._names.layer("lookup", "")
        node = Lookup(name, (value.tensor,), f"{name}_out", table, target.dtype)
        result = replace(target, name=node.output, shape=value.shape, source=value.source)
        return self._append(node, result, value.positions)

    def constant(self, codes: IntArray, target: Tensor, beside: str) -> Codes:
        """Codes that are the same in every frame, computed from a tensor of which they do not depend.

        Args:
            codes: in the ONNX tensor's shape.
            target: scale, zero point and type of them.
            beside: a tensor that is there when they are wanted.
        """
        source = self.tensor(beside)
        images = codes.ndim == 4 and len(codes) == 1
        shape = (*codes.shape[2:], codes.shape[1]) if images else (codes.size,)
        positions = stream_positions(shape).reshape(codes.shape)
        flat = np.empty(codes.size, dtype=np.int64)
        flat[positions.ravel()] = codes.ravel()
        channels = flat.reshape(-1, shape[-1])
        alike = bool((channels == channels[0]).all())
        vector = shape if alike else (codes.size,)
        carrier = self.moved(beside, np.arange(codes.size) % source.elements, vector, "Slice")
        # The least shift at which no code of the carrier moves the sum by half a step.
        shift = max(abs(source.dtype.least), abs(source.dtype.greatest)).bit_length() + 2
        wanted = channels[0] if alike else flat
        rule = Requantization(
            bias=(wanted - target.zero_point) << shift,
            multiplier=np.ones(len(wanted), dtype=np.int64),
            shift=shift,
            zero_point=target.zero_point,
            low=target.dtype.min,
            high=target.dtype.max,
            dtype=target.dtype,
        )
        name = self._names.layer("constant", "")
        result = replace(target, name=f"{name}_out", shape=vector, source="")
        tensor = self._append(Rescale(name, (carrier,), result.name, rule), result, stream_positions(vector))
        return Codes(self.moved(tensor, np.arange(codes.size), shape, "Reshape"), positions)

    # Layers that compute

    def quantized(
        self, value: Affine | Mapped | Joined, scale: float, zero_point: int, dtype: IntType, source: str
    ) -> Codes:
        """What QuantizeLinear makes of a value: closes the pending layer, or rescales a tensor's codes.

        Args:
            source: ONNX name of the result.

        Raises:
            Unsupported: if the requantization cannot express it.
        """
        key = (id(value), scale, zero_point, dtype)
        if key in self._closed:
            return self._closed[key][1]
        if isinstance(value, Mapped):
            return self._close_mapped(key, value, scale, zero_point, dtype, source)
        if isinstance(value, Joined):
            return self._close_joined(key, value, scale, zero_point, dtype, source)
        if value.layer is None and self._is_identity(value, scale, zero_point, dtype):
            tensor = value.tensor
            if tensor not in self.network.inputs:  # codes of an integer input that were only pooled have no scale yet
                scaled = replace(self.tensor(tensor), scale=np.array(scale), zero_point=zero_point)
                self.network.tensors[tensor] = scaled
            self.claim(tensor, source, value.positions)
        else:
            # The result of the last node is the ONNX tensor; what comes before pools is only known by its real value.
            tensor = self._close(value, scale, zero_point, dtype)
            for pool in value.pools:
                tensor = self.pool(tensor, pool)
            self._provisional.add(tensor)
            self.claim(tensor, source, value.positions)
        codes = Codes(tensor, value.positions)
        self._closed[key] = (value, codes)  # holds the value, so that its id stays its own
        return codes

    def _close_mapped(
        self, key: tuple[object, ...], value: Mapped, scale: float, zero_point: int, dtype: IntType, source: str
    ) -> Codes:
        target = Tensor("", value.shape, dtype, np.array(scale), zero_point)
        table = value.table
        if self.rehearsal:
            table = np.nan_to_num(table)
        if not np.all(np.isfinite(table)):
            raise Unsupported("gives values that are not finite for some inputs", "clip its input first")
        tensor = self.looked_up(value, target.quantize(table), target)
        self._provisional.add(tensor)
        self.claim(tensor, source, value.positions)
        codes = Codes(tensor, value.positions)
        self._closed[key] = (value, codes)
        return codes

    def _close_joined(
        self, key: tuple[object, ...], value: Joined, scale: float, zero_point: int, dtype: IntType, source: str
    ) -> Codes:
        target = Tensor("", (), dtype, np.array(scale), zero_point)
        parts: list[Codes] = []
        beside = next(part.tensor for part in value.parts if not isinstance(part, Const))
        for part in value.parts:
            if isinstance(part, Const):
                parts.append(self.constant(target.quantize(part.array), target, beside))
            else:
                parts.append(self.quantized(part, scale, zero_point, dtype, ""))
        for found in parts:
            tensor = self.tensor(found.tensor)
            assert tensor.dtype == dtype, (tensor, dtype)
        joined = self.joined(parts, value.axis)
        positions = joined.positions.ravel()[value.positions]
        self.network.tensors[joined.tensor] = replace(
            self.tensor(joined.tensor), scale=np.array(scale), zero_point=zero_point
        )
        self._provisional.add(joined.tensor)
        self.claim(joined.tensor, source, positions)
        codes = Codes(joined.tensor, positions)
        self._closed[key] = (value, codes)
        return codes

    def raw(self, value: Affine, source: str) -> Codes:
        """The accumulators themselves, with one scale per channel; for real outputs that nothing quantizes."""
        assert value.layer is not None
        layer, value = self._settled(value.layer, value, None)
        if isinstance(layer, ResponseLayer) or (isinstance(layer, AverageLayer) and layer.ragged):
            raise Unsupported("its output is not quantized", "end the model with QuantizeLinear, DequantizeLinear")
        layer, value = self._positive(layer, value)
        if np.any(value.scale == 0):
            raise Unsupported("a channel of the output is scaled by zero", "remove the channel")
        if (value.clipped and value.low != 0) or value.high < inf:
            raise Unsupported(
                "Clip on an output that nothing quantizes", "end the model with QuantizeLinear, DequantizeLinear"
            )
        bias = np.rint(value.offset / value.scale).astype(np.int64) + value.correction
        low, high = layer.range(self.tensor, value.channels)
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
        self.claim(tensor, source, value.positions)
        return Codes(tensor, value.positions)

    def rescaled(self, value: Affine, source: str) -> Codes:
        """A tensor's codes with the scales and zero points that the model's output gives them."""
        assert value.layer is None
        given = self.tensor(value.tensor)
        several = bool(np.ptp(value.correction))
        # Zero points that differ go into the codes.
        shifts = value.correction if several else np.zeros(value.channels, dtype=np.int64)
        low, high = given.dtype.least + int(shifts.min()), given.dtype.greatest + int(shifts.max())
        dtype = given.dtype if not several else IntType.holding(low, high)
        rule = Requantization(
            bias=shifts,
            multiplier=np.ones(value.channels, dtype=np.int64),
            shift=0,
            zero_point=0,
            low=dtype.min,
            high=dtype.max,
            dtype=dtype,
        )
        scale = value.scale if np.ptp(value.scale) else value.scale[0]
        name = self._names.layer("rescale", "")
        zero_point = 0 if several else -int(value.correction[0])
        tensor = Tensor(f"{name}_out", value.shape, dtype, np.asarray(scale), zero_point, "")
        node = Rescale(name, (value.tensor,), tensor.name, rule)
        return Codes(self._append(node, tensor, stream_positions(value.shape)), value.positions)

    def finish(self, output: str) -> Network:
        """Without what the output does not depend on."""
        self.network.outputs = (output,)
        needed, kept = {output}, []
        for node in reversed(self.network.nodes):
            if node.output in needed:
                needed.update(node.inputs)
                kept.append(node)
        self.network.nodes[:] = kept[::-1]
        for name in [name for name in self.network.tensors if name not in needed | set(self.network.inputs)]:
            del self.network.tensors[name]
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

    def claim(self, tensor: str, source: str, positions: IntArray) -> None:
        """Note the ONNX tensor that has these codes, unless one is known already."""
        if positions.size != self.tensor(tensor).elements or not is_permutation(positions):
            return  # only a part of the tensor, or parts of it twice
        if source and (not self.tensor(tensor).source or tensor in self._provisional):
            self.network.tensors[tensor] = replace(self.tensor(tensor), source=source)
            self.layouts[tensor] = positions
            self._provisional.discard(tensor)

    def _settled(self, layer: Layer, value: Affine, target: float | None) -> tuple[Layer, Affine]:
        """With the integers that depend on the output's scale."""
        found = layer.settled(self.tensor, value.scale, target)
        if found is None:
            return layer, value
        layer, scale, correction = found
        return layer, replace(value, scale=scale, correction=correction)

    def _positive(self, layer: Layer, value: Affine) -> tuple[Layer, Affine]:
        """Turn rows with a negative scale around, so that multipliers are unsigned."""
        negative = value.scale < 0
        if not np.any(negative):
            return layer, value
        sign = np.where(negative, -1, 1)
        return layer.negated(negative), replace(value, scale=value.scale * sign, correction=value.correction * sign)

    def _close(self, value: Affine, scale: float, zero_point: int, dtype: IntType) -> str:
        layer = value.layer
        if layer is None and self.tensor(value.tensor).dtype.bipolar:
            mapped = value.tabulated(self.tensor(value.tensor).dtype)
            target = Tensor("", value.shape, dtype, np.array(scale), zero_point)
            return self.looked_up(mapped, target.quantize(mapped.table), target)
        if dtype.bipolar:
            return self._close_sign(value, scale)
        if layer is None:
            source_type = self.tensor(value.tensor).dtype
            if np.any(value.scale <= 0):
                raise Unsupported("a factor that is not positive on a quantized tensor", "fold it into a Conv or Gemm")
            low = np.full(value.channels, source_type.min, dtype=np.int64)
            high = np.full(value.channels, source_type.max, dtype=np.int64)
        else:
            layer, value = self._settled(layer, value, scale)
            layer, value = self._positive(layer, value)
            low, high = layer.range(self.tensor, value.channels)
        code_low, code_high = self._clip_codes(value, scale, zero_point, dtype)
        if isinstance(layer, ResponseLayer):
            return self._close_response(layer, value, Tensor("", (), dtype, np.array(scale), zero_point))
        if isinstance(layer, AverageLayer) and layer.ragged and np.any(value.offset):
            raise Unsupported(
                "adds a constant behind an average that does not count padding", "quantize between the two"
            )
        if self.rehearsal:
            one = np.ones(value.channels, dtype=np.int64)
            rule = Requantization(0 * one, one, 0, zero_point, dtype.min, dtype.max, dtype)
            return self._add_closed(layer, value, rule, np.array(scale))

        ratio, correction = value.scale / scale, value.correction
        reach = ratio * np.maximum(np.abs(low + correction), np.abs(high + correction))
        constant = reach < NEGLIGIBLE_STEPS
        if np.any(constant):
            # Such a channel is its offset. Any ratio that fits beside the others expresses it.
            unit = 2.0**-8 if np.all(constant) else float(ratio[~constant].min())
            ratio, correction = np.where(constant, unit, ratio), np.where(constant, 0, correction)
            if isinstance(layer, WeightLayer):
                layer = layer.silenced(constant)
                low, high = np.where(constant, 0, low), np.where(constant, 0, high)
            elif isinstance(layer, AverageLayer) and layer.ragged:
                constant = np.zeros_like(constant)
        multiplier, shift = multipliers(ratio, dtype)
        given = self.tensor(value.tensor).dtype
        if layer is None and not np.any(value.offset) and np.ptp(ratio) == 0 and given.bits <= 8:
            multiplier, shift = self._exact_rescaling(value, scale, given)
        step = multiplier.astype(np.float64) / 2.0**shift
        if isinstance(layer, WeightLayer) and layer.output:
            self.realised[layer.output] = np.where(constant, 1.0, step / ratio)
        coarse = layer is None and _rounding(value.offset / scale, step, constant) > NOTABLE_STEPS
        if coarse and given.bits <= 8 and len(value.shape) == 3 and np.ptp(value.scale) > 0:
            return self._close(_multiplied(value), scale, zero_point, dtype)
        if coarse and given.bits <= 8:
            # Codes are coarse steps to round an offset to; a table is not.
            mapped = value.tabulated(given)
            target = Tensor("", value.shape, dtype, np.array(scale), zero_point)
            return self.looked_up(mapped, target.quantize(mapped.table), target)
        offset, lost = whole_offsets(value.offset / scale, step)
        if lost > NOTABLE_STEPS:
            self.warnings.append(f"{value.source}: the bias is rounded by up to {lost:.3f} output steps")
        total = offset + correction
        if isinstance(layer, AverageLayer) and layer.ragged:
            bias = total.astype(np.int64)
        else:
            bias = clamped(total, step, low, high, (code_low - zero_point, code_high - zero_point))
        if np.any(constant) and not isinstance(layer, WeightLayer):
            codes = np.clip(np.rint(value.offset / scale), code_low - zero_point, code_high - zero_point)
            bias, multiplier, shift = _with_constants(
                constant, codes.astype(np.int64), low, high, bias, multiplier, shift
            )
        requantization = Requantization(bias, multiplier, shift, zero_point, code_low, code_high, dtype)
        check_width(requantization, low, high)
        return self._add_closed(layer, value, requantization, np.array(scale))

    def _add_closed(self, layer: Layer | None, value: Affine, rule: Requantization, scale: FloatArray) -> str:
        if layer is not None:
            return self._add_layer(layer, value, rule, scale)
        name = self._names.layer("rescale", "")
        tensor = Tensor(f"{name}_out", value.shape, rule.dtype, scale, rule.zero_point, value.source)
        return self._append(Rescale(name, (value.tensor,), tensor.name, rule), tensor, value.positions)

    def _close_sign(self, value: Affine, scale: float) -> str:
        """Bipolar codes: +1 where the real number is not negative. One threshold a channel, exact in integers."""
        layer = value.layer
        if layer is None:
            source_type = self.tensor(value.tensor).dtype
            if np.any(value.scale <= 0):
                raise Unsupported("a factor that is not positive on a quantized tensor", "fold it into a Conv or Gemm")
            low = np.full(value.channels, source_type.min, dtype=np.int64)
            high = np.full(value.channels, source_type.max, dtype=np.int64)
        else:
            layer, value = self._settled(layer, value, None)
            if isinstance(layer, ResponseLayer) or (isinstance(layer, AverageLayer) and layer.ragged):
                raise Unsupported(
                    "the sign of a sum whose channels or edges are scaled apart", "quantize it to more bits"
                )
            layer, value = self._positive(layer, value)
            low, high = layer.range(self.tensor, value.channels)
        threshold = sign_thresholds(value.scale, value.offset) - value.correction
        codes = [int(value.low >= 0), int(value.high >= 0)]
        rule = Requantization(
            # Never, or always, reached: no further than that.
            bias=-np.clip(threshold, low, high + 1).astype(np.int64),
            multiplier=np.ones(value.channels, dtype=np.int64),
            shift=0,
            zero_point=1,
            low=codes[0],
            high=codes[1],
            dtype=BIPOLAR,
        )
        if layer is not None:
            return self._add_layer(layer, value, rule, np.array(scale))
        name = self._names.layer("rescale", "")
        tensor = Tensor(f"{name}_out", value.shape, BIPOLAR, np.array(scale), 0, value.source)
        return self._append(Rescale(name, (value.tensor,), tensor.name, rule), tensor, value.positions)

    def _close_response(self, layer: ResponseLayer, value: Affine, target: Tensor) -> str:
        """A table of multipliers takes the place of the requantization's."""
        if np.any(value.offset) or np.ptp(value.scale):
            raise Unsupported("scales or adds per channel behind LRN", "quantize between the two")
        factors, table_shift = layer.factors(self.tensor(value.tensor).dtype)
        ratio = float(value.scale[0]) / float(target.scale) * factors
        try:
            table, shift = fixed_point(ratio)
        except OverflowError:
            raise Unsupported("the output's scale is far too small for what is computed", "check the scales") from None
        low, high = self._clip_codes(value, float(target.scale), target.zero_point, target.dtype)
        requantization = Requantization(
            bias=np.full(value.channels, -layer.zero_point, dtype=np.int64),
            multiplier=np.full(value.channels, int(table.max()), dtype=np.int64),
            shift=shift,
            zero_point=target.zero_point,
            low=low,
            high=high,
            dtype=target.dtype,
        )
        layer = replace(layer, table=table, table_shift=table_shift)
        return self._add_layer(layer, value, requantization, target.scale)

    @staticmethod
    def _exact_rescaling(value: Affine, scale: float, source_type: IntType) -> tuple[IntArray, int]:
        codes = np.arange(source_type.min, source_type.max + 1) + value.correction[0]
        real = codes.astype(np.float32) * np.float32(value.scale[0])
        expected = np.rint(real / np.float32(scale)).astype(np.int64)
        multiplier, shift = rescaling(codes, expected, float(value.scale[0]) / scale)
        return np.full(value.channels, multiplier, dtype=np.int64), shift

    def _add_layer(self, layer: Layer, value: Affine, requantization: Requantization, scale: FloatArray) -> str:
        name = self._names.layer(layer.kind, layer.name)
        if not isinstance(layer, WeightLayer) and any(self.tensor(source).dtype.bipolar for source in layer.inputs):
            raise Unsupported("adds or averages activations of one bit", "quantize them to two bits or more")
        node = layer.node(name, requantization)
        shape = output_shape(node, [self.tensor(name) for name in node.inputs])
        # The rule of a sign has an offset of its own.
        zero_point = 0 if requantization.dtype.bipolar else requantization.zero_point
        tensor = Tensor(node.output, shape, requantization.dtype, scale, zero_point, value.source)
        return self._append(node, tensor, stream_positions(shape))

    def _append(self, node: Node, tensor: Tensor, positions: IntArray) -> str:
        self.network.nodes.append(node)
        self.network.tensors[tensor.name] = tensor
        self.layouts[tensor.name] = positions
        return tensor.name


def _rounding(offset: FloatArray, step: FloatArray, constant: Mask) -> float:
    """Greatest error of an offset rounded to whole steps, in output steps; constant channels have none."""
    exact = offset / step
    return float(np.max(np.abs(exact - np.rint(exact)) * step * ~constant))


def _multiplied(value: Affine) -> Affine:
    """A value of an image's codes as one of a depthwise convolution, whose sums are finer steps for an offset."""
    # Of the factors, for each channel the one that makes most nearly a whole number of its offset.
    factors = np.arange(*FINER)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        exact = (value.offset / value.scale)[:, None] * factors
        missed = np.nan_to_num(np.abs(exact - np.rint(exact)), nan=1.0)
    factor: IntArray = factors[missed.argmin(axis=1)]
    layer = WeightLayer(
        "", (value.tensor,), "", factor.reshape(-1, 1, 1, 1), (factor, 0 * factor), groups=value.channels
    )
    return replace(value, layer=layer, scale=value.scale / factor, correction=value.correction * factor)


def _with_constants(
    constant: Mask, codes: IntArray, low: IntArray, high: IntArray, bias: IntArray, multiplier: IntArray, shift: int
) -> tuple[IntArray, IntArray, int]:
    """Bias, multiplier and shift with which some channels give a code for all accumulators.

    Args:
        constant: which.
        codes: (C,) zero point subtracted.
        low, high: (C,) range of the accumulators.
    """
    # The accumulator is moved by that many bits more than it has, and so below half a step.
    width = int(np.maximum(np.abs(low), np.abs(high)).max()).bit_length() + 2
    if shift < width:
        multiplier, shift = multiplier << (width - shift), width
    return np.where(constant, codes << width, bias), np.where(constant, 1 << (shift - width), multiplier), shift


def _clipped_node(node: Node, low: int, high: int, dtype: IntType) -> Node:
    """The node with its output clipped to codes low ... high of a narrower type."""
    if isinstance(node, Lookup):
        return replace(node, table=np.clip(node.table, low, high), dtype=dtype)
    rule = requantization_of(node)
    assert rule is not None
    narrow = replace(rule, low=min(max(rule.low, low), high), high=max(min(rule.high, high), low), dtype=dtype)
    changed: Node = replace(node, requantization=narrow)  # type: ignore[call-arg]
    return changed


def _magnification(old: tuple[int, ...], index: IntArray, new: tuple[int, ...]) -> tuple[int, int] | None:
    """(vertical, horizontal) factors if the movement is a nearest-neighbour enlargement of an image."""
    if len(old) != 3 or len(new) != 3 or old[2] != new[2] or new[0] % old[0] or new[1] % old[1]:
        return None
    factors = (new[0] // old[0], new[1] // old[1])
    pixels = np.arange(prod(old), dtype=np.int64).reshape(old)
    expected = pixels.repeat(factors[0], axis=0).repeat(factors[1], axis=1)
    return factors if np.array_equal(index, expected.ravel()) else None
