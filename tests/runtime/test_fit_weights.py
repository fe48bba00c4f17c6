"""Other networks' weights for a build: what fits computes what it should, what does not is refused with all reasons."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from admmfpga.blocks import CsrPE, DensePE, Requantize
from admmfpga.codegen.weights import render_container
from admmfpga.errors import UserError
from admmfpga.frontend import Import
from admmfpga.mapping import Folding, build_design, stream_beats
from admmfpga.mapping.structure import structure_sha256
from admmfpga.network import Conv, Dense, IntType, Network, Requantization, compact, with_budgets
from admmfpga.network.budgets import rounding, with_shift
from admmfpga.network.reference import run
from admmfpga.packing import LaneLayout, open_container
from admmfpga.runtime.build import Build
from admmfpga.runtime.reload import fit_weights
from made import NetworkMaker, pruned, random_frames

SHA256, OTHER = "12345678" * 8, "87654321" * 8
LAYOUTS = (LaneLayout(lanes=2), LaneLayout(2, 2, 1, 1, "relative", 1), LaneLayout(lanes=4, index_format="bitmap"))


def network(seed: int) -> Network:
    """conv, pool, conv, dense, dense; the second conv and the first dense layer sparse, some channels empty."""
    rng = np.random.default_rng(seed)
    maker = NetworkMaker((6, 6, 2), IntType(8, False), rng)
    maker.conv(4, (3, 3), pads=(1, 1, 1, 1)).pool((2, 2), (2, 2)).conv(4, (1, 1), bits=5).flatten()
    made = pruned(maker.dense(8, bits=6).dense(4, IntType(8, True)).done(), rng)
    thin = [
        replace(node, weights=node.weights * (rng.random(node.weights.shape) < 0.4))
        if isinstance(node, Dense)
        else node
        for node in made.nodes
    ]
    return replace(made, nodes=thin)


def build_of(made: Network, layout: LaneLayout, slack: float = 0.1) -> Build:
    full = with_budgets(made, slack)
    small = compact(full)
    foldings = {node.name: Folding() for node in small.nodes if node.op != "Flatten"}
    for node in small.nodes:
        rows = len(node.weights) if isinstance(node, Conv | Dense) else 0
        if isinstance(node, Dense) and rows % layout.groups == 0:
            foldings[node.name] = Folding(pe=layout.groups, simd=layout.lanes, kind="csr", layout=layout)
    return Build(Path("build"), build_design(small, foldings, full), SHA256, {})


def imported(made: Network) -> Import:
    return cast(Import, SimpleNamespace(network=made, sha256=OTHER))


def changed(made: Network, rng: np.random.Generator, **options: Any) -> Network:
    """Other weights where there are some, other biases, scales within a factor of two."""
    nodes: list[Any] = []
    for node in made.nodes:
        if isinstance(node, Conv | Dense):
            top = int(np.abs(node.weights).max(initial=1))
            weights = np.where(node.weights != 0, rng.integers(-top, top + 1, node.weights.shape), 0)
            rule = node.requantization
            bias = rng.permutation(rule.bias)
            scaled = np.maximum(1, (rule.multiplier * rng.uniform(0.5, 1.9)).astype(np.int64))
            node = replace(node, weights=weights, requantization=replace(rule, bias=bias, multiplier=scaled))
        nodes.append(node)
    return replace(made, nodes=nodes, **options)


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.integers(0, 5), st.integers(0, 1 << 32), st.sampled_from(LAYOUTS))
def test_weights_that_fit_compute_what_they_should(seed: int, other: int, layout: LaneLayout) -> None:
    """The blocks of the old design with the new contents give the new network's results, within the old widths."""
    made, rng = network(seed), np.random.default_rng(other)
    build = build_of(made, layout)
    found = fit_weights(build, imported(changed(made, rng)))
    design = found.design
    assert structure_sha256(design) == structure_sha256(build.design)
    codes = random_frames(made, 2, rng)
    expected = run(design.original, codes)
    for frame, result in zip(codes, expected, strict=True):
        streams = stream_beats(design, frame)
        np.testing.assert_array_equal(streams["m_axis"].ravel(), result.ravel())
        for stage in design.stages:
            sink, beats = stage.block.sink, streams[stage.outputs[0]]
            dtype = IntType(sink.bits, sink.signed)
            assert dtype.min <= beats.min() <= beats.max() <= dtype.max, stage.name
    container = open_container(found.image)
    assert container.model_sha256 == OTHER
    assert container.load_words() == sum(m.depth for m in design.memories() if not m.constant)
    # Loaded and constant memories are those of the old container, in its order.
    names = [section.name for section in container.sections]
    assert names == [section.name for section in open_container(render_container(build.design, SHA256)).sections]


@pytest.mark.parametrize("seed", range(2))
def test_a_network_fits_its_own_build(seed: int) -> None:
    made = network(seed)
    for layout in LAYOUTS:
        build = build_of(made, layout, slack=0.0)
        found = fit_weights(build, imported(made))
        assert found.image == render_container(build.design, OTHER)


def test_any_weights_of_the_type_are_within_the_widths() -> None:
    """All weights at the ends of their type, all activations too: accumulators and sums do not overflow."""
    made = network(3)
    build = build_of(made, LAYOUTS[0])
    for node in build.design.network.nodes:
        if not isinstance(node, Conv | Dense):
            continue
        budget, source = build.design.network.budgets[node.name], build.design.network.input_of(node).dtype
        weight = IntType(budget.weight_bits, signed=True)
        pe, requantize = (stage.block for stage in build.design.of_layer(node.name) if stage.block.reloadable)
        assert isinstance(pe, DensePE | CsrPE)
        assert isinstance(requantize, Requantize)
        kept = int((node.matrix != 0).any(axis=0).sum())
        for w in (weight.min, weight.max):
            for x in (source.min, source.max):
                acc = kept * w * x
                assert -(1 << (pe.acc_bits - 1)) <= acc < 1 << (pe.acc_bits - 1)
                for bias in (budget.bias_type.min, budget.bias_type.max):
                    assert -(1 << (requantize.sum_bits - 1)) <= acc + bias < 1 << (requantize.sum_bits - 1)


