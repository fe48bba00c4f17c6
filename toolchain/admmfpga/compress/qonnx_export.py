"""A compressed model as QONNX: Quant and BipolarQuant nodes, which carry widths that ONNX has no type for.

QONNX (Pappalardo et al., "QONNX: Representing Arbitrary-Precision Quantized Neural Networks", 2022) keeps tensors in
float and puts a node behind each that rounds it to any number of bits: Quant(x, scale, zero point, bits), and
BipolarQuant(x, scale) for {-1, +1}. Weights are initializers on their levels, so that the nodes change nothing.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import onnx
from onnx import TensorProto, helper

from admmfpga.compress.activation import ActivationQuantizer
from admmfpga.compress.export import OPSET, Exporter, Value

DOMAIN = "qonnx.custom_op.general"
VERSION = 1
BIAS_BITS = 32


class QonnxExporter(Exporter):
    """What `export.to_onnx` takes to write QONNX instead of QDQ."""

    domains: ClassVar = {"": OPSET, DOMAIN: VERSION}

    def with_shapes(self, model: onnx.ModelProto) -> onnx.ModelProto:
        # ONNX cannot infer through foreign operators, and all of these keep their first input's shape.
        plain = onnx.ModelProto()
        plain.CopyFrom(model)
        for node in plain.graph.node:
            if node.domain == DOMAIN:
                node.CopyFrom(helper.make_node("Identity", [node.input[0]], list(node.output)))
        inferred = onnx.shape_inference.infer_shapes(plain, strict_mode=True)
        model.graph.value_info.extend(inferred.graph.value_info)
        for output, known in zip(model.graph.output, inferred.graph.output, strict=True):
            output.CopyFrom(known)
        return model

    def quantize(self, name: str, source: Value, quantizer: ActivationQuantizer) -> Value:
        scale = np.asarray(np.float32(quantizer.scale.detach().cpu().item()))
        made = self._quant(f"{name}_value", source.name, scale, quantizer.bits, quantizer.signed, narrow=False)
        return Value(made, quantizer)

    def same_codes(self, node: Any, op: str, source: Value, **attributes: Any) -> Value:
        return Value(self.emit(node, op, [source], **attributes).name, source.quantizer)

    def weight(self, layer: str, codes: np.ndarray, scale: Any, bits: int) -> str:
        scale = _rows(scale, codes.ndim)
        values = self.constant(f"{layer}.weight_values", codes.astype(np.float32) * scale, TensorProto.FLOAT)
        if bits == 1 and np.all(np.abs(codes) == 1):  # a normalization with gain 0 leaves zeros in a binary layer
            inputs = [values, self.constant(f"{layer}.weight_scale", scale, TensorProto.FLOAT)]
            self.nodes.append(
                helper.make_node("BipolarQuant", inputs, [f"{layer}.weight"], f"{layer}.weight_quant", domain=DOMAIN)
            )
            return f"{layer}.weight"
        return self._quant(f"{layer}.weight", values, scale, max(2, bits), signed=True, narrow=True)

    def bias(self, layer: str, codes: np.ndarray, scale: Any) -> str:
        values = self.constant(f"{layer}.bias_values", codes.astype(np.float32) * scale, TensorProto.FLOAT)
        return self._quant(f"{layer}.bias", values, np.asarray(scale), BIAS_BITS, signed=True, narrow=False)

    def _quant(self, name: str, source: str, scale: np.ndarray, bits: int, signed: bool, *, narrow: bool) -> str:
        inputs = [
            source,
            self.constant(f"{name}_scale", scale, TensorProto.FLOAT),
            self.constant(f"{name}_zero", np.asarray(0.0), TensorProto.FLOAT),
            self.constant(f"{name}_bits", np.asarray(float(bits)), TensorProto.FLOAT),
        ]
        attributes = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": "ROUND"}
        self.nodes.append(helper.make_node("Quant", inputs, [name], f"{name}_quant", domain=DOMAIN, **attributes))
        return name


def _rows(scale: Any, dimensions: int) -> np.ndarray:
    """A () or (rows,) scale, shaped to multiply a weight of that many dimensions."""
    array = np.asarray(scale, dtype=np.float32)
    return array.reshape(-1, *([1] * (dimensions - 1))) if array.ndim else array
