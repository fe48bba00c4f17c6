"""What every stream of a design carries, by the blocks' Python models."""

from __future__ import annotations

from admmfpga.mapping.design import Design
from admmfpga.network import IntArray


def stream_beats(design: Design, codes: IntArray) -> dict[str, IntArray]:
    """Beats of every stream for one frame of input codes (*shape), by the blocks' Python models."""
    axis_in = design.formats[0]
    lanes = codes.reshape(-1, axis_in.lanes)
    streams = {"s_axis": lanes}
    for stage in design.stages:
        found = stage.block.execute_ports([streams[name] for name in stage.inputs], stage.contents)
        streams |= dict(zip(stage.outputs, found, strict=True))
    return streams
