"""Width converter: the same elements in beats of another number of lanes (whole ratios, up or down)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from admmfpga.blocks.base import Block, Contents, Port, Schedule, counter_terms, every
from admmfpga.blocks.calibration import Terms
from admmfpga.network import IntArray


@dataclass(frozen=True, kw_only=True)
class WidthConverter(Block):
    """`in_lanes` to `out_lanes`; one is a multiple of the other. `elements` a frame, in stream order."""

    stem: ClassVar[str] = "width_converter"
    in_lanes: int
    out_lanes: int
    bits: int
    signed: bool
    elements: int

    def __post_init__(self) -> None:
        assert max(self.in_lanes, self.out_lanes) % min(self.in_lanes, self.out_lanes) == 0, self
        assert self.elements % max(self.in_lanes, self.out_lanes) == 0, self

    @property
    def source(self) -> Port:
        return Port(self.in_lanes, self.bits, self.signed)

    @property
    def sink(self) -> Port:
        return Port(self.out_lanes, self.bits, self.signed)

    @property
    def core_latency(self) -> int:
        return 0

    @property
    def cycles(self) -> int:
        return self.elements // min(self.in_lanes, self.out_lanes)

    @property
    def beats_out(self) -> int:
        return self.elements // self.out_lanes

    def schedule(self) -> Schedule:
        steps = self.cycles
        if self.in_lanes >= self.out_lanes:
            return Schedule(steps, every(self.in_lanes // self.out_lanes, steps), every(1, steps))
        ratio = self.out_lanes // self.in_lanes
        return Schedule(steps, every(1, steps), every(ratio, steps, ratio - 1))

    def execute(self, beats: IntArray, contents: Contents) -> IntArray:
        return beats.reshape(-1, self.out_lanes)

    def core_terms(self) -> Terms:
        steps = counter_terms(max(self.in_lanes, self.out_lanes) // min(self.in_lanes, self.out_lanes))
        down = self.in_lanes > self.out_lanes
        return Terms(
            lut={
                "control": 1,
                **steps,
                # Down: the input's low lanes or the rest of it go out, the rest is loaded or shifted.
                "select_bits": self.source.width if down else 0,
            },
            # All of the wide beat but the lanes that pass straight through.
            ff={"kept_bits": abs(self.source.width - self.sink.width), "counter_bits": steps["counter_bits"]},
        )

    def rtl_parameters(self) -> dict[str, int | str]:
        return {"IN_LANES": self.in_lanes, "OUT_LANES": self.out_lanes, "BITS": self.bits, **self.output_parameters()}

    def frame_parameters(self) -> dict[str, int]:
        return {"STEPS": self.cycles}
