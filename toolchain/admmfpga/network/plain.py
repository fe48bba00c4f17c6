"""Grouped and dilated convolutions as plain ones whose further weights are zero.

Zero columns cost nothing behind a window unit that gathers, and the zeros of a block-diagonal matrix nothing on a PE
that decodes indices; a dense array multiplies with them. Depthwise convolutions stay what they are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from admmfpga.network.graph import Conv, Network, Node


def plain(network: Network) -> Network:
    """The network with convolutions of one group and no dilation, but for depthwise ones; results are the same."""
    nodes: list[Node] = [_plain(node) if isinstance(node, Conv) else node for node in network.nodes]
    if all(new is old for new, old in zip(nodes, network.nodes, strict=True)):
        return network
    result = replace(network, nodes=nodes)
    result.verify()
    return result


def _plain(node: Conv) -> Conv:
    if node.depthwise or (node.groups == 1 and node.dilations == (1, 1)):
        return node
    rows, columns = node.weights.shape[0], node.weights.shape[3]
    weights = np.zeros((rows, *node.extent, columns * node.groups), dtype=np.int64)
    taps = weights[:, :: node.dilations[0], :: node.dilations[1]]
    for group in range(node.groups):
        some = slice(group * rows // node.groups, (group + 1) * rows // node.groups)
        taps[some, :, :, group * columns : (group + 1) * columns] = node.weights[some]
    return replace(node, weights=weights, groups=1, dilations=(1, 1))
