"""A program saved by torch.export as a torch module, read without executing anything in the file.

`torch.export.load` unpickles weights, constants and example inputs with weights_only=False where the file asks for it,
and evaluates the file's symbolic expressions; so the archive is read here: the graph is JSON, the weights are raw
bytes. Its aten operators are written as the ONNX operators that `onnx_source` makes modules of.
"""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from admmfpga.compress import onnx_source
from admmfpga.errors import UserError

SUFFIXES = (".pt2", ".pt", ".pth")
TWO_WAYS = (
    "torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2'), or package.module:factory with "
    "--weights and a saved state_dict"
)
DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
"""torch's ScalarType numbers as the archive's schema fixes them."""
DAMAGE = (
    KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, OverflowError, EOFError,
    NotImplementedError, RecursionError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What reading a damaged archive raises."""


def load(path: Path) -> nn.Module:
    """Read a .pt2 archive of torch.export.save with one image input. Layers keep their module paths.

    Raises:
        UserError: it cannot be read, is a pickled module or a file of weights instead, holds pickled tensors, or has
            operators that cannot be trained (all of them are listed).
    """
    try:
        with path.open("rb") as file:
            return _archive(file, path) if zipfile.is_zipfile(file) else _no_archive(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error


def _archive(file: Any, path: Path) -> nn.Module:
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if "serialized_exported_program.json" in names:
                raise UserError(
                    f"{path} was saved by an old torch.export", hint="export it again with torch 2.9 or newer"
                )
            prefix = next(
                (name.removesuffix("archive_format") for name in names if name.endswith("archive_format")), None
            )
            if prefix is None:
                return _no_archive(path)
            models = [name for name in names if name.startswith(f"{prefix}models/") and name.endswith(".json")]
            if len(models) != 1:
                raise UserError(f"{path} holds {len(models)} programs, not one", hint=TWO_WAYS)
            model = models[0].removeprefix(f"{prefix}models/").removesuffix(".json")
            program = json.loads(archive.read(models[0]))["graph_module"]
            tensors = {
                **_tensors(archive, f"{prefix}data/weights/", f"{model}_weights_config.json", path),
                **_tensors(archive, f"{prefix}data/constants/", f"{model}_constants_config.json", path),
            }
        graph = _Translation(program, tensors, path).graph()
    except DAMAGE as error:
        raise UserError(f"{path} is damaged or no archive of torch.export: {_reason(error)}", hint=TWO_WAYS) from error
    return onnx_source.module_of(graph, path, paths=True)


def _no_archive(path: Path) -> nn.Module:
    """Never returns: says what the file is, as far as that can be told without executing it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that torch did not write
            torch.load(path, map_location="cpu", weights_only=True)
    except (*DAMAGE, pickle.UnpicklingError) as error:
        raise UserError(
            f"{path} is no archive of torch.export; a pickled module is not loaded, because loading it would run "
            "whatever code the file names",
            hint=TWO_WAYS,
        ) from error
    raise UserError(f"{path} holds weights without a model", hint=f"package.module:factory --weights {path}")


def _tensors(archive: zipfile.ZipFile, folder: str, config: str, path: Path) -> dict[str, Tensor]:
    """Weights or constants by name."""
    if folder + config not in archive.namelist():
        return {}
    found = {}
    for name, entry in json.loads(archive.read(folder + config))["config"].items():
        if entry["use_pickle"] or entry["tensor_meta"] is None:
            raise UserError(f"{path}: {name} is pickled, and pickles are not loaded", hint=TWO_WAYS)
        meta = entry["tensor_meta"]
        data = bytearray(archive.read(folder + entry["path_name"]))
        sizes, strides = ([int(one["as_int"]) for one in meta[key]] for key in ("sizes", "strides"))
        if min(sizes, default=1) < 0:
            raise ValueError(f"{name} has the shape {sizes}")
        flat = torch.frombuffer(data, dtype=DTYPES[meta["dtype"]]) if data else torch.zeros(0)
        found[name] = flat.as_strided(sizes, strides, int(meta["storage_offset"]["as_int"])).clone()
    return found


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__} {lines[0] if lines else ''}".strip()


@dataclass
class _Node:
    """One call of an aten operator.

    Attributes:
        name: of the node, and `output` of its first result.
        arguments: by the operator's own names; the argument's value without its type tag, tensors by graph name.
    """

    name: str
    output: str
    arguments: dict[str, Any]

    def tensor(self, name: str) -> str:
        return self.arguments.get(name) or ""

    def pair(self, name: str, default: int) -> list[int]:
        given = self.arguments.get(name) or [default]
        values = [int(one) for one in (given if isinstance(given, list) else [given])]
        return values * 2 if len(values) == 1 else values


