"""compressed.onnx as the hardware side reads it: the same codes, the same weights, the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compress_made import build

from admmfpga import frontend
from admmfpga.compress import recipe
from admmfpga.compress.finish import finish
from admmfpga.compress.recipe import weighted_layers
from admmfpga.network import reference, weighted

STRUCTURED = """
[train]
batch_size = 32
learning_rate = 3e-3
[pretrain]
epochs = 4
[[steps]]
admm = { iterations = 1 }
retrain = { epochs = 1 }
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
epochs = 4
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
