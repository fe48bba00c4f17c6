"""Synthesis of a build, as a whole or a layer's stages one by one."""

from __future__ import annotations

from pathlib import Path

from admmfpga.codegen.rtl import TOP, compile_order, rtl_parameters
from admmfpga.errors import UserError
from admmfpga.runtime.build import Build
from admmfpga.tools.yosys import Job, Synthesis, Yosys


def synthesize_top(build: Build, yosys: Yosys) -> Synthesis:
    """The whole accelerator, AXI interfaces included.

    Raises:
        ToolError: Yosys failed.
    """
    return _synthesize(build, yosys, {TOP: Job(TOP)}, build.work / "yosys")[TOP]


def synthesize_layer(build: Build, yosys: Yosys, layer: str) -> dict[str, Synthesis]:
    """The stages of a layer, each by itself, by name.

    Raises:
        UserError: there is no such layer in hardware.
        ToolError: Yosys failed.
    """
    stages = list(build.design.of_layer(layer)) if layer else []
    if not stages:
        known = dict.fromkeys(stage.layer for stage in build.design.stages if stage.layer)
        raise UserError(f"no layer {layer!r} in this build", f"its layers: {', '.join(known)}")
    jobs = {stage.name: Job(stage.block.stem, rtl_parameters(stage)) for stage in stages}
    return _synthesize(build, yosys, jobs, build.work / f"yosys_{layer}")


def _synthesize(build: Build, yosys: Yosys, jobs: dict[str, Job], folder: Path) -> dict[str, Synthesis]:
    rtl, memory = build.folder / "rtl", build.folder / "memory"
    sources = [rtl / name for name in compile_order([path.name for path in rtl.glob("*.sv")])]
    family = build.report["family"]
    return yosys.synthesize(jobs, sources, family=family, folder=folder, memories=memory.glob("*.mem"))
