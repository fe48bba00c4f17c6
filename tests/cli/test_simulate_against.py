"""`simulate --against onnxruntime`: every layer of a build's integer network, the first that diverges by name."""

import json
from dataclasses import replace

import numpy as np
import pytest

from admmfpga.runtime import against

LAYERS = ["input", "conv1", "pool", "flatten1", "fc"]


@pytest.fixture(scope="module")
def engine(files, admmfpga, tmp_path_factory):
    folder = tmp_path_factory.mktemp("against") / "build"
    arguments = ("--board", "pynq", "--calibration", files / "calibration.npz", "--architecture", "engine")
    result = admmfpga("compile", files / "model.onnx", *arguments, "-o", folder)
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture(params=["dataflow", "engine"])
def build(request, compiled, engine):
    return compiled if request.param == "dataflow" else engine


@pytest.fixture
def tampered(monkeypatch):
    """Makes a layer of the network that is read from a build wrong, its model staying as it is."""

    def tamper(name, change):
        load = against.load

        def loaded(*arguments, **options):
            imported = load(*arguments, **options)
            assert name in {node.name for node in imported.network.nodes}
            nodes = [change(node) if node.name == name else node for node in imported.network.nodes]
            return replace(imported, network=replace(imported.network, nodes=nodes))

        monkeypatch.setattr(against, "load", loaded)

    return tamper


def run(admmfpga, build, files, *arguments):
    return admmfpga("simulate", build, "--images", files / "test.npz", "--against", "onnxruntime", *arguments)


def test_every_layer_agrees(build, files, admmfpga):
    result = run(admmfpga, build, files, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)["onnxruntime"]
    assert [one["name"] for one in found["layers"]] == LAYERS
    assert found["frames"] == 20
    assert found["diverging"] is None
    assert found["not_compared"] == []
    assert all(one["agrees"] and one["max_step"] <= 1 for one in found["layers"])
    assert [one["values"] for one in found["layers"]] == [20 * size for size in (64, 256, 64, 64, 5)]
    assert all(one["equal"] >= 0.99 * one["values"] for one in found["layers"])
    assert json.loads((build / "report.json").read_text())["onnxruntime"] == found
    assert "every layer agrees" in run(admmfpga, build, files, "--count", 2).stdout


@pytest.mark.parametrize("name", ["conv1", "fc"])
def test_a_tampered_layer_is_named(name, build, files, admmfpga, tampered):
    def change(node):
        weights = node.weights.copy()
        weights[1] = -weights[1]
        return replace(node, weights=weights)

    tampered(name, change)
    result = run(admmfpga, build, files)
    assert result.exit_code == 1
    assert f"layer {name} is the first that diverges" in result.stderr
    assert f"first diverging layer: {name}" in result.stdout
    found = json.loads((build / "report.json").read_text())["onnxruntime"]
    # Each layer has ONNX Runtime's inputs: those behind the wrong one are right for themselves, not from the images on.
    assert [one["name"] for one in found["layers"] if not one["agrees"]] == [name]
    last = found["layers"][-1]
    assert last["from_images"]["equal"] < last["values"]


def test_two_steps_in_one_value_are_a_divergence(build, files, admmfpga, tampered):
    def change(node):
        bias = node.requantization.bias.copy()
        step = (1 << node.requantization.shift) / node.requantization.multiplier[2]
        bias[2] += int(np.ceil(2 * step))
        return replace(node, requantization=replace(node.requantization, bias=bias))

    tampered("fc", change)
    result = run(admmfpga, build, files, "--count", 1)
    assert result.exit_code == 1
    assert "layer fc is the first that diverges from ONNX Runtime: 1 of 5 values" in result.stderr
    assert "by up to 2 steps" in result.stderr


def test_it_takes_no_implementation(build, files, admmfpga):
    result = run(admmfpga, build, files, "--implementation", "hls")
    assert result.exit_code == 2
    assert "--against" in result.stderr


def test_what_cannot_be_read_is_refused(build, files, admmfpga, tmp_path):
    np.savez(tmp_path / "wide.npz", images=np.zeros((2, 1, 8, 9), dtype=np.float32))
    np.savez(tmp_path / "none.npz", images=np.zeros((0, 1, 8, 8), dtype=np.float32))
    for name, words in (("wide", "the model takes"), ("none", "no images")):
        result = admmfpga("simulate", build, "--images", tmp_path / f"{name}.npz", "--against", "onnxruntime")
        assert result.exit_code == 2
        assert words in result.stderr
    assert admmfpga("simulate", files, "--images", files / "test.npz", "--against", "onnxruntime").exit_code == 2
