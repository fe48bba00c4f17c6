"""Damaged and hostile ONNX files, made from sound ones: bytes changed, or the graph changed and written again.

Everything follows from a seed, so that a finding can be made again from its number.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

sys.path.append(str(Path(__file__).parents[1] / "frontend"))

from onnx_cases import node_cases, torch_cases
from qdq_made import Maker

LARGEST_SEED = 60_000
"""Bytes; larger files spend their time in weights, where nothing is to be found."""

INTEGERS = (0, 1, -1, 2, 3, 7, 127, 128, 255, 256, 65535, 2**24 + 1, 2**31 - 1, -(2**31), 2**32, 2**53, 2**63 - 1)
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-30, 1e30, 3.4e38, float("inf"), float("-inf"), float("nan"), 0.5)
TEXTS = ("", "\x00", "SAME_UPPER", "VALID", "linear", "cubic", "nearest", "floor", "é" * 50, "x", "/", "../../x", "1")

T = TypeVar("T")
Rng = np.random.Generator


def seeds() -> list[tuple[str, bytes]]:
    """(name, file): small models of every operator that the front end takes, quantized and not."""
    found = [(case.name, case.model.SerializeToString()) for case in node_cases()]
    found += [(path.parent.name, path.read_bytes()) for path in torch_cases()]
    found += [(f"made_{kind.__name__}", bytes(kind().SerializeToString())) for kind in MADE for _ in range(12)]
    return [(name, data) for name, data in found if len(data) <= LARGEST_SEED]


def _float_network() -> onnx.ModelProto:
    made = Maker((1, 2, 6, 6), np.random.default_rng(0), opset=13)
    x = made.node("Relu", made.node("Conv", "x", made.real(3, 2, 3, 3), made.real(3), pads=[1, 1, 1, 1]))
    y = made.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    return made.model(made.node("Gemm", made.node("Flatten", y), made.real(27, 4), made.real(4)))


def _quantized_network() -> onnx.ModelProto:
    made = Maker((1, 2, 6, 6), np.random.default_rng(0), count=4)
    x = made.fit(made.node("Relu", made.node("Conv", made.input(), made.weights(3, 2, 3, 3, axis=0), made.real(3))))
    y = made.fit(made.node("Conv", x, made.weights(3, 3, 3, 3), pads=[1, 1, 1, 1]))
    total = made.fit(made.node("Add", x, y))
    pooled = made.fit(made.node("GlobalAveragePool", total))
    return made.model(made.fit(made.node("MatMul", made.node("Flatten", pooled), made.weights(3, 4))))


def _branches() -> onnx.ModelProto:
    made = Maker((1, 4, 4, 4), np.random.default_rng(0), opset=15)
    first = made.node("Sigmoid", made.node("Conv", "x", made.real(4, 1, 3, 3), group=4, pads=[1, 1, 1, 1]))
    second = made.node("BatchNormalization", "x", *(made.const(np.full(4, v)) for v in (0.9, 0.1, 0.2, 1.1)))
    joined = made.node("Concat", first, second, axis=1)
    small = made.node("AveragePool", joined, kernel_shape=[2, 2], strides=[2, 2])
    shape = made.const(np.array([1, -1]))
    return made.model(made.node("Softmax", made.node("Reshape", small, shape), axis=-1))


MADE: tuple[Callable[[], onnx.ModelProto], ...] = (_float_network, _quantized_network, _branches)


def mutated(data: bytes, rng: Rng, others: list[tuple[str, bytes]]) -> bytes:
    """One to four changes, of the bytes or of the graph.

    Args:
        data: a file.
        others: what pieces may be taken from.
    """
    changes = int(rng.integers(1, 5))
    if rng.random() < 0.4:
        for _ in range(changes):
            data = _pick(rng, BYTES)(data, rng, others)
        return data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = onnx.load_model_from_string(data)
        done = 0
        for _ in range(4 * changes):
            done += bool(_pick(rng, GRAPH)(model, rng, others))
            if done == changes:
                break
        return bytes(model.SerializeToString())


def _pick(rng: Rng, items: Sequence[T]) -> T:
    return items[int(rng.integers(len(items)))]


# --- bytes -----------------------------------------------------------------------------------------------------------

Others = list[tuple[str, bytes]]


def _range(data: bytes, rng: Rng, longest: int = 64) -> tuple[int, int]:
    start = int(rng.integers(len(data) + 1))
    return start, min(len(data), start + int(rng.integers(1, longest + 1)))


def flip(data: bytes, rng: Rng, others: Others) -> bytes:
    """Some bits."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        if changed:
            changed[int(rng.integers(len(changed)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwrite(data: bytes, rng: Rng, others: Others) -> bytes:
    """A run of one byte; runs of 0x7f and 0xff are long numbers."""
    start, end = _range(data, rng, 12)
    return data[:start] + bytes([_pick(rng, (0, 1, 0x7F, 0x80, 0xFF))]) * (end - start) + data[end:]


def delete(data: bytes, rng: Rng, others: Others) -> bytes:
    start, end = _range(data, rng)
    return data[:start] + data[end:]


def repeat(data: bytes, rng: Rng, others: Others) -> bytes:
    start, end = _range(data, rng)
    return data[:end] + data[start:end] * int(rng.integers(1, 20)) + data[end:]


def insert(data: bytes, rng: Rng, others: Others) -> bytes:
    at = int(rng.integers(len(data) + 1))
    return data[:at] + rng.bytes(int(rng.integers(1, 17))) + data[at:]


def cut(data: bytes, rng: Rng, others: Others) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def splice(data: bytes, rng: Rng, others: Others) -> bytes:
    """A piece of another file."""
    other = _pick(rng, others)[1]
    start, end = _range(other, rng, 400)
    at, until = _range(data, rng)
    return data[:at] + other[start:end] + data[until:]


BYTES = (flip, flip, overwrite, delete, repeat, insert, cut, splice)


# --- graph -----------------------------------------------------------------------------------------------------------

OPERATORS = [*sorted({schema.name for schema in onnx.defs.get_all_schemas()}), "Quant", "BipolarQuant", "Nothing"]
TYPES = list(TensorProto.DataType.values())


def _node(model: onnx.ModelProto, rng: Rng) -> onnx.NodeProto | None:
    return _pick(rng, list(model.graph.node)) if model.graph.node else None


def _tensor(model: onnx.ModelProto, rng: Rng) -> TensorProto | None:
    found = list(model.graph.initializer)
    found += [a.t for node in model.graph.node for a in node.attribute if a.type == AttributeProto.TENSOR]
    return _pick(rng, found) if found else None


def _names(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    names = [n for node in graph.node for n in (*node.input, *node.output)]
    return ["", "nothing", *names, *(i.name for i in graph.initializer), *(i.name for i in graph.input)]


def operator(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    node = _node(model, rng)
    if node is None:
        return False
    node.op_type = _pick(rng, OPERATORS)
    return True


def attribute_value(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    """An extreme value in an attribute."""
    node = _node(model, rng)
    if node is None or not node.attribute:
        return False
    found = _pick(rng, list(node.attribute))
    match found.type:
        case AttributeProto.INT:
            found.i = _pick(rng, INTEGERS)
        case AttributeProto.FLOAT:
            found.f = _pick(rng, FLOATS)
        case AttributeProto.STRING:
            found.s = _pick(rng, TEXTS).encode()
        case AttributeProto.INTS:
            if found.ints and rng.random() < 0.7:
                found.ints[int(rng.integers(len(found.ints)))] = _pick(rng, INTEGERS)
            elif found.ints and rng.random() < 0.5:
                found.ints.pop()
            else:
                found.ints.append(_pick(rng, INTEGERS))
        case _:
            found.type = int(rng.integers(15))  # type: ignore[assignment]
    return True


def attribute_added(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    """One that the operator has, or has not, of any type."""
    node = _node(model, rng)
    if node is None:
        return False
    known = list(onnx.defs.get_schema(node.op_type).attributes) if onnx.defs.has(node.op_type) else []
    name = _pick(rng, [*known, "axis", "to", "nothing"])
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    integers = [int(_pick(rng, INTEGERS)) for _ in range(int(rng.integers(1, 6)))]
    values = (integers[0], _pick(rng, FLOATS), _pick(rng, TEXTS), integers, [float(_pick(rng, FLOATS))])
    node.attribute.append(helper.make_attribute(name, _pick(rng, values)))  # type: ignore[arg-type]
    return True


def attribute_removed(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    node = _node(model, rng)
    if node is None or not node.attribute:
        return False
    del node.attribute[int(rng.integers(len(node.attribute)))]
    return True


def rewired(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    """Another tensor as an input or output of a node."""
    node = _node(model, rng)
    if node is None:
        return False
    ends = node.input if rng.random() < 0.7 else node.output
    name = _pick(rng, _names(model))
    if ends and rng.random() < 0.8:
        ends[int(rng.integers(len(ends)))] = name
    else:
        ends.append(name)
    return True


def node_removed(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    if len(model.graph.node) < 2:
        return False
    del model.graph.node[int(rng.integers(len(model.graph.node)))]
    return True


def node_added(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    """An operator between a node and what reads it; or a copy of a node elsewhere."""
    node = _node(model, rng)
    if node is None or not node.output:
        return False
    graph = model.graph
    if rng.random() < 0.3:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        graph.node.insert(int(rng.integers(len(graph.node) + 1)), copy)
        return True
    old = node.output[0]
    node.output[0] = f"{old}_before{len(graph.node)}"
    count = int(rng.integers(1, 4))
    inputs = [node.output[0], *(_pick(rng, _names(model)) for _ in range(count - 1))]
    at = next(i for i, n in enumerate(graph.node) if n is node or n == node)
    graph.node.insert(at + 1, helper.make_node(_pick(rng, OPERATORS), inputs, [old]))
    return True


def order(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    nodes = list(model.graph.node)
    if len(nodes) < 2:
        return False
    shuffled = [onnx.NodeProto() for _ in nodes]
    for copy, index in zip(shuffled, rng.permutation(len(nodes)), strict=True):
        copy.CopyFrom(nodes[int(index)])
    del model.graph.node[:]
    model.graph.node.extend(shuffled)
    return True


def tensor_shape(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    tensor = _tensor(model, rng)
    if tensor is None:
        return False
    if tensor.dims and rng.random() < 0.6:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = _pick(rng, INTEGERS)
    elif tensor.dims and rng.random() < 0.5:
        tensor.dims.pop()
    else:
        tensor.dims.append(_pick(rng, (0, 1, 1, 2)))
    return True


def tensor_type(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    """Another element type, with the data as they are or converted."""
    tensor = _tensor(model, rng)
    if tensor is None:
        return False
    kind = int(_pick(rng, TYPES))
    if rng.random() < 0.3:
        tensor.data_type = kind
        return True
    try:
        array = numpy_helper.to_array(tensor).astype(helper.tensor_dtype_to_np_dtype(kind))
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    except Exception:  # no such conversion
        return False
    return True


def tensor_values(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    """Extreme numbers in a constant."""
    tensor = _tensor(model, rng)
    if tensor is None:
        return False
    try:
        array = np.array(numpy_helper.to_array(tensor))
        if array.dtype.kind not in "fiu" or not array.size:
            return False
        flat = array.reshape(-1)
        count = array.size if rng.random() < 0.3 else 1
        value = _pick(rng, FLOATS) if array.dtype.kind == "f" else _pick(rng, INTEGERS)
        if array.dtype.kind in "iu":
            info = np.iinfo(array.dtype)
            value = min(max(value, int(info.min)), int(info.max))
        flat[rng.integers(array.size, size=count)] = value
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    except Exception:  # the tensor was damaged before
        return False
    return True


def tensor_replaced(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    """A constant of another shape."""
    tensor = _tensor(model, rng)
    if tensor is None:
        return False
    shape = [int(rng.integers(4)) for _ in range(int(rng.integers(5)))]
    array = rng.standard_normal(shape).astype(_pick(rng, (np.float32, np.int64, np.int8, np.uint8)))
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return True


def interface(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    """Shape, type or name of the model's input or output."""
    infos = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    if not infos:
        return False
    info = _pick(rng, infos)
    dims = info.type.tensor_type.shape.dim
    kind = rng.random()
    if kind < 0.2:
        info.type.tensor_type.elem_type = int(_pick(rng, TYPES))
    elif kind < 0.3:
        info.name = _pick(rng, _names(model))
    elif kind < 0.7 and dims:
        dims[int(rng.integers(len(dims)))].dim_value = _pick(rng, INTEGERS)
    elif kind < 0.8 and dims:
        dims[int(rng.integers(len(dims)))].dim_param = _pick(rng, TEXTS)
    elif kind < 0.9 and dims:
        del dims[int(rng.integers(len(dims)))]
    else:
        dims.add().dim_value = _pick(rng, INTEGERS)
    return True


def version(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    if not model.opset_import:
        return False
    found = _pick(rng, list(model.opset_import))
    if rng.random() < 0.7:
        found.version = int(_pick(rng, (*range(1, 30), 2**40, -1)))
    elif rng.random() < 0.5:
        found.domain = _pick(rng, ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "qonnx.custom_op.general", "x"))
    else:
        model.ir_version = int(_pick(rng, (0, 1, 3, 4, 8, 13, 100, -1)))
    return True


def domain(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    node = _node(model, rng)
    if node is None:
        return False
    node.domain = _pick(rng, ("ai.onnx", "com.microsoft", "qonnx.custom_op.general", "finn.custom_op", "x"))
    return True


def external(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    """Weights in a file that does not exist, or must not be read."""
    tensor = _tensor(model, rng)
    if tensor is None:
        return False
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in (
        ("location", _pick(rng, ("weights.bin", "../x", "/dev/zero", "", "."))),
        ("offset", str(_pick(rng, INTEGERS))),
        ("length", str(_pick(rng, INTEGERS))),
    ):
        if rng.random() < 0.8:
            tensor.external_data.add(key=key, value=value)
    return True


def subgraph(model: onnx.ModelProto, rng: Rng, others: Others) -> bool:
    """The graph inside one of its own nodes, or as a function of the model."""
    node = _node(model, rng)
    if node is None:
        return False
    copy = onnx.GraphProto()
    copy.CopyFrom(model.graph)
    if rng.random() < 0.5:
        node.attribute.append(helper.make_attribute(_pick(rng, ("then_branch", "body", "nothing")), copy))
        return True
    made = model.functions.add(name=node.op_type, domain=node.domain or "x")
    made.input.extend(i.name for i in copy.input)
    made.output.extend(o.name for o in copy.output)
    made.node.extend(copy.node)
    made.opset_import.extend(model.opset_import)
    return True


GRAPH: tuple[Callable[[onnx.ModelProto, Rng, Others], bool], ...] = (
    operator,
    attribute_value,
    attribute_value,
    attribute_value,
    attribute_added,
    attribute_added,
    attribute_removed,
    rewired,
    rewired,
    node_removed,
    node_added,
    order,
    tensor_shape,
    tensor_type,
    tensor_values,
    tensor_values,
    tensor_replaced,
    interface,
    interface,
    version,
    domain,
    external,
    subgraph,
)
