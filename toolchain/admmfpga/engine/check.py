"""`simulate` on an engine's build folder: reference, HLS C++ and RTL, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from admmfpga.atomic import atomic_write
from admmfpga.engine.build import engine_shape, planned
from admmfpga.engine.hls import EngineCsim
from admmfpga.engine.schedule import Program
from admmfpga.engine.simulation import EngineRtl
from admmfpga.engine.timing import time_program
from admmfpga.errors import UserError
from admmfpga.frontend import load
from admmfpga.manifest import verify_manifest
from admmfpga.network import IntArray, Network, Tensor
from admmfpga.network.reference import run

WORK = "simulation"
RTL_CYCLES = 3_000_000
"""Frames of more cycles are simulated in RTL only where they are asked for by name."""


@dataclass(frozen=True, eq=False)
class EngineBuild:
    """An engine's build folder.

    Attributes:
        folder: where it is.
        network: as it came from the model: what defines the results.
        program: what the engine runs.
        report: report.json.
    """

    folder: Path
    network: Network
    program: Program
    report: dict[str, Any]

    @property
    def input(self) -> Tensor:
        return self.network.tensors[self.network.inputs[0]]

    def save_report(self, report: dict[str, Any]) -> None:
        """Replace report.json atomically."""
        atomic_write(self.folder / "report.json", (json.dumps(report, indent=2) + "\n").encode())


def is_engine_build(folder: Path) -> bool:
    """Whether a folder is a build of the shared engine."""
    try:
        return bool(json.loads((folder / "design.json").read_text()).get("architecture") == "engine")
    except (OSError, ValueError):
        return False


def open_engine_build(folder: Path) -> EngineBuild:
    """Read a build folder; everything in it is checked first.

    Raises:
        UserError: a file is missing, damaged or foreign, or this version would make another program.
    """
    verify_manifest(folder, ignore=("report.json", WORK))
    described = json.loads((folder / "design.json").read_text())
    network = load(folder / "model.onnx", name=described["name"]).network
    shape = engine_shape(described)
    _, program = planned(network, shape)
    same = (folder / "program" / "transfers.bin").read_bytes() == program.transfer_list().tobytes()
    if not same or (folder / "program" / "stream.bin").read_bytes() != program.stream().tobytes():
        raise UserError(f"{folder} was made by another version of admmfpga", "compile again")
    return EngineBuild(folder, network, program, json.loads((folder / "report.json").read_text()))


def verify(
    build: EngineBuild, codes: IntArray, wanted: list[str], *, named: bool, progress: Callable[..., None]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Run frames through what is wanted ("hls", "rtl") and compare with the reference.

    Args:
        named: "rtl" was asked for by name, however long it takes.

    Returns:
        figures by implementation, and what is wrong, one line each.
    """
    work = build.folder / WORK
    work.mkdir(exist_ok=True)
    progress("reference (numpy)")
    expected = run(build.network, codes)
    found: dict[str, dict[str, Any]] = {"reference": {"frames": len(codes), "mismatches": 0}}
    problems: list[str] = []
    if "hls" in wanted:
        csim = EngineCsim(build.program.shape, work)
        progress("compiling the HLS C++")
        csim.compile()
        results = csim.run(build.program, codes, progress=lambda done: progress("HLS C++ (g++)", done, len(codes)))
        _compare("hls", results, expected, found, problems)
    if "rtl" in wanted:
        timing = time_program(build.program)
        if timing.cycles > RTL_CYCLES and not named:
            found["rtl"] = {"skipped": f"{timing.cycles:,} cycles a frame; --implementation rtl runs it all the same"}
            return found, problems
        rtl = EngineRtl(build.program.shape, work)
        progress("building the Verilator model (rtl)")
        rtl.compile()
        ran = []
        for index, frame in enumerate(codes):
            progress("RTL (Verilator)", index, len(codes))
            ran.append(rtl.run(build.program, frame, latency=timing.latency))
        _compare("rtl", np.stack([one.output for one in ran]), expected, found, problems)
        found["rtl"]["cycles"] = ran[0].cycles
        if ran[0].cycles != timing.cycles:
            problems.append(f"rtl: {ran[0].cycles:,} cycles a frame, the model says {timing.cycles:,}")
    return found, problems


def _compare(
    name: str, results: IntArray, expected: IntArray, found: dict[str, dict[str, Any]], problems: list[str]
) -> None:
    wrong = np.argwhere(results != expected)
    frames = len(set(wrong[:, 0].tolist()))
    found[name] = {"frames": len(results), "mismatches": frames}
    if frames:
        at = tuple(int(v) for v in wrong[0])
        problems.append(
            f"{name}: {frames} of {len(results)} frames differ, first at {at}: {results[at]}, expected {expected[at]}"
        )
