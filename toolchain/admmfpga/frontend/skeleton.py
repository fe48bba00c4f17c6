"""A model without its large constants, for the libraries that only look at its shape, or take constants as inputs.

Checking, converting, inferring and running a model each write all of it to a string and read it again; its weights are
most of it.
"""

from __future__ import annotations

from collections.abc import Container
from math import prod

import onnx
from onnx import TensorProto, helper

LARGE = 1 << 16
"""Elements; smaller constants may be shapes, axes, scales, slopes, which libraries look into."""

PLAIN = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.UINT16}
)
"""Types that numpy arrays can hand to ONNX Runtime."""


def without_weights(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[onnx.TensorProto]]:
    """A copy whose large initializers are inputs, behind its own inputs; and these initializers, not copied."""
    light = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name == "graph":
            continue
        if hasattr(value, "extend"):
            getattr(light, field.name).extend(value)
        else:
            setattr(light, field.name, value)
    weights = []
    for field, value in model.graph.ListFields():
        if field.name == "initializer":
            for tensor in value:
                if tensor.data_type in PLAIN and prod(tensor.dims) >= LARGE:
                    weights.append(tensor)
                else:
                    light.graph.initializer.append(tensor)
        elif hasattr(value, "extend"):
            getattr(light.graph, field.name).extend(value)
        else:
            setattr(light.graph, field.name, value)
    light.graph.input.extend(helper.make_tensor_value_info(w.name, w.data_type, w.dims) for w in weights)
    return light, weights


def with_weights(light: onnx.ModelProto, model: onnx.ModelProto, large: Container[str]) -> onnx.ModelProto:
    """`model` with all that `light` has instead of its own, but for its large initializers, which are not copied.

    Args:
        light: what became of a copy without these initializers; it is used up.
        model: changed in place.
        large: names of these initializers.
    """
    inputs = [i for i in light.graph.input if i.name not in large]
    del light.graph.input[:]
    light.graph.input.extend(inputs)
    kept = model.graph.initializer
    for index in reversed(range(len(kept))):
        if kept[index].name not in large:
            del kept[index]
    for index, tensor in enumerate(light.graph.initializer):
        kept.insert(index, tensor)
    light.graph.ClearField("initializer")
    for message in (model, model.graph):
        for field in message.DESCRIPTOR.fields:
            if field.name not in ("graph", "initializer"):
                message.ClearField(field.name)
    model.MergeFrom(light)
    return model
