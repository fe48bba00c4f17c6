"""Which PE a layer gets, and why."""

import importlib
from dataclasses import replace

import numpy as np
import pytest

from admmfpga.blocks import MatrixUnit, Resources
from admmfpga.mapping import map_network
from admmfpga.mapping.units import is_sparse
from admmfpga.network import IntType
from made import NetworkMaker

BOARD = Resources(53200, 106400, 280, 220)


def network(density, seed=0):
    """Two dense layers, the first one pruned to a density."""
    rng = np.random.default_rng(seed)
    made = NetworkMaker((64,), IntType(8, False), rng).dense(48, bits=4).dense(10, IntType(8, True), bits=4).done()
    first = made.nodes[0]
    mask = rng.random(first.weights.shape) < density
    made.nodes[0] = replace(first, weights=np.where(mask, np.where(first.weights == 0, 1, first.weights), 0))
    return made


def mapped(density, **options):
    return map_network(network(density), BOARD, board="made", target_interval=200, **options)


@pytest.mark.parametrize("kind", ["dense", "csr"])
def test_the_kind_that_is_asked_for(kind):
    design = mapped(0.1, kinds=(kind,))
    assert {stage.block.kind for stage in design.stages if isinstance(stage.block, MatrixUnit)} == {kind}
    assert all("alone was considered" in choice.reason for choice in design.choices.values())


def test_candidates_of_a_network_are_made_once(monkeypatch):
    found = {}
    first = mapped(0.1, made=found)
    # The package has a function of the module's name.
    candidates = importlib.import_module("admmfpga.mapping.candidates")
    for name in ("_dense_candidates", "sparse_candidates", "unrolled_candidates"):
        monkeypatch.setattr(candidates, name, None)
    again = mapped(0.1, made=found, explain=False)
    assert again.foldings == first.foldings
    assert first.choices
    assert not again.choices
    with pytest.raises(TypeError):
        mapped(0.1, explain=False)


def test_kinds_by_layer():
    names = [node.name for node in network(0.1).nodes]
    design = mapped(0.1, kinds={names[0]: ("csr",), names[1]: ("dense",)})
    assert [design.foldings[name].kind for name in names] == ["csr", "dense"]


def test_a_sparse_layer_is_decoded_and_a_full_one_is_not():
    sparse, full = mapped(0.03), mapped(1.0)
    name = sparse.network.nodes[0].name
    assert sparse.foldings[name].kind == "csr"
    assert full.foldings[name].kind == "dense"
    assert set(full.choices[name].alternatives) == {"dense"}, "nobody wants to decode indices of all weights"


def test_the_choice_follows_from_the_prices():
    for density in (0.03, 0.1, 0.3, 0.6):
        design = mapped(density)
        name = design.network.nodes[0].name
        choice = design.choices[name]
        prices = {kind: found.price for kind, found in choice.alternatives.items() if found}
        assert choice.kind == min(prices, key=lambda kind: prices[kind])
        assert choice.density == pytest.approx(density, abs=0.03)


def test_break_even_parts_the_densities_that_are_decoded_from_those_that_are_not():
    name = network(0.1).nodes[0].name
    even = mapped(0.1).choices[name].break_even_density
    assert even is not None
    assert even == pytest.approx(mapped(0.2).choices[name].break_even_density, rel=0.25)
    assert mapped(even / 1.5).foldings[name].kind == "csr"
    assert mapped(min(0.74, even * 1.5)).foldings[name].kind == "dense"


@pytest.mark.parametrize("density", [0.6, 0.99])
def test_break_even_far_below_a_layers_own_density(density):
    """Where every form that decodes so few weights is several times too fast; where decoding was not considered."""
    made = network(density)
    last = made.nodes[1]
    made.nodes[1] = replace(last, weights=np.where(np.arange(last.weights.size) % 5, 0, 1).reshape(last.weights.shape))
    choices = map_network(made, BOARD, board="made", target_interval=1500).choices
    first = choices[made.nodes[0].name]
    assert first.kind == "dense"
    assert first.break_even_density is not None
    assert 0 < first.break_even_density < density
    assert ("csr" in first.alternatives) == (density < 0.75)
    assert f"break-even at a density of {100 * first.break_even_density:.1f} %" in first.reason


@pytest.mark.parametrize(("density", "interval"), [(0.26, 5000), (0.2, 5000), (0.2, 7000)])
def test_lanes_are_full_where_rows_have_as_many_weights_as_there_are_lanes(density, interval):
    """A first layer as pruning leaves it: 25 columns, rows of a few weights, hundreds of vectors."""
    rng = np.random.default_rng(3)
    made = NetworkMaker((28, 28, 1), IntType(8, False), rng).conv(20, (5, 5)).done()
    first = made.nodes[0]
    mask = rng.random(first.weights.shape) < density
    made.nodes[0] = replace(first, weights=np.where(mask, np.where(first.weights == 0, 1, first.weights), 0))
    design = map_network(made, BOARD, board="made", target_interval=interval, kinds=("csr",), explain=False)
    (block,) = (stage.block for stage in design.stages if isinstance(stage.block, MatrixUnit))
    assert block.cycles <= interval
    assert np.count_nonzero(mask) * block.vectors * block.batch / (block.multipliers * block.cycles) >= 0.9


def test_what_counts_as_sparse():
    assert is_sparse(np.array([[1, 0, 2, 3]]))
    assert not is_sparse(np.array([[1, 1, 2, 3]]))
