"""Foldings whose row groups, vectors or beats are filled up: what they compute, and what they are said to cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admmfpga.blocks import Deal, WidthConverter
from admmfpga.mapping import build_design, stream_beats
from admmfpga.mapping.candidates import FILLED, NEAR, Refinement, candidates, candidates_by_kind, finer_foldings
from admmfpga.mapping.folding import Folding
from admmfpga.mapping.lowering import axis_formats, lower
from admmfpga.mapping.parts import stream_order
from admmfpga.network import Conv, Dense, IntType, Network
from admmfpga.network.reference import run
from made import NetworkMaker, random_frames

TYPE = IntType(8, False)


def one_layer(kind: str, rows: int, columns: int) -> Network:
    """A layer that has foldings of all kinds, with small activations so that brute force is quick."""
    rng = np.random.default_rng(0)
    if kind == "dense":
        return NetworkMaker((columns,), TYPE, rng).dense(rows).done()
    kernel = (1, 1) if kind == "pointwise" else (2, 2)
    network = NetworkMaker((3, 3, columns), TYPE, rng).conv(rows, kernel).done()
    if kind == "pruned":
        # A kept column in four; the window unit gathers.
        (node,) = network.nodes
        assert isinstance(node, Conv)
        kept = np.arange(node.weights[0].size).reshape(node.weights[0].shape) % 4 == 0
        network = replace(network, nodes=[replace(node, weights=node.weights * kept)])
    return network


layers = st.builds(
    one_layer,
    st.sampled_from(["dense", "pointwise", "window", "pruned"]),
    st.integers(2, 9),
    st.sampled_from([4, 6, 7, 12]),
)


def check(network: Network, folding: Folding) -> None:
    (node,) = network.nodes
    assert isinstance(node, Conv | Dense)
    design = build_design(network, {node.name: folding})
    # What a reload would bring is what is there.
    order = stream_order(node, network.input_of(node), folding)
    (matrix,) = (stage.contents["matrix"] for stage in design.stages if "matrix" in stage.contents)
    np.testing.assert_array_equal(order(node.matrix), matrix)
    frames = random_frames(network, 2, np.random.default_rng(1))
    for frame, expected in zip(frames, run(network, frames), strict=True):
        np.testing.assert_array_equal(stream_beats(design, frame)["m_axis"].ravel(), expected.ravel())


@given(layers, st.data())
@settings(deadline=None, max_examples=60)
def test_filled_foldings_equal_the_reference(network: Network, data: st.DataObject) -> None:
    options = [one for one in finer_foldings(network, network.nodes[0]) if one.pack == 1 and one.weight_block_ram]
    if options:
        check(network, data.draw(st.sampled_from(options)))


def test_all_kinds_of_filling_are_listed() -> None:
    network = one_layer("window", 5, 6)
    found = list(finer_foldings(network, network.nodes[0]))
    assert any(5 % one.pe and not one.dealt and 24 % one.simd == 0 for one in found)
    assert any(5 % one.pe == 0 and one.dealt for one in found)
    assert all(5 % one.pe == 0 or one.lanes_out == 1 for one in found)
    network = one_layer("dense", 6, 7)
    assert any(6 % one.pe == 0 and 7 % one.simd for one in finer_foldings(network, network.nodes[0]))


@pytest.mark.parametrize(("kind", "rows", "columns"), [("window", 10, 12), ("dense", 50, 90), ("pointwise", 14, 30)])
def test_what_is_priced_is_what_is_built(kind: str, rows: int, columns: int) -> None:
    """Cycles and resources of filled foldings are those of the layer's blocks; fillings are few."""
    network = one_layer(kind, rows, columns)
    (node,) = network.nodes
    plain = candidates(network, node, ("dense",))
    slow = plain[len(plain) // 2].cycles
    found = [c for c in Refinement(network)({node.name: plain}, slow)[node.name] if c not in plain]
    assert found
    output = network.output_of(node)
    products = output.elements * node.weights[0].size
    for c in found:
        assert NEAR * slow <= c.cycles <= slow
        assert c.cycles * c.folding.pe * c.folding.simd <= FILLED * products
        stages, _ = lower(network, {node.name: c.folding}, axis_formats(network, 1))
        # The search prices least FIFOs, and not what stands in front of the first block.
        blocks = [stage.block for stage in stages if stage.layer and "_to_pe" not in stage.name]
        if kind == "window":
            blocks = [stage.block for stage in stages if stage.layer and "_to_window" not in stage.name]
        assert max(block.cycles for block in blocks) == c.cycles
        used = sum(
            (replace(b, out_depth=2).resources() for b in blocks[1:]), replace(blocks[0], out_depth=2).resources()
        )
        assert used == c.resources


def test_beats_are_dealt_out() -> None:
    """Ten beats of 50 lanes as nine of 56."""
    block = Deal(lanes=50, extra=6, stored=1, beats=10, units=1, bits=8, signed=False)
    out = block.execute(np.arange(1, 501).reshape(10, 50), {})
    assert out.shape == (9, 56)
    np.testing.assert_array_equal(out[0], [*range(51, 101), *range(1, 7)])
    np.testing.assert_array_equal(np.sort(out.ravel())[4:], np.arange(1, 501))


@given(st.integers(1, 4), st.integers(2, 5), st.integers(1, 5), st.data())
def test_units_end_within_a_wide_beat(narrow: int, ratio: int, whole: int, data: st.DataObject) -> None:
    """Down drops what fills a unit up, and up brings it back with other elements in its place."""
    wide = narrow * ratio
    unit = wide * whole + narrow * data.draw(st.integers(1, ratio - 1))
    shape = {"bits": 8, "signed": False, "elements": 3 * unit, "unit": unit}
    up = WidthConverter(in_lanes=narrow, out_lanes=wide, **shape)
    down = WidthConverter(in_lanes=wide, out_lanes=narrow, **shape)
    units = np.arange(3 * unit).reshape(3, unit)
    beats = up.execute(units.reshape(-1, narrow), {}).reshape(3, -1, wide)
    np.testing.assert_array_equal(beats[:, :-1].reshape(3, -1), units[:, : wide * whole])
    np.testing.assert_array_equal(beats[:, -1], units[:, -wide:])
    filled = np.pad(units, ((0, 0), (0, wide - unit % wide)), constant_values=-1)
    np.testing.assert_array_equal(down.execute(filled.reshape(-1, wide), {}), units.reshape(-1, narrow))
    for block in (up, down):
        schedule = block.schedule()
        assert (len(schedule.pops), len(schedule.emits), schedule.steps) == (
            block.beats_in,
            block.beats_out,
            block.cycles,
        )


def test_arrays_of_other_kinds_are_not_mistaken_for_each_other() -> None:
    """Foldings of a dense PE cost what they cost, also after a search among those without multipliers."""
    network = NetworkMaker((30,), TYPE, np.random.default_rng(0)).dense(48).done()
    (node,) = network.nodes
    assert isinstance(node, Dense)
    network = replace(network, nodes=[replace(node, weights=np.where(node.weights < 0, -1, 1))])
    by = candidates_by_kind(network, network.nodes[0])
    for interval in (24, 48, 96):
        refinement = Refinement(network)
        refinement({node.name: by["binary"]}, interval)
        found = refinement({node.name: by["dense"]}, interval)
        assert found == Refinement(network)({node.name: by["dense"]}, interval)
