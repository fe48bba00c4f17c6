"""Softmax and ArgMax over any axis of a frame: what the host computes is what ONNX Runtime gives, in its shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdq_made import Maker

from admmfpga.frontend import load
from admmfpga.frontend.constants import runner
from admmfpga.host import host_results
from admmfpga.network import reference

IMAGE, VOLUME, LINE, VECTOR = (1, 3, 4, 5), (1, 2, 3, 4, 2), (1, 6, 7), (1, 9)


def both(made: Maker, output: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """What the host gives from the reference's codes, and what ONNX Runtime gives."""
    imported = load(made.save(folder / "m.onnx", output))
    network = imported.network
    codes = reference.run(network, imported.quantize(made.images))
    real = network.tensors[network.outputs[0]].dequantize(codes)
    infer = runner(imported.model).run
    return host_results(real, network.host_ops), np.concatenate([infer(None, {"x": x[None]})[0] for x in made.images])


@pytest.mark.parametrize("shape", [IMAGE, VOLUME, LINE, VECTOR])
@pytest.mark.parametrize(
    "op,attributes",
    [
        ("Softmax", {}),
        ("LogSoftmax", {}),
        ("ArgMax", {}),
        ("ArgMax", {"keepdims": 0}),
        ("ArgMax", {"select_last_index": 1}),
        ("ArgMax", {"keepdims": 0, "select_last_index": 1}),
    ],
)
def test_every_axis_of_a_frame(shape: tuple[int, ...], op: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    for axis in [*range(1, len(shape)), -1]:
        made = Maker(shape, np.random.default_rng(0), count=6)
        made.images = np.round(made.images * 3) / 3  # with equal maxima
        ours, theirs = both(made, made.node(op, made.input(), axis=axis, **attributes), tmp_path)
        assert ours.shape == theirs.shape, axis
        assert np.array_equal(ours, theirs) if op == "ArgMax" else np.allclose(ours, theirs, atol=1e-5), axis


@pytest.mark.parametrize("channels_last", [False, True])
def test_classes_of_pixels_behind_a_convolution(channels_last: bool, tmp_path: Path) -> None:
    made = Maker((1, 3, 6, 5), np.random.default_rng(1), count=4)
    x = made.fit(made.node("Conv", made.input(), made.weights(4, 3, 3, 3), pads=[1, 1, 1, 1]))
    if channels_last:
        x = made.node("Transpose", x, perm=[0, 2, 3, 1])
    axis = 3 if channels_last else 1
    ours, theirs = both(made, made.node("ArgMax", made.node("Softmax", x, axis=axis), axis=axis), tmp_path)
    assert np.array_equal(ours, theirs)


def test_moves_between_operators(tmp_path: Path) -> None:
    made = Maker((1, 4), np.random.default_rng(2), count=6)
    x = made.fit(made.node("Gemm", made.input(), made.weights(4, 12)))
    rows = made.node("Softmax", made.node("Reshape", x, made.const(np.array([1, 3, 4]))), axis=1)
    ours, theirs = both(made, made.node("ArgMax", made.node("Flatten", rows), axis=1), tmp_path)
    assert np.array_equal(ours, theirs)
