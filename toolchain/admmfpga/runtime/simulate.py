"""Runs frames through every implementation of a build and compares them, bit for bit and cycle for cycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from admmfpga.blocks import MatrixUnit
from admmfpga.codegen.frames import Beats, from_beats, to_beats
from admmfpga.codegen.rtl import TOP
from admmfpga.mapping import Design
from admmfpga.network import IntArray
from admmfpga.network.reference import run
from admmfpga.runtime.build import Build
from admmfpga.runtime.images import accuracy
from admmfpga.runtime.locate import Difference, locate
from admmfpga.tools.cocotb_bench import first_complaint, run_bench
from admmfpga.tools.csim import CSimulation
from admmfpga.tools.verilated import Verilated, link_memories, sources

Progress = Callable[..., None]

IMPLEMENTATIONS = ("reference", "hls", "rtl", "hls_dpi")
"""reference: numpy; hls: C++ compiled with g++; rtl: Verilator; hls_dpi: that C++ in Verilator behind the AXI ports."""


@dataclass(eq=False)
class Outcome:
    """What one implementation did.

    Attributes:
        frames, mismatches: frames run, and those whose result differs from the reference's in any bit.
        accuracy: share of right classes, None without labels.
        latency_cycles, frame_interval_cycles: measured; None where there is no clock (or one frame only).
        expected_latency, expected_interval: from the blocks' closed forms, None where they do not apply.
        difference: where it first differs.
        protocol: what the cocotb bench found wrong.
        weight_slots: by layer, share of an index-decoding PE's multiplier slots that carried a weight that is not zero.
        idle_steps: PEs that took more or fewer steps than their schedule has, in words.
    """

    frames: int
    mismatches: int = 0
    accuracy: float | None = None
    latency_cycles: int | None = None
    frame_interval_cycles: int | None = None
    expected_latency: int | None = None
    expected_interval: int | None = None
    difference: Difference | None = None
    protocol: list[str] = field(default_factory=list)
    weight_slots: dict[str, float] = field(default_factory=dict)
    idle_steps: list[str] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """What is wrong, one line each."""
        found = [*self.protocol, *self.idle_steps]
        if self.mismatches:
            found.append(f"{self.mismatches} of {self.frames} frames differ; {self.difference}")
        if self.expected_latency is not None and self.latency_cycles != self.expected_latency:
            found.append(f"latency is {self.latency_cycles} cycles, the closed form says {self.expected_latency}")
        if self.expected_interval is not None and self.frame_interval_cycles != self.expected_interval:
            found.append(
                f"frame interval is {self.frame_interval_cycles} cycles, the closed form says {self.expected_interval}"
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        return {
            "frames": self.frames,
            "mismatches": self.mismatches,
            "accuracy": None if self.accuracy is None else round(self.accuracy, 6),
            "latency_cycles": self.latency_cycles,
            "frame_interval_cycles": self.frame_interval_cycles,
            **({"weight_slots": self.weight_slots} if self.weight_slots else {}),
        }

    def count_slots(self, design: Design, seen: Mapping[str, tuple[int, int]]) -> None:
        """Take over what a simulation counted.

        Args:
            seen: steps, and slots with a weight in them, by stage name.
        """
        for stage in design.stages:
            if stage.name not in seen:
                continue
            assert isinstance(stage.block, MatrixUnit), stage.name
            steps, weights = seen[stage.name]
            planned = self.frames * stage.block.vectors * stage.block.vector_products // stage.block.multipliers
            if steps != planned:
                self.idle_steps.append(f"{stage.name} took {steps} steps, its schedule has {planned}")
            self.weight_slots[stage.layer] = round(weights / max(1, steps * stage.block.multipliers), 6)


@dataclass(eq=False)
class Simulation:
    """Frames and what every implementation made of them."""

    build: Build
    codes: IntArray
    labels: IntArray | None = None
    progress: Progress = lambda *_: None
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    expected: IntArray = field(init=False)

    def __post_init__(self) -> None:
        design = self.build.design
        self.progress("reference (numpy)")
        self.expected = run(design.original, self.codes)
        self.outcomes["reference"] = Outcome(len(self.codes), accuracy=accuracy(design, self.expected, self.labels))

    @property
    def input_beats(self) -> Beats:
        return to_beats(self.codes, self.build.design.formats[0])

    def run_hls(self) -> Outcome:
        """The HLS C++, compiled with g++."""
        simulation = CSimulation(self.build.folder, self.build.work / "csim")
        self.progress("compiling the HLS C++")
        simulation.compile()
        beats = simulation.run(
            self.input_beats,
            len(self.codes),
            progress=lambda done: self.progress("HLS C++ (g++)", done, len(self.codes)),
        )
        outcome = self._compare("hls", beats)
        if outcome.mismatches:
            outcome.difference = locate(self, "hls")
        return outcome

    def run_verilated(self, name: str, *, stall_percent: int = 0) -> Outcome:
        """The RTL ("rtl") or the HLS C++ behind DPI ("hls_dpi") in Verilator, driven by the C++ harness."""
        design = self.build.design
        model = Verilated(self.build.folder, self.build.work, name)
        self.progress(f"building the Verilator model ({name})")
        model.compile()
        label = {"rtl": "RTL (Verilator)", "hls_dpi": "HLS C++ in Verilator (DPI)"}[name]
        result = model.run(
            self.input_beats,
            out_beats=design.out_beats,
            settle=design.settle_cycles,
            stall_percent=stall_percent,
            progress=lambda done: self.progress(label, done, len(self.codes)),
        )
        outcome = self._compare(name, result.output)
        outcome.latency_cycles = result.latency
        outcome.frame_interval_cycles = result.frame_interval
        outcome.count_slots(design, result.slots)
        if name == "rtl" and not stall_percent:
            outcome.expected_latency = design.timing.latency
            # A pipeline needs some frames to reach its steady state; the model knows when.
            if result.frame_interval is not None and len(self.codes) >= design.timing.settled_frames > 0:
                outcome.expected_interval = design.timing.frame_interval
        if outcome.mismatches:
            outcome.difference = locate(self, name)
        return outcome

    def run_protocol(self, name: str, frames: int) -> dict[str, int]:
        """The cocotb bench under random stalls on the first frames; see rtl_tests/accelerator_bench.py.

        Returns:
            number of frames and of tests.
        """
        design = self.build.design
        frames = min(frames, len(self.codes))
        self.progress(f"cocotb bench under stalls ({name})")
        axis_in, axis_out = design.formats
        folder = self.build.work / f"{name}_cocotb"
        link_memories(self.build.folder, folder)
        np.savez(
            folder / "bench.npz",
            input=self.input_beats[:frames],
            output=to_beats(self.expected[:frames], axis_out),
            in_bytes=axis_in.width // 8,
            out_bytes=axis_out.width // 8,
            model=int(self.build.model_sha256[:8], 16),
        )
        files, arguments = sources(self.build.folder, name)
        result = run_bench(
            "accelerator_bench",
            top=TOP,
            sources=files,
            build_dir=self.build.work / f"{name}_cocotb_model",
            test_dir=folder,
            build_args=arguments,
        )
        outcome = self.outcomes[name]
        if result.failed:
            complaint = first_complaint(result.log)
            outcome.protocol.append(f"cocotb: {', '.join(result.failed)} failed: {complaint} (log: {result.log})")
        return {"frames": frames, "tests": len(result.tests), "failed": len(result.failed)}

    def _compare(self, name: str, beats: Beats) -> Outcome:
        design = self.build.design
        results = from_beats(beats, design.formats[1], design.output.dtype, design.output.shape)
        wrong = np.flatnonzero((results != self.expected).reshape(len(results), -1).any(axis=1))
        outcome = Outcome(len(results), len(wrong), accuracy(design, results, self.labels))
        if len(wrong):
            outcome.difference = Difference.of_output(self, int(wrong[0]), results)
        self.outcomes[name] = outcome
        return outcome
