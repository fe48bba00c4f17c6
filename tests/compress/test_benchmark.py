"""benchmarks/lenet5/run.py: its table of rows and its results file."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from admmfpga.compress import recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lenet5_run", ROOT / "benchmarks" / "lenet5" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lenet5_run"] = module
    spec.loader.exec_module(module)
    return module


def test_every_row_has_a_recipe_and_a_start(program: ModuleType) -> None:
    required = {"ns71", "ns167", "ns348", "structured", "binary", "ns71-quant", "structured-quant"}
    assert required <= set(program.ROWS)
    for name, row in program.ROWS.items():
        assert (ROOT / "recipes" / f"lenet5-{name}.toml").exists()
        assert row.start is None or row.start[0] in program.ROWS


def test_scaling_touches_lengths_and_seed_only(program: ModuleType) -> None:
    whole = recipe.load(ROOT / "recipes" / "lenet5-ns71.toml")
    half = program.scaled(whole, 0.5, 3)
    assert half.train.seed == 3
    assert half.steps[0].admm.iterations == whole.steps[0].admm.iterations // 2
    assert half.steps[0].layers == whole.steps[0].layers
    assert program.scaled(whole, 1.0, whole.train.seed) == whole


def test_results_are_merged_by_row_and_seed(program: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    program.merge(path, {"row": "binary", "seed": 0, "accuracy_float": 1.0})
    program.merge(path, {"row": "ns71", "seed": 1, "accuracy_float": 2.0})
    program.merge(path, {"row": "ns71", "seed": 0, "accuracy_float": 3.0})
    program.merge(path, {"row": "binary", "seed": 0, "accuracy_float": 4.0})
    found = [(one["row"], one["seed"], one["accuracy_float"]) for one in json.loads(path.read_text())]
    assert found == [("ns71", 0, 3.0), ("ns71", 1, 2.0), ("binary", 0, 4.0)]
