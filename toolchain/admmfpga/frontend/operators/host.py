"""What passes through, and what is left to the host."""

from __future__ import annotations

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


def _to_host(node: NodeView, op: str, axis: int | None) -> Value:
    x = node.value(0)
    before: tuple[HostOp, ...] = ()
    name = node.proto.input[0]
    if isinstance(x, HostOutput):
        before, name = x.ops, x.name
        x = x.value
    if isinstance(x, GraphInput):
        x = node.activation(0)
    if not isinstance(x, Affine | Codes | Mapped | Joined):
        raise Unsupported("works on a constant", "fold it before export")
    rank = x.positions.ndim
    if axis is not None:
        if not -rank <= axis < rank:
            raise Unsupported(f"axis {axis} of a tensor of shape {x.positions.shape}", "the file is damaged")
        axis += rank if axis < 0 else 0
        # The channel axis of (1, C, H, W), or the one axis of a vector.
        if not (axis == 1 and rank == 4) and x.positions.shape[axis] != x.positions.size:
            raise Unsupported(
                f"axis {axis} of a tensor of shape {x.positions.shape}", "only the channel axis is possible"
            )
    return HostOutput(x, name, (*before, HostOp(op, -1)))


def softmax(node: NodeView) -> Value:
    return _to_host(node, node.proto.op_type, int(node.attribute("axis", -1)))


def arg_max(node: NodeView) -> Value:
    if int(node.attribute("select_last_index", 0)):
        raise Unsupported("select_last_index=1", "the host takes the first of equal maxima")
    return _to_host(node, "ArgMax", int(node.attribute("axis", 0)))


def sigmoid(node: NodeView) -> Value:
    """Left to the host where it is the last thing; else a table."""
    x = node.value(0)
    if node.output in node.context.terminal and not isinstance(x, GraphInput | Mapped):
        return _to_host(node, "Sigmoid", None)
    return unary(node)
