"""What a report says of a program: busy multipliers, DRAM traffic against its minimum, by layer and in total."""

from __future__ import annotations

from typing import Any

import numpy as np

from admmfpga.engine.layers import EngineLayer
from admmfpga.engine.program import MATRIX, STORE, TRANSFER_BYTES
from admmfpga.engine.schedule import Program
from admmfpga.engine.timing import EngineTiming, visited_steps
from admmfpga.network import Concat, Conv, Dense, Flatten, Network


def compulsory_bytes(network: Network, scratchpad_bytes: int) -> int:
    """The least that has to move: weights once, the frame and the result, and of every layer the inputs and outputs
    that are larger than the scratchpad. Codes are bytes; joins and flattening cost nothing. Of a layer's weights those
    that are not zero and a bit for each, if that is less."""
    layers = [node.weights for node in network.nodes if isinstance(node, Conv | Dense)]
    total = sum(min(w.size, int(np.count_nonzero(w)) + -(-w.size // 8)) for w in layers)
    outside = {*network.inputs, *network.outputs}
    for node in network.nodes:
        if isinstance(node, Concat | Flatten):
            continue
        for name in (*node.inputs, node.output):
            elements = network.tensors[name].elements
            if name in outside or elements > scratchpad_bytes:
                total += elements
    return total


def layer_figures(program: Program, timing: EngineTiming) -> list[dict[str, Any]]:
    """Of every layer: its share of multiplications, cycles in which the array works for it, bytes moved."""
    shape = program.shape
    layers = program.lowered.layers
    busy, stream = [0] * len(layers), [0] * len(layers)
    moved = [[0, 0] for _ in layers]
    for command in program.commands:
        fields = command.fields
        busy[command.layer] += visited_steps(command) * fields["rows"] * fields["columns"]
        stream[command.layer] += shape.header_words * shape.word_bytes + len(command.weights.data)
    for transfer in program.transfers:
        fields = transfer.fields
        moved[transfer.layer][fields["flags"] & STORE] += fields["count"] * fields["length"] * shape.simd
    found, before = [], 0
    for index, layer in enumerate(layers):
        cycles = timing.layer_ends[index] - before
        before = timing.layer_ends[index]
        slots = cycles * shape.multipliers
        found.append(
            {
                "name": layer.name,
                "op": layer.op if layer.tail is None else f"{layer.op} + {layer.tail.layer.op}",
                "output": [layer.output.height, layer.output.width, int((layer.output.lanes >= 0).sum())],
                "macs": layer.macs,
                "cycles": cycles,
                "busy_cycles": busy[index],
                "utilization": round(layer.macs / slots, 4) if is_matrix(layer) and slots else None,
                "stream_bytes": stream[index],
                "loaded_bytes": moved[index][0],
                "stored_bytes": moved[index][1],
                "resident": program.plan.at(layer.output.buffer, index) is not None,
            }
        )
    return found


def is_matrix(layer: EngineLayer) -> bool:
    """Whether it runs on the array; the rest is lane by lane."""
    return layer.table is None and any(part.kind == MATRIX for group in layer.groups for part in group.parts)


def totals(program: Program, timing: EngineTiming, network: Network) -> dict[str, Any]:
    """Of a frame.

    Args:
        network: before its input was folded.
    """
    shape = program.shape
    layers = layer_figures(program, timing)
    convolutions = [
        (figures, layer)
        for figures, layer in zip(layers, program.lowered.layers, strict=True)
        if layer.op == "Conv" and is_matrix(layer)
    ]
    cycles = sum(figures["cycles"] for figures, _ in convolutions)
    macs = sum(figures["macs"] for figures, _ in convolutions)
    loaded, stored = program.moved_bytes()
    least = compulsory_bytes(network, shape.scratchpad * shape.simd)
    return {
        "cycles": timing.cycles,
        "dram_latency_cycles": timing.latency,
        "convolution_cycles": cycles,
        "convolution_utilization": round(macs / (cycles * shape.multipliers), 4) if cycles else None,
        "traffic": {
            "bytes": program.traffic,
            "stream_bytes": program.stream_bytes,
            "list_bytes": TRANSFER_BYTES * len(program.transfers),
            "loaded_bytes": loaded,
            "stored_bytes": stored,
            "compulsory_bytes": least,
            "ratio": round(program.traffic / least, 3),
        },
    }
