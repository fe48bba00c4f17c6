"""Whole runs on a tiny task: constraints hold, interruption changes nothing, several processes agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from compress_made import build
from torch import nn

from admmfpga.compress import checkpoint, loop, recipe, sensitivity, violations
from admmfpga.compress.data import TrainingData
from admmfpga.compress.finish import finish
from admmfpga.errors import UserError

RECIPE = """
name = "tiny"
[train]
batch_size = 32
learning_rate = 3e-3
weight_decay = 1e-4
shift = 1
[pretrain]
epochs = 6
[[steps]]
admm = { iterations = 3, epochs = 1, rho = 1e-2, factor = 2.0 }
retrain = { epochs = 2 }
[steps.layers]
conv2 = { kind = "filter-and-shape", rows = 6, columns = 30 }
[[steps]]
admm = { iterations = 2, epochs = 1, rho = 1e-2, factor = 2.0 }
retrain = { epochs = 3 }
purify = { paths = true, compact = true }
[steps.layers]
conv1 = { kind = "filter", count = 4 }
conv2 = { kind = "filter-and-shape", rows = 5, columns = 24 }
fc1 = { kind = "non-structured", rate = 3.0 }
[quantize]
admm = { iterations = 1, epochs = 1, rho = 1e-2 }
rounds = [0.3, 0.6]
retrain = { epochs = 1 }
[quantize.layers]
"*" = { bits = 4 }
[activations]
epochs = 1
learning_rate = 1e-3
"""
EPOCHS = 6 + 5 + 5 + 3 + 1


class Killed(BaseException):
    """What a kill looks like from inside: nothing that follows it runs."""


def weights_of(run: loop.Run) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> loop.Run:
    """One uninterrupted run."""
    run = build(recipe.parse(RECIPE), tmp_path_factory.mktemp("whole"))
    run.run()
    return run


def test_the_finished_model_satisfies_every_constraint(whole: loop.Run) -> None:
    assert set(whole.constraints()) == {"conv1", "conv2", "fc1", "fc2"}
    assert violations(whole.model, whole.constraints()) == {}
    assert whole.model.get_submodule("conv1").weight.shape[0] <= 4
    assert whole.accuracies["pruned"] > 60  # chance is 25
    assert whole.accuracies["activations"] > 60
    weight = whole.model.get_submodule("conv1").weight
    saved = weight.detach().clone()
    with torch.no_grad():
        weight[0, 0, 0, 0] += 0.01
    assert set(violations(whole.model, whole.constraints())) == {"conv1"}
    with torch.no_grad():
        weight.copy_(saved)


@pytest.mark.parametrize("stop", [1, 6, 8, 11, 13, 15, 17, 19, EPOCHS])
def test_a_killed_run_ends_with_the_same_weights(stop: int, whole: loop.Run, tmp_path: Path) -> None:
    def kill(progress: loop.Progress) -> None:
        if progress.epoch == stop:
            raise Killed

    with pytest.raises(Killed):
        build(recipe.parse(RECIPE), tmp_path, progress=kill).run()
    seen: list[int] = []
    again = build(recipe.parse(RECIPE), tmp_path, progress=lambda progress: seen.append(progress.epoch))
    again.run()
    assert seen == list(range(stop, EPOCHS + 1)), "the killed epoch's checkpoint was not yet written"
    expected, found = weights_of(whole), weights_of(again)
    assert list(expected) == list(found)
    for name, tensor in expected.items():
        assert torch.equal(tensor, found[name]), name
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    assert again.accuracies == whole.accuracies


def test_a_finished_run_is_not_run_again(whole: loop.Run) -> None:
    again = build(recipe.parse(RECIPE), whole.folder, progress=lambda _: pytest.fail("trained again"))
    again.run()
    assert again.accuracies == whole.accuracies


def test_summary_and_metrics(whole: loop.Run) -> None:
    summary = finish(whole)
    assert json.loads((whole.folder / "summary.json").read_text()) == summary
    assert summary["weights"] == 54 + 432 + 384 + 48
    assert summary["remaining_weights"] == sum(layer["kept"] for layer in summary["layers"])
    conv2 = next(layer for layer in summary["layers"] if layer["name"] == "conv2")
    assert conv2["original_shape"] == [8, 6, 3, 3]
    assert conv2["rows_kept"] <= 5
    assert conv2["columns_kept"] <= 24
    assert conv2["bits"] == 4
    assert set(conv2["levels"]) <= set(range(-7, 8))
    assert set(summary["accuracy"]) == {
        "start", "float", "pruned-1", "pruned", "quantized", "activations", "integer",
    }  # fmt: skip
    assert abs(summary["accuracy"]["integer"] - summary["accuracy"]["activations"]) <= 2.0
    rows = [json.loads(line) for line in (whole.folder / "metrics.jsonl").read_text().splitlines()]
    admm = [row for row in rows if row["stage"] == "admm 1"]
    assert [row["rho"] for row in admm] == pytest.approx([1e-2, 2e-2, 4e-2])
    assert set(admm[-1]["residuals"]) == {"conv2"}


def test_a_folder_of_another_run_is_refused(whole: loop.Run) -> None:
    other = recipe.parse(RECIPE.replace("epochs = 6", "epochs = 7"))
    with pytest.raises(UserError, match="another recipe"):
        build(other, whole.folder).run()


def test_zeros_of_the_given_model_are_kept(tmp_path: Path) -> None:
    run = build(recipe.parse("[pretrain]\nepochs = 1\n[train]\nbatch_size = 32"), tmp_path, zeros="fc1")
    run.run()
    assert bool((run.model.get_submodule("fc1").weight[:, ::2] == 0).all())
    assert bool((run.model.get_submodule("fc1").weight[:, 1::2] != 0).any())


def test_joint_ordered_and_binary(tmp_path: Path) -> None:
    text = """
    [train]
    batch_size = 32
    [[steps]]
    admm = { iterations = 2, rho = 1e-2 }
    retrain = { epochs = 1 }
    joint = true
    [steps.layers]
    fc1 = { kind = "row-blocked", rate = 2.0, height = 2 }
    [quantize]
    rounds = [0.5]
    retrain = { epochs = 1 }
    order = [["conv2", "fc1"], ["conv1", "fc2"]]
    [quantize.layers]
    fc1 = { kind = "ternary" }
    "*" = { kind = "binary" }
    """
    run = build(recipe.parse(text), tmp_path)
    run.run()
    assert violations(run.model, run.constraints()) == {}
    assert len(run.model.get_submodule("conv2").weight.abs().unique()) == 1
    assert run.accuracies["activations"] >= 0


def test_a_budget_is_spent_and_the_first_layer_is_treated_lightly(tmp_path: Path) -> None:
    text = """
    [train]
    batch_size = 32
    [pretrain]
    epochs = 3
    [[steps]]
    admm = { iterations = 1 }
    budget = { rate = 8.0, first_layer = 1.1, skip = ["fc2"] }
    """
    run = build(recipe.parse(text), tmp_path)
    run.run()
    kept = {
        name: int(run.model.get_submodule(name).weight.count_nonzero()) for name in ("conv1", "conv2", "fc1", "fc2")
    }
    assert kept["fc2"] == 48
    assert kept["conv1"] >= 49
    assert sum(kept.values()) <= (54 + 432 + 384 + 48) / 8 + 4
    assert sum(kept.values()) >= (54 + 432 + 384 + 48) / 8 - 8
    assert violations(run.model, run.constraints()) == {}


@pytest.mark.parametrize("spread", [1.0, 1.5, 4.0])
def test_no_layer_is_emptied_by_a_budget(
    network: nn.Sequential, data: TrainingData, spread: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = recipe.weighted_layers(network)
    seen = {name: torch.rand(layer.weight.shape) for name, layer in layers.items()}
    seen["conv2"].mul_(1e-6)  # the measure sees nothing there
    monkeypatch.setattr(sensitivity, "_saliency", lambda *_: seen)
    shapes = {name: layer.weight.shape for name, layer in layers.items()}
    found = sensitivity.shares(network, data, recipe.Budget(rate=4.0, first_layer=1.5, spread=spread), shapes)
    uniform = ((54 + 432 + 384 + 48) / 4 - 54 / 1.5) / (432 + 384 + 48)
    assert found["conv2"] == pytest.approx(uniform / spread, abs=0.01)
    assert found["conv1"] >= 1 / 1.5
    total = sum(share * shapes[name].numel() for name, share in found.items())
    assert total == pytest.approx(sum(shape.numel() for shape in shapes.values()) / 4.0, rel=0.02)


def test_checkpoints_hold_nothing_but_tensors_and_values(whole: loop.Run, tmp_path: Path) -> None:
    state = checkpoint.load(whole.folder / "checkpoint.pt")
    assert state is not None
    bad = tmp_path / "checkpoint.pt"
    torch.save({"version": checkpoint.VERSION, "path": Path("x")}, bad)
    with pytest.raises(UserError, match="can be loaded"):
        checkpoint.load(bad)
    bad.write_bytes((whole.folder / "checkpoint.pt").read_bytes()[:2000])
    with pytest.raises(UserError, match="can be loaded"):
        checkpoint.load(bad)
    torch.save({"version": 0}, bad)
    with pytest.raises(UserError, match="another version"):
        checkpoint.load(bad)
    assert checkpoint.load(tmp_path / "none.pt") is None


def test_two_processes_agree(tmp_path: Path) -> None:
    """Two gloo processes end with the same weights, Z and U on both, close to those of one process."""
    environment: dict[str, Any] = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = Path(__file__).with_name("two_processes.py")
    done = subprocess.run(
        [*command, str(script), str(tmp_path)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert set(first) == set(second)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    alone = torch.load(tmp_path / "alone.pt", weights_only=True)
    for name in ("weight fc1", "weight conv2"):
        assert torch.allclose(first[name], alone[name], atol=2e-3), name


def test_augmentation_leaves_the_data_alone(data: TrainingData, tmp_path: Path) -> None:
    text = "[train]\nbatch_size = 32\nshift = 2\nflip = true\n[pretrain]\nepochs = 1"
    run = build(recipe.parse(text), tmp_path)
    run.run()
    assert torch.equal(run.data.train_images, data.train_images)
