"""The walk through an ONNX graph that builds the network, collecting every problem on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from admmfpga.errors import UserError
from admmfpga.frontend.builder import Builder
from admmfpga.frontend.constants import evaluate, is_foldable
from admmfpga.frontend.context import Context, NodeView, Rehearsal, dequantized, int_type, is_plain, numpy_type
from admmfpga.frontend.operators import AFTER_HOST, HOST_OPS, QONNX, REGISTRY, handler
from admmfpga.frontend.problems import Problem, Unsupported
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
    stream_positions,
)
from admmfpga.network import HostOp, IntArray, Network
from admmfpga.network.types import FloatArray

MOVES = frozenset({"Identity", "Squeeze", "Unsqueeze", "Cast", "Reshape", "Flatten"})
"""What may stand between host operators and the model's output."""

QUANTIZED = frozenset({"QuantizeLinear", "DequantizeLinear", "ConvInteger", "MatMulInteger"})


@dataclass(frozen=True, eq=False)
class Graph:
    """What the walk found.

    Attributes:
        network: None if there are problems. Of a rehearsal it has the right structure and weights, and assumed scales.
        rehearsal: what has to be quantized, if this was a rehearsal.
        layouts: per network tensor, the stream positions of its ONNX counterpart's elements.
        input_layout: stream position of each element of the model's input.
        output_layout: stream position of each element of the model's output (of what the host starts from).
        realised: per layer, by its ONNX output: the multiplier of its requantization over the wanted ratio, (C,).
        problems: in graph order.
        warnings: what the user should know.
    """

    network: Network | None
    layouts: Mapping[str, IntArray]
    input_layout: IntArray
    output_layout: IntArray
    realised: Mapping[str, FloatArray]
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    rehearsal: Rehearsal | None = None


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether a model has nodes that make or take codes."""
    return any(node.op_type in (*QUANTIZED, *QONNX) for node in model.graph.node)


def import_graph(
    model: onnx.ModelProto, name: str, *, rehearsal: bool = False, memory: dict[tuple[str, str], Any] | None = None
) -> Graph:
    """Build the network of a QDQ model.

    Args:
        model: as `loading.read_model` leaves it: one input and one output, batch size 1.
        name: of the network.
        rehearsal: the model is a float model; find its problems and what has to be quantized, under assumed scales.
        memory: of another import of a model with the same codes of weights; this one adds to it.
    """
    walk = _Walk(model, name, rehearsal, memory if memory is not None else {})
    for node in model.graph.node:
        walk.visit(node)
    network = None if walk.problems else walk.finish()
    builder = walk.context.builder
    return Graph(
        network=None if walk.problems else network,
        layouts=MappingProxyType(builder.layouts),
        input_layout=builder.input_layout,
        output_layout=walk.output_layout,
        realised=MappingProxyType(builder.realised),
        problems=tuple(walk.problems),
        warnings=tuple(dict.fromkeys(builder.warnings)),
        rehearsal=walk.context.rehearsal,
    )


class _Walk:
    def __init__(self, model: onnx.ModelProto, name: str, rehearsal: bool, memory: dict[tuple[str, str], Any]) -> None:
        self.model = model
        self.problems: list[Problem] = []
        self.output_layout: IntArray = np.zeros(0, dtype=np.int64)
        self.opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        constants = {i.name: _initializer(i) for i in model.graph.initializer}
        values: dict[str, Value] = {name: Const(array) for name, array in constants.items()}
        self.context = Context(
            Builder(name, rehearsal=rehearsal),
            values,
            self.opset,
            model.ir_version,
            readers=Counter(n for node in model.graph.node if node.op_type != "Shape" for n in node.input),
            terminal=_terminal(model),
            rehearsal=Rehearsal(constants=constants) if rehearsal else None,
            memory=memory,
        )
        self.shapes = {
            info.name: tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
            for info in (*model.graph.value_info, *model.graph.output)
        }
        self._add_input(model.graph.input[0])

    def _add_input(self, info: onnx.ValueInfoProto) -> None:
        shape = tuple(d.dim_value for d in info.type.tensor_type.shape.dim)
        positions = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
        value = GraphInput(info.name, shape, positions)
        try:
            kind = numpy_type(info.type.tensor_type.elem_type)
            if kind.name in ("float16", "float32", "float64"):
                self.context.values[info.name] = value
                return
            dtype = int_type(kind)
        except Unsupported as problem:
            raise UserError(f"the input {info.name}: {problem.message}", problem.hint) from None
        if dtype.bits > 16:
            raise UserError(f"the input {info.name} holds {dtype}", "use float32, uint8 or int8")
        # The model is given codes, so these are the input's real numbers; what they stand for is in the layers.
        self.context.values[info.name] = self.context.builder.add_input(info.name, value, dtype, 1.0, 0)

    def visit(self, proto: onnx.NodeProto) -> None:
        """Give values to a node's outputs; on a problem, note it and go on."""
        values = self.context.values
        outputs = [name for name in proto.output if name]
        results: list[Value]
        try:
            node = NodeView(self.context, proto)
            results = self._results(node)
            for name, result in zip(proto.output, results, strict=False):
                if name:
                    values[name] = result
            if self.context.rehearsal is not None:
                self._settle_forks([name for name in outputs if name in values])
        except Unsupported as problem:
            name = proto.name or next(iter(outputs), "")
            self.problems.append(Problem(name, proto.op_type, problem.message, problem.hint))
            for index, name in enumerate(outputs):
                values[name] = self._stand_in(proto) if index == 0 else Unknown()
        for name in outputs:
            values.setdefault(name, Unknown())

    def _settle_forks(self, outputs: list[str]) -> None:
        """In a rehearsal: what several nodes read is quantized once, so that it is computed once."""
        for name in outputs:
            value = self.context.values[name]
            computed = isinstance(value, Mapped | Joined) or (isinstance(value, Affine) and value.layer is not None)
            if computed and self.context.readers.get(name, 0) > 1:
                self.context.settle(name)

    def _stand_in(self, proto: onnx.NodeProto) -> Value:
        """What a reported node would have given, so that the nodes behind it are checked too."""
        shape = self.shapes.get(proto.output[0] if proto.output else "", ())
        if len(shape) not in (2, 4) or shape[0] != 1 or min(shape) < 1:
            return Unknown()
        tensor = self.context.builder.assume(shape[1:] if len(shape) == 2 else (shape[2], shape[3], shape[1]))
        value = dequantized(tensor, stream_positions(tensor.shape))
        return Codes(tensor.name, value.positions) if proto.op_type == "QuantizeLinear" else value

    def _results(self, node: NodeView) -> list[Value]:
        proto = node.proto
        if proto.op_type == "Constant" and proto.domain in ("", "ai.onnx"):
            return [Const(_constant(node))]
        given = [value for value in node.inputs if value is not None]
        domain_is_onnx = proto.domain in ("", "ai.onnx")
        known = all(isinstance(value, Const | QuantConst) for value in given)
        # Weights stay integers behind layout operators; other operators work on what they stand for.
        keeps_codes = proto.op_type in REGISTRY and any(isinstance(value, QuantConst) for value in given[:1])
        if known and given and domain_is_onnx and is_foldable(proto):
            moves = proto.op_type in ("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity")
            if proto.op_type != "DequantizeLinear" and not (keeps_codes and moves):
                return [Const(array) for array in self._evaluate(node)]
        method = handler(proto.op_type, proto.domain, self.opset)
        if any(isinstance(value, Unknown) for value in given):
            return [Unknown()]
        if any(isinstance(value, HostOutput) for value in given) and proto.op_type not in AFTER_HOST:
            raise Unsupported("comes after an operator that is left to the host", "cut the model before that operator")
        result = method(node)
        if isinstance(result, Affine) and not result.pools:
            result = replace(result, source=node.output)
        return list(result) if isinstance(result, Sequence) else [result]

    def _evaluate(self, node: NodeView) -> list[np.ndarray]:
        arrays = [
            value.real.astype(np.float32) if isinstance(value, QuantConst) else getattr(value, "array", None)
            for value in node.inputs
        ]
        return evaluate(node.proto, arrays, list(self.model.opset_import), self.model.ir_version)

    def finish(self) -> Network | None:
        """Close the output; None (and a problem) if that is impossible."""
        name = self.model.graph.output[0].name
        value = self.context.values.get(name, Unknown())
        ops: tuple[HostOp, ...] = ()
        if isinstance(value, HostOutput):
            ops, name = value.ops, value.name
            if self.context.rehearsal is None:
                value = value.value
            else:
                # The host's operators start from a tensor that may have been quantized since.
                value = self.context.values[name]
        builder = self.context.builder
        try:
            plain = isinstance(value, Affine) and is_plain(value)
            if self.context.rehearsal is not None and not plain:
                value = self.context.settle(name)
            if not isinstance(value, Affine | Codes | Mapped | Joined):
                raise Unsupported("it is not computed from the input by any layer", "is this the right output?")
            codes = self._output_codes(value, name)
            tensor = builder.tensor(codes.tensor)
            stream = codes.positions.ravel()
            canonical = np.array_equal(stream, np.arange(tensor.elements))
            if codes.positions.ndim == 4 and len(tensor.shape) == 3:
                images = stream_positions(tensor.shape).ravel()
                # The host's operators know images in one order only.
                any_order = not ops and np.array_equal(np.sort(stream), np.sort(images))
                canonical = canonical or any_order or np.array_equal(stream, images)
            if canonical and codes.positions.ndim != 4:
                self.output_layout = codes.positions
                return self._named(builder.flattened(codes.tensor), ops)
            if canonical:
                self.output_layout = codes.positions
                return self._named(codes.tensor, ops)
            shape: tuple[int, ...] = (codes.positions.size,)
            if codes.positions.ndim == 4 and len(codes.positions) == 1:
                shape = (*codes.positions.shape[2:], codes.positions.shape[1])
            self.output_layout = stream_positions(shape).reshape(codes.positions.shape)
            index = np.empty(codes.positions.size, dtype=np.int64)
            index[self.output_layout.ravel()] = stream
            moved = builder.moved(codes.tensor, index, shape, "Reorder")
            builder.claim(moved, name, self.output_layout)
            return self._named(moved, ops)
        except Unsupported as problem:
            self.problems.append(Problem(name, "output", problem.message, problem.hint))
            return None

    def _output_codes(self, value: Affine | Codes | Mapped | Joined, name: str) -> Codes:
        if isinstance(value, Codes):
            return value
        builder = self.context.builder
        if isinstance(value, Mapped | Joined):
            raise Unsupported("it is not quantized", "end the model with QuantizeLinear, DequantizeLinear")
        if value.layer is not None:
            return builder.raw(value, name)
        tensor = builder.tensor(value.tensor)
        if is_plain(replace(value, low=-np.inf, high=np.inf)) and float(value.scale[0]) == float(tensor.scale):
            return builder.quantized(value, float(tensor.scale), -int(value.correction[0]), tensor.dtype, name)
        if not value.clipped and not np.any(value.offset) and not np.any(value.scale <= 0):
            return builder.rescaled(value, name)
        raise Unsupported("the output is scaled after it is quantized", "quantize the output last")

    def _named(self, tensor: str, ops: tuple[HostOp, ...]) -> Network:
        builder = self.context.builder
        builder.network.host_ops = placed_for_host(ops, self.output_layout, builder.tensor(tensor).shape)
        return builder.finish(tensor)


