"""Weight scales moved onto what the hardware's multipliers can express.

A requantization multiplies by an integer over a power of two, which is the wanted ratio of scales only to about 2**-18.
Where the scales are ours to choose, moving each weight scale by that little makes the QDQ model and the hardware say
the same, instead of differing wherever a value is near a rounding boundary. The weights' codes stay as they are: the
move is a thousandth of their own rounding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from admmfpga.network.types import FloatArray


def snap_scales(model: onnx.ModelProto, realised: Mapping[str, FloatArray]) -> onnx.ModelProto:
    """A copy of a QDQ model with corrected weight scales, and biases in the new steps.

    Layers whose weights or scales are shared are left alone.

    Args:
        realised: per output tensor of Conv, Gemm or MatMul: multiplier over wanted ratio, (C,).
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    initializers = {i.name: i for i in result.graph.initializer}
    producers = {name: node for node in result.graph.node for name in node.output}
    uses: dict[str, int] = {}
    for node in result.graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    for output, factor in realised.items():
        node = producers[output]
        parameters = []
        for name in node.input[1:]:
            dequantize = producers.get(name)
            if dequantize is None or dequantize.op_type != "DequantizeLinear" or uses[name] > 1:
                break
            codes, scale = (initializers.get(i) for i in dequantize.input[:2])
            if codes is None or scale is None or uses[scale.name] > 1 or list(scale.dims) != [len(factor)]:
                break
            parameters.append((codes, scale))
        if len(parameters) != len(node.input) - 1:
            continue
        for index, (codes, scale) in enumerate(parameters):
            old = numpy_helper.to_array(scale).astype(np.float64)
            new = (old * factor).astype(np.float32)
            scale.CopyFrom(numpy_helper.from_array(new, scale.name))
            if index == 1:
                bias = numpy_helper.to_array(codes)
                moved = np.rint(bias * old / new.astype(np.float64))
                codes.CopyFrom(numpy_helper.from_array(moved.astype(bias.dtype), codes.name))
    return result
