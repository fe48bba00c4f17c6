"""AXI4-Stream in: unpacks containers (bytes, or equal parts of bytes) into lanes, admits whole frames, checks TLAST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from admmfpga.blocks.base import BeatByBeat, Port, counter_terms
from admmfpga.blocks.calibration import Terms


@dataclass(frozen=True, kw_only=True)
class AxisInput(BeatByBeat):
    """TDATA of `lanes` containers of `container_bits`, each holding one code of `bits`; `beats` a frame."""

    stem: ClassVar[str] = "axis_input"
    lanes: int
    bits: int
    signed: bool
    container_bits: int

    @property
    def source(self) -> Port:
        return Port(self.lanes, self.container_bits, self.signed)

    @property
    def sink(self) -> Port:
        return Port(self.lanes, self.bits, self.signed)

    def core_terms(self) -> Terms:
        # The beat counter, and the handshake around it.
        counter = counter_terms(self.beats)
        return Terms(lut={"control": 1, **counter}, ff={"counter_bits": counter["counter_bits"]})

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "LANES": self.lanes,
            "BITS": self.bits,
            "CONTAINER_BITS": self.container_bits,
            "BEATS": self.beats,
            **self.output_parameters(),
        }
