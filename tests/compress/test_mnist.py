"""One short run on real images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from admmfpga.compress import data, loop, models, recipe, violations
from admmfpga.compress.finish import finish

RECIPE = """
[train]
batch_size = 32
learning_rate = 2e-3
[pretrain]
epochs = 2
[[steps]]
admm = { iterations = 1 }
retrain = { epochs = 2 }
purify = { paths = true, compact = true }
[steps.layers]
conv2 = { kind = "filter", keep = 0.5 }
fc1 = { kind = "non-structured", rate = 10 }
[quantize.layers]
"*" = { bits = 4 }
"""


@pytest.mark.data
def test_a_small_lenet_on_a_part_of_mnist(tmp_path: Path) -> None:
    whole = data.load("mnist")
    assert (len(whole.train_images), len(whole.test_images)) == (60_000, 10_000)
    part = dataclasses.replace(
        whole,
        train_images=whole.train_images[:4000],
        train_labels=whole.train_labels[:4000],
        test_images=whole.test_images[:1000],
        test_labels=whole.test_labels[:1000],
    )
    torch.manual_seed(0)
    run = loop.Run(models.lenet5(6, 12, 32), part, recipe.parse(RECIPE), tmp_path, device="cpu")
    run.run()
    summary = finish(run)
    assert violations(run.model, run.constraints()) == {}
    assert summary["accuracy"]["float"] > 85
    assert summary["accuracy"]["pruned"] > 85
    assert summary["accuracy"]["integer"] > 85
