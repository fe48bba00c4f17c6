"""ONNX Runtime's QOperator format: the same network as in QDQ format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime.quantization as ortq
import pytest
from onnx import TensorProto, helper, numpy_helper
from qdq_made import Maker, agree

from admmfpga.frontend import load, unsupported
from admmfpga.frontend.constants import runner


class Reader(ortq.CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        self.images = iter([{"x": image[None]} for image in images])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.images, None)


def made() -> tuple[Maker, str]:
    maker = Maker((1, 3, 8, 8), np.random.default_rng(0), opset=17)
    a = maker.node("Conv", "x", maker.real(4, 3, 3, 3), maker.real(4), pads=[1, 1, 1, 1])
    b = maker.node("Conv", "x", maker.real(4, 3, 1, 1))
    joined = maker.node("Add", a, b)
    active = maker.node("LeakyRelu", joined, alpha=0.1)
    pooled = maker.node("AveragePool", active, kernel_shape=[2, 2], strides=[2, 2])
    flat = maker.node("Flatten", pooled)
    return maker, maker.node("Gemm", flat, maker.real(5, 64), maker.real(5), transB=1)


@pytest.mark.parametrize("per_channel", [False, True])
def test_the_network_of_both_formats_agrees_with_onnxruntime(tmp_path: Path, per_channel: bool) -> None:
    maker, output = made()
    maker.save(tmp_path / "float.onnx", output)
    ortq.quantize_static(
        tmp_path / "float.onnx",
        tmp_path / "qoperator.onnx",
        Reader(maker.images),
        quant_format=ortq.QuantFormat.QOperator,
        per_channel=per_channel,
        weight_type=ortq.QuantType.QInt8,
        activation_type=ortq.QuantType.QUInt8,
    )
    operators = {node.op_type for node in onnx.load(tmp_path / "qoperator.onnx").graph.node}
    assert {"QLinearConv", "QLinearAdd", "QGemm"} <= operators
    imported = load(tmp_path / "qoperator.onnx")
    agree(imported, maker.images, isolated=True)
    # The decomposed model is the one that the user gave: same output in ONNX Runtime, up to its own kernels' rounding.
    theirs = runner(onnx.load(tmp_path / "qoperator.onnx"))
    ours = runner(imported.model)
    for image in maker.images[:8]:
        left, right = (run.run(None, {"x": image[None]})[0] for run in (theirs, ours))
        step = np.abs(left).max() / 127
        assert np.abs(left - right).max() <= 2 * step


def test_scales_that_are_computed_are_named(tmp_path: Path) -> None:
    scale = numpy_helper.from_array(np.array(0.1, np.float32), "s")
    zero = numpy_helper.from_array(np.array(0, np.uint8), "z")
    weights = numpy_helper.from_array(np.ones((2, 1, 1, 1), np.uint8), "w")
    bias = numpy_helper.from_array(np.ones(2, np.int32), "b")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("ReduceMax", ["x"], ["t"], keepdims=0),
        helper.make_node("QLinearConv", ["q", "t", "z", "w", "s", "z", "s", "z", "b"], ["y"]),
        helper.make_node("DequantizeLinear", ["y", "s", "z"], ["out"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", TensorProto.FLOAT, (1, 1, 4, 4))],
        [info("out", TensorProto.FLOAT, (1, 2, 4, 4))],
        [scale, zero, weights, bias],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    problems = unsupported(tmp_path / "m.onnx")
    assert "QLinearConv" in {problem.op for problem in problems}
