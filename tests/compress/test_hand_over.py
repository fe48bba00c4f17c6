"""compressed.onnx as the hardware side reads it: the same codes, the same weights, the same answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from compress_made import build

from admmfpga import frontend
from admmfpga.cli import main
from admmfpga.compress import loop, recipe
from admmfpga.compress.data import TrainingData
from admmfpga.compress.finish import finish
from admmfpga.compress.models import resnet8
from admmfpga.compress.recipe import weighted_layers
from admmfpga.network import reference, weighted

STRUCTURED = """
[train]
batch_size = 32
learning_rate = 3e-3
[pretrain]
epochs = 12
[[steps]]
admm = { iterations = 1 }
retrain = { epochs = 4 }
purify = { paths = true, compact = true }
[steps.layers]
conv1 = { kind = "filter", count = 4 }
conv2 = { kind = "filter-and-shape", rows = 5, columns = 24 }
[quantize.layers]
"*" = { bits = 4 }
"""
BINARY = """
[train]
batch_size = 32
learning_rate = 3e-3
[pretrain]
epochs = 12
[quantize]
admm = { iterations = 8, rho = 1e-2 }
rounds = [0.4, 0.7]
retrain = { epochs = 6 }
[quantize.layers]
"*" = { kind = "binary" }
"""


@pytest.mark.parametrize("text", [STRUCTURED, BINARY], ids=["structured", "binary"])
def test_the_front_end_reads_what_was_compressed(text: str, tmp_path: Path) -> None:
    run = build(recipe.parse(text), tmp_path)
    run.run()
    summary = finish(run)
    imported = frontend.load(tmp_path / "compressed.onnx")
    layers = weighted_layers(run.model)
    nodes = list(weighted(imported.network))
    assert [int(np.count_nonzero(node.weights)) for node in nodes] == [
        int(layer.weight.count_nonzero()) for layer in layers.values()
    ]
    assert max(int(np.abs(node.weights).max()) for node in nodes) == (1 if "binary" in text else 7)
    images = run.data.test_images.contiguous().numpy()
    codes = imported.quantize(images)
    assert np.array_equal(np.sort(np.unique(codes)), np.unique(np.rint(images * 255)))
    for agreement in frontend.compare_with_onnxruntime(imported, images):
        assert agreement.max_step <= 1, agreement
        assert agreement.share >= 0.98, agreement  # differences of one layer count in the next
    answers = reference.run(imported.network, codes).reshape(len(images), -1).argmax(axis=1)
    accuracy = 100 * float((answers == run.data.test_labels.numpy()).mean())
    assert abs(accuracy - summary["accuracy"]["integer"]) <= 2


def test_the_front_end_reads_a_pruned_residual_network(tmp_path: Path) -> None:
    """Tied filters leave together, so what is added still fits, and every kept weight arrives."""
    text = """
    [train]
    batch_size = 8
    [[steps]]
    admm = { iterations = 1 }
    retrain = { epochs = 1 }
    purify = { paths = true, compact = true }
    budget = { kind = "filter", rate = 1.6, skip = ["fc"] }
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 3, 16, 16), generator=generator).float() / 255
    labels = torch.randint(0, 10, (24,), generator=generator)
    torch.manual_seed(1)
    run = loop.Run(
        resnet8(4), TrainingData(images, labels, images, labels, 1 / 255), recipe.parse(text), tmp_path, device="cpu"
    )
    run.run()
    summary = finish(run)
    assert summary["remaining_weights"] < summary["weights"] / 1.3
    imported = frontend.load(tmp_path / "compressed.onnx")
    kept = {name: int(layer.weight.count_nonzero()) for name, layer in weighted_layers(run.model).items()}
    assert sorted(int(np.count_nonzero(node.weights)) for node in weighted(imported.network)) == sorted(kept.values())
    for agreement in frontend.compare_with_onnxruntime(imported, images.numpy()):
        assert agreement.share >= 0.98, agreement  # a difference in one layer is several steps after an addition


@pytest.mark.slow
@pytest.mark.parametrize("text", [STRUCTURED, BINARY], ids=["structured", "binary"])
def test_compile_and_simulate_take_what_was_compressed(text: str, tmp_path: Path) -> None:
    run = build(recipe.parse(text), tmp_path / "compressed")
    run.run()
    finish(run)
    model, folder = str(tmp_path / "compressed" / "compressed.onnx"), str(tmp_path / "build")
    compiled = CliRunner().invoke(main, ["compile", model, "--board", "pynq", "-o", folder])
    assert compiled.exit_code == 0, compiled.output
    images, labels = run.data.test_images.contiguous().numpy()[:20], run.data.test_labels.numpy()[:20]
    np.savez(tmp_path / "test.npz", images=images, labels=labels)
    arguments = ["simulate", folder, "--images", str(tmp_path / "test.npz"), "--protocol-frames", "0", "--json"]
    simulated = CliRunner().invoke(main, [*arguments, "--implementation", "hls", "--implementation", "rtl"])
    assert simulated.exit_code == 0, simulated.output
    found = json.loads(simulated.stdout)["verification"]
    imported = frontend.load(tmp_path / "compressed" / "compressed.onnx")
    answers = reference.run(imported.network, imported.quantize(images)).reshape(len(images), -1).argmax(axis=1)
    assert (answers == labels).mean() > 0.5
    assert set(found) == {"reference", "hls", "rtl"}
    for name, outcome in found.items():
        assert (outcome["frames"], outcome["mismatches"]) == (20, 0), name
        assert outcome["accuracy"] == float((answers == labels).mean()), name
