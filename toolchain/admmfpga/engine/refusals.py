"""What the engine cannot compute."""

from __future__ import annotations

import numpy as np

from admmfpga.engine.placement import flattened
from admmfpga.network import (
    Add,
    AveragePool,
    Concat,
    Conv,
    Dense,
    Flatten,
    LocalResponseNorm,
    Lookup,
    MaxPool,
    Network,
    Node,
    Requantization,
    Rescale,
)
from admmfpga.network.ranges import signed_sums

FACTOR_BITS = 25
"""Signed, of what a FACTOR command multiplies by: 9 x 25 bits are one DSP block."""

MULTIPLIER_BITS = 24
ACCUMULATOR_BITS = 32
NEIGHBOURS = 16


def refusals(network: Network) -> list[str]:
    """One line for every node and tensor that the engine cannot compute."""
    problems = [f"{node.name} ({node.op}): {why}" for node in network.nodes if (why := _refusal(network, node))]
    if all(isinstance(node, Flatten) for node in network.nodes):
        problems.append(f"{network.name}: there is no layer at all")
    flat = flattened(network)
    for name, tensor in network.tensors.items():
        if tensor.dtype.bits > 8 and name not in flat:
            problems.append(f"tensor {name}: {tensor.dtype} codes, the engine has bytes")
        if tensor.dtype.bipolar and name not in flat:
            problems.append(f"tensor {name}: codes that stand for -1 and +1")
    return problems


def _refusal(network: Network, node: Node) -> str:
    """Why the engine cannot compute a node, "" if it can."""
    match node:
        case Conv() | Dense():
            if node.weights.min(initial=0) < -128 or node.weights.max(initial=0) > 127:
                return "weights of more than 8 bits"
        case AveragePool():
            if node.edge_multipliers:
                return "windows at the edge count fewer taps"
        case Add():
            if len({network.tensors[name].shape for name in node.inputs}) > 1:
                return "its inputs have different shapes"
            if np.abs(node.multipliers).max() >= 1 << (FACTOR_BITS - 1):
                return f"multipliers of more than {FACTOR_BITS} bits"
        case Concat():
            if len(network.input_of(node).shape) != 3 or node.axis != 2:
                return "joins along another axis than channels"
            if any(network.tensors[name].dtype != network.input_of(node).dtype for name in node.inputs):
                return "its inputs have different types"
        case Flatten():
            readers = network.consumers(node.output)
            height, width, _ = network.input_of(node).shape if len(network.input_of(node).shape) == 3 else (1, 1, 0)
            if height * width > 1 and not all(isinstance(reader, Dense) for reader in readers):
                return "flattened pixels that something else than a dense layer reads"
        case LocalResponseNorm():
            if node.before + node.after >= NEIGHBOURS:
                return f"a neighbourhood of more than {NEIGHBOURS} channels"
        case Lookup():
            if len(node.table) > 1:
                return "a table for every channel"
        case MaxPool():
            pass
        case Rescale():
            if len(network.output_of(node).shape) not in (1, 3):
                return "neither an image nor a vector"
        case _:
            return "no such command"
    rule = getattr(node, "requantization", None)
    if isinstance(rule, Requantization):
        if rule.multiplier_bits > MULTIPLIER_BITS:
            return f"a multiplier of {rule.multiplier_bits} bits"
        if np.abs(rule.bias).max() >= 1 << (ACCUMULATOR_BITS - 1):
            return "a bias of more than 32 bits"
    return _accumulator_refusal(network, node)


def _accumulator_refusal(network: Network, node: Node) -> str:
    source = network.input_of(node).dtype
    largest = max(abs(source.min), source.max)
    match node:
        case Conv() | Dense():
            positive, negative = signed_sums(node.matrix)
            bound = int((positive - negative).max()) * largest
        case Add():
            types = [network.tensors[name].dtype for name in node.inputs]
            codes = [max(abs(t.min), t.max) for t in types]
            bound = int(np.abs(node.multipliers) @ np.array(codes))
        case AveragePool():
            bound = node.kernel[0] * node.kernel[1] * max(largest, abs(node.pad_value))
        case _:
            return ""
    return "accumulators of more than 32 bits" if bound >= 1 << (ACCUMULATOR_BITS - 1) else ""
