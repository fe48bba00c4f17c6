"""Operators that work element by element: what can be folded is folded, the rest is a sum, a product or a table."""

from __future__ import annotations

from dataclasses import replace
from math import inf, prod

import numpy as np

from admmfpga.frontend.context import NodeView, channel_constant, is_plain, per_channel
from admmfpga.frontend.layers import ProductLayer, SumLayer
from admmfpga.frontend.operators.quantization import clipped_codes
from admmfpga.frontend.operators.tables import mapped, same_codes, table, unary
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
    Value,
)
from admmfpga.network import IntArray
from admmfpga.network.types import FloatArray

# Relu and Clip


def relu(node: NodeView) -> Value:
    return _clipped(node, 0.0, inf)


def clip_attributes(node: NodeView) -> Value:
    return _clipped(node, float(node.attribute("min", -inf)), float(node.attribute("max", inf)))


def clip(node: NodeView) -> Value:
    bounds = [-inf, inf]
    for index, what in ((1, "lower bound"), (2, "upper bound")):
        if node.has(index):
            bound = node.constant(index, what, finite=False)
            if bound.size != 1:
                raise Unsupported(f"its {what} is not one number", "the file is damaged")
            bounds[index - 1] = float(bound.ravel()[0])
    return _clipped(node, min(bounds), bounds[1])


def _clipped(node: NodeView, low: float, high: float) -> Value:
    x = node.value(0)
    if isinstance(x, Codes):
        return clipped_codes(node, x, low, high)
    if isinstance(x, GraphInput):
        x = node.activation(0)
    if isinstance(x, Mapped):
        return unary(node)
    if isinstance(x, Joined):
        return replace(x, parts=tuple(_clipped_part(p, low, high) for p in x.parts), source=node.output)
    if not isinstance(x, Affine):
        raise Unsupported("clips integer codes", "put DequantizeLinear in front of it")
    # In a rehearsal the codes' range is not known yet.
    if x.layer is None and node.context.rehearsal is None:
        dtype = node.builder.tensor(x.tensor).dtype
        ends = [x.scale * (code + x.correction) + x.offset for code in (dtype.least, dtype.greatest)]
        if low <= float(np.minimum(*ends).min()) and float(np.maximum(*ends).max()) <= high:
            return x  # no code is beyond the bounds
    return _changed(x.clip(low, high))


def _clipped_part(part: Affine | Mapped | Const, low: float, high: float) -> Affine | Mapped | Const:
    if isinstance(part, Const):
        return Const(np.clip(part.array, low, high))
    if isinstance(part, Mapped):
        return replace(part, table=np.clip(part.table, low, high), source="")
    return replace(_changed(part.clip(low, high)), source="")


# Arithmetic


def add(node: NodeView) -> Value:
    return _sum(node, [1.0] * len(node.inputs))


def sub(node: NodeView) -> Value:
    return _sum(node, [1.0, -1.0])


def mean(node: NodeView) -> Value:
    """Mean of several tensors."""
    return _sum(node, [1.0 / len(node.inputs)] * len(node.inputs))


def mul(node: NodeView) -> Value:
    found = _with_constant(node)
    if found is not None:
        return _affine(node, found[0], found[1], np.zeros(()))
    if same_codes(_operands(node)):
        return table(node, _operands(node))
    return _product(node)


def div(node: NodeView) -> Value:
    found = _with_constant(node)
    if found is None or found[2]:
        values = _operands(node, settle=True)
        if same_codes(values):
            return table(node, values)
        raise Unsupported("divides by a computed tensor", "only division by a constant is possible")
    if np.any(found[1] == 0):
        raise Unsupported("divides by zero")
    return _affine(node, found[0], 1.0 / found[1], np.zeros(()))


def combined(node: NodeView) -> Value:
    """Max, Min, Pow and other functions of two operands: possible with constants, and of the same codes."""
    values = _operands(node, settle=True)
    if len(values) == 1 and isinstance(values[0], Affine | Mapped):
        return values[0]
    if not same_codes(values):
        raise Unsupported("combines two computed tensors", "only a constant is possible as the other operand")
    return table(node, values)


