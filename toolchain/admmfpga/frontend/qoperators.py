"""Operators that quantize inside, as QuantizeLinear and DequantizeLinear around plain ones.

ONNX has QLinearConv and QLinearMatMul; ONNX Runtime's "QOperator" format adds more of them in its own domain. Each one
is by definition the plain operator on dequantized operands, quantized again; written that way, one importer serves both
formats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

ONNX_DOMAINS = ("", "ai.onnx")
RUNTIME_DOMAIN = "com.microsoft"


def decomposed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every such operator spelled out; one that cannot be (scales computed at run time) stays.

    Args:
        model: opset 13 or newer; changed in place.
    """
    graph = model.graph
    if not any(node.op_type in _ALL for node in graph.node):
        return model
    writer = _Writer(graph)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        operators = _OPERATORS.get("" if node.domain in ONNX_DOMAINS else node.domain, {})
        spelled = operators[node.op_type](writer.at(node), node) if node.op_type in operators else None
        nodes += [node] if spelled is None else spelled
    del graph.node[:]
    graph.node.extend(nodes)
    return model


class _Writer:
    """Makes nodes and constants with names that are free in the graph."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.known = {i.name: i for i in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self.known[node.output[0]] = node.attribute[0].t
        self.stem = ""

    def at(self, node: onnx.NodeProto) -> _Writer:
        self.stem = node.name or node.output[0]
        return self

    def array(self, name: str) -> np.ndarray | None:
        """A constant, None if the tensor is computed."""
        if name not in self.known:
            return None
        found: np.ndarray = numpy_helper.to_array(self.known[name])
        return found

    def constant(self, array: np.ndarray, suffix: str) -> str:
        name = f"{self.stem}_{suffix}"
        self.known[name] = numpy_helper.from_array(array, name)
        self.graph.initializer.append(self.known[name])
        return name

    def scale(self, name: str, suffix: str) -> str:
        """Scales as float32: they may be float16, which then would be the type of all that is computed."""
        array = self.array(name)
        return name if array is None or array.dtype == np.float32 else self.constant(array.astype(np.float32), suffix)

    def dequantize(self, triple: Sequence[str], suffix: str, axis: int = 0) -> onnx.NodeProto:
        x, scale, *zero = triple
        several = self.array(scale)
        attributes: dict[str, Any] = {"axis": axis} if several is not None and several.size > 1 else {}
        inputs = [x, self.scale(scale, f"{suffix}_scale"), *(z for z in zero if z)]
        output = f"{self.stem}_{suffix}"
        return helper.make_node("DequantizeLinear", inputs, [output], output, **attributes)

    def quantize(self, x: str, pair: Sequence[str], output: str) -> onnx.NodeProto:
        scale, *zero = pair
        inputs = [x, self.scale(scale, "y_scale"), *(z for z in zero if z)]
        return helper.make_node("QuantizeLinear", inputs, [output], f"{self.stem}_quantize")

    def bias(self, node: onnx.NodeProto, index: int, scales: Sequence[str], factor: float) -> onnx.NodeProto | None:
        """The bias, in steps of the accumulator."""
        steps = [self.array(name) for name in scales]
        if any(step is None for step in steps):
            return None
        product = np.asarray(factor, dtype=np.float64)
        for step in steps:
            product = product * np.asarray(step, dtype=np.float64)
        scale = self.constant(np.asarray(product, dtype=np.float32).squeeze(), "bias_scale")
        return self.dequantize([node.input[index], scale], "bias")

    def plain(self, node: onnx.NodeProto, op: str, inputs: Sequence[str], without: Sequence[str] = ()) -> Any:
        """The operator itself, with the node's attributes."""
        made = helper.make_node(op, list(inputs), [f"{self.stem}_real"], node.name or self.stem)
        made.attribute.extend(a for a in node.attribute if a.name not in without)
        return made


Spelled = list[onnx.NodeProto] | None


def _has(node: onnx.NodeProto, index: int) -> bool:
    return len(node.input) > index and bool(node.input[index])