def placed_for_host(ops: tuple[HostOp, ...], layout: IntArray, shape: tuple[int, ...]) -> tuple[HostOp, ...]:
    """The host's operators with the shapes and axes of what the accelerator gives.

    Args:
        ops: with those of the ONNX tensors.
        layout: of the ONNX tensor that they start from, in the network's output tensor.
        shape: of the latter.

    Raises:
        Unsupported: if an image is reshaped between two of them.
    """
    found = []
    in_order = np.array_equal(layout.ravel(), np.arange(layout.size))
    given = layout.shape
    for op in ops:
        if in_order:
            # An axis of length 1 in front is the batch, which the host has too.
            batch = len(op.shape) > 1 and op.shape[0] == 1
            frame = op.shape[1:] if batch else op.shape
            axis = op.axis if op.axis < 0 else op.axis + (not batch) - len(frame) - 1
            # An image that has its channels last in the model too says so by its shape.
            found.append(replace(op, axis=axis, shape=() if frame == shape and len(shape) == 1 else frame))
            shape = frame
        else:
            if op.shape != given:
                raise Unsupported(
                    "an image is reshaped between operators that are left to the host", "cut the model before them"
                )
            # (N, C, H, W) is (N, H, W, C) there.
            found.append(replace(op, axis=op.axis if op.axis < 0 else (0, -1, -3, -2)[op.axis], shape=()))
    return tuple(found)