def batch_normalization(node: NodeView) -> Value:
    if int(node.attribute("training_mode", 0)):
        raise Unsupported("training_mode=1", "export the model in evaluation mode")
    gamma, beta = node.constant(1, "scale").ravel(), node.constant(2, "bias").ravel()
    mean_, variance = node.constant(3, "mean").ravel(), node.constant(4, "variance").ravel()
    epsilon = float(node.attribute("epsilon", 1e-5))
    if np.any(variance + epsilon <= 0):
        raise Unsupported("a variance that is not positive")
    x = _affine_operand(node, 0)
    if len({len(v) for v in (gamma, beta, mean_, variance)}) > 1:
        raise Unsupported("its parameters differ in length", "the file is damaged")
    factor = gamma / np.sqrt(variance + epsilon)
    shape = (1, -1, *[1] * (x.positions.ndim - 2))
    return _affine(node, x, factor.reshape(shape), (beta - mean_ * factor).reshape(shape), evaluated=False)


def _operands(node: NodeView, *, settle: bool = False) -> list[Value | None]:
    """All operands; `settle`: quantized first, in a rehearsal."""
    if not settle:
        return list(node.inputs)
    return [None if v is None else node.computed(i) for i, v in enumerate(node.inputs)]


def _affine_operand(node: NodeView, index: int) -> Affine | GraphInput | Mapped:
    x = node.value(index)
    if isinstance(x, Joined):
        x = node.activation(index)
    if isinstance(x, HostOutput):
        raise Unsupported("comes after an operator that is left to the host", "cut the model before that operator")
    if not isinstance(x, Affine | GraphInput | Mapped):
        raise Unsupported("works on integer codes", "put DequantizeLinear in front of it")
    return x


def _with_constant(node: NodeView) -> tuple[Affine | GraphInput | Mapped, FloatArray, bool] | None:
    """The computed operand, the constant one, and whether the constant comes first; None if both are computed."""
    if len(node.inputs) != 2:
        return None
    constant = [isinstance(node.value(i), Const | QuantConst) for i in (0, 1)]
    if not any(constant):
        return None
    swapped = constant[0]
    return _affine_operand(node, 1 if swapped else 0), node.constant(0 if swapped else 1, "constant operand"), swapped


def _affine(
    node: NodeView,
    x: Affine | GraphInput | Mapped,
    factor: FloatArray,
    shift: FloatArray,
    *,
    evaluated: bool = True,
) -> Value:
    """factor * x + shift.

    Args:
        evaluated: where it becomes a table, ONNX Runtime may compute the node's own operator for it.
    """
    if isinstance(x, Mapped):
        return _tabled(node, x, factor, shift, evaluated)
    index = next(i for i, v in enumerate(node.inputs) if not isinstance(v, Const | QuantConst))
    rehearsal = node.context.rehearsal is not None
    if isinstance(x, GraphInput):
        same_shape = np.broadcast_shapes(x.positions.shape, factor.shape, shift.shape) == x.positions.shape
        if not rehearsal:
            return x.affine(factor, shift)
        uniform = np.ptp(factor) == 0 and np.ptp(shift) == 0 and factor.flat[0] > 0 and same_shape
        if uniform and not np.any(shift):
            return x.affine(factor, shift)
        x = node.activation(index)
    shape = np.broadcast_shapes(x.positions.shape, factor.shape, shift.shape)
    if shape != x.positions.shape and prod(shape) == x.positions.size:
        x = replace(x, positions=x.positions.reshape(shape))  # leading axes of length 1
    try:
        return _folded(node, x, factor, shift, evaluated)
    except Unsupported:
        # What a layer cannot fold can be done to its codes.
        if not rehearsal or x.layer is None:
            raise
    settled = node.activation(index)
    settled = replace(settled, positions=settled.positions.reshape(shape))
    return _folded(node, settled, factor, shift, evaluated)


def _folded(node: NodeView, x: Affine, factor: FloatArray, shift: FloatArray, evaluated: bool) -> Value:
    uniform = np.ptp(factor) == 0 and np.ptp(shift) == 0
    if x.layer is None and uniform and (factor.flat[0] <= 0 or (x.clipped and np.ptp(x.scale))):
        return _tabled(node, mapped(node, x), factor, shift, evaluated)
    try:
        factors, shifts = per_channel(factor, x), per_channel(shift, x)
    except Unsupported:
        if x.layer is not None or not is_plain(x) or factor.size * shift.size == 0:
            raise
        x = node.vector(x)  # as a vector, every element is a channel
        factors, shifts = per_channel(factor, x), per_channel(shift, x)
    if x.layer is None and (x.clipped or np.any(factors <= 0)):
        return _tabled(node, mapped(node, x), factor, shift, evaluated)
    return _changed(x.affine(factors, shifts))


