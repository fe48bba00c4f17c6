"""A float ONNX classifier as a torch module, so that it can be trained on.

Only what the exporter writes back is read: convolution, Gemm (or MatMul and Add), batch normalization, Relu,
pooling, Flatten (or Reshape to two dimensions), Add, Dropout and Identity. The maintained converters need torchvision,
which has no build for the pinned torch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import numpy_helper, version_converter
from torch import fx, nn

from admmfpga.errors import UserError

MINIMUM_OPSET = 13


def load(path: Path) -> nn.Module:
    """Read an ONNX file with one image input.

    Layers are called by their weight ("conv1.weight" gives conv1), else by their node, dots and slashes as underscores.

    Raises:
        UserError: unreadable, or with operators that cannot be trained; all of them are listed.
    """
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise UserError(f"{path} is not a valid ONNX file: {str(error).splitlines()[0]}") from error
    if model.opset_import[0].version < MINIMUM_OPSET:
        model = version_converter.convert_version(model, MINIMUM_OPSET)
    return module_of(model.graph, path)


def module_of(graph: onnx.GraphProto, path: Path, *, paths: bool = False) -> nn.Module:
    """The module of a graph of float operators, opset 13 or newer.

    Args:
        path: where the graph comes from, for messages.
        paths: dots in names of weights are module paths, and stay.

    Raises:
        UserError: operators that cannot be trained; all of them are listed.
    """
    return _Reader(graph, path, paths).module()


class _Reader:
    def __init__(self, graph: onnx.GraphProto, path: Path, paths: bool) -> None:
        self.path, self.paths = path, paths
        self.onnx = graph
        self.constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        self.root = nn.Module()
        self.names: set[str] = set()
        self.graph = fx.Graph()
        self.values: dict[str, fx.Node] = {}
        self.problems: list[str] = []
        self.uses: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.uses.setdefault(name, []).append(node)

    def module(self) -> nn.Module:
        inputs = [one for one in self.onnx.input if one.name not in self.constants]
        if len(inputs) != 1 or len(self.onnx.output) != 1:
            raise UserError(
                f"{self.path} has {len(inputs)} inputs and {len(self.onnx.output)} outputs, not one of each"
            )
        self.values[inputs[0].name] = self.graph.placeholder("images")
        for node in self.onnx.node:
            self._visit(node)
        output = self.values.get(self.onnx.output[0].name)
        if self.problems or output is None:
            raise UserError(
                f"{self.path} cannot be trained: " + "; ".join(self.problems or ["the output is a constant"]),
                hint="Conv, Gemm, MatMul, BatchNormalization, Relu, pooling, Flatten, Reshape, Add",
            )
        self.graph.output(output)
        self.graph.lint()
        return fx.GraphModule(self.root, self.graph)

    def _visit(self, node: onnx.NodeProto) -> None:
        if node.op_type == "Constant":
            value = next((one.t for one in node.attribute if one.name == "value"), None)
            if value is not None:
                self.constants[node.output[0]] = numpy_helper.to_array(value)
                return
        handler = getattr(self, f"_{node.op_type.lower()}", None)
        sources = [self.values[name] for name in node.input if name in self.values]
        missing = [name for name in node.input if name and name not in self.values and name not in self.constants]
        if missing:
            return  # behind a node that is in the list already
        if handler is None or node.domain not in ("", "ai.onnx") or not sources:
            self.problems.append(f"{node.name or node.output[0]}: {node.op_type}")
            return
        attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        found = handler(node, sources, attributes)
        if found is None:
            self.problems.append(f"{node.name or node.output[0]}: {node.op_type} with these attributes")
        else:
            self.values[node.output[0]] = found

    # ---- helpers ------------------------------------------------------------------------------------------------

    def _constant(self, node: onnx.NodeProto, index: int) -> np.ndarray | None:
        return self.constants.get(node.input[index]) if index < len(node.input) else None

    def _call(self, node: onnx.NodeProto, module: nn.Module, source: fx.Node) -> fx.Node:
        weight = next((name for name in node.input[1:] if name.endswith(".weight")), "")
        wanted = weight.removesuffix(".weight") or node.name or f"{node.op_type}_{node.output[0]}"
        name = self._name(wanted) or node.op_type.lower()
        unique, count = name, 1
        while unique in self.names:
            count += 1
            unique = f"{name}_{count}"
        self.names.add(unique)
        *parents, last = unique.split(".")
        parent = self.root
        for one in parents:
            if one not in parent._modules:
                parent.add_module(one, nn.Module())
            parent = parent.get_submodule(one)
        parent.add_module(last, module)
        return self.graph.call_module(unique, (source,))

    def _name(self, wanted: str) -> str:
        if self.paths and re.fullmatch(r"\w+(\.\w+)*", wanted):
            return wanted
        name = re.sub(r"\W+", "_", wanted).strip("_").lower()
        return f"n{name}" if name[:1].isdigit() else name

    @staticmethod
    def _filled(module: Any, **tensors: np.ndarray | None) -> Any:
        with torch.no_grad():
            for name, value in tensors.items():
                if value is not None:
                    getattr(module, name).copy_(torch.from_numpy(np.array(value, dtype=np.float32)))
        return module

    @staticmethod
    def _padding(attributes: dict[str, Any]) -> tuple[int, int] | None:
        pads = list(attributes.get("pads", [0, 0, 0, 0]))
        automatic = attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
        if automatic or len(pads) != 4 or pads[:2] != pads[2:]:
            return None
        return pads[0], pads[1]

    # ---- operators ----------------------------------------------------------------------------------------------

    def _conv(self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]) -> fx.Node | None:
        weight, bias, padding = self._constant(node, 1), self._constant(node, 2), self._padding(attributes)
        if weight is None or weight.ndim != 4 or padding is None:
            return None
        groups = attributes.get("group", 1)
        module = nn.Conv2d(
            weight.shape[1] * groups,
            weight.shape[0],
            weight.shape[2:],
            tuple(attributes.get("strides", (1, 1))),
            padding,
            tuple(attributes.get("dilations", (1, 1))),
            groups,
            bias is not None,
        )
        return self._call(node, self._filled(module, weight=weight, bias=bias), sources[0])

    def _linear(
        self, node: onnx.NodeProto, source: fx.Node, weight: np.ndarray, bias: np.ndarray | None
    ) -> fx.Node | None:
        if weight.ndim != 2 or (bias is not None and bias.size != weight.shape[0]):
            return None
        module = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
        return self._call(
            node, self._filled(module, weight=weight, bias=None if bias is None else bias.reshape(-1)), source
        )

    def _gemm(self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]) -> fx.Node | None:
        weight, bias = self._constant(node, 1), self._constant(node, 2)
        plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1.0 and not attributes.get("transA", 0)
        if weight is None or not plain:
            return None
        return self._linear(node, sources[0], weight if attributes.get("transB", 0) else weight.T, bias)

    def _matmul(self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]) -> fx.Node | None:
        weight = self._constant(node, 1)
        return None if weight is None else self._linear(node, sources[0], weight.T, np.zeros(weight.shape[-1]))

    def _add(self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]) -> fx.Node | None:
        if len(sources) == 2:
            return self.graph.call_function(torch.add, tuple(sources))
        layer = self.root.get_submodule(str(sources[0].target)) if sources[0].op == "call_module" else None
        bias = next((self.constants[name] for name in node.input if name in self.constants), None)
        source_name = next(name for name in node.input if name in self.values)
        alone = len(self.uses[source_name]) == 1
        if isinstance(layer, nn.Linear) and alone and bias is not None and bias.size == layer.out_features:
            with torch.no_grad():
                layer.bias += torch.from_numpy(np.array(bias, dtype=np.float32)).reshape(-1)
            return sources[0]
        return None

    def _batchnormalization(
        self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]
    ) -> fx.Node | None:
        weight, bias, mean, variance = (self._constant(node, index) for index in range(1, 5))
        if weight is None or attributes.get("training_mode", 0):
            return None
        module = nn.BatchNorm2d(weight.size, attributes.get("epsilon", 1e-5))
        return self._call(
            node, self._filled(module, weight=weight, bias=bias, running_mean=mean, running_var=variance), sources[0]
        )

    def _relu(self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]) -> fx.Node:
        return self._call(node, nn.ReLU(), sources[0])

    def _maxpool(self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]) -> fx.Node | None:
        padding = self._padding(attributes)
        if padding is None or attributes.get("ceil_mode", 0) or set(attributes.get("dilations", [1])) != {1}:
            return None
        kernel = tuple(attributes["kernel_shape"])
        return self._call(node, nn.MaxPool2d(kernel, tuple(attributes.get("strides", (1, 1))), padding), sources[0])

    def _averagepool(self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]) -> fx.Node | None:
        padding = self._padding(attributes)
        if padding is None or attributes.get("ceil_mode", 0):
            return None
        module = nn.AvgPool2d(
            tuple(attributes["kernel_shape"]),
            tuple(attributes.get("strides", (1, 1))),
            padding,
            count_include_pad=bool(attributes.get("count_include_pad", 0)),
        )
        return self._call(node, module, sources[0])

    def _globalaveragepool(self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]) -> fx.Node:
        return self._call(node, nn.AdaptiveAvgPool2d(1), sources[0])

    def _reducemean(self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]) -> fx.Node | None:
        """Over height and width: how torch writes a global average pool."""
        given = self._constant(node, 1)
        axes = given.tolist() if given is not None else attributes.get("axes", [])
        if sorted(axis % 4 for axis in axes) != [2, 3]:
            return None
        pooled = self._call(node, nn.AdaptiveAvgPool2d(1), sources[0])
        return pooled if attributes.get("keepdims", 1) else self._call(node, nn.Flatten(), pooled)

    def _flatten(self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]) -> fx.Node | None:
        return self._call(node, nn.Flatten(), sources[0]) if attributes.get("axis", 1) == 1 else None

    def _reshape(self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]) -> fx.Node | None:
        shape = self._constant(node, 1)
        return self._call(node, nn.Flatten(), sources[0]) if shape is not None and shape.size == 2 else None

    def _dropout(self, node: onnx.NodeProto, sources: list[fx.Node], attributes: dict[str, Any]) -> fx.Node:
        return sources[0]

    _identity = _dropout
