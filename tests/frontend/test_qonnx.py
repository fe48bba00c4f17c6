"""QONNX models (Quant, BipolarQuant) against the qonnx package's execution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes

from admmfpga.frontend import UnsupportedModelError, load
from admmfpga.network import BIPOLAR, Conv, Dense, reference

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")]

DOMAIN = "qonnx.custom_op.general"


class Maker:
    """A chain of nodes over tensors whose shapes are known."""

    def __init__(self, shape: tuple[int, ...], rng: np.random.Generator) -> None:
        self.rng, self.shape, self.last, self.rows = rng, shape, "x", shape[1]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, array: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, dtype=np.float32), name))
        return name

    def node(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        name = output or f"t{len(self.nodes)}"
        domain = DOMAIN if op in ("Quant", "BipolarQuant") else ""
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n{len(self.nodes)}", domain=domain, **attributes))
        return name

    def then(self, op: str, *inputs: str, **attributes: Any) -> Maker:
        self.last = self.node(op, self.last, *inputs, **attributes)
        return self

    def quant(self, scale: float, bits: int, *, signed: bool = False, narrow: bool = False) -> Maker:
        parameters = (self.constant(scale), self.constant(0.0), self.constant(bits))
        return self.then("Quant", *parameters, signed=int(signed), narrow=int(narrow), rounding_mode="ROUND")

    def sign(self, scale: float = 1.0) -> Maker:
        return self.then("BipolarQuant", self.constant(scale))

    def weights(self, shape: tuple[int, ...], bits: int) -> str:
        self.rows = shape[0]
        rows = (shape[0], *[1] * (len(shape) - 1))
        scale, real = self.rng.uniform(0.02, 0.2, rows), self.rng.normal(0, 0.1, shape)
        if bits == 1:
            return self.node("BipolarQuant", self.constant(real), self.constant(scale))
        parameters = (self.constant(scale), self.constant(0.0), self.constant(bits))
        return self.node("Quant", self.constant(real), *parameters, signed=1, narrow=1, rounding_mode="ROUND")

    def norm(self, channels: int) -> Maker:
        rng = self.rng
        gamma = rng.uniform(0.5, 2.0, channels) * rng.choice([-1, 1], channels)
        found = (gamma, rng.normal(0, 1, channels), rng.normal(0, 0.5, channels), rng.uniform(0.5, 2.0, channels))
        return self.then("BatchNormalization", *[self.constant(values) for values in found])

    def save(self, path: Path, *image: int) -> Path:
        """Write the model; its output is (1, rows of the last weights, *image)."""
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(
            self.nodes,
            "made",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, self.rows, *image))],
            self.constants,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
        return path


def compare(path: Path, images: np.ndarray) -> float:
    """Share of outputs that equal qonnx's, and none may be off by more than a step of the output."""
    imported = load(path)
    found = imported.dequantize(reference.run(imported.network, imported.quantize(images)))
    model = ModelWrapper(str(path)).transform(InferShapes())
    expected = np.concatenate([execute_onnx(model, {"x": image[None]})["y"] for image in images])
    return float(np.isclose(found, expected.reshape(found.shape), rtol=1e-4, atol=1e-4).mean())


@pytest.mark.parametrize("seed", range(6))
def test_binary_convolutions(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = Maker((1, 3, 8, 8), rng).quant(1 / 128, 8, signed=True)
    made.then("Conv", made.weights((8, 3, 3, 3), 1)).norm(8).sign(0.5)
    made.then("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    made.then("Conv", made.weights((6, 8, 2, 2), 1 if seed % 2 else 2)).norm(6).sign()
    made.then("Flatten").then("Gemm", made.weights((5, 24), 1), transB=1)
    path = made.save(tmp_path / "model.onnx")
    network = load(path).network
    assert [network.output_of(node).dtype.bipolar for node in network.nodes if isinstance(node, Conv | Dense)] == [
        True,
        True,
        False,
    ]
    assert compare(path, rng.uniform(-1, 1, (40, 3, 8, 8)).astype(np.float32)) == 1.0


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_few_bits(tmp_path: Path, bits: int) -> None:
    rng = np.random.default_rng(bits)
    made = Maker((1, 20), rng).quant(1 / 256, 8)
    made.then("Gemm", made.weights((16, 20), bits), transB=1).norm(16).then("Relu").quant(0.05, bits)
    made.then("Gemm", made.weights((12, 16), bits), transB=1).norm(12).quant(0.1, bits, signed=True, narrow=True)
    made.then("Gemm", made.weights((4, 12), bits), transB=1)
    path = made.save(tmp_path / "model.onnx")
    network = load(path).network
    types = [network.output_of(node).dtype for node in network.nodes]
    assert [(t.bits, t.signed) for t in types[:2]] == [(bits, False), (bits, True)]
    assert compare(path, rng.uniform(0, 1, (200, 20)).astype(np.float32)) > 0.999


def test_binary_input(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    made = Maker((1, 30), rng).sign()
    made.then("Gemm", made.weights((8, 30), 1), transB=1).norm(8).sign().then("Gemm", made.weights((4, 8), 1), transB=1)
    path = made.save(tmp_path / "model.onnx")
    assert load(path).network.tensors[load(path).network.inputs[0]].dtype == BIPOLAR
    assert compare(path, rng.normal(0, 1, (50, 30)).astype(np.float32)) == 1.0


def test_what_signs_cannot_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    made = Maker((1, 3, 6, 6), rng).sign()
    made.then("Conv", made.weights((4, 3, 3, 3), 1), pads=[1, 1, 1, 1]).sign()
    with pytest.raises(UnsupportedModelError, match="none is zero"):
        load(made.save(tmp_path / "padded.onnx", 6, 6))
    made = Maker((1, 3, 6, 6), rng).sign().then("GlobalAveragePool").quant(0.1, 4)
    with pytest.raises(UnsupportedModelError, match="of one bit"):
        load(made.save(tmp_path / "averaged.onnx", 1, 1))
    made = Maker((1, 6), rng)
    made.then("Add", made.constant(-0.5)).sign().then("Gemm", made.weights((4, 6), 1), transB=1)
    with pytest.raises(UnsupportedModelError, match="before its sign"):
        load(made.save(tmp_path / "shifted.onnx"))