def _tabled(node: NodeView, x: Mapped, factor: FloatArray, shift: FloatArray, evaluated: bool) -> Mapped:
    if evaluated:
        return table(node, [v if v is None or isinstance(v, Const | QuantConst) else x for v in node.inputs])
    factors, shifts = (channel_constant(c, x.positions, x.shape)[:, None].astype(np.float32) for c in (factor, shift))
    return replace(x, table=x.table * factors + shifts, source=node.output)


def _changed(x: Affine) -> Affine:
    """After a change of value: what came before pools is no longer equal to a tensor of the model."""
    if not x.pools:
        return x
    return replace(x, source="", pools=tuple(replace(pool, source="") for pool in x.pools))


# Sums and products of computed tensors


def _sum(node: NodeView, signs: list[float]) -> Value:
    if len(node.inputs) == 1:
        return node.value(0)
    found = _with_constant(node)
    if found is not None:
        x, constant, swapped = found
        if len(set(signs)) > 1:
            ones = np.ones(())
            return _affine(node, x, -ones, constant) if swapped else _affine(node, x, ones, -constant)
        return _affine(node, x, np.full((), signs[0]), constant * signs[0])
    if any(isinstance(v, Const | QuantConst) for v in node.inputs):
        raise Unsupported("adds constants and several tensors at once", "use one Add for each")
    values = _operands(node)
    if any(isinstance(v, Mapped) for v in values) and same_codes(values):
        return table(node, values)
    operands = _aligned(node, [node.activation(i) for i in range(len(node.inputs))])
    first = operands[0]
    shape = tuple(np.broadcast_shapes(*[o.shape for o in operands]))
    layer = SumLayer(
        node.proto.name,
        tuple(o.tensor for o in operands),
        node.output,
        steps=np.array([sign * float(o.scale[0]) for sign, o in zip(signs, operands, strict=True)]),
        zero_points=np.array([-int(o.correction[0]) for o in operands], dtype=np.int64),
    )
    channels = shape[-1]
    return Affine(
        tensor=first.tensor,
        layer=layer,
        shape=shape,
        positions=first.positions,
        scale=np.ones(channels),
        offset=np.zeros(channels),
        correction=np.zeros(channels, dtype=np.int64),
    )


def _product(node: NodeView) -> Value:
    if len(node.inputs) != 2:
        raise Unsupported(f"a product of {len(node.inputs)} tensors")
    first, second = _aligned(node, [node.activation(0), node.activation(1)])
    shape = tuple(np.broadcast_shapes(first.shape, second.shape))
    zeros = (-int(first.correction[0]), -int(second.correction[0]))
    layer = ProductLayer(node.proto.name, (first.tensor, second.tensor), node.output, zeros)
    channels = shape[-1]
    return Affine(
        tensor=first.tensor,
        layer=layer,
        shape=shape,
        positions=first.positions,
        scale=np.full(channels, float(first.scale[0]) * float(second.scale[0])),
        offset=np.zeros(channels),
        correction=np.zeros(channels, dtype=np.int64),
    )


def _aligned(node: NodeView, operands: list[Affine]) -> list[Affine]:
    """The operands with network tensors that broadcast as the ONNX tensors do.

    All results have the positions of the sum's or product's elements in the broadcast network tensor.
    """
    try:
        shape = np.broadcast_shapes(*[o.positions.shape for o in operands])
    except ValueError:
        shapes = ", ".join(str(o.positions.shape) for o in operands)
        raise Unsupported(f"tensors of shapes {shapes}", "they do not fit together") from None
    first = operands[0]
    if all(o.shape == first.shape and np.array_equal(o.positions, first.positions) for o in operands):
        return operands
    if len(shape) in (3, 4) and all(o.positions.ndim == len(shape) and len(o.positions) == 1 for o in operands):
        images = [node.image(o) for o in operands]
        target = tuple(np.broadcast_shapes(*[i.value.shape for i in images]))
        positions: IntArray = images[0].positions(target)
        return [replace(i.value, positions=positions) for i in images]
    spread = [replace(o, positions=np.broadcast_to(o.positions, shape)) for o in operands]
    return [node.vector(o) for o in spread]
