"""AXI4-Lite control: the register map of `registers.py` around the data path. Not a stream block."""

from __future__ import annotations

from admmfpga.blocks.base import Resources
from admmfpga.blocks.calibration import Terms, costs

STEM = "axi_lite_control"


def terms() -> Terms:
    """The same for every design: counters and their read multiplexer, channels, interrupts."""
    return Terms(lut={"whole": 1}, ff={"whole": 1})


LOADING = Resources(lut=107, ff=135)
"""What the registers of weight loading add, by Yosys synthesis (xc7)."""


def resources(*, reloadable: bool = False) -> Resources:
    """Modelled resources."""
    return Resources(**costs(STEM, terms())) + (LOADING if reloadable else Resources())
