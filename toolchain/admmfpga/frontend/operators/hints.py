"""What to do about operators that are not supported."""

from __future__ import annotations

_NORMALIZATION = "retrain with BatchNormalization in its place"
_CONTROL = "remove control flow before export"
_RECURRENT = "only feed-forward networks are possible"
_DYNAMIC = "quantize statically, with calibration images"
_ATTENTION = "transformers are not possible; only weights may be multiplied with activations"

HINTS: dict[str, str] = {
    "BatchNorm": "export the model in evaluation mode",
    "InstanceNormalization": _NORMALIZATION,
    "GroupNormalization": _NORMALIZATION,
    "LayerNormalization": _NORMALIZATION,
    "RMSNormalization": _NORMALIZATION,
    "LpNormalization": _NORMALIZATION,
    "MeanVarianceNormalization": _NORMALIZATION,
    "LpPool": "use AveragePool or MaxPool",
    "MaxUnpool": "use Resize with mode=nearest, or ConvTranspose",
    "MaxRoiPool": "leave it to the host (cut the model before it)",
    "NonMaxSuppression": "leave it to the host (cut the model before it)",
    "TopK": "leave it to the host (cut the model before it)",
    "DynamicQuantizeLinear": _DYNAMIC,
    "DynamicQuantizeMatMul": _DYNAMIC,
    "Attention": _ATTENTION,
    "Einsum": "write it as MatMul with constant weights",
    "QLinearConv": "its scales and zero points must be constants",
    "QLinearMatMul": "its scales and zero points must be constants",
    "Quant": "it belongs to the domain qonnx.custom_op.general",
    "BipolarQuant": "it belongs to the domain qonnx.custom_op.general",
    "If": _CONTROL,
    "Loop": _CONTROL,
    "Scan": _CONTROL,
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "RNN": _RECURRENT,
}
