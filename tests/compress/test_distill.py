"""Distillation: what the teacher adds to the loss, and that it is the same teacher after an interruption."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from pathlib import Path

import pytest
import torch
from compress_made import tiny_data
from torch import nn

from admmfpga.compress import loop, recipe
from admmfpga.compress.distill import Teacher
from admmfpga.errors import UserError


def test_loss_is_the_formula(network: nn.Sequential) -> None:
    data = tiny_data()
    teacher = Teacher(network, data, 0.25, 2.0, augmented=False)
    chosen = torch.tensor([3, 1, 4])
    output = torch.randn(3, 4)
    with torch.no_grad():
        p = (network.eval()(data.train_images[chosen]) / 2.0).softmax(dim=1)
    q = (output / 2.0).softmax(dim=1)
    expected = 0.75 * 1.5 + 0.25 * 4.0 * float((p * (p / q).log()).sum() / 3)
    found = teacher.blended(torch.tensor(1.5), output, data.train_images[chosen], chosen)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_augmented_batches_are_shown_to_the_teacher(network: nn.Sequential) -> None:
    data = tiny_data()
    kept, seen = (Teacher(network, data, 1.0, 1.0, augmented=augmented) for augmented in (False, True))
    chosen = torch.arange(4)
    images = data.train_images[chosen]
    assert torch.allclose(kept.outputs(images, chosen), seen.outputs(images, chosen), atol=1e-6)
    assert torch.allclose(kept.outputs(images * 0, chosen), kept.outputs(images, chosen))
    assert not torch.allclose(seen.outputs(images * 0, chosen), seen.outputs(images, chosen))


def test_teacher_does_not_learn(network: nn.Sequential) -> None:
    teacher = Teacher(network, tiny_data(), 0.5, 4.0, augmented=True)
    before = {name: tensor.clone() for name, tensor in teacher.model.state_dict().items()}
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.model.state_dict().items())


TEXT = """
[train]
batch_size = 16
[distill]
weight = 0.5
[[steps]]
admm = { iterations = 2, epochs = 1 }
retrain = { epochs = 2 }
[steps.layers]
fc1 = { kind = "non-structured", keep = 0.5 }
"""


def test_resumed_run_ends_with_the_same_weights(network: nn.Sequential, tmp_path: Path) -> None:
    def finished(folder: Path, stop: int | None) -> dict[str, torch.Tensor]:
        count = itertools.count(1)

        def progress(_: loop.Progress) -> None:
            if next(count) == stop:
                raise KeyboardInterrupt

        run = loop.Run(copy.deepcopy(network), tiny_data(), recipe.parse(TEXT), folder, progress=progress)
        return {name: tensor.clone() for name, tensor in run.run().state_dict().items()}

    whole = finished(tmp_path / "whole", None)
    with pytest.raises(KeyboardInterrupt):
        finished(tmp_path / "cut", 3)
    again = finished(tmp_path / "cut", None)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_another_teacher_is_another_run(network: nn.Sequential, tmp_path: Path) -> None:
    teacher = copy.deepcopy(network)
    chosen = recipe.parse(TEXT)
    loop.Run(copy.deepcopy(network), tiny_data(), chosen, tmp_path, teacher=teacher).run()
    with torch.no_grad():
        next(teacher.parameters()).add_(0.1)
    with pytest.raises(UserError, match="holds a run of another"):
        loop.Run(copy.deepcopy(network), tiny_data(), chosen, tmp_path, teacher=teacher).run()


def test_range_is_checked() -> None:
    with pytest.raises(UserError, match=r"distill\.weight is 1\.5"):
        recipe.parse("[distill]\nweight = 1.5\n")
    assert dataclasses.asdict(recipe.parse("[distill]\nweight = 1.0\n").distill)["temperature"] == 4.0
