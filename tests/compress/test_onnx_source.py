from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from admmfpga.compress import export, onnx_source, source, structure
from admmfpga.compress.models import resnet8
from admmfpga.compress.recipe import weighted_layers
from admmfpga.errors import UserError


def made(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], shape: list[int], path: Path) -> Path:
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "scores"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def test_a_float_model_comes_with_its_layers_under_their_names(network: nn.Sequential, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    constants = {
        f"{name}.{part}": getattr(layer, part).detach().numpy()
        for name, layer in weighted_layers(network).items()
        for part in ("weight", "bias")
    }
    for name in ("fc1.weight", "fc2.weight"):
        constants[name] = constants[name].T.copy()
    constants["shape"] = np.array([0, -1], dtype=np.int64)
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "conv1.weight", "conv1.bias"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"]),
        node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["c", "conv2.weight", "conv2.bias"], ["d"], kernel_shape=[3, 3]),
        node("Relu", ["d"], ["e"]),
        node("Reshape", ["e", "shape"], ["f"]),
        node("Gemm", ["f", "fc1.weight", "fc1.bias"], ["g"]),
        node("Relu", ["g"], ["h"]),
        node("MatMul", ["h", "fc2.weight"], ["i"]),
        node("Add", ["i", "fc2.bias"], ["y"]),
    ]
    path = made(nodes, constants, [1, 8, 8], tmp_path / "made.onnx")
    loaded = source.load(str(path))
    images = torch.from_numpy(rng.random((4, 1, 8, 8), dtype=np.float32))
    with torch.no_grad():
        assert torch.allclose(loaded(images), network(images), atol=1e-6)
    assert list(weighted_layers(loaded)) == ["conv1", "conv2", "fc1", "fc2"]
    spaces = structure.spaces(loaded, images[:1])
    assert [(space.producers, space.pinned) for space in spaces][1] == (["conv1"], False)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # torch's exporter's own
def test_residuals_and_normalization(tmp_path: Path) -> None:
    model = resnet8(4).eval()
    path = tmp_path / "resnet8.onnx"
    program = torch.onnx.export(model, (torch.zeros(1, 3, 32, 32),), dynamo=True, verbose=False)
    assert program is not None
    program.save(path)
    loaded = onnx_source.load(path).eval()
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(loaded(images), model(images), atol=1e-5)
    tied = [space for space in structure.spaces(loaded, images) if len(space.producers) > 1]
    assert tied
    assert export.to_onnx(structure.trace(loaded, images), {}, (3, 32, 32), "again")


def test_all_unknown_operators_are_listed(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sin", ["x"], ["a"], name="one"),
        helper.make_node("Relu", ["a"], ["b"], name="two"),
        helper.make_node("Cos", ["x"], ["c"], name="three"),
        helper.make_node("Add", ["b", "c"], ["y"], name="four"),
    ]
    with pytest.raises(UserError) as caught:
        onnx_source.load(made(nodes, {}, [1, 8, 8], tmp_path / "odd.onnx"))
    assert "one: Sin; three: Cos" in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        source.load(str(tmp_path / "none.onnx"))
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(UserError, match="not a valid"):
        source.load(str(tmp_path / "bad.onnx"))
