"""benchmarks/lenet5/run.py: its table of rows and its results file."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from admmfpga.compress import models, recipe, structure

ROOT = Path(__file__).parents[2]


def loaded(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return loaded("lenet5_run", ROOT / "benchmarks" / "lenet5" / "run.py")


@pytest.fixture(scope="module")
def resnet() -> ModuleType:
    return loaded("resnet_run", ROOT / "benchmarks" / "resnet" / "run.py")


def test_every_row_has_a_recipe_and_a_start(program: ModuleType) -> None:
    required = {"ns71", "ns167", "ns348", "structured", "binary", "ns71-quant", "structured-quant"}
    assert required <= set(program.ROWS)
    for name, row in program.ROWS.items():
        assert (ROOT / "recipes" / f"lenet5-{name}.toml").exists()
        assert row.start is None or row.start[0] in program.ROWS


def test_scaling_touches_lengths_and_seed_only(program: ModuleType) -> None:
    whole = recipe.load(ROOT / "recipes" / "lenet5-ns71.toml")
    half = program.rows.scaled(whole, 0.5, 3)
    assert half.train.seed == 3
    assert half.steps[0].admm.iterations == whole.steps[0].admm.iterations // 2
    assert half.steps[0].layers == whole.steps[0].layers
    assert program.rows.scaled(whole, 1.0, whole.train.seed) == whole


def test_results_are_merged_by_row_and_seed(program: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "results.json"

    def merge(path: Path, entry: dict[str, object]) -> None:
        program.rows.merge(path, entry, ("row", "seed"), list(program.ROWS))

    merge(path, {"row": "binary", "seed": 0, "accuracy_float": 1.0})
    merge(path, {"row": "ns71", "seed": 1, "accuracy_float": 2.0})
    merge(path, {"row": "ns71", "seed": 0, "accuracy_float": 3.0})
    merge(path, {"row": "binary", "seed": 0, "accuracy_float": 4.0})
    found = [(one["row"], one["seed"], one["accuracy_float"]) for one in json.loads(path.read_text())]
    assert found == [("ns71", 0, 3.0), ("ns71", 1, 2.0), ("binary", 0, 4.0)]


def test_results_of_several_models_stand_side_by_side(program: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for model, row in (("vgg16", "ns"), ("resnet8", "ns"), ("resnet8", "base"), ("resnet8", "ns")):
        program.rows.merge(path, {"model": model, "row": row, "seed": 0}, ("model", "row", "seed"), ["base", "ns"])
    found = [(one["model"], one["row"]) for one in json.loads(path.read_text())]
    assert found == [("resnet8", "base"), ("resnet8", "ns"), ("vgg16", "ns")]


@pytest.mark.parametrize("name, weights", [("resnet8", 77_360), ("resnet18", 11_164_352), ("vgg16", 14_715_584)])
def test_the_recipes_of_32x32_images_serve_every_model(resnet: ModuleType, name: str, weights: int) -> None:
    with torch.device("meta"):
        model = resnet.MODELS[name]()
        assert model(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    assert sum(layer.weight.numel() for layer in recipe.weighted_layers(model).values()) == weights
    for row, start in resnet.ROWS.items():
        recipe.check(recipe.load(ROOT / "recipes" / f"cifar-{row}.toml"), model)
        assert start is None or start in resnet.ROWS


def test_residual_additions_of_resnet18_are_tied() -> None:
    spaces = structure.spaces(models.resnet18(2), torch.zeros(1, 3, 32, 32))
    tied = [set(space.producers) for space in spaces if len(space.producers) > 1]
    assert {"conv", "block1.conv2", "block2.conv2"} in tied
    assert {"block3.conv2", "block3.shortcut.0", "block4.conv2"} in tied


def test_the_stand_in_is_the_difference_of_a_patch_and_a_padded_image(resnet: ModuleType) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    flat = np.full((40, 50, 3), 30, np.uint8)
    made = resnet.standin.blended(images, [flat], np.random.default_rng(1))
    assert made.shape == (5, 32, 32, 3)
    assert (made[:, :2] == 30).all()
    assert np.array_equal(made[:, 2:30, 2:30, 1], np.abs(images.astype(int) - 30))
    photo = generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    again = [resnet.standin.blended(images, [photo], np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(again[0], again[1])
    assert not np.array_equal(again[0], again[2])
