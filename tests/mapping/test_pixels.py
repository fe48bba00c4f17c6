"""Several pixels at a time: the same results from wider blocks, and what the search makes of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admmfpga.boards import load_board
from admmfpga.mapping import Folding, build_design, map_network, stream_beats
from admmfpga.mapping.candidates import Refinement, candidates
from admmfpga.mapping.pixels import PIXELS, able, grouped
from admmfpga.network import IntType
from admmfpga.network.reference import run
from made import NetworkMaker, random_frames


@st.composite
def layers(draw):
    """One convolution or pool with strides and padding, its network, and how many pixels it takes at a time."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    pixels = draw(st.sampled_from(PIXELS))
    width, channels = pixels * draw(st.integers(1, 4)), draw(st.integers(1, 3))
    maker = NetworkMaker((draw(st.integers(3, 6)), width, channels), IntType(draw(st.integers(1, 8)), False), rng)
    kernel = draw(st.integers(1, 3)), draw(st.integers(1, min(5, width)))
    down = draw(st.integers(1, 2))
    if draw(st.booleans()):
        left, right = draw(st.integers(0, kernel[1] - 1)), draw(st.integers(0, kernel[1] - 1))
        pads = (draw(st.integers(0, kernel[0] - 1)), left, 0, right)
        maker.conv(draw(st.integers(1, 4)), kernel, (down, 1), pads, bits=draw(st.integers(2, 8)))
    else:
        maker.pool(kernel, (down, draw(st.integers(1, 4))), (kernel[0] - 1, 0, 0, 0))
    return maker.done(), pixels


@given(layers())
@settings(deadline=None, max_examples=150)
def test_results_are_the_same(made):
    network, pixels = made
    node = network.nodes[0]
    if not able(network, node, pixels):
        return
    folding = Folding(channels=pixels * network.input_of(node).channels, pixels=pixels)
    design = build_design(network, {node.name: folding})
    codes = random_frames(network, 1, np.random.default_rng(0))
    expected = run(network, codes)
    np.testing.assert_array_equal(stream_beats(design, codes[0])["m_axis"].ravel(), expected[0].ravel())


def test_what_is_able():
    """Whole groups of pixels, as many windows as groups of results."""
    rng = np.random.default_rng(0)
    network = NetworkMaker((28, 28, 1), IntType(8, False), rng).conv(2, (5, 5)).pool((2, 2), (2, 2)).done()
    conv, pool = network.nodes
    assert [n for n in PIXELS if able(network, conv, n)] == [2, 4]
    assert [n for n in PIXELS if able(network, pool, n)] == [2, 4, 8]
    odd = NetworkMaker((9, 9, 1), IntType(8, False), rng).conv(2, (3, 3), (1, 2)).done()
    assert not any(able(odd, odd.nodes[0], n) for n in PIXELS)
    same = NetworkMaker((8, 8, 3), IntType(8, False), rng).conv(2, (3, 3), pads=(1, 1, 1, 1)).done()
    assert [n for n in PIXELS if able(same, same.nodes[0], n)] == [2, 4, 8]
    assert grouped(same, same.nodes[0], 4)[1].kernel == (3, 3)


@pytest.mark.parametrize("interval", [784, 500])
def test_only_layers_that_are_too_slow_are_widened(interval):
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
    assert wide == {first: 196, second: 72}
    assert third not in wide


def test_a_small_network_is_faster_than_a_pixel_a_cycle():
    maker = NetworkMaker((28, 28, 1), IntType(8, False), np.random.default_rng(0))
    network = maker.conv(2, (5, 5), bits=4).pool((2, 2), (2, 2)).flatten().dense(4, bits=4).done()
    board = load_board("pynq")
    assert map_network(network, board.resources, board="pynq").timing.frame_interval == 196
    assert map_network(network, board.resources, board="pynq", target_interval=400).timing.frame_interval <= 400


def test_a_layer_in_logic_is_widened_as_far_as_logic_goes():
    """Four times its filters are too many."""
    network = NetworkMaker((28, 28, 1), IntType(8, False), np.random.default_rng(0)).conv(16, (5, 5)).done()
    (node,) = network.nodes
    found = Refinement(network)({node.name: candidates(network, node, ("unrolled",))}, 784)[node.name]
    assert {c.folding.pixels for c in found} == {1, 2}
