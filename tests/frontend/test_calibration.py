"""Float models: quantized through ONNX Runtime, with given or assumed images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from qdq_made import Maker, agree, ops

from admmfpga.errors import UserError
from admmfpga.frontend import load
from admmfpga.network import Conv, Dense, HostOp, IntType, reference


def small_cnn(seed: int = 0, *, opset: int = 17, tail: str = "") -> tuple[Maker, str]:
    """Conv, batch normalization, Relu, pool, Conv + Add, Relu, Gemm with a (1, O) bias, batch normalization, MatMul."""
    made = Maker((1, 2, 12, 12), np.random.default_rng(seed), opset=opset)

    def norm(x: str, channels: int) -> str:
        rest = (made.real(channels), made.real(channels), made.const(made.rng.uniform(0.5, 2, channels)))
        return made.node("BatchNormalization", x, made.real(channels), *rest)

    x = made.node("Relu", norm(made.node("Conv", "x", made.real(6, 2, 3, 3), pads=[1] * 4), 6))
    x = made.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = made.node("Add", made.node("Conv", x, made.real(8, 6, 3, 3)), made.real(8, 1, 1))
    x = made.node("Flatten", made.node("Relu", x))
    x = made.node("Relu", norm(made.node("Gemm", x, made.real(20, 128), made.real(1, 20), transB=1), 20))
    x = made.node("Add", made.node("MatMul", x, made.real(20, 5)), made.real(5))
    return made, made.node(tail, x, axis=1) if tail else x


def test_float_model_becomes_integers(tmp_path: Path) -> None:
    made, output = small_cnn()
    path = made.save(tmp_path / "m.onnx", output)
    imported = load(path, calibration=made.images)
    assert imported.warnings == []
    assert ops(imported) == ["Conv", "MaxPool", "Conv", "Flatten", "Dense", "Dense"]
    agree(imported, made.images)
    network = imported.network
    for node in network.nodes:
        if isinstance(node, Conv | Dense):
            assert node.weights.min() >= -127  # narrow: two low-bit products share a multiplier
            assert network.output_of(node).dtype == IntType(8, signed=False)
    output_tensor = network.tensors[network.outputs[0]]
    assert output_tensor.scale.shape == ()  # codes compare as reals do
    real = output_tensor.dequantize(reference.run(network, imported.quantize(made.images)))
    wanted = made.run(output)[:, 0]
    assert np.abs(real - wanted).mean() < 0.05 * np.abs(wanted).mean()


@pytest.mark.parametrize("tail", ["Softmax", "ArgMax"])
def test_what_the_host_computes_stays_real(tail: str, tmp_path: Path) -> None:
    made, output = small_cnn(tail=tail)
    imported = load(made.save(tmp_path / "m.onnx", output), calibration=made.images)
    assert imported.network.host_ops == (HostOp(tail, -1, keep=tail == "ArgMax"),)
    assert ops(imported)[-1] == "Dense"
    agree(imported, made.images)


def test_old_opset(tmp_path: Path) -> None:
    made, output = small_cnn(opset=9)
    imported = load(made.save(tmp_path / "m.onnx", output), calibration=made.images)
    agree(imported, made.images)


def test_assumed_images_are_said(tmp_path: Path) -> None:
    made, output = small_cnn()
    imported = load(made.save(tmp_path / "m.onnx", output))
    (warning,) = imported.warnings
    assert "no calibration images" in warning
    assert "0..1" in warning
    assert float(imported.network.tensors["frame"].scale) == pytest.approx(1 / 255)


def test_calibration_of_a_quantized_model_is_not_used(tmp_path: Path) -> None:
    made = Maker((1, 8), np.random.default_rng(0))
    path = made.save(tmp_path / "m.onnx", made.fit(made.node("MatMul", made.input(), made.weights(8, 3))))
    imported = load(path, calibration=np.zeros((1, 5)))
    assert "not used" in imported.warnings[0]


@pytest.mark.parametrize(
    "images,message",
    [
        (np.zeros((4, 12, 12, 2)), "4 x 12 x 12 x 2, the model takes N x 2 x 12 x 12"),
        (np.zeros((2, 12, 12)), "2 x 12 x 12, the model takes"),
        (np.zeros((0, 2, 12, 12)), "no calibration images"),
        (np.full((2, 2, 12, 12), np.nan), "not finite"),
        (np.full((2, 2, 12, 12), "a"), "not numbers"),
    ],
)
def test_bad_calibration_images(images: np.ndarray, message: str, tmp_path: Path) -> None:
    made, output = small_cnn()
    with pytest.raises(UserError, match=message):
        load(made.save(tmp_path / "m.onnx", output), calibration=images)


def test_bytes_are_taken_as_numbers(tmp_path: Path) -> None:
    made, output = small_cnn()
    images = (made.images * 255).astype(np.uint8)
    imported = load(made.save(tmp_path / "m.onnx", output), calibration=images)
    assert float(imported.network.tensors["frame"].scale) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(value: float, tmp_path: Path) -> None:
    made, output = small_cnn()
    weights = next(i for i in made.initializers if list(i.dims) == [6, 2, 3, 3])
    array = np.ones((6, 2, 3, 3), np.float32)
    array[1, 1, 1, 1] = value
    weights.CopyFrom(onnx.numpy_helper.from_array(array, weights.name))
    with pytest.raises(UserError, match="NaN or infinity") as caught:
        load(made.save(tmp_path / "m.onnx", output), calibration=made.images)
    assert caught.value.hint


def test_overflowing_activations(tmp_path: Path) -> None:
    made = Maker((1, 4), np.random.default_rng(0))
    x = "x"
    for _ in range(3):
        x = made.node("MatMul", x, made.const(np.full((4, 4), 1e20)))
    with pytest.raises(UserError):
        load(made.save(tmp_path / "m.onnx", x), calibration=made.images)


def test_constant_network(tmp_path: Path) -> None:
    """All weights zero: every range is empty, and still nothing divides by zero."""
    made = Maker((1, 4), np.random.default_rng(0))
    x = made.node("Gemm", "x", made.const(np.zeros((4, 3))), made.const(np.zeros(3)))
    imported = load(made.save(tmp_path / "m.onnx", x), calibration=made.images)
    agree(imported, made.images)


def test_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    """In other processes too, where strings hash differently."""
    made, output = small_cnn()
    path = made.save(tmp_path / "m.onnx", output)
    code = (
        "import sys, hashlib; from pathlib import Path; from admmfpga.frontend import load;"
        "m = load(Path(sys.argv[1])).model; print(hashlib.sha256(m.SerializeToString(deterministic=True)).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


@pytest.mark.parametrize("first", ["MaxPool", "Relu"])
def test_model_that_does_not_begin_with_a_layer(first: str, tmp_path: Path) -> None:
    made = Maker((1, 2, 12, 12), np.random.default_rng(0))
    made.images = made.images * 3 - 1
    attributes = {"kernel_shape": [2, 2], "strides": [2, 2]} if first == "MaxPool" else {}
    x = made.node(first, "x", **attributes)
    x = made.node("Relu", made.node("Conv", x, made.real(6, 2, 3, 3), made.real(6)))
    imported = load(made.save(tmp_path / "m.onnx", x), calibration=made.images)
    agree(imported, made.images)
