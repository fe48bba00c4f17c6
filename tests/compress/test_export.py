"""The QDQ file computes what the fake-quantized model computes, with standard operators and integer weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, fx, nn

from admmfpga.compress import Binary, Bits, NonStructured, Ternary, activation, export, structure
from admmfpga.compress.levels import LevelSet
from admmfpga.compress.models import resnet8
from admmfpga.errors import UserError


def quantized(model: nn.Module, images: Tensor, bits: int = 8) -> fx.GraphModule:
    traced = structure.trace(model.eval(), images[:1])
    activation.insert(traced, bits, True, 0.0)
    activation.calibrate(traced, images, 100)
    return traced


def on_levels(model: nn.Module, levels: dict[str, LevelSet]) -> None:
    with torch.no_grad():
        for name, one in levels.items():
            weight = model.get_submodule(name).weight
            weight.copy_(one.project(weight.detach()))


def run(model: onnx.ModelProto, images: Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": images.numpy()})[0]


def initializers(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {one.name: one for one in model.graph.initializer}


IMAGES = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("bits", [8, 4, 6])
def test_onnxruntime_agrees_with_the_fake_quantized_model(network: nn.Sequential, bits: int) -> None:
    levels: dict[str, LevelSet] = {"conv1": Binary(), "conv2": Bits(3), "fc1": Ternary(), "fc2": Bits(8, zero=True)}
    on_levels(network, levels)
    traced = quantized(network, IMAGES, bits)
    exported = export.to_onnx(traced, levels, (1, 8, 8), "tiny")
    with torch.no_grad():
        expected = traced(IMAGES).numpy()
    found = run(exported, IMAGES)
    step = float(traced.get_submodule("activation4").scale.detach())
    # Biases are rounded to s_x * s_w in the file: an activation may fall on the neighbouring code, seldom. At 8 bits
    # inside that is one code of the output at most, at fewer bits inside it is several of the output's 8-bit codes.
    assert np.abs(found - expected).max() <= (1.01 if bits == 8 else 8) * step
    assert (np.abs(found - expected) > 0.01 * step).mean() < (0.1 if bits == 8 else 0.25)


def test_weights_are_integer_codes_of_their_width(network: nn.Sequential) -> None:
    with torch.no_grad():
        network.fc1.weight.copy_(NonStructured(100).project(network.fc1.weight.detach()))
    levels: dict[str, LevelSet] = {"conv1": Binary(), "conv2": Bits(3), "fc1": Bits(4), "fc2": Bits(8)}
    on_levels(network, levels)
    exported = export.to_onnx(quantized(network, IMAGES), levels, (1, 8, 8), "tiny")
    found = initializers(exported)
    codes = {name: onnx.numpy_helper.to_array(found[f"{name}.weight_codes"]).astype(int) for name in levels}
    assert found["conv1.weight_codes"].data_type == onnx.TensorProto.INT4
    assert found["fc2.weight_codes"].data_type == onnx.TensorProto.INT8
    assert set(np.unique(codes["conv1"])) == {-1, 1}
    assert set(np.unique(codes["conv2"])) <= {-3, -2, -1, 1, 2, 3}
    assert np.count_nonzero(codes["fc1"]) == 100
    for name in levels:
        scale = onnx.numpy_helper.to_array(found[f"{name}.weight_scale"])
        assert np.allclose(codes[name] * scale, network.get_submodule(name).weight.detach().numpy(), atol=1e-6)
        assert found[f"{name}.bias_codes"].data_type == onnx.TensorProto.INT32
    operators = {node.op_type for node in exported.graph.node}
    assert operators == {
        "QuantizeLinear", "DequantizeLinear", "Conv", "Relu", "MaxPool", "Flatten", "Gemm", "Identity",
    }  # fmt: skip


def test_batch_normalization_is_folded_and_residuals_are_written() -> None:
    torch.manual_seed(0)
    model = resnet8(4).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.copy_(0.5 + torch.rand(tensor.shape))
    model.bn.weight.data[1] = -0.7  # the sign moves into the codes
    levels: dict[str, LevelSet] = {name: Bits(4, zero=True) for name in ("conv", "block1.conv1", "block2.shortcut.0")}
    on_levels(model, levels)
    images = torch.rand(8, 3, 32, 32)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and name not in levels:
            layer.weight.data.copy_(Bits(8, zero=True).project(layer.weight.detach()))
    traced = quantized(model, images)
    exported = export.to_onnx(traced, levels, (3, 32, 32), "resnet8")
    assert not {"BatchNormalization"} & {node.op_type for node in exported.graph.node}
    assert onnx.numpy_helper.to_array(initializers(exported)["conv.weight_scale"]).shape == (4,)
    codes = onnx.numpy_helper.to_array(initializers(exported)["conv.weight_codes"]).astype(np.float32)
    weight = model.conv.weight.detach().numpy()
    assert np.array_equal(np.sign(codes[0]), np.sign(weight[0]))
    assert np.array_equal(np.sign(codes[1]), -np.sign(weight[1]))
    with torch.no_grad():
        expected = traced(images).numpy()
    assert np.corrcoef(run(exported, images).ravel(), expected.ravel())[0, 1] > 0.999


def test_without_activation_quantizers_only_weights_are_integers(network: nn.Sequential) -> None:
    levels: dict[str, LevelSet] = {name: Bits(8, zero=True) for name in ("conv1", "conv2", "fc1", "fc2")}
    on_levels(network, levels)
    traced = structure.trace(network.eval(), IMAGES[:1])
    exported = export.to_onnx(traced, levels, (1, 8, 8), "tiny")
    with torch.no_grad():
        assert np.allclose(run(exported, IMAGES), network(IMAGES).numpy(), atol=1e-4)
    assert "QuantizeLinear" not in {node.op_type for node in exported.graph.node}


def test_weights_off_their_levels_are_an_internal_error(network: nn.Sequential) -> None:
    with pytest.raises(AssertionError, match="conv1"):
        export.to_onnx(structure.trace(network.eval(), IMAGES[:1]), {"conv1": Bits(2)}, (1, 8, 8), "tiny")


def test_all_unknown_operators_are_listed() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sigmoid(), nn.Conv2d(2, 2, 3), nn.Hardswish())
    traced = structure.trace(model, torch.zeros(1, 1, 8, 8))
    with pytest.raises(UserError) as caught:
        export.to_onnx(traced, {}, (1, 8, 8), "odd")
    assert "Sigmoid" in str(caught.value)


def test_the_file_is_written_whole(network: nn.Sequential, tmp_path: Path) -> None:
    exported = export.to_onnx(quantized(network, IMAGES), {}, (1, 8, 8), "tiny")
    export.write(exported, tmp_path / "compressed.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["compressed.onnx"]
    assert onnx.load(tmp_path / "compressed.onnx") == exported
    labels = torch.from_numpy(run(exported, IMAGES).argmax(axis=1))
    assert export.integer_accuracy(tmp_path / "compressed.onnx", IMAGES, labels) == 100.0
