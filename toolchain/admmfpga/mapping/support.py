"""Which layers have hardware in the dataflow architecture, and what to say of those that have none."""

from __future__ import annotations

from admmfpga.errors import UserError
from admmfpga.network import (
    Add,
    AveragePool,
    Concat,
    Conv,
    Dense,
    Flatten,
    Lookup,
    MaxPool,
    Network,
    Node,
    Pad,
    Reorder,
    Rescale,
    Resize,
)

HARDWARE = (Add, AveragePool, Concat, Conv, Dense, Flatten, Lookup, MaxPool, Pad, Rescale, Resize)
"""Operators that blocks compute."""


def hardware_nodes(network: Network) -> list[Node]:
    """The nodes that become hardware, in order: those that the output needs, but for what moves nothing.

    Raises:
        UserError: naming everything at once that has no block.
    """
    missing = without_hardware(network)
    if missing:
        listed = "".join(f"\n  {name}: {reason}" for name, reason in missing)
        raise UserError(
            f"the dataflow architecture has no hardware for {len(missing)} of the model's layers:{listed}",
            "`admmfpga check` shows the whole model",
            node=missing[0][0] if len(missing) == 1 else "",
        )
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise UserError(
            f"the model has {len(network.inputs)} inputs and {len(network.outputs)} outputs",
            "the accelerator takes one input and gives one output",
        )
    return [node for node in _live(network) if not isinstance(node, Flatten)]


def stream_tensor(network: Network, name: str) -> str:
    """The tensor whose stream carries a tensor: a flattened one is the image's."""
    while isinstance(producer := network.producer(name), Flatten):
        name = producer.inputs[0]
    return name


def without_hardware(network: Network) -> list[tuple[str, str]]:
    """Layers that no block computes, with the reason, in order."""
    if not any(not isinstance(node, Flatten) for node in network.nodes):
        return [(network.name, "there is no layer at all")]
    found = []
    for node in network.nodes:
        reason = _missing(network, node)
        if reason:
            found.append((node.name, reason))
    return found


def _missing(network: Network, node: Node) -> str:
    """Why a layer has no hardware; empty if it has."""
    match node:
        case Add():
            shapes = {network.tensors[name].shape for name in node.inputs}
            if len(shapes) > 1:
                return f"Add of tensors of different shapes ({' and '.join(map(str, sorted(shapes)))})"
            if not node.multipliers.all():
                return "Add with a summand that is always zero"
            return ""
        case Reorder():
            return f"{node.kind} that changes the order of the stream"
        case _ if isinstance(node, HARDWARE):
            return ""
    return node.op


def _live(network: Network) -> list[Node]:
    """The nodes that the outputs need."""
    wanted = set(network.outputs)
    for node in reversed(network.nodes):
        if node.output in wanted:
            wanted.update(node.inputs)
    return [node for node in network.nodes if node.output in wanted]
