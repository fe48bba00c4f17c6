"""Bits that a frame moves, and where each layer stands under the roofline.

On chip: words read from weight memories, activations that the PEs take, beats through the streams between blocks. DRAM:
frames in and results out; weights and activations of a dataflow accelerator stay on chip.

Roofline (S. Williams, A. Waterman, D. Patterson, Roofline: an insightful visual performance model for multicore
architectures, CACM 52(4), 2009): attainable = min(peak, operational intensity x bandwidth). A multiplication and its
addition are two operations; counted are those that the PE does, not those that pruning saves. A layer's intensity is
that of the layer by itself, its input, output and stored weights going through DRAM once: where the product with the
bandwidth is below what the layer reaches on chip, an accelerator that streams them from DRAM would be slower than this
one.
"""

from __future__ import annotations

from typing import Any

from admmfpga.blocks import Block, MatrixUnit
from admmfpga.boards import Board
from admmfpga.mapping import Design
from admmfpga.network import Node
from admmfpga.report.energy import activation_reads, weight_reads


def frame_bytes(design: Design) -> tuple[int, int]:
    """Bytes of a frame in and of a result out, in their containers."""
    into, out = design.formats
    return design.in_beats * into.width // 8, design.out_beats * out.width // 8


def on_chip(design: Design, layer: str | None = None) -> dict[str, int]:
    """Bits that a frame moves on chip.

    Args:
        layer: only this one; None for all.
    """
    stages = list(design.stages if layer is None else design.of_layer(layer))
    return {
        "weight_bits": sum(weight_reads(stage) for stage in stages),
        "activation_bits": sum(activation_reads(stage.block) for stage in stages),
        "stream_bits": sum(_stream_bits(stage.block) for stage in stages),
    }


def traffic(design: Design, board: Board, clock_mhz: float) -> dict[str, Any]:
    """Of a whole frame, for report.json; bandwidth in 10^6 bytes a second at full speed."""
    into, out = frame_bytes(design)
    seconds = design.timing.frame_interval / (clock_mhz * 1e6)
    moved = on_chip(design)
    operations = sum(_operations(stage.block) for stage in design.stages)
    return {
        "dram_bytes_in": into,
        "dram_bytes_out": out,
        "dram_mb_s": round((into + out) / seconds / 1e6, 3),
        "dram_mb_s_available": bandwidth(board, clock_mhz),
        "on_chip": moved,
        "on_chip_mb_s": round(sum(moved.values()) / 8 / seconds / 1e6, 3),
        "operations": operations,
        "operations_per_dram_byte": round(operations / (into + out), 3),
    }


def bandwidth(board: Board, clock_mhz: float) -> float:
    """What the DRAM gives at most, 10^6 bytes a second: its peak, or both directions of one port."""
    port = board.memory_port(clock_mhz)
    peak = board.memory.bandwidth_mb_s
    return round(peak if port is None else min(peak, 2 * port.bytes_per_cycle * clock_mhz), 3)


def roofline(design: Design, node: Node, board: Board, clock_mhz: float) -> dict[str, Any] | None:
    """A layer's place under the roofline, in 10^9 operations a second; None for layers that do not multiply.

    Returns:
        operations; dram_bytes, if the layer streamed all it needs once a frame; operations_per_byte;
        peak_gops: of the PE array as built; attainable_gops: under the board's bandwidth; reached_gops: by this design,
        whose weights and activations are on chip.
    """
    array = next((stage.block for stage in design.of_layer(node.name) if isinstance(stage.block, MatrixUnit)), None)
    if array is None:
        return None
    source, output = design.network.input_of(node), design.network.output_of(node)
    weights = sum(
        memory.width * memory.depth for stage in design.of_layer(node.name) for memory in stage.memories.values()
    )
    bits = weights + source.elements * source.dtype.bits + output.elements * output.dtype.bits
    operations, size = _operations(array), -(-bits // 8)
    peak = 2 * array.multipliers * clock_mhz / 1e3
    return {
        "operations": operations,
        "dram_bytes": size,
        "operations_per_byte": round(operations / size, 3),
        "peak_gops": round(peak, 3),
        "attainable_gops": round(min(peak, operations / size * bandwidth(board, clock_mhz) / 1e3), 3),
        "reached_gops": round(operations * clock_mhz / 1e3 / design.timing.frame_interval, 3),
    }


def _operations(block: Block) -> int:
    return 2 * block.vectors * block.vector_products if isinstance(block, MatrixUnit) else 0


def _stream_bits(block: Block) -> int:
    return block.beats_out * block.sink.width
