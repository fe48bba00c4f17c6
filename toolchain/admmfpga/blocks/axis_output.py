"""AXI4-Stream out: extends codes to byte-aligned containers and marks the last beat of a frame with TLAST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from admmfpga.blocks.base import BeatByBeat, Port, Resources, counter_terms, fifo_resources
from admmfpga.blocks.calibration import Terms


@dataclass(frozen=True, kw_only=True)
class AxisOutput(BeatByBeat):
    """`lanes` codes of `bits`, each sign- or zero-extended to `container_bits`; `beats` a frame."""

    stem: ClassVar[str] = "axis_output"
    lanes: int
    bits: int
    signed: bool
    container_bits: int

    @property
    def source(self) -> Port:
        return Port(self.lanes, self.bits, self.signed)

    @property
    def sink(self) -> Port:
        return Port(self.lanes, self.container_bits, self.signed)

    def core_terms(self) -> Terms:
        # The beat counter, and the handshake around it.
        counter = counter_terms(self.beats)
        return Terms(lut={"control": 1, **counter}, ff={"counter_bits": counter["counter_bits"]})

    def output_resources(self) -> Resources:
        # Codes are extended behind the FIFO.
        return fifo_resources(self.out_depth, self.source.width)

    def rtl_parameters(self) -> dict[str, int | str]:
        return {
            "LANES": self.lanes,
            "BITS": self.bits,
            "SIGNED": int(self.signed),
            "CONTAINER_BITS": self.container_bits,
            "BEATS": self.beats,
            **self.output_parameters(),
        }
