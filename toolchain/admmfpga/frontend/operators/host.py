"""What passes through, and what is left to the host."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from admmfpga.frontend.context import NodeView, dequantized, numpy_type
from admmfpga.frontend.operators.tables import unary
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.values import Affine, Codes, GraphInput, HostOutput, Joined, Mapped, Value
from admmfpga.network import HostOp


def identity(node: NodeView) -> Value:
    return node.value(0)


def dropout(node: NodeView) -> Value:
    if node.has(2) and bool(node.constant(2, "training mode").any()):
        raise Unsupported("training_mode=true", "export the model in evaluation mode")
    if len(node.proto.output) > 1 and node.proto.output[1]:
        readers = node.context.readers.get(node.proto.output[1], 0)
        if readers:
            raise Unsupported("its mask is used", "export the model in evaluation mode")
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


def _to_host(node: NodeView, op: HostOp, axis: int | None) -> Value:
    """An operator for the host.

    Args:
        axis: of the ONNX tensor; None if the operator works element by element.
    """
    x = node.value(0)
    before: tuple[HostOp, ...] = ()
    name = node.proto.input[0]
    if isinstance(x, HostOutput):
        before, name, positions = x.ops, x.name, x.positions
        x = x.value
        if before[-1].op == "ArgMax":
            raise Unsupported("works on what ArgMax gives", "cut the model before it")
    else:
        if isinstance(x, GraphInput):
            x = node.activation(0)
        if not isinstance(x, Affine | Codes | Mapped | Joined):
            raise Unsupported("works on a constant", "fold it before export")
        positions = np.arange(x.positions.size).reshape(x.positions.shape)
    shape = positions.shape
    if axis is not None:
        if not -len(shape) <= axis < len(shape):
            raise Unsupported(f"axis {axis} of a tensor of shape {shape}", "the file is damaged")
        axis %= len(shape)
        if axis == 0 and shape[0] == 1 and positions.size > 1:
            raise Unsupported("it works across the frames of a batch", "name an axis of one frame, 1 and above")
        if op.op == "ArgMax":
            left = [1 if i == axis else n for i, n in enumerate(shape) if op.keep or i != axis]
            positions = np.arange(positions.size // shape[axis]).reshape(left)
    placed = replace(op, axis=-1 if axis is None else axis, shape=shape)
    return HostOutput(x, name, (*before, placed), positions)


def softmax(node: NodeView) -> Value:
    return _to_host(node, HostOp(node.proto.op_type), int(node.attribute("axis", -1)))


def arg_max(node: NodeView) -> Value:
    keep, last = bool(int(node.attribute("keepdims", 1))), bool(int(node.attribute("select_last_index", 0)))
    return _to_host(node, HostOp("ArgMax", keep=keep, last=last), int(node.attribute("axis", 0)))


def sigmoid(node: NodeView) -> Value:
    """Left to the host where it is the last thing; else a table."""
    x = node.value(0)
    if node.output in node.context.terminal and not isinstance(x, GraphInput | Mapped):
        return _to_host(node, HostOp("Sigmoid"), None)
    return unary(node)
