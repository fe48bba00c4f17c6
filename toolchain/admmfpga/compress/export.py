"""A compressed model as ONNX: QuantizeLinear/DequantizeLinear (QDQ) around standard operators.

Weights are integer codes (int4 where they have 4 bits or fewer, else int8) behind a DequantizeLinear whose scale is the
level distance q; biases int32 with scale s_x * s_w; activations uint8 or int8, zero point 0, clipped in front where
they have fewer than 8 bits (ONNX Runtime moves codes through MaxPool, which has no uint4).
Batch normalization is folded into the convolution in front of it, which makes the weight's scale one per filter.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import Tensor, fx, nn

from admmfpga.compress.activation import ActivationQuantizer
from admmfpga.compress.levels import TOLERANCE, Binary, Bits, LevelSet, Ternary
from admmfpga.errors import UserError

OPSET = 21
IR_VERSION = 10


@dataclass(frozen=True)
class Value:
    """An ONNX tensor and, where it comes out of a quantizer, that quantizer."""

    name: str
    quantizer: ActivationQuantizer | None = None


class Exporter:
    """Walks a traced model once; what a quantizer, a weight and a bias become is for subclasses to change."""

    domains: ClassVar = {"": OPSET}

    def __init__(self, model: fx.GraphModule, levels: Mapping[str, LevelSet], input_shape: tuple[int, ...]) -> None:
        self.model, self.levels, self.input_shape = model, levels, input_shape
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.values: dict[fx.Node, Value] = {}
        self.outputs: list[onnx.ValueInfoProto] = []
        self.folded: dict[fx.Node, fx.Node] = {}
        self.problems: list[str] = []

    def run(self, name: str) -> onnx.ModelProto:
        graph_nodes = list(self.model.graph.nodes)
        self._find_folds(graph_nodes)
        for node in graph_nodes:
            if node not in self.folded.values():
                self._visit(node)
        if self.problems:
            raise UserError(
                "cannot be written as ONNX: " + "; ".join(self.problems),
                hint="convolution, linear, batch normalization behind a convolution, relu, pooling, flatten, addition",
            )
        shape: list[int | str] = ["batch", *self.input_shape]
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
            self.outputs,
            self.initializers,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in self.domains.items()],
            ir_version=IR_VERSION,
            producer_name="admmfpga",
        )
        helper.set_model_props(
            model, {f"weight_bits.{layer}": str(levels.bits) for layer, levels in self.levels.items()}
        )
        return self.with_shapes(model)

    def with_shapes(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """The model with the shapes of its tensors."""
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)

    # ---- graph --------------------------------------------------------------------------------------------------

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self.model.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _find_folds(self, nodes: list[fx.Node]) -> None:
        """Convolution or linear layer -> the batch normalization that is its only user."""
        for node in nodes:
            users = list(node.users)
            if (
                isinstance(self._module(node), nn.Conv2d | nn.Linear)
                and len(users) == 1
                and isinstance(self._module(users[0]), nn.BatchNorm1d | nn.BatchNorm2d)
            ):
                self.folded[node] = users[0]

    def _visit(self, node: fx.Node) -> None:
        module = self._module(node)
        target = node.target
        if node.op == "placeholder":
            self.values[node] = Value("input")
            return
        if node.op == "output":
            sources = node.all_input_nodes
            if len(sources) != 1 or sources[0] not in self.values:
                self.problems.append("the model must return one tensor")
                return
            self.nodes.append(helper.make_node("Identity", [self.values[sources[0]].name], ["output"], "output"))
            columns = tuple(sources[0].meta["tensor_meta"].shape[1:]) if "tensor_meta" in sources[0].meta else ()
            self.outputs.append(
                helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", *columns] if columns else None)
            )
            return
        sources = node.all_input_nodes
        if not all(source in self.values for source in sources) or not sources:
            if not any(source not in self.values for source in sources):
                self.problems.append(f"{node.name} ({target}) has no input tensor")
            return
        first = self.values[sources[0]]
        if isinstance(module, ActivationQuantizer):
            self.values[node] = self.quantize(node.name, first, module)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            norm = self.folded.get(node)
            self.values[node] = self._weighted(node, first, module, self._module(norm) if norm is not None else None)
            if norm is not None:
                self.values[norm] = self.values[node]
        elif isinstance(module, nn.ReLU) or target in (torch.relu, nn.functional.relu, "relu"):
            self.values[node] = self.emit(node, "Relu", [first])
        elif isinstance(module, nn.MaxPool2d):
            self.values[node] = self.same_codes(node, "MaxPool", first, **self._pool(node, module))
        elif isinstance(module, nn.AvgPool2d):
            attributes = self._pool(node, module)
            self.values[node] = self.emit(
                node, "AveragePool", [first], count_include_pad=int(module.count_include_pad), **attributes
            )
        elif isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1)):
            self.values[node] = self.emit(node, "GlobalAveragePool", [first])
        elif isinstance(module, nn.Flatten) or target in (torch.flatten, "flatten"):
            self.values[node] = self.same_codes(node, "Flatten", first, axis=1)
        elif isinstance(module, nn.Dropout | nn.Dropout2d | nn.Identity) or target is nn.functional.dropout:
            self.values[node] = first
        elif target in (operator.add, operator.iadd, torch.add, "add", "add_") and len(sources) == 2:
            self.values[node] = self.emit(node, "Add", [self.values[source] for source in sources])
        else:
            kind = type(module).__name__ if module is not None else getattr(target, "__name__", target)
            self.problems.append(f"{node.target if module is not None else node.name}: {kind}")

    def _pool(self, node: fx.Node, module: nn.MaxPool2d | nn.AvgPool2d) -> dict[str, Any]:
        kernel, strides, padding = _pair(module.kernel_size), _pair(module.stride), _pair(module.padding)
        if module.ceil_mode or _pair(getattr(module, "dilation", 1)) != (1, 1):
            self.problems.append(f"{node.target}: pooling with ceil_mode or dilation")
        return {"kernel_shape": kernel, "strides": strides, "pads": padding + padding}

    def emit(self, node: fx.Node, op: str, inputs: list[Value], **attributes: Any) -> Value:
        self.nodes.append(helper.make_node(op, [one.name for one in inputs], [node.name], node.name, **attributes))
        return Value(node.name)

    def same_codes(self, node: fx.Node, op: str, source: Value, **attributes: Any) -> Value:
        """An operator that only moves codes: its output has its input's scale."""
        moved = self.emit(node, op, [source], **attributes)
        if source.quantizer is None:
            return moved
        return self.quantize(f"{node.name}_same", moved, source.quantizer)

    # ---- quantization -------------------------------------------------------------------------------------------

    def constant(self, name: str, array: np.ndarray, dtype: int) -> str:
        self.initializers.append(
            helper.make_tensor(name, dtype, array.shape, array.reshape(-1).tolist())
            if dtype == TensorProto.INT4
            else onnx.numpy_helper.from_array(array.astype(helper.tensor_dtype_to_np_dtype(dtype)), name)
        )
        return name

    def quantize(self, name: str, source: Value, quantizer: ActivationQuantizer) -> Value:
        dtype = TensorProto.INT8 if quantizer.signed else TensorProto.UINT8
        scale_value = np.float32(quantizer.scale.detach().cpu().item())
        scale = self.constant(f"{name}_scale", np.asarray(scale_value), TensorProto.FLOAT)
        zero = self.constant(f"{name}_zero", np.asarray(0), dtype)
        value = source.name
        if quantizer.bits < 8:
            low = self.constant(f"{name}_low", np.asarray(scale_value * quantizer.low), TensorProto.FLOAT)
            high = self.constant(f"{name}_high", np.asarray(scale_value * quantizer.high), TensorProto.FLOAT)
            self.nodes.append(helper.make_node("Clip", [value, low, high], [f"{name}_clipped"], f"{name}_clip"))
            value = f"{name}_clipped"
        self.nodes.append(helper.make_node("QuantizeLinear", [value, scale, zero], [f"{name}_codes"], f"{name}_q"))
        self.nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}_codes", scale, zero], [f"{name}_value"], f"{name}_dq")
        )
        return Value(f"{name}_value", quantizer)

    def _weighted(self, node: fx.Node, source: Value, module: nn.Conv2d | nn.Linear, norm: nn.Module | None) -> Value:
        layer = str(node.target)
        codes, scales, bits = codes_of(layer, module.weight.detach(), self.levels)
        bias = module.bias.detach().double() if module.bias is not None else None
        if norm is not None:
            assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            gain = (norm.running_var.double() + norm.eps).rsqrt()
            shift = torch.zeros_like(gain)
            if norm.affine:
                gain, shift = gain * norm.weight.detach().double(), norm.bias.detach().double()
            bias = shift + ((bias if bias is not None else 0.0) - norm.running_mean.double()) * gain
            sign = torch.sign(gain).reshape(-1, *([1] * (codes.dim() - 1)))
            codes = codes * sign.to(codes)
            scales = torch.where(gain == 0, scales, scales * gain.abs()).expand(len(gain))
        per_row = scales.numel() > 1
        scale_array = scales.cpu().numpy().astype(np.float32) if per_row else np.float32(scales.cpu().item())
        inputs = [source.name, self.weight(layer, codes.cpu().numpy(), scale_array, bits)]
        if bias is not None:
            inputs.append(self._bias(layer, bias, scale_array, source.quantizer))
        if isinstance(module, nn.Linear):
            return self._output(node, "Gemm", inputs, transB=1)
        padding = module.padding
        if isinstance(padding, str) or module.padding_mode != "zeros":
            self.problems.append(f"{layer}: padding {padding} {module.padding_mode}")
            padding = 0
        pads = _pair(padding)
        return self._output(
            node,
            "Conv",
            inputs,
            kernel_shape=tuple(module.weight.shape[2:]),
            strides=_pair(module.stride),
            pads=pads + pads,
            dilations=_pair(module.dilation),
            group=module.groups,
        )

    def weight(self, layer: str, codes: np.ndarray, scale: Any, bits: int) -> str:
        """The tensor codes * scale.

        Args:
            codes: integers, of the weight's shape.
            scale: float32, () or (rows,).
            bits: of a code.
        """
        dtype = TensorProto.INT4 if bits <= 4 else TensorProto.INT8
        inputs = [
            self.constant(f"{layer}.weight_codes", codes.astype(np.int8), dtype),
            self.constant(f"{layer}.weight_scale", np.asarray(scale), TensorProto.FLOAT),
            self.constant(f"{layer}.weight_zero", np.zeros_like(scale, dtype=np.int8), dtype),
        ]
        return self._dequantized(f"{layer}.weight", inputs, scale)

    def bias(self, layer: str, codes: np.ndarray, scale: Any) -> str:
        """The tensor codes * scale, with codes that fit 32 bits."""
        inputs = [
            self.constant(f"{layer}.bias_codes", codes, TensorProto.INT32),
            self.constant(f"{layer}.bias_scale", scale, TensorProto.FLOAT),
            self.constant(f"{layer}.bias_zero", np.zeros_like(scale, dtype=np.int32), TensorProto.INT32),
        ]
        return self._dequantized(f"{layer}.bias", inputs, scale)

    def _dequantized(self, name: str, inputs: list[str], scale: Any) -> str:
        axis = {"axis": 0} if np.ndim(scale) else {}
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [name], f"{name}_dq", **axis))
        return name

    def _bias(self, layer: str, bias: Tensor, scale: Any, quantizer: ActivationQuantizer | None) -> str:
        values = bias.cpu().numpy()
        if quantizer is None:
            return self.constant(f"{layer}.bias", values, TensorProto.FLOAT)
        product = np.asarray(np.float32(quantizer.scale.detach().cpu().item()) * scale, dtype=np.float32)
        codes = np.rint(values / product.astype(np.float64))
        limit = 2**31 - 1
        if np.abs(codes).max(initial=0) > limit:
            self.problems.append(f"{layer}: the bias does not fit 32 bits at scale {product.min():g}")
            codes = np.clip(codes, -limit, limit)
        return self.bias(layer, codes, product)

    def _output(self, node: fx.Node, op: str, inputs: list[str], **attributes: Any) -> Value:
        self.nodes.append(helper.make_node(op, inputs, [node.name], str(node.target), **attributes))
        return Value(node.name)


