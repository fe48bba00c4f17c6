"""Networks trained on real images keep their accuracy as integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from admmfpga import datasets
from admmfpga.frontend import Import, compare_with_onnxruntime, load
from admmfpga.network import reference

LENET5 = Path(__file__).parents[2] / "build" / "lenet5"

pytestmark = pytest.mark.data


def accuracy(imported: Import, images: np.ndarray, labels: np.ndarray) -> float:
    codes = reference.run(imported.network, imported.quantize(images))
    output = imported.network.tensors[imported.network.outputs[0]]
    return float((output.dequantize(codes).reshape(len(codes), -1).argmax(axis=1) == labels).mean())


def layers_agree(imported: Import, images: np.ndarray) -> None:
    for layer in compare_with_onnxruntime(imported, images):
        assert layer.share >= 0.999, layer
        assert layer.max_step <= 1, layer


def test_network_that_others_trained() -> None:
    data = datasets.mnist()
    calibration = data.train_images[:300, None].astype(np.float32)
    images = data.test_images[:, None].astype(np.float32)
    imported = load(datasets.qonnx_mnist_cnn(), calibration=calibration)
    assert imported.warnings == []
    assert accuracy(imported, images, data.test_labels) >= 0.985
    layers_agree(imported, images[:1000])


@pytest.mark.skipif(not (LENET5 / "lenet5.onnx").is_file(), reason="not trained (make model)")
def test_lenet5() -> None:
    with np.load(LENET5 / "calibration.npz") as archive:
        imported = load(LENET5 / "lenet5.onnx", calibration=archive["images"])
    with np.load(LENET5 / "test.npz") as archive:
        images, labels = archive["images"], archive["labels"]
    assert [n.op for n in imported.network.nodes] == ["Conv", "MaxPool", "Conv", "MaxPool", "Flatten", "Dense", "Dense"]
    frame = imported.network.tensors["frame"]
    assert (float(frame.scale), frame.zero_point) == (pytest.approx(1 / 255), 0)
    bytes_ = np.rint(images[:10] * 255).transpose(0, 2, 3, 1)
    assert np.array_equal(imported.quantize(images[:10]), bytes_)
    assert accuracy(imported, images, labels) >= 0.985
    layers_agree(imported, images[:1000])
