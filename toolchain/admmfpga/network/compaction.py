"""Takes out of a network what its result does not depend on: constant channels and channels that nobody reads.

A row of a GEMM matrix that pruning left without weights gives the same code for every input. The consumer's bias takes
what that code would contribute, and the channel goes: out of the producer's rows, the pools between, and the consumer's
columns. Whatever only such channels needed goes with them. Results are the same, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from admmfpga.network.graph import Conv, Dense, Flatten, MaxPool, Network, Node, Rescale
from admmfpga.network.ranges import BLOCK, accumulator_range
from admmfpga.network.requantization import Requantization
from admmfpga.network.types import IntArray, Tensor

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Constants:
    """Which channels of a tensor have one code in every frame and at every position, and which code."""

    known: BoolArray
    codes: IntArray


def compact(network: Network, kept: Mapping[str, BoolArray] | None = None) -> Network:
    """The network without constant and unread channels; shapes and types of inputs and outputs stay.

    A constant channel in front of a padded convolution stays if its code is not the padding's: what it contributes
    differs at the edges. A layer keeps at least one channel. Grouped convolutions and what joins branches keep all
    channels, and so does what they read.

    Args:
        kept: channels by tensor that stay, and no others, as `kept_channels` of another network gives them.

    Returns:
        a verified network with the same result; `network` itself if there is nothing to take out.

    Raises:
        ValueError: channels would go that results depend on; names them.
    """
    folded = _fold_constants(network)
    needed = _kept_channels(folded, kept)
    if kept is None:
        kept = needed
    elif lost := [
        f"{name}: {np.flatnonzero(m & ~kept[name]).tolist()}" for name, m in needed.items() if (m & ~kept[name]).any()
    ]:
        raise ValueError("; ".join(lost))
    if all(mask.all() for mask in kept.values()):
        return network
    tensors = {name: _cut_tensor(tensor, kept[name]) for name, tensor in folded.tensors.items()}
    nodes = [_cut_node(node, kept[node.inputs[0]], kept[node.output]) for node in folded.nodes]
    result = replace(folded, tensors=tensors, nodes=nodes)
    result.verify()
    return result


def kept_channels(network: Network) -> dict[str, BoolArray]:
    """Channels of every tensor that `compact` leaves."""
    return _kept_channels(_fold_constants(network))


# --- constants, forward ----------------------------------------------------------------------------------------------


def _fold_constants(network: Network) -> Network:
    """Constant inputs as part of the bias, their weights zero; shapes as they were."""
    nodes: list[Node] = []
    constants: dict[str, _Constants] = {}
    for name in network.inputs:
        constants[name] = _none(network.tensors[name].channels)
    for node in network.nodes:
        folded, found = _fold_node(network, node, constants[node.inputs[0]])
        nodes.append(folded)
        constants[node.output] = found
    return replace(network, nodes=nodes)


def _fold_node(network: Network, node: Node, source: _Constants) -> tuple[Node, _Constants]:
    tensor = network.input_of(node)
    match node:
        case Conv() | Dense() if not _keeps_all(node):
            # Where the padding's code is the constant too, every position sees the same.
            same = source.known
            if isinstance(node, Conv) and any(node.pads):
                same = same & (source.codes == node.pad_value)
            weights: IntArray = node.weights.reshape(len(node.weights), -1, len(same))
            rule = node.requantization
            if (weights[:, :, same] != 0).any():
                rule = replace(
                    rule, bias=rule.bias + weights[:, :, same].sum(axis=1) @ tensor.dtype.values(source.codes[same])
                )
                weights = weights * ~same
            low, high = accumulator_range(weights.reshape(len(weights), -1), tensor.dtype)
            found = _between(rule, low, high)
            if network.budgets:
                # Weights that may be exchanged: only rows without any are constant whatever comes.
                found = _Constants(found.known & ~weights.any(axis=(1, 2)), found.codes)
            if weights[found.known].any():
                weights = weights * ~found.known[:, None, None]
            elif rule is node.requantization:  # as it was; a copy would be another gigabyte of a large network
                return node, found
            return replace(node, weights=weights.reshape(node.weights.shape), requantization=rule), found
        case Rescale():
            low = np.where(source.known, source.codes, tensor.dtype.min)
            high = np.where(source.known, source.codes, tensor.dtype.max)
            found = _between(node.requantization, low, high)
            return node, _Constants(found.known & source.known, found.codes) if network.budgets else found
        case MaxPool():
            # Every window holds a real pixel, which padding never beats.
            return node, source
        case Flatten():
            positions = tensor.elements // tensor.channels
            return node, _Constants(np.tile(source.known, positions), np.tile(source.codes, positions))
    return node, _none(network.output_of(node).channels)


def _between(rule: Requantization, low: IntArray, high: IntArray) -> _Constants:
    """Channels that give one code for all accumulators from `low` to `high`: requantization is monotone."""
    codes = rule.apply(low)
    return _Constants(codes == rule.apply(high), codes)


def _none(channels: int) -> _Constants:
    return _Constants(np.zeros(channels, dtype=bool), np.zeros(channels, dtype=np.int64))


# --- what is read, backward ------------------------------------------------------------------------------------------


def _kept_channels(network: Network, there: Mapping[str, BoolArray] | None = None) -> dict[str, BoolArray]:
    """Channels of every tensor that stay.

    Args:
        there: channels of which a layer keeps the first if nobody reads any; None: all.
    """
    read = {name: np.zeros(tensor.channels, dtype=bool) for name, tensor in network.tensors.items()}
    for name in (*network.inputs, *network.outputs):
        read[name][:] = True
    for node in network.nodes:
        if _keeps_all(node):
            for name in (*node.inputs, node.output):
                read[name][:] = True
    for node in reversed(network.nodes):
        rows = read[node.output]
        if _keeps_all(node):
            continue
        if not rows.any():
            rows[0 if there is None else int(there[node.output].argmax())] = True
        read[node.inputs[0]] |= _reads(network, node, rows)
    # What only hands channels on hands on all that it gets: the frame's own, and those of which a flattened element is
    # read.
    for node in network.nodes:
        if not isinstance(node, Conv | Dense) and not _keeps_all(node):
            source = network.input_of(node)
            copies = network.output_of(node).channels // source.channels
            read[node.output] = np.tile(read[source.name], copies)
    return read


def _reads(network: Network, node: Node, rows: BoolArray) -> BoolArray:
    """Channels of a node's input that the rows need."""
    match node:
        case Conv() | Dense():
            used: BoolArray = np.zeros(node.weights.shape[-1], dtype=bool)
            step = max(1, BLOCK * len(rows) // node.weights.size)
            for start in range(0, len(rows), step):
                block = node.weights[start : start + step][rows[start : start + step]]
                used |= (block != 0).reshape(-1, len(used)).any(axis=0)
            return used
        case Flatten():
            some: BoolArray = np.logical_or.reduce(rows.reshape(-1, network.input_of(node).channels))
            return some
    return rows


def _keeps_all(node: Node) -> bool:
    """Whether a node's channels depend on each other in ways that nothing here looks into."""
    if isinstance(node, Conv):
        return node.groups > 1
    return not isinstance(node, Dense | MaxPool | Rescale | Flatten)


def _cut_tensor(tensor: Tensor, kept: BoolArray) -> Tensor:
    if kept.all():
        return tensor
    scale = tensor.scale[kept] if tensor.scale.ndim else tensor.scale
    return replace(tensor, shape=(*tensor.shape[:-1], int(kept.sum())), scale=scale)


def _cut_node(node: Node, columns: BoolArray, rows: BoolArray) -> Node:
    if columns.all() and rows.all():
        return node
    match node:
        case Conv() | Dense():
            weights = node.weights[rows][..., columns]
            return replace(node, weights=weights, requantization=_cut_rule(node.requantization, rows))
        case Rescale():
            return replace(node, requantization=_cut_rule(node.requantization, rows))
    return node


def _cut_rule(rule: Requantization, rows: BoolArray) -> Requantization:
    return replace(rule, bias=rule.bias[rows], multiplier=rule.multiplier[rows])
