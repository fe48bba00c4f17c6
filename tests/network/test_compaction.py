"""Compaction changes no bit of the result, and takes out what can be taken out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from admmfpga.network import Conv, Dense, IntType, Network, compact
from admmfpga.network.reference import run
from made import NetworkMaker, pruned, random_frames, random_network


def extreme_frames(network: Network, rng: np.random.Generator) -> np.ndarray:
    frames = random_frames(network, 6, rng)
    dtype = network.tensors[network.inputs[0]].dtype
    frames[0], frames[1] = dtype.min, dtype.max
    return frames


@pytest.mark.parametrize("seed", range(150))
def test_random_networks_give_the_same_result(seed):
    rng = np.random.default_rng(seed)
    network = pruned(random_network(rng), rng)
    small = compact(network)
    frames = extreme_frames(network, rng)
    np.testing.assert_array_equal(run(small, frames), run(network, frames))
    for names in (network.inputs, network.outputs):
        for name in names:
            assert small.tensors[name].shape == network.tensors[name].shape
    assert compact(small) is small


def test_much_is_taken_out_of_random_networks():
    # Or the test above shows nothing.
    cut = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        network = pruned(random_network(rng), rng)
        small = compact(network)
        cut += sum(small.tensors[t].elements < network.tensors[t].elements for t in network.tensors)
    assert cut > 100


def two_convolutions(pads=(0, 0, 0, 0)) -> Network:
    rng = np.random.default_rng(0)
    maker = NetworkMaker((8, 8, 2), IntType(8, False), rng)
    maker.conv(5, (3, 3)).pool((2, 2), (1, 1)).conv(4, (3, 3), pads=pads).flatten()
    return maker.dense(3, IntType(8, True)).done()


def changed(network: Network, index: int, **changes) -> Network:
    nodes = list(network.nodes)
    nodes[index] = replace(nodes[index], **changes)
    return replace(network, nodes=nodes)


def zero_row(network: Network, index: int, row: int) -> Network:
    weights = network.nodes[index].weights.copy()
    weights[row] = 0
    return changed(network, index, weights=weights)


def channels(network: Network) -> list[int]:
    return [network.output_of(node).channels for node in network.nodes if isinstance(node, Conv | Dense)]


def test_a_row_without_weights_goes_with_its_channel():
    network = zero_row(two_convolutions(), 0, 2)
    small = compact(network)
    assert channels(small) == [4, 4, 3]
    assert small.nodes[2].weights.shape == (4, 3, 3, 4)
    np.testing.assert_array_equal(small.nodes[2].weights, np.delete(network.nodes[2].weights, 2, axis=-1))
    frames = extreme_frames(network, np.random.default_rng(1))
    np.testing.assert_array_equal(run(small, frames), run(network, frames))


@pytest.mark.parametrize("same", [True, False])
def test_padding_with_another_code_keeps_the_channel(same):
    network = zero_row(two_convolutions((1, 1, 1, 1)), 0, 2)
    rule = network.nodes[0].requantization
    code = int(rule.apply(np.zeros(5, dtype=np.int64))[2])
    network = changed(network, 2, pad_value=code if same else (code + 1) % 256)
    small = compact(network)
    assert channels(small) == [4 if same else 5, 4, 3]
    frames = extreme_frames(network, np.random.default_rng(1))
    np.testing.assert_array_equal(run(small, frames), run(network, frames))


def test_unread_channels_go():
    network = two_convolutions()
    weights = network.nodes[2].weights.copy()
    weights[..., 1] = 0
    assert channels(compact(changed(network, 2, weights=weights))) == [4, 4, 3]


def test_a_dead_relu_is_a_constant():
    network = two_convolutions()
    rule = network.nodes[0].requantization
    bias = rule.bias.copy()
    bias[3] = -(1 << 30)
    assert channels(compact(changed(network, 0, requantization=replace(rule, bias=bias)))) == [4, 4, 3]


def test_one_element_that_is_read_keeps_its_channel_behind_flatten():
    network = two_convolutions()
    weights = np.zeros_like(network.nodes[4].weights)
    weights[:, 6], weights[:, 3] = 127, -127
    small = compact(changed(network, 4, weights=weights))
    # Elements 6 and 3 are of channels 2 and 3.
    assert channels(small) == [5, 2, 3]


def test_removal_goes_through_all_layers():
    # The last layer reads one channel, which reads one, which reads one.
    network = two_convolutions()
    only = np.zeros_like(network.nodes[2].weights)
    only[1, 0, 0, 3] = 127
    last = np.zeros_like(network.nodes[4].weights)
    last[:, 1] = 127
    small = compact(changed(changed(network, 2, weights=only), 4, weights=last))
    assert channels(small) == [1, 1, 3]


def test_nothing_left_keeps_one_channel_and_the_result():
    network = two_convolutions()
    network = changed(network, 2, weights=np.zeros_like(network.nodes[2].weights))
    small = compact(network)
    assert channels(small) == [1, 1, 3]
    frames = extreme_frames(network, np.random.default_rng(1))
    np.testing.assert_array_equal(run(small, frames), run(network, frames))


def test_output_rows_without_weights_stay():
    network = zero_row(two_convolutions(), 4, 1)
    assert compact(network) is network


def test_a_network_without_zeros_is_left_alone():
    network = two_convolutions()
    assert compact(network) is network
