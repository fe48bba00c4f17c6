"""QONNX output equals QDQ output number for number, in the qonnx package's own execution."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from compress_made import tiny_data
from onnx import numpy_helper
from torch import Tensor, fx, nn

from admmfpga.cli import main
from admmfpga.compress import Binary, Bits, Ternary, activation, export, structure
from admmfpga.compress.levels import LevelSet
from admmfpga.compress.models import resnet8
from admmfpga.compress.qonnx_export import DOMAIN, QonnxExporter

pytest.importorskip("qonnx", reason="pip install 'admmfpga[dev]'")
IMAGES = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def quantized(model: nn.Module, levels: dict[str, LevelSet], images: Tensor, bits: int) -> fx.GraphModule:
    with torch.no_grad():
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight.copy_(levels.get(name, Bits(8, zero=True)).project(layer.weight))
    traced = structure.trace(model.eval(), images[:1])
    activation.insert(traced, bits, True, 0.0)
    activation.calibrate(traced, images, 99.0)
    return traced


def of_qdq(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """In floating point, operator by operator: ONNX Runtime's integer kernels round biases and sums their own way."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": images})[0]


@pytest.mark.filterwarnings("ignore")  # qonnx's own
def of_qonnx(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    values = [*fixed.graph.input, *fixed.graph.output, *fixed.graph.value_info]
    for value in values:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.HasField("dim_param"):
                dimension.dim_value = len(images)
    return execute_onnx(ModelWrapper(fixed), {"input": images})["output"]


LEVELS: dict[str, dict[str, LevelSet]] = {
    "mixed": {"conv1": Binary(), "conv2": Bits(3), "fc1": Ternary(), "fc2": Bits(8, zero=True)},
    "rows": {"conv1": Bits(5, per_row=True), "conv2": Binary(True), "fc1": Ternary(True), "fc2": Bits(2, per_row=True)},
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("bits", [8, 3])
@pytest.mark.parametrize("levels", LEVELS.values(), ids=LEVELS)
def test_it_equals_qdq(network: nn.Sequential, levels: dict[str, LevelSet], bits: int) -> None:
    traced = quantized(network, levels, IMAGES, bits)
    qdq = export.to_onnx(traced, levels, (1, 8, 8), "tiny")
    qonnx = export.to_onnx(traced, levels, (1, 8, 8), "tiny", QonnxExporter)
    expected = of_qdq(qdq, IMAGES.numpy())
    assert len(np.unique(expected)) > 10
    assert np.array_equal(of_qonnx(qonnx, IMAGES.numpy()), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_folded_normalizations_and_residuals(network: nn.Sequential) -> None:
    torch.manual_seed(0)
    model, images = resnet8(4).eval(), torch.rand(4, 3, 32, 32)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.copy_(0.5 + torch.rand(tensor.shape))
    model.bn.weight.data[:2] = torch.tensor([-0.7, 0.0])
    levels: dict[str, LevelSet] = {"conv": Binary(), "block1.conv1": Binary(), "block2.shortcut.0": Bits(3)}
    traced = quantized(model, levels, images, 6)
    qdq, qonnx = (export.to_onnx(traced, levels, (3, 32, 32), "r", one) for one in (export.Exporter, QonnxExporter))
    found, expected = of_qonnx(qonnx, images.numpy()), of_qdq(qdq, images.numpy())
    # the average pool divides in another order, so a value may round to the next of 8 bits' codes
    assert np.abs(found - expected).max() <= 1.01 * float(list(activation.quantizers(traced).values())[-1].scale)
    assert (found == expected).mean() > 0.9
    operators = {node.output[0]: node.op_type for node in qonnx.graph.node if node.domain == DOMAIN}
    assert operators["conv.weight"] == "Quant"  # a gain of 0 leaves zeros
    assert operators["block1.conv1.weight"] == "BipolarQuant"


def test_widths_are_written_as_they_are(network: nn.Sequential) -> None:
    model = export.to_onnx(
        quantized(network, LEVELS["mixed"], IMAGES, 3), LEVELS["mixed"], (1, 8, 8), "t", QonnxExporter
    )
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    nodes = {node.output[0]: node for node in model.graph.node if node.domain == DOMAIN}
    assert {node.op_type for node in nodes.values()} == {"Quant", "BipolarQuant"}
    bits = {name: float(constants[node.input[3]]) for name, node in nodes.items() if node.op_type == "Quant"}
    assert (bits["conv2.weight"], bits["fc1.weight"], bits["fc2.weight"], bits["fc1.bias"]) == (3, 2, 8, 32)
    activations = [value for name, value in bits.items() if name.startswith("activation")]
    assert activations[0] == activations[-1] == 8
    assert set(activations[1:-1]) == {3}
    for name, node in nodes.items():
        given = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        if node.op_type == "Quant":
            assert given["narrow"] == (1 if name.endswith(".weight") else 0), name
            assert given["signed"] == (0 if name in ("activation0_value", "activation1_value") else given["signed"])
        if name.endswith(".weight"):
            values = constants[node.input[0]]
            assert np.allclose(values, network.get_submodule(name.removesuffix(".weight")).weight.detach(), atol=1e-6)
    assert {value.name for value in model.graph.value_info} >= set(nodes)


def test_the_command_writes_it_beside_the_qdq_file(tmp_path: Path) -> None:
    data = tiny_data()
    arrays = {
        "train_images": (data.train_images * 255).round().byte().numpy(),
        "train_labels": data.train_labels.numpy(),
        "test_images": (data.test_images * 255).round().byte().numpy(),
        "test_labels": data.test_labels.numpy(),
    }
    np.savez(tmp_path / "data.npz", **arrays)
    text = (
        '[train]\nbatch_size = 32\nlearning_rate = 3e-3\n[pretrain]\nepochs = 12\n[quantize.layers]\n"*" = {bits = 3}\n'
    )
    (tmp_path / "r.toml").write_text(text)
    arguments = ["compress", "compress_made:tiny_network", "--data", str(tmp_path / "data.npz"), "--format", "qonnx"]
    arguments += ["--recipe", str(tmp_path / "r.toml"), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "compressed.qonnx.onnx" in result.output
    images = data.test_images.numpy()
    answers = [
        run(onnx.load(tmp_path / "out" / name), images).argmax(axis=1)
        for run, name in ((of_qdq, "compressed.onnx"), (of_qonnx, "compressed.qonnx.onnx"))
    ]
    assert np.array_equal(*answers)
    assert (answers[0] == arrays["test_labels"]).mean() > 0.5