@dataclass
class _Translation:
    """The program's graph, operator by operator, as ONNX."""

    program: dict[str, Any]
    tensors: dict[str, Tensor]
    path: Path
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, str] = field(default_factory=dict)
    initializers: dict[str, onnx.TensorProto] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def graph(self) -> onnx.GraphProto:
        """Raises UserError with every operator that cannot be trained."""
        graph, signature = self.program["graph"], self.program["signature"]
        self.sizes = {name: one["sizes"] for name, one in graph["tensor_values"].items()}
        inputs = self._inputs(signature["input_specs"])
        outputs = [
            one["user_output"]["arg"]["as_tensor"]["name"] for one in signature["output_specs"] if "user_output" in one
        ]
        if len(inputs) != 1 or len(outputs) != 1:
            raise UserError(f"{self.path} has {len(inputs)} inputs and {len(outputs)} outputs, not one of each")
        self.computed = set(inputs)
        for node in graph["nodes"]:
            self._visit(node)
        if self.problems:
            raise UserError(
                f"{self.path} cannot be trained: " + "; ".join(self.problems),
                hint="conv2d, linear, batch_norm, relu, pooling, flatten, view, add, dropout; no run_decompositions()",
            )
        kind = onnx.TensorProto.FLOAT
        return helper.make_graph(
            self.nodes,
            "exported",
            [helper.make_tensor_value_info(inputs[0], kind, None)],
            [helper.make_tensor_value_info(outputs[0], kind, None)],
            list(self.initializers.values()),
        )

    def _inputs(self, specs: list[dict[str, Any]]) -> list[str]:
        inputs = []
        for spec in specs:
            ((kind, one),) = spec.items()
            if kind == "user_input":
                inputs.append(one["arg"]["as_tensor"]["name"])
            elif kind in ("parameter", "buffer", "tensor_constant"):
                name = one[f"{kind}_name"]
                self._constant(one["arg"]["name"], name, self.tensors[name])
            else:
                self.problems.append(f"an input of kind {kind}")
        return inputs

    def _constant(self, inside: str, name: str, tensor: Tensor) -> str:
        """Make a tensor known under its name inside the graph."""
        array = tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        self.constants[inside] = name
        return name

    def _visit(self, node: dict[str, Any]) -> None:
        target = node["target"].removeprefix("torch.ops.")
        arguments, sources = {}, []
        for one in node["inputs"]:
            ((kind, value),) = one["arg"].items()
            if kind in ("as_tensor", "as_optional_tensor"):
                value = value.get("name") or value["as_tensor"]["name"]
                sources.append(value)
                value = self.constants.get(value, value)
            arguments[one["name"]] = None if kind == "as_none" else value
        if not any(name in self.computed for name in sources) or target in _IGNORED:
            return  # shapes, checks, and what a normalization in training counts
        unknown = [name for name in sources if name not in self.computed and name not in self.constants]
        output = node["outputs"][0]["as_tensor"]["name"]
        self.computed.add(output)
        made = _Node(node.get("name") or output, output, arguments)
        handler = _HANDLERS.get(target)
        if unknown or handler is None:
            why = f" of {unknown[0]}, which is computed from constants" if unknown else ""
            self.problems.append(f"{made.name}: {target}{why}")
        elif not handler(self, made):
            self.problems.append(f"{made.name}: {target} with these arguments")

    def _emit(self, node: _Node, op: str, inputs: list[str], **attributes: Any) -> bool:
        self.nodes.append(helper.make_node(op, inputs, [node.output], node.name, **attributes))
        return True

    def _rank(self, name: str) -> int:
        return len(self.sizes[name])

    # ---- operators ----------------------------------------------------------------------------------------------

    def conv(self, node: _Node) -> bool:
        weight = self.initializers.get(node.tensor("weight"))
        if weight is None or len(weight.dims) != 4:
            return False
        dilation, padding = node.pair("dilation", 1), node.arguments.get("padding")
        if padding == "same":
            around = [step * (size - 1) for step, size in zip(dilation, weight.dims[2:], strict=True)]
            if any(one % 2 for one in around):
                return False
            pads = [one // 2 for one in around]
        else:
            pads = [0, 0] if padding == "valid" else node.pair("padding", 0)
        return self._emit(
            node,
            "Conv",
            [name for name in (node.tensor("input"), node.tensor("weight"), node.tensor("bias")) if name],
            strides=node.pair("stride", 1),
            pads=pads + pads,
            dilations=dilation,
            group=int(node.arguments.get("groups") or 1),
        )

    def linear(self, node: _Node) -> bool:
        inputs = [name for name in (node.tensor("input"), node.tensor("weight"), node.tensor("bias")) if name]
        return self._rank(node.tensor("input")) == 2 and self._emit(node, "Gemm", inputs, transB=1)

    def batch_norm(self, node: _Node) -> bool:
        mean, variance = node.tensor("running_mean"), node.tensor("running_var")
        if mean not in self.initializers or variance not in self.initializers:
            return False
        channels = tuple(self.initializers[mean].dims)
        path = mean.rpartition(".")[0]
        weight = node.tensor("weight") or self._constant("", f"{path}.weight", torch.ones(channels))
        bias = node.tensor("bias") or self._constant("", f"{path}.bias", torch.zeros(channels))
        inputs = [node.tensor("input"), weight, bias, mean, variance]
        epsilon = float(node.arguments.get("eps", 1e-5))
        return self._rank(node.tensor("input")) == 4 and self._emit(node, "BatchNormalization", inputs, epsilon=epsilon)

    def relu(self, node: _Node) -> bool:
        return self._emit(node, "Relu", [node.tensor("self")])

    def keep(self, node: _Node) -> bool:
        return self._emit(node, "Identity", [node.tensor("self") or node.tensor("input")])

    def max_pool(self, node: _Node) -> bool:
        return self._pool(node, "MaxPool", dilations=node.pair("dilation", 1))

    def average_pool(self, node: _Node) -> bool:
        if node.arguments.get("divisor_override") is not None:
            return False
        return self._pool(node, "AveragePool", count_include_pad=int(node.arguments.get("count_include_pad", True)))

    def _pool(self, node: _Node, op: str, **attributes: Any) -> bool:
        kernel, pads = node.pair("kernel_size", 1), node.pair("padding", 0)
        return self._emit(
            node,
            op,
            [node.tensor("self")],
            kernel_shape=kernel,
            strides=node.pair("stride", 1) if node.arguments.get("stride") else kernel,
            pads=pads + pads,
            ceil_mode=int(node.arguments.get("ceil_mode", False)),
            **attributes,
        )

    def global_pool(self, node: _Node) -> bool:
        return node.pair("output_size", 0) == [1, 1] and self._emit(node, "GlobalAveragePool", [node.tensor("self")])

    def mean(self, node: _Node) -> bool:
        if self._rank(node.tensor("self")) != 4 or node.arguments.get("dtype") is not None:
            return False
        axes = self._constant("", f"{node.name}.axes", torch.tensor(node.arguments["dim"], dtype=torch.int64))
        keep = int(node.arguments.get("keepdim", False))
        return self._emit(node, "ReduceMean", [node.tensor("self"), axes], keepdims=keep)

    def flatten(self, node: _Node) -> bool:
        rank = self._rank(node.tensor("self"))
        start, end = int(node.arguments.get("start_dim", 0)), int(node.arguments.get("end_dim", -1))
        whole = (start % rank, end % rank) == (1, rank - 1)
        return whole and self._emit(node, "Flatten", [node.tensor("self")], axis=1)

    def view(self, node: _Node) -> bool:
        before, after = self.sizes[node.tensor("self")], self.sizes[node.output]
        images = len(after) == 2 and after[0] == before[0]
        return images and self._emit(node, "Flatten", [node.tensor("self")], axis=1)

    def add(self, node: _Node) -> bool:
        inputs = [node.tensor("self"), node.arguments.get("other")]
        both = all(isinstance(name, str) and name in self.computed for name in inputs)
        return both and node.arguments.get("alpha", 1) == 1 and self._emit(node, "Add", inputs)


_IGNORED = {"aten.sym_size.int", "aten._assert_tensor_metadata.default", "aten._assert_scalar.default"}
_HANDLERS: dict[str, Callable[[_Translation, _Node], bool]] = {
    "aten.conv2d.default": _Translation.conv,
    "aten.conv2d.padding": _Translation.conv,
    "aten.linear.default": _Translation.linear,
    "aten.batch_norm.default": _Translation.batch_norm,
    "aten.relu.default": _Translation.relu,
    "aten.relu_.default": _Translation.relu,
    "aten.max_pool2d.default": _Translation.max_pool,
    "aten.avg_pool2d.default": _Translation.average_pool,
    "aten.adaptive_avg_pool2d.default": _Translation.global_pool,
    "aten.mean.dim": _Translation.mean,
    "aten.flatten.using_ints": _Translation.flatten,
    "aten.view.default": _Translation.view,
    "aten.reshape.default": _Translation.view,
    "aten.add.Tensor": _Translation.add,
    "aten.add_.Tensor": _Translation.add,
    "aten.dropout.default": _Translation.keep,
    "aten.dropout_.default": _Translation.keep,
    "aten.feature_dropout.default": _Translation.keep,
    "aten.contiguous.default": _Translation.keep,
    "aten.clone.default": _Translation.keep,
}
