"""Sweep files: every mistake in them, in the recipe and between both is reported at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from compress_made import tiny_network
from torch import nn

from admmfpga.compress import sweep_file
from admmfpga.compress.models import lenet5
from admmfpga.compress.sweep_file import Parameter, Pruner
from admmfpga.errors import UserError

ROOT = Path(__file__).parents[2]
RECIPE = """
[train]
batch_size = 64
[[steps]]
admm = { iterations = 1 }
[steps.layers]
fc1 = { kind = "non-structured", keep = 0.5 }
[quantize.layers]
"*" = { bits = 4 }
"""


def load(folder: Path, text: str, recipe: str = RECIPE, model: nn.Module | None = None) -> sweep_file.SweepFile:
    (folder / "base.toml").write_text(recipe)
    (folder / "sweep.toml").write_text(text)
    return sweep_file.load(folder / "sweep.toml", model or tiny_network())


GOOD = """
recipe = "base.toml"
objectives = ["accuracy", "storage"]
pruner = { kind = "threshold", below = 20.0, warmup = 3 }
[parameters]
steps.0.layers.fc1.keep = { low = 0.1, high = 0.9, log = true }
steps.0.admm.iterations = { low = 1, high = 5, step = 2 }
steps.0.layers.conv2 = { kind.choices = ["non-structured", "filter"], rate = { low = 1.5, high = 4.0 } }
quantize.layers."*".bits = { choices = [3, 4, 8] }
train.learning_rate = { low = 1e-4, high = 1e-2, log = true }
"""


def test_parameters_are_keys_of_the_recipe(tmp_path: Path) -> None:
    file = load(tmp_path, GOOD)
    assert file.sweep.pruner == Pruner("threshold", warmup=3, below=20.0)
    assert set(file.parameters) == {
        "steps.0.layers.fc1.keep",
        "steps.0.admm.iterations",
        "steps.0.layers.conv2.kind",
        "steps.0.layers.conv2.rate",
        'quantize.layers."*".bits',
        "train.learning_rate",
    }
    assert file.parameters["steps.0.admm.iterations"].whole
    assert not file.parameters["steps.0.layers.fc1.keep"].whole
    values = {
        "steps.0.layers.fc1.keep": 0.25,
        "steps.0.admm.iterations": 5,
        "steps.0.layers.conv2.kind": "filter",
        "steps.0.layers.conv2.rate": 2.0,
        'quantize.layers."*".bits': 3,
        "train.learning_rate": 1e-3,
    }
    made = file.recipe(values)
    assert made.steps[0].layers["fc1"].keep == 0.25
    assert made.steps[0].layers["conv2"].kind == "filter"
    assert made.steps[0].admm.iterations == 5
    assert made.quantize.layers["*"].bits == 3
    assert made.train.learning_rate == 1e-3
    assert made.train.batch_size == 64
    assert file.base["steps"][0]["layers"]["fc1"]["keep"] == 0.5, "the base must not change"
    assert file.identity() != load(tmp_path, GOOD, RECIPE.replace("64", "32")).identity()
    assert file.identity() == load(tmp_path, "trials = 99\n" + GOOD).identity()


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    text = """
    recipe = "base.toml"
    trails = 3
    seed = -1
    objectives = ["accuracy", "speed"]
    pruner = { kind = "median", below = 101.0 }
    [parameters]
    steps.0.layers.fc1.keep = { low = 0.1, high = 1.5 }
    steps.1.retrain.epochs = { low = 1, high = 2 }
    steps.0.layers.conv9.rate = { low = 2.0, high = 3.0 }
    train.batch_size.x = { choices = [1] }
    train.learning_rate = { low = 0.1 }
    train.momentum = { choices = [0.5], low = 0.1 }
    train.shift = { low = 3, high = 1 }
    train.weight_decay = { low = 0.0, high = 0.1, log = true }
    train.label_smoothing = { low = 0.0, high = 0.1, stepp = 2 }
    train.precision = { choices = ["float32", "int1"] }
    pretrain.epochs = { low = 1, high = 3, step = 0.5 }
    """
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    told = str(caught.value)
    for words in (
        "unknown key trails (did you mean trials?)",
        "objectives[1] is 'speed', not one of",
        "with steps.0.layers.fc1.keep = 1.5: steps[0].layers.fc1: keep is 1.5, not in 0..1",
        "parameters.steps.1.retrain.epochs: steps has 1 entries, counted from 0, and none is 1",
        "steps[0].layers.conv9 needs the key kind",
        "parameters.train.batch_size.x: train.batch_size is 64, not a table",
        "parameters.train.learning_rate: takes choices, or low and high",
        "parameters.train.momentum: takes choices, or low and high, not both",
        "parameters.train.shift: low is 3, above high, 1",
        "parameters.train.weight_decay: low is 0.0, not above 0, with log",
        "unknown key parameters.train.label_smoothing.stepp (did you mean step?)",
        "with train.precision = 'int1': train.precision is 'int1'",
        "parameters.pretrain.epochs: step is 0.5, not a whole number of 1 or more",
    ):
        assert words in told, words
    assert caught.value.hint


def test_options_that_contradict_each_other(tmp_path: Path) -> None:
    text = 'recipe = "base.toml"\nseed = -1\nobjectives = ["weights", "weights"]\nleast_accuracy = 99.0\n'
    text += 'pruner = { kind = "median", below = 101.0 }\n[parameters]\ntrain.shift = { choices = [0, 1] }\n'
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    for words in (
        "each once",
        'kind "median" takes',
        "least_accuracy needs accuracy",
        "seed is -1",
        "pruner.below is 101",
    ):
        assert words in str(caught.value), words


def test_layers_are_checked_against_the_model(tmp_path: Path) -> None:
    text = 'recipe = "base.toml"\n[parameters]\n'
    text += 'steps.0.layers.fc9 = { kind = { choices = ["filter"] }, count = { low = 1, high = 2 } }\n'
    with pytest.raises(UserError, match="no layer fc9; did you mean fc"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    "text, words",
    [
        ("[parameters]\n", "needs the key recipe"),
        ('recipe = "base.toml"\n', "names no key"),
        ('recipe = "none.toml"\n[parameters]\na = { choices = [1] }\n', "cannot read the recipe"),
        ("recipe = [", "is not TOML"),
        ('recipe = "base.toml"\nparameters = 3\n', "names no key"),
        ('recipe = "base.toml"\n[parameters]\ntrain.shift = 3\n', "unknown key parameters.train.shift"),
        ('recipe = "base.toml"\n[parameters]\nseed = 3\n', "parameters.seed must be a table"),
        ('recipe = "base.toml"\n[parameters]\ntrain.shift = {}\n', "takes choices, or low and high"),
        ('recipe = "base.toml"\n[parameters]\ntrain.shift = { choices = [[1]] }\n', "choices[0] is [1]"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, text)
    assert words in str(caught.value)


def test_extremes() -> None:
    assert Parameter(low=1, high=5, step=2).extremes() == (1, 5)
    assert Parameter(choices=("a", 1)).extremes() == ("a", 1)


def test_the_shipped_sweep_is_good() -> None:
    file = sweep_file.load(ROOT / "recipes" / "sweeps" / "lenet5-bits.toml", lenet5())
    assert file.parameters
