"""Several pixels at a time: the same results from wider blocks, and what the search makes of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from admmfpga.blocks import Gearbox
from admmfpga.boards import load_board
from admmfpga.mapping import Folding, build_design, map_network, stream_beats
from admmfpga.mapping.candidates import Refinement, candidates
from admmfpga.mapping.folding import divisors
from admmfpga.mapping.pixels import PIXELS, able, filled_rows, grouped, spread
from admmfpga.network import Conv, IntType
from admmfpga.network.reference import run
from made import NetworkMaker, random_frames


@st.composite
def layers(draw, *, to_the_right=True):
    """One convolution or pool with strides and padding, its network, and how many pixels it takes at a time: mostly as
    many as it can.

    Args:
        to_the_right: whether there may be padding.
    """
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    strides = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    together = draw(st.integers(1 if strides[1] > 1 else 2, 4))
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    left, right = draw(st.integers(0, kernel[1] - 1)), draw(st.integers(0, (kernel[1] - 1) * to_the_right))
    results = together * draw(st.integers(1, 3)) + draw(st.sampled_from([0, 0, 0, 1]))
    width = (results - 1) * strides[1] + kernel[1] - left - right + draw(st.integers(0, strides[1] - 1))
    shape = draw(st.integers(3, 6)), max(1, width), draw(st.integers(1, 3))
    maker = NetworkMaker(shape, IntType(draw(st.integers(1, 8)), False), rng)
    pads = (draw(st.integers(0, kernel[0] - 1)), left, 0, right)
    assume(shape[1] + left + right >= kernel[1])
    if draw(st.booleans()):
        maker.conv(draw(st.integers(1, 4)), kernel, strides, pads, bits=draw(st.integers(2, 8)))
    else:
        maker.pool(kernel, strides, pads)
    return maker.done(), together * strides[1]


def _forms(network, pixels):
    """Foldings that take so many pixels at a time: PE and all, and the window unit alone."""
    node = network.nodes[0]
    channels = pixels * network.input_of(node).channels
    if able(network, node, pixels):
        yield Folding(channels=channels, pixels=pixels)
    shape = spread(network, node, pixels)
    if shape is not None and isinstance(node, Conv):
        columns = max(1, int(np.count_nonzero(node.matrix.any(axis=0))))
        for together in divisors(shape.together):
            yield Folding(simd=together * columns, channels=channels, kind="unrolled", pixels=pixels, together=together)


def _results(design, codes):
    return stream_beats(design, codes)["m_axis"].ravel()


@given(layers())
@settings(deadline=None, max_examples=150)
def test_results_are_the_same(made):
    network, pixels = made
    codes = random_frames(network, 1, np.random.default_rng(0))
    expected = run(network, codes)[0].ravel()
    for folding in _forms(network, pixels):
        design = build_design(network, {network.nodes[0].name: folding})
        np.testing.assert_array_equal(_results(design, codes[0]), expected)


@given(layers(to_the_right=False), st.data())
@settings(deadline=None, max_examples=60)
def test_what_fills_rows_reaches_no_result(made, data):
    """Without padding to the right any code will do."""
    network, pixels = made
    node = network.nodes[0]
    assume(spread(network, node, pixels) is not None and filled_rows(network, node, pixels))
    codes = random_frames(network, 1, np.random.default_rng(0))
    expected, dtype = run(network, codes)[0].ravel(), network.input_of(node).dtype
    other = data.draw(st.integers(dtype.min, dtype.max))
    for folding in _forms(network, pixels):
        design = build_design(network, {node.name: folding})
        stages = [
            replace(stage, block=replace(stage.block, fill=other)) if isinstance(stage.block, Gearbox) else stage
            for stage in design.stages
        ]
        assert any(isinstance(stage.block, Gearbox) for stage in stages)
        np.testing.assert_array_equal(_results(replace(design, stages=tuple(stages)), codes[0]), expected)


def test_what_is_able():
    """As many windows as groups of results; rows are filled up to whole groups."""
    rng = np.random.default_rng(0)
    network = NetworkMaker((28, 28, 1), IntType(8, False), rng).conv(2, (5, 5)).pool((2, 2), (2, 2)).done()
    conv, pool = network.nodes
    assert [n for n in PIXELS if able(network, conv, n)] == [2, 3, 4, 6, 8, 12]
    assert [n for n in PIXELS if filled_rows(network, conv, n)] == [3, 6, 8, 12, 16]
    assert [n for n in PIXELS if able(network, pool, n)] == [2, 4, 6, 8, 12]
    odd = NetworkMaker((9, 9, 1), IntType(8, False), rng).conv(2, (3, 3), (1, 2)).done()
    assert not any(able(odd, odd.nodes[0], n) for n in PIXELS)
    assert [n for n in PIXELS if spread(odd, odd.nodes[0], n)] == [2, 4, 8]
    same = NetworkMaker((8, 8, 3), IntType(8, False), rng).conv(2, (3, 3), pads=(1, 1, 1, 1)).done()
    assert [n for n in PIXELS if able(same, same.nodes[0], n)] == [2, 4, 8]
    assert grouped(same, same.nodes[0], 4)[1].kernel == (3, 3)


@pytest.mark.parametrize(("interval", "fastest"), [(784, (196, 144)), (500, (112, 96))])
def test_only_layers_that_are_too_slow_are_widened(interval, fastest):
    """A window unit takes 784 pixels a frame one by one."""
    maker = NetworkMaker((28, 28, 1), IntType(8, False), np.random.default_rng(0))
    network = maker.conv(2, (5, 5), bits=4).pool((2, 2), (2, 2)).conv(2, (3, 3), bits=4).done()
    found = {node.name: candidates(network, node, ("dense",)) for node in network.nodes}
    wide = {
        name: min(c.cycles for c in options)
        for name, options in Refinement(network)(found, interval).items()
        if any(c.folding.pixels > 1 for c in options)
    }
    first, second, third = (node.name for node in network.nodes)
    assert wide == dict(zip((first, second), fastest, strict=True))
    assert third not in wide


def test_a_small_network_is_faster_than_a_pixel_a_cycle():
    maker = NetworkMaker((28, 28, 1), IntType(8, False), np.random.default_rng(0))
    network = maker.conv(2, (5, 5), bits=4).pool((2, 2), (2, 2)).flatten().dense(4, bits=4).done()
    board = load_board("pynq")
    assert map_network(network, board.resources, board="pynq").timing.frame_interval == 99
    assert map_network(network, board.resources, board="pynq", target_interval=400).timing.frame_interval <= 400


def test_a_layer_in_logic_is_widened_as_far_as_logic_goes():
    """Four times its weights are too many, but a window unit may take more pixels than the PE results."""
    network = NetworkMaker((28, 28, 1), IntType(8, False), np.random.default_rng(0)).conv(16, (5, 5)).done()
    (node,) = network.nodes
    found = Refinement(network)({node.name: candidates(network, node, ("unrolled",))}, 784)[node.name]
    assert max(c.folding.vectors for c in found) == 3
    assert max(c.folding.pixels for c in found) > 3
