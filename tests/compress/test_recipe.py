"""Recipes: read, checked as a whole, every mistake at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from admmfpga.compress import recipe, sets
from admmfpga.compress.levels import Binary, Bits, Ternary
from admmfpga.compress.models import lenet5, resnet8
from admmfpga.compress.recipe import Sparsity
from admmfpga.compress.regulation import Constant, Continuous, Staged
from admmfpga.errors import UserError

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_right(path: Path) -> None:
    chosen = recipe.load(path)
    assert chosen.name == path.stem
    recipe.check(chosen, lenet5() if path.stem.startswith("lenet5") else resnet8())


def test_all_mistakes_are_reported_at_once(network: nn.Sequential) -> None:
    text = """
    nam = "x"
    [train]
    optimizer = "adm"
    batch_size = 0
    learning_rate = "fast"
    [[steps]]
    admm = { iterations = 3, rh0 = 1.0 }
    [steps.layers]
    conv1 = { kind = "filter", keep = 1.5 }
    fc1 = { kind = "non-structured", keep = 0.5, rate = 2.0 }
    fc2 = { kind = "filter-and-shape", rows = 2 }
    conv2 = { rate = 3 }
    [quantize.layers]
    fc1 = { bits = 9 }
    """
    with pytest.raises(UserError) as caught:
        recipe.parse(text)
    message = str(caught.value)
    for expected in (
        "unknown key nam (did you mean name?)",
        "train.optimizer is 'adm'",
        "train.learning_rate is 'fast'",
        "unknown key steps[0].admm.rh0 (did you mean rho?)",
        "steps[0].layers.conv2 needs the key kind",
    ):
        assert expected in message, expected


def test_ranges_are_reported_at_once() -> None:
    text = """
    [train]
    batch_size = 0
    [[steps]]
    [steps.layers]
    conv1 = { kind = "filter", keep = 1.5 }
    fc1 = { kind = "non-structured", keep = 0.5, rate = 2.0 }
    fc2 = { kind = "filter-and-shape", rows = 2 }
    fc3 = { kind = "non-structured", rate = 0.5 }
    [quantize]
    rounds = [1.5]
    [quantize.layers]
    fc1 = { bits = 9 }
    [activations]
    bits = 1
    """
    with pytest.raises(UserError) as caught:
        recipe.parse(text)
    message = str(caught.value)
    for expected in (
        "train.batch_size is 0",
        "conv1: keep is 1.5",
        'fc1: kind "non-structured" takes exactly one',
        "fc2: kind",
        "fc3: rate is 0.5",
        "quantize.rounds holds 1.5",
        "bits is 9",
        "activations.bits is 1",
    ):
        assert expected in message, expected
    assert "mistakes" in message


def test_layers_that_do_not_exist(network: nn.Sequential) -> None:
    text = """
    [[steps]]
    [steps.layers]
    conv11 = { kind = "filter", keep = 0.5 }
    nothing = { kind = "filter", keep = 0.5 }
    [quantize]
    order = [["fc1"], ["fc7"]]
    [quantize.layers]
    "*" = { bits = 4 }
    other = { bits = 4 }
    """
    with pytest.raises(UserError) as caught:
        recipe.check(recipe.parse(text), network)
    message = str(caught.value)
    assert "no layer conv11; did you mean conv1?" in message
    for name in ("nothing", "fc7", "other"):
        assert f"no layer {name}" in message


def test_a_layer_cannot_be_pruned_and_binary(network: nn.Sequential) -> None:
    text = """
    [[steps]]
    [steps.layers]
    fc1 = { kind = "non-structured", rate = 2 }
    [quantize.layers]
    fc1 = { kind = "binary" }
    """
    with pytest.raises(UserError, match="binary layer has no zeros"):
        recipe.check(recipe.parse(text), network)


def test_not_toml_and_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not TOML"):
        recipe.parse("[[")
    with pytest.raises(UserError, match="cannot read"):
        recipe.load(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "sparsity, expected",
    [
        (Sparsity("non-structured", keep=0.1), sets.NonStructured(20)),
        (Sparsity("non-structured", rate=71.2), sets.NonStructured(2)),
        (Sparsity("filter", count=3), sets.Filter(3)),
        (Sparsity("filter", keep=0.5), sets.Filter(4)),
        (Sparsity("channel", keep=0.5), sets.Channel(2, 5)),
        (Sparsity("filter-shape", keep=0.25), sets.FilterShape(6)),
        (Sparsity("row-blocked", keep=0.1, height=3), sets.RowBlocked(7, 3)),
        (Sparsity("balanced", keep=0.2, groups=4), sets.Balanced(10, 4)),
        (Sparsity("none"), None),
    ],
)
def test_amounts_refer_to_the_sets_own_units(sparsity: Sparsity, expected: sets.ConstraintSet | None) -> None:
    assert sparsity.problems() == []
    assert sparsity.resolve(torch.Size((8, 5, 5, 1))) == expected


def test_filter_and_shape_takes_shares_and_numbers() -> None:
    both = Sparsity("filter-and-shape", rows=0.5, columns=7).resolve(torch.Size((8, 25)))
    assert isinstance(both, sets.Then)
    assert both.sets == (sets.FilterShape(7), sets.Filter(4))


def test_levels_and_schedules(network: nn.Sequential) -> None:
    chosen = recipe.parse("""
    [[steps]]
    admm = { iterations = 8, schedule = "staged", rho = 1e-4, stages = 4 }
    [quantize]
    admm = { schedule = "constant", rho = 2e-3 }
    [quantize.layers]
    "*" = { bits = 3 }
    conv1 = { kind = "ternary" }
    fc2 = { kind = "binary", per_row = true }
    """)
    assert chosen.levels(network) == {"conv1": Ternary(), "conv2": Bits(3), "fc1": Bits(3), "fc2": Binary(True)}
    assert chosen.steps[0].admm.regulation() == Staged(1e-4, 10.0, 2)
    assert chosen.quantize.admm.regulation() == Constant(2e-3)
    assert recipe.Admm(rho=1e-3).regulation() == Continuous(1e-3, 1.3)