def _initializer(tensor: onnx.TensorProto) -> np.ndarray:
    array: np.ndarray = numpy_helper.to_array(tensor)
    return array


def _terminal(model: onnx.ModelProto) -> frozenset[str]:
    """Tensors from which only moves and host operators lead to the output, and nothing else."""
    producers = {name: node for node in model.graph.node for name in node.output if name}
    readers = Counter(name for node in model.graph.node for name in node.input)
    found: set[str] = set()
    name = model.graph.output[0].name
    while readers.get(name, 0) <= (1 if found else 0):
        found.add(name)
        node = producers.get(name)
        if node is None or node.op_type not in HOST_OPS | MOVES or not node.input:
            break
        name = node.input[0]
    return frozenset(found)


def _constant(node: NodeView) -> np.ndarray:
    """What a Constant node holds."""
    for attribute in node.proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.name == "value":
            try:
                array: np.ndarray = numpy_helper.to_array(value)
            except (ValueError, TypeError, KeyError, RuntimeError) as error:
                raise Unsupported(f"a damaged constant ({error})", "export the model again") from None
            return array
        if attribute.name in ("value_float", "value_floats"):
            return np.asarray(value, dtype=np.float32)
        if attribute.name in ("value_int", "value_ints"):
            return np.asarray(value, dtype=np.int64)
    raise Unsupported("a constant that is not a tensor of numbers")
