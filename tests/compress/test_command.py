"""`admmfpga compress` from the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner, Result
from compress_made import tiny_data, tiny_network

from admmfpga.cli.compress import command
from admmfpga.errors import UserError

RECIPE = """
name = "tiny"
[train]
batch_size = 64
[pretrain]
epochs = 1
[[steps]]
admm = { iterations = 1 }
retrain = { epochs = 1 }
[steps.layers]
fc1 = { kind = "non-structured", rate = 2 }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tiny_data()
    np.savez(
        tmp_path / "data.npz",
        train_images=(made.train_images * 255).round().byte().numpy(),
        train_labels=made.train_labels.numpy(),
        test_images=(made.test_images * 255).round().byte().numpy(),
        test_labels=made.test_labels.numpy(),
    )
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return tmp_path


def invoke(folder: Path, *options: str, model: str = "compress_made:tiny_network") -> Result:
    arguments = [model, "--data", str(folder / "data.npz"), "--recipe", str(folder / "recipe.toml")]
    return CliRunner().invoke(command, [*arguments, "-o", str(folder / "out"), *options], catch_exceptions=True)


def test_a_run_leaves_everything_behind_and_is_reproducible(folder: Path) -> None:
    result = invoke(folder)
    assert result.exit_code == 0, result.output
    assert "fc1" in result.output
    assert "integer" in result.output
    out = folder / "out"
    assert {"compressed.onnx", "summary.json", "metrics.jsonl", "checkpoint.pt", "pruned.pt"} <= {
        path.name for path in out.iterdir()
    }
    onnx.checker.check_model(onnx.load(out / "compressed.onnx"), full_check=True)
    assert json.loads((out / "summary.json").read_text())["layers"][2]["kept"] == 192
    first = (out / "compressed.onnx").read_bytes()
    for path in out.iterdir():
        path.unlink()
    assert invoke(folder).exit_code == 0
    assert (out / "compressed.onnx").read_bytes() == first


def test_check_stops_before_training(folder: Path) -> None:
    result = invoke(folder, "--check")
    assert result.exit_code == 0
    assert "3 epochs" in result.output
    assert not (folder / "out").exists()


def test_weights_are_taken(folder: Path) -> None:
    torch.save(tiny_network().state_dict(), folder / "weights.pt")
    assert invoke(folder, "--weights", str(folder / "weights.pt"), "--check").exit_code == 0
    torch.save({"model": {"conv1.weight": torch.zeros(1)}}, folder / "weights.pt")
    result = invoke(folder, "--weights", str(folder / "weights.pt"))
    assert isinstance(result.exception, UserError)
    assert "does not fit" in str(result.exception)
    torch.save(tiny_network(), folder / "weights.pt")  # a whole pickled module is not loaded
    result = invoke(folder, "--weights", str(folder / "weights.pt"))
    assert isinstance(result.exception, UserError)
    assert "is not a file of weights" in str(result.exception)


@pytest.mark.parametrize("model", ["nothing", "no_such_module_here:x", "compress_made:nothing", "json:dumps"])
def test_a_model_that_is_none(folder: Path, model: str) -> None:
    result = invoke(folder, model=model)
    assert result.exit_code != 0
    assert model == "json:dumps" or isinstance(result.exception, UserError)


def test_a_process_killed_at_any_moment_resumes_to_the_same_file(folder: Path) -> None:
    (folder / "recipe.toml").write_text(RECIPE.replace("epochs = 1\n[[steps]]", "epochs = 30\n[[steps]]"))
    assert invoke(folder).exit_code == 0
    expected = (folder / "out" / "compressed.onnx").read_bytes()
    shutil.rmtree(folder / "out")
    arguments = ["compress_made:tiny_network", "--data", str(folder / "data.npz")]
    arguments += ["--recipe", str(folder / "recipe.toml"), "-o", str(folder / "out")]
    program = "import sys; from admmfpga.cli.compress import command; command(sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen([sys.executable, "-c", program, *arguments], env=environment, stderr=subprocess.DEVNULL)
    metrics = folder / "out" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.read_text().count("\n") >= 5):
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (folder / "out" / "compressed.onnx").exists()
    assert invoke(folder).exit_code == 0
    assert (folder / "out" / "compressed.onnx").read_bytes() == expected
    epochs = [json.loads(line)["epoch"] for line in metrics.read_text().splitlines()]
    assert epochs == list(range(1, 33))