def _attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    return next((float(helper.get_attribute_value(a)) for a in node.attribute if a.name == name), default)


def _conv(write: _Writer, node: onnx.NodeProto) -> Spelled:
    parts = [write.dequantize(node.input[0:3], "x"), write.dequantize(node.input[3:6], "w")]
    if _has(node, 8):
        bias = write.bias(node, 8, (node.input[1], node.input[4]), 1.0)
        if bias is None:
            return None
        parts.append(bias)
    conv = write.plain(node, "Conv", [part.output[0] for part in parts])
    return [*parts, conv, write.quantize(conv.output[0], node.input[6:8], node.output[0])]


def _matmul(write: _Writer, node: onnx.NodeProto) -> Spelled:
    # One scale a column of the right-hand matrix; one a row of the left-hand one.
    parts = [write.dequantize(node.input[0:3], "a", -2), write.dequantize(node.input[3:6], "b", -1)]
    product = write.plain(node, "MatMul", [part.output[0] for part in parts])
    return [*parts, product, write.quantize(product.output[0], node.input[6:8], node.output[0])]


def _gemm(write: _Writer, node: onnx.NodeProto) -> Spelled:
    if not _has(node, 7):
        return None
    columns = 0 if _attribute(node, "transB", 0) else 1
    parts = [write.dequantize(node.input[0:3], "a"), write.dequantize(node.input[3:6], "b", columns)]
    if _has(node, 6):
        bias = write.bias(node, 6, (node.input[1], node.input[4]), _attribute(node, "alpha", 1.0))
        if bias is None:
            return None
        parts.append(bias)
    product = write.plain(node, "Gemm", [part.output[0] for part in parts])
    return [*parts, product, write.quantize(product.output[0], node.input[7:9], node.output[0])]


def _binary(op: str) -> Callable[[_Writer, onnx.NodeProto], Spelled]:
    def spell(write: _Writer, node: onnx.NodeProto) -> Spelled:
        parts = [write.dequantize(node.input[0:3], "a"), write.dequantize(node.input[3:6], "b")]
        made = write.plain(node, op, [part.output[0] for part in parts])
        return [*parts, made, write.quantize(made.output[0], node.input[6:8], node.output[0])]

    return spell


def _unary(op: str, without: Sequence[str] = ()) -> Callable[[_Writer, onnx.NodeProto], Spelled]:
    def spell(write: _Writer, node: onnx.NodeProto) -> Spelled:
        if _attribute(node, "channels_last", 0):
            return None
        x = write.dequantize(node.input[0:3], "x")
        made = write.plain(node, op, [x.output[0]], without)
        return [x, made, write.quantize(made.output[0], node.input[3:5], node.output[0])]

    return spell


def _concat(write: _Writer, node: onnx.NodeProto) -> Spelled:
    triples = [node.input[i : i + 3] for i in range(2, len(node.input), 3)]
    parts = [write.dequantize(triple, f"x{index}") for index, triple in enumerate(triples)]
    made = write.plain(node, "Concat", [part.output[0] for part in parts])
    return [*parts, made, write.quantize(made.output[0], node.input[0:2], node.output[0])]


_OPERATORS: Mapping[str, Mapping[str, Callable[[_Writer, onnx.NodeProto], Spelled]]] = {
    "": {"QLinearConv": _conv, "QLinearMatMul": _matmul},
    RUNTIME_DOMAIN: {
        "QGemm": _gemm,
        "QLinearAdd": _binary("Add"),
        "QLinearMul": _binary("Mul"),
        "QLinearAveragePool": _unary("AveragePool", ("channels_last",)),
        "QLinearConcat": _concat,
        "QLinearGlobalAveragePool": _unary("GlobalAveragePool", ("channels_last",)),
        "QLinearLeakyRelu": _unary("LeakyRelu"),
        "QLinearReduceMean": _unary("ReduceMean"),
        "QLinearSigmoid": _unary("Sigmoid"),
        "QLinearSoftmax": _unary("Softmax", ("opset",)),
    },
}
_ALL = frozenset(op for operators in _OPERATORS.values() for op in operators)
