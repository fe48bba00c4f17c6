"""Networks under one budget: names, budgets, kinds, and what is taken from builds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admmfpga.blocks import Resources, axi_lite_control
from admmfpga.boards import load_board
from admmfpga.errors import UserError
from admmfpga.mapping import build_design, map_network
from admmfpga.mapping.folding import Folding, usable
from admmfpga.network import IntType, weighted
from admmfpga.report.energy import SOURCES, Energy, addition, energy, multiplication, read
from admmfpga.runtime import compare
from admmfpga.runtime.compare import Place, limited, unique_names, unpruned_twin
from made import NetworkMaker


@pytest.mark.parametrize(
    "paths, names",
    [
        (["a.onnx", "b.onnx"], ["a", "b"]),
        (["x/compressed.onnx", "y/compressed.onnx"], ["x", "y"]),
        (["r/x/net.onnx", "r/y/net.onnx", "r/y/other.onnx"], ["x/net", "y/net", "y/other"]),
        (["p/x/net.onnx", "q/x/net.onnx"], ["p/x", "q/x"]),
    ],
)
def test_names_are_short_and_unique(paths, names):
    assert unique_names([Path(path) for path in paths]) == names


def test_a_file_twice_is_refused():
    with pytest.raises(UserError, match=r"a\.onnx is given twice"):
        unique_names([Path("b.onnx"), Path("a.onnx"), Path("x/../a.onnx")])


@given(st.integers(0, 39900), st.integers(0, 79800), st.integers(0, 266), st.integers(0, 220))
def test_exactly_the_budget_is_usable(lut, ff, bram18, dsp):
    budget = {"lut": lut, "ff": ff, "bram18": bram18, "dsp": dsp}
    assert usable(limited(load_board("pynq"), budget)) == Resources(**budget)


def test_without_a_budget_it_is_the_board():
    board = load_board("pynq")
    assert limited(board, {}) == board.resources
    assert limited(board, {"dsp": 5}).lut == board.resources.lut


def test_budget_beyond_the_board_is_refused():
    with pytest.raises(UserError, match="267 bram18 is more than the 266 of 280"):
        limited(load_board("pynq"), {"bram18": 267})


def small_network(seed=0):
    rng = np.random.default_rng(seed)
    maker = NetworkMaker((6, 6, 2), IntType(8, False), rng)
    network = maker.conv(4, (3, 3), bits=4).flatten().dense(3, bits=4).done()
    for node in weighted(network):
        node.weights[rng.random(node.weights.shape) < 0.8] = 0
    return network


def test_unpruned_twin_changes_zeros_only():
    network = small_network()
    twin = unpruned_twin(network)
    for before, after in zip(weighted(network), weighted(twin), strict=True):
        assert np.all(after.weights != 0)
        assert np.array_equal(after.weights[before.weights != 0], before.weights[before.weights != 0])
    assert any(np.any(node.weights == 0) for node in weighted(network))


def test_energy_by_hand():
    maker = NetworkMaker((12,), IntType(8, False), np.random.default_rng(3))
    network = maker.dense(6, bits=8).done()
    (node,) = weighted(network)
    design = build_design(network, {node.name: Folding(pe=2, simd=3)})
    array = next(stage.block for stage in design.stages if stage.block.stem == "dense_pe")
    found = energy(design)
    # 72 products, and 6 of the requantization.
    assert found.multiplications > 72 * multiplication(8, array.weight_bits) > 0.9 * 72 * 0.2
    # 12 steps: a word of 6 weights and 3 activations each; the requantization's parameters come on top.
    assert found.activations == pytest.approx(12 * 3 * 8 * 10 / 64)
    assert found.weights > 12 * 6 * array.weight_bits * 10 / 64
    assert energy(design, node.name).total == pytest.approx(found.total)
    assert energy(design, "no such layer") == Energy()
    assert found.total == pytest.approx(sum(found.as_dict().values()))


def test_costs_are_those_of_the_table():
    assert (multiplication(8, 8), addition(32), read(64)) == tuple(source.picojoules for source in SOURCES)


def test_designs_keep_a_budget_that_fifos_would_break(monkeypatch):
    """Folding does not know the FIFOs' depths; what comes out too large is mapped again."""
    network, board = small_network(), load_board("pynq")
    asked = []

    def generous(network, available, **options):
        """A quarter more than there is."""
        asked.append(usable(available))
        return map_network(network, replace(available, lut=5 * available.lut // 4), **options)

    monkeypatch.setattr(compare, "map_network", generous)
    place = Place(board, limited(board, {"lut": 1500, "dsp": 5}), 100.0)
    (design, *_) = compare._designs("made", network, "dense", place, {}, lambda *_: None).values()
    assert design.resources().lut + axi_lite_control.resources().lut <= 1500
    assert asked[0].lut == 1500
    assert asked[-1].lut < 1500


def measured(**changes):
    rtl = {"frames": 9, "mismatches": 0, "latency_cycles": 50, "frame_interval_cycles": 100} | changes
    row = {"cycles_source": "closed form (exact)", "frame_interval_cycles": 100, "resources": {"lut": {"used": 1}}}
    compare._apply(row, {"verification": {"rtl": rtl}})
    return row["cycles_source"]


def test_only_a_simulation_that_agrees_is_quoted():
    assert measured() == "RTL simulation, 9 frames without a mismatch"
    assert measured(mismatches=1) == "closed form (exact)"
    # Too few frames to settle.
    assert measured(frame_interval_cycles=120) == "closed form (exact)"
    assert measured(frame_interval_cycles=None) == "closed form (exact)"
