"""The operators: one handler each, registered with ONNX's "since version" meaning.

A handler takes a node and returns the value of its first output (or a list for all outputs), or raises `Unsupported`.
It is responsible for all models whose opset is at least its version and below the next registered version of the same
operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from admmfpga.frontend.context import NodeView
from admmfpga.frontend.operators import elementwise, host, layers, layout, pooling, qonnx, quantization, tables
from admmfpga.frontend.operators.hints import HINTS
from admmfpga.frontend.problems import Unsupported
from admmfpga.frontend.values import Value

Handler = Callable[[NodeView], Value | Sequence[Value]]

REGISTRY: dict[str, dict[int, Handler]] = {
    "Add": {7: elementwise.add},
    "ArgMax": {1: host.arg_max},
    "AveragePool": {1: pooling.average_pool},
    "BatchNormalization": {9: elementwise.batch_normalization},
    "Cast": {6: host.cast},
    "Clip": {6: elementwise.clip_attributes, 11: elementwise.clip},
    "Concat": {4: layout.concat},
    "Conv": {1: layers.conv},
    "ConvInteger": {10: layers.conv_integer},
    "ConvTranspose": {1: layers.conv_transpose},
    "DepthToSpace": {1: layout.depth_to_space},
    "DequantizeLinear": {10: quantization.dequantize_linear},
    "Div": {7: elementwise.div},
    "Dropout": {7: host.dropout},
    "Expand": {8: layout.expand},
    "Flatten": {1: layout.flatten},
    "Gemm": {7: layers.gemm},
    "GlobalAveragePool": {1: pooling.global_average_pool},
    "GlobalMaxPool": {1: pooling.global_max_pool},
    "Identity": {1: host.identity},
    "LRN": {1: pooling.local_response_norm},
    "LogSoftmax": {13: host.softmax},
    "MatMul": {1: layers.matmul},
    "MatMulInteger": {10: layers.matmul_integer},
    "Max": {8: elementwise.combined},
    "MaxPool": {1: pooling.max_pool},
    "Mean": {8: elementwise.mean},
    "Min": {8: elementwise.combined},
    "Mul": {7: elementwise.mul},
    "PRelu": {7: elementwise.combined},
    "Pad": {2: layout.pad_attributes, 11: layout.pad},
    "Pow": {7: elementwise.combined},
    "QuantizeLinear": {10: quantization.quantize_linear},
    "ReduceMean": {1: pooling.reduce_mean},
    "ReduceSum": {1: pooling.reduce_sum},
    "Relu": {1: elementwise.relu},
    "Reshape": {5: layout.reshape},
    "Resize": {10: layout.resize_10, 11: layout.resize},
    "Shape": {1: layout.shape_of},
    "Sigmoid": {1: host.sigmoid},
    "Slice": {10: layout.slice_},
    "Softmax": {13: host.softmax},
    "SpaceToDepth": {1: layout.space_to_depth},
    "Split": {2: layout.split},
    "Squeeze": {13: layout.squeeze},
    "Sub": {7: elementwise.sub},
    "Sum": {8: elementwise.add},
    "Transpose": {1: layout.transpose},
    "Unsqueeze": {13: layout.unsqueeze},
    "Upsample": {7: layout.upsample},
}

TABLES = (
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Ceil",
    "Celu",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Reciprocal",
    "Round",
    "Selu",
    "Shrink",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
)
"""Operators of one operand that become a table, whatever their version."""

REGISTRY |= {op: {1: tables.unary} for op in TABLES}

QONNX: dict[str, Handler] = {"Quant": qonnx.quant, "BipolarQuant": qonnx.bipolar_quant}
"""Operators of QONNX's domains."""

CONTRIBUTED = frozenset({"QuantizeLinear", "DequantizeLinear"})
"""Operators that ONNX Runtime's own domain, com.microsoft, has with the same meaning."""

HOST_OPS = frozenset({"Softmax", "LogSoftmax", "ArgMax", "Sigmoid"})
"""Operators that the host computes when they come last."""

AFTER_HOST = (
    frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze", "QuantizeLinear", "DequantizeLinear"})
    | HOST_OPS
)
"""What may follow an operator that is left to the host."""


def handler(op: str, domain: str, opset: int) -> Handler:
    """The handler of an operator in a model of that opset.

    Raises:
        Unsupported: if there is none; the hint says what is possible.
    """
    if domain in qonnx.DOMAINS and op in QONNX:
        return QONNX[op]
    versions = REGISTRY.get(op, {})
    if domain not in ("", "ai.onnx") and not (domain == "com.microsoft" and op in CONTRIBUTED):
        raise Unsupported(f"operator of the domain {domain} is not supported", HINTS.get(op, supported()))
    if domain == "com.microsoft":
        return versions[max(versions)]
    since = max((version for version in versions if version <= opset), default=None)
    if since is None:
        raise Unsupported("this operator is not supported", HINTS.get(op, supported()))
    return versions[since]


def supported() -> str:
    """One line."""
    return "supported are " + ", ".join(sorted(REGISTRY))