def codes_of(layer: str, weight: Tensor, levels: Mapping[str, LevelSet]) -> tuple[Tensor, Tensor, int]:
    """(integer codes, scale of shape (1,) or (rows,), bits) of a layer whose weights lie on their levels.

    A layer without levels is taken as 8 bits and rounded.

    Raises:
        AssertionError: the weights do not lie on the levels that they should.
    """
    chosen = levels.get(layer)
    rounded = chosen is None
    chosen = chosen or Bits(8, zero=True)
    scale = chosen.fit(weight).double()
    assert isinstance(chosen, Bits | Binary | Ternary)
    codes = chosen.codes(weight.double(), scale)
    error = (weight.double() - codes * scale.reshape(-1, *([1] * (weight.dim() - 1)))).abs().max()
    bound = math.inf if rounded else 100 * TOLERANCE * float(scale.max())
    assert float(error) <= bound, f"{layer}: a weight lies {float(error):g} from its level"
    return codes, scale, chosen.bits


def to_onnx(
    model: fx.GraphModule,
    levels: Mapping[str, LevelSet],
    input_shape: tuple[int, ...],
    name: str,
    exporter: type[Exporter] = Exporter,
) -> onnx.ModelProto:
    """The QDQ model, or that of another exporter (`qonnx_export`).

    Args:
        model: traced, with activation quantizers (without them the activations stay float).
        levels: of the quantized layers; others are rounded to 8 bits.
        input_shape: of one input, without the batch.
        name: of the graph.

    Raises:
        UserError: the model has operators that the exporter does not know; all of them are listed.
    """
    model.eval()
    exported = exporter(model, levels, input_shape).run(name)
    onnx.checker.check_model(exported, full_check=True)
    return exported


def write(model: onnx.ModelProto, path: Path) -> None:
    """Write atomically."""
    temporary = path.with_suffix(".onnx.new")
    temporary.write_bytes(model.SerializeToString())
    temporary.replace(path)


def integer_accuracy(path: Path, images: Tensor, labels: Tensor, batch: int = 500) -> float:
    """Percent that ONNX Runtime's execution of the QDQ model gets right."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    right = 0
    for start in range(0, len(images), batch):
        part = images[start : start + batch].contiguous().cpu().numpy()
        scores = session.run(None, {"input": part})[0]
        right += int((scores.argmax(axis=1) == labels[start : start + batch].cpu().numpy()).sum())
    return 100.0 * right / len(images)


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
