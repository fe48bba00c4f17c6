"""Functions of one code, by table.

The table's entries are what ONNX Runtime computes for the real numbers that the codes stand for, so any elementwise
operator of ONNX is possible, and chains and products of them (x * Sigmoid(x)) are one table.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from admmfpga.frontend.constants import evaluate
from admmfpga.frontend.context import NodeView, channel_constant
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.values import Affine, Codes, Const, GraphInput, HostOutput, Joined, Mapped, QuantConst, Value

WIDEST_ACCUMULATOR = 12
"""Bits up to which a layer's accumulators are looked up as they are, without quantization in between."""

WIDEST_CODE = 16


def unary(node: NodeView) -> Value:
    """An operator that works element by element."""
    x = table_operand(node, 0)
    if isinstance(x, HostOutput):
        raise Unsupported("comes after an operator that is left to the host", "cut the model before that operator")
    return table(node, [x if i == 0 else node.inputs[i] for i in range(len(node.inputs))])


def table_operand(node: NodeView, index: int) -> Value:
    """An input as a function of codes, or a constant."""
    x = node.computed(index)
    if isinstance(x, Codes):
        raise Unsupported("works on integer codes", "put DequantizeLinear in front of it")
    if isinstance(x, GraphInput | Joined):
        raise Unsupported("its input is not quantized", "put QuantizeLinear, DequantizeLinear in front of it")
    if isinstance(x, Affine):
        return mapped(node, x)
    return x


def mapped(node: NodeView, x: Affine) -> Mapped:
    """Real values by code."""
    builder = node.builder
    if x.layer is not None:
        low, high = x.layer.range(builder.tensor, x.channels)
        narrow = x.layer.settled(builder.tensor, x.scale, None) is None and not x.clipped and not x.pools
        if not narrow or int((high - low).max()).bit_length() > WIDEST_ACCUMULATOR:
            raise Unsupported("its input is not quantized", "put QuantizeLinear, DequantizeLinear in front of it")
        codes = builder.raw(x, "")
        tensor = builder.tensor(codes.tensor)
        scale = np.broadcast_to(tensor.scale, (x.channels,))
        x = Affine(
            codes.tensor,
            None,
            tensor.shape,
            codes.positions,
            scale,
            np.zeros(x.channels),
            np.zeros(x.channels, dtype=np.int64),
        )
    dtype = builder.tensor(x.tensor).dtype
    if dtype.bits > WIDEST_CODE:
        raise Unsupported(f"a function of {dtype}", "quantize its input to 8 bits")
    return x.tabulated(dtype)


def same_codes(values: list[Value | None]) -> bool:
    """Whether all computed operands are functions of the same codes, element by element."""
    computed = [v for v in values if v is not None and not isinstance(v, Const | QuantConst)]
    if not all(isinstance(v, Mapped) or (isinstance(v, Affine) and v.layer is None) for v in computed):
        return False
    first = computed[0]
    assert isinstance(first, Affine | Mapped)
    return all(
        isinstance(v, Affine | Mapped)
        and v.tensor == first.tensor
        and v.positions.shape == first.positions.shape
        and np.array_equal(v.positions, first.positions)
        for v in computed
    )


def table(node: NodeView, values: list[Value | None]) -> Mapped:
    """The node's operator, evaluated for every code.

    Args:
        values: its inputs; the computed ones are functions of the same codes.
    """
    prepared = [mapped(node, v) if isinstance(v, Affine) else v for v in values]
    first = next(v for v in prepared if isinstance(v, Mapped))
    channels = first.shape[-1]
    arrays: list[npt.NDArray[np.generic] | None] = []
    for index, value in enumerate(prepared):
        if value is None:
            arrays.append(None)
        elif isinstance(value, Mapped):
            arrays.append(value.table)
        elif isinstance(value, Const | QuantConst):
            arrays.append(_constant(node, index, value, first, channels))
        else:
            raise Unsupported("its operands are computed in different ways", "quantize them first")
    with np.errstate(all="ignore"):
        (result,) = evaluate(node.proto, arrays, [node.opset_import], node.context.ir_version)
    entries = first.table.shape[1]
    if result.shape not in ((1, entries), (channels, entries)):
        raise Unsupported("does not work element by element here", "leave it to the host")
    return Mapped(first.tensor, first.shape, first.positions, result.astype(np.float32), node.output)


def _constant(
    node: NodeView, index: int, value: Const | QuantConst, first: Mapped, channels: int
) -> npt.NDArray[np.generic]:
    """A constant operand against tables: a number, or one per channel."""
    array = value.array if isinstance(value, Const) else value.real.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise Unsupported(f"a constant of type {array.dtype.name}", "use float32")
    if array.size == 1:
        return np.asarray(array).reshape(())
    numbers = channel_constant(node.constant(index, "constant operand", finite=False), first.positions, first.shape)
    return numbers.astype(array.dtype)[:, None]
