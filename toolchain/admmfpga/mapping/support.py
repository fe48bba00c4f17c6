"""Which layers have hardware in the dataflow architecture, and what to say of those that have none."""

from __future__ import annotations

from admmfpga.errors import UserError
from admmfpga.network import Conv, Dense, Flatten, Network, Node, Rescale
from admmfpga.network import MaxPool as MaxPoolNode


def hardware_nodes(network: Network) -> list[Node]:
    """The nodes that become hardware, in order.

    Raises:
        UserError: naming everything at once that has no block, and every tensor at which the graph branches.
    """
    missing = without_hardware(network)
    if missing:
        listed = "".join(f"\n  {name}: {reason}" for name, reason in missing)
        raise UserError(
            f"the dataflow architecture has no hardware for {len(missing)} of the model's layers:{listed}",
            "`admmfpga check` shows the whole model",
            node=missing[0][0] if len(missing) == 1 else "",
        )
    for name in network.tensors:
        readers = network.consumers(name)
        if len(readers) > 1 or (readers and name in network.outputs):
            raise UserError(
                f"tensor {name} is read by {len(readers)} layers; branches are not supported yet",
                "cut the model so that it is a chain of layers",
                node=readers[0].name,
            )
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise UserError(
            f"the model has {len(network.inputs)} inputs and {len(network.outputs)} outputs",
            "the accelerator takes one input and gives one output",
        )
    return [node for node in network.nodes if not isinstance(node, Flatten)]


def without_hardware(network: Network) -> list[tuple[str, str]]:
    """Layers that no block computes, with the reason, in order; a layer at which the graph branches is one of them."""
    found = []
    if not any(not isinstance(node, Flatten) for node in network.nodes):
        found.append((network.name, "there is no layer at all"))
    for node in network.nodes:
        match node:
            case Conv() if node.groups > 1:
                kind = "depthwise" if node.depthwise else f"grouped ({node.groups} groups)"
                found.append((node.name, f"{kind} convolution"))
            case Conv() | MaxPoolNode() if node.dilations != (1, 1):
                found.append((node.name, f"{node.op} with dilation {node.dilations[0]} x {node.dilations[1]}"))
            case Conv() | Dense() | MaxPoolNode() | Rescale() | Flatten():
                pass
            case _:
                found.append((node.name, node.op))
    joined = {name for name, _ in found}
    for name in network.tensors:
        readers = network.consumers(name)
        unfit = [reader.name for reader in readers if reader.name in joined]
        if len(readers) > 1 and not unfit:
            names = ", ".join(reader.name for reader in readers)
            found.append((readers[0].name, f"the graph branches: {name} is read by {names}"))
    return found
