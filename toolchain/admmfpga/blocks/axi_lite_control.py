"""AXI4-Lite control: the register map of `registers.py` around the data path. Not a stream block."""

from __future__ import annotations

from admmfpga.blocks.base import Resources
from admmfpga.blocks.calibration import Terms, costs

STEM = "axi_lite_control"


def terms() -> Terms:
    """The same for every design: counters and their read multiplexer, channels, interrupts."""
    return Terms(lut={"whole": 1}, ff={"whole": 1})


def resources() -> Resources:
    """Modelled resources."""
    return Resources(**costs(STEM, terms()))
