"""AXI4-Lite control: the register map of `registers.py` around the data path. Not a stream block."""

from __future__ import annotations

from admmfpga.blocks.base import Resources

STEM = "axi_lite_control"


def resources() -> Resources:
    """First estimate: nine 32-bit counters and their read multiplexer."""
    return Resources(lut=420, ff=460)