def test_all_reasons_at_once() -> None:
    made = network(0)
    build = build_of(made, LAYOUTS[0])
    nodes: list[Any] = []
    for node in made.nodes:
        if isinstance(node, Conv):
            rule = node.requantization
            more = replace(rule, bias=(rule.bias + 1) << 12, multiplier=rule.multiplier << 3)
            node = replace(node, weights=node.weights * 8, requantization=more)
        elif isinstance(node, Dense):
            node = replace(node, weights=np.ones_like(node.weights))
        nodes.append(node)
    with pytest.raises(UserError) as caught:
        fit_weights(build, imported(replace(made, nodes=nodes)))
    lines = str(caught.value).splitlines()[1:]
    for what in ("weights", "biases", "multipliers"):
        assert any(re.fullmatch(rf"  conv\d: {what} need \d+ bits, the build has \d+", line) for line in lines), lines
    assert any(re.search(r"left out|row block|keep \d+ activations", line) for line in lines), lines


def test_zero_point_of_the_result_is_the_builds() -> None:
    """The same values, clipped elsewhere."""
    made = network(2)
    last = made.nodes[-1]
    assert isinstance(last, Dense)
    rule = replace(last.requantization, low=-128, high=127)
    made = network_with(made, -1, requantization=replace(rule, zero_point=-20))
    build = build_of(made, LAYOUTS[0])
    new = network_with(made, -1, requantization=replace(rule, zero_point=5))
    found = fit_weights(build, imported(new))
    assert found.notes == (
        "the result keeps the build's zero point -20 in place of 5: "
        "it is clipped 25 steps earlier below and 25 steps later above",
    )
    codes = random_frames(made, 4, np.random.default_rng(0))
    wanted, given_ = run(new, codes), run(found.design.original, codes)
    free = (wanted > -128 + 25) & (wanted < 127)
    np.testing.assert_array_equal((given_ + 20)[free], (wanted - 5)[free])
    assert found.design.output.zero_point == -20


def test_another_network_is_refused() -> None:
    made = network(1)
    build = build_of(made, LAYOUTS[0])
    for wrong, message in (
        (
            NetworkMaker((6, 6, 2), IntType(8, False), np.random.default_rng(0)).conv(4, (3, 3)).done(),
            "layers are Conv;",
        ),
        (network_with(made, 0, pad_value=77), "conv0: another pad_value 77; the build has"),
        (network_with(made, 0, weights=np.zeros((4, 3, 3, 3), dtype=np.int64)), r"weights of shape \(4, 3, 3, 3\)"),
        (changed(made, np.random.default_rng(0), host_ops=("Softmax",)), "the host has other operations"),
    ):
        with pytest.raises(UserError, match=message):
            fit_weights(build, imported(wrong))
    constant = replace(build, design=build_design(compact(made), build.design.foldings, made))
    with pytest.raises(UserError, match="the weights of build are constants"):
        fit_weights(constant, imported(made))


@pytest.mark.parametrize(
    "folding",
    [
        Folding(pe=4, simd=1, pack=2),
        Folding(pe=4, simd=3, pack=2, lut_rows=2, lut_weight_rows=1),
        Folding(pe=2, simd=2, kind="csr", layout=LaneLayout(lanes=2, height=2), pack=2),
    ],
)
def test_rows_that_share_dsp_blocks_take_all_weights_but_the_least(folding: Folding) -> None:
    rng = np.random.default_rng(0)
    made = NetworkMaker((6,), IntType(8, False), rng).dense(4, IntType(8, True)).done()
    full = with_budgets(made, 0.1)
    small = compact(full)
    build = Build(Path("build"), build_design(small, {small.nodes[0].name: folding}, full), SHA256, {})
    weights = made.nodes[0].weights.copy()  # type: ignore[attr-defined]
    weights[0, :2] = 127, -127
    design = fit_weights(build, imported(network_with(made, 0, weights=weights))).design
    codes = random_frames(made, 1, rng)
    np.testing.assert_array_equal(stream_beats(design, codes[0])["m_axis"].ravel(), run(design.original, codes)[0])
    weights[0, 1] = -128
    with pytest.raises(UserError, match="fc0: a weight is -128; rows that share DSP blocks have none below -127"):
        fit_weights(build, imported(network_with(made, 0, weights=weights)))


def network_with(made: Network, index: int, **values: Any) -> Network:
    nodes = list(made.nodes)
    nodes[index] = replace(nodes[index], **values)
    return replace(made, nodes=nodes)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 1 << 17))
def test_shifts_are_exact_where_there_is_room(before: int, after: int, multiplier: int) -> None:
    rule = Requantization(np.array([3]), np.array([multiplier]), before, 0, -128, 127, IntType(8, True))
    shifted = with_shift(rule, after)
    exact = multiplier * 2.0 ** (after - before)
    assert abs(shifted.multiplier[0] - exact) <= 0.5
    assert (rounding(rule, shifted) == 0) == (shifted.multiplier[0] == exact)
    if after >= before:
        acc = np.arange(-300, 300)[:, None]
        assert after - before > 30 or np.array_equal(rule.apply(acc), shifted.apply(acc))
