"""Synthesis of a build by any of the tools, as a whole; by Yosys also a layer's stages one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admmfpga.blocks import Resources
from admmfpga.codegen.rtl import TOP, compile_order, rtl_parameters
from admmfpga.errors import UserError
from admmfpga.runtime.build import Build
from admmfpga.tools.bambu import TOP as CORE
from admmfpga.tools.bambu import Bambu
from admmfpga.tools.vitis import Vitis
from admmfpga.tools.vivado import Vivado
from admmfpga.tools.yosys import FLOWS, Job, Synthesis, Yosys

Outcome = tuple[str, Resources, str]
"""Version of the tool, resources, what was synthesized."""


def synthesize_top(build: Build, yosys: Yosys, family: str | None = None) -> Synthesis:
    """The whole accelerator, AXI interfaces included.

    Args:
        family: instead of the board's.

    Raises:
        ToolError: Yosys failed.
    """
    family = family or str(build.report["family"])
    return _synthesize(build, yosys, {TOP: Job(TOP)}, build.work / "yosys", family)[TOP]


def synthesize(build: Build, tool: str, *, family: str | None = None, timeout: float = 3600.0) -> dict[str, Any]:
    """The accelerator by a tool.

    Args:
        tool: a key of `TOOLS`.
        family: of FPGAs, instead of the board's; only open tools take another one.
        timeout: seconds.

    Returns:
        tool, version, resources as in report.json; source: what was synthesized, and for which family or part.

    Raises:
        UserError: the tool does not know the family.
        ToolError: it is missing, too old, failed, found no licence or ran out of time.
    """
    wanted = family or build.report["family"]
    if wanted not in TOOLS[tool].families:
        known = ", ".join(TOOLS[tool].families)
        raise UserError(f"{tool} does not synthesize for {wanted}", f"it takes {known}; yosys takes {', '.join(FLOWS)}")
    if family is not None and tool in VENDOR_TOOLS and family != build.report["family"]:
        raise UserError(f"{tool} synthesizes for the board's part, {build.report['part']}", "compile for another board")
    version, resources, source = TOOLS[tool].run(build, wanted, timeout)
    return {"tool": tool, "version": version, "resources": resources.as_dict(), "source": source}


def _yosys(build: Build, family: str, timeout: float) -> Outcome:
    yosys = Yosys(timeout=timeout)
    version = _text(yosys.check_version())
    return version, synthesize_top(build, yosys, family).resources, f"RTL, {FLOWS[family].name}"


def _vivado(build: Build, family: str, timeout: float) -> Outcome:
    vivado, part = Vivado(timeout=timeout), str(build.report["part"])
    version = _text(vivado.check_version())
    memories = (build.folder / "memory").glob("*.mem")
    report = vivado.synthesize(TOP, _rtl(build), memories, part, build.work / "vivado")
    return report.version or version, report.resources, f"RTL, out of context, {part}"


def _vitis(build: Build, family: str, timeout: float) -> Outcome:
    vitis = Vitis(timeout=timeout)
    version = _text(vitis.check_version())
    report = vitis.synthesize(build.folder / "hls" / "run_hls.tcl", TOP, build.work / "vitis")
    return report.version or version, report.resources, f"HLS C++, C synthesis, {build.report['part']}"


def _bambu(build: Build, family: str, timeout: float) -> Outcome:
    bambu, yosys, folder = Bambu(timeout=timeout), Yosys(timeout=timeout), build.work / "bambu"
    version, yosys_version = _text(bambu.check_version()), _text(yosys.check_version())
    verilog, *memories = bambu.synthesize(build.folder / "hls", family, float(build.report["clock_mhz"]), folder)
    jobs = {CORE: Job(CORE)}
    found = yosys.synthesize(jobs, [verilog], family=family, folder=folder / "yosys", memories=memories)
    return (
        version,
        found[CORE].resources,
        f"HLS C++ without AXI, Verilog by Bambu, Yosys {yosys_version} {FLOWS[family].name}",
    )


@dataclass(frozen=True)
class Tool:
    """A way to synthesize.

    Attributes:
        families: of FPGAs.
        run: build, family, seconds -> version, resources, source.
    """

    families: tuple[str, ...]
    run: Callable[[Build, str, float], Outcome]


VENDOR_TOOLS = ("vitis", "vivado")

TOOLS = {
    "yosys": Tool(tuple(FLOWS), _yosys),
    "vitis": Tool(("xc7", "xcup"), _vitis),
    "vivado": Tool(("xc7", "xcup"), _vivado),
    "bambu": Tool(tuple(FLOWS), _bambu),
}


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
    return _synthesize(build, yosys, jobs, build.work / f"yosys_{layer}", str(build.report["family"]))


def _synthesize(build: Build, yosys: Yosys, jobs: dict[str, Job], folder: Path, family: str) -> dict[str, Synthesis]:
    memories = (build.folder / "memory").glob("*.mem")
    return yosys.synthesize(jobs, _rtl(build), family=family, folder=folder, memories=memories)


def _rtl(build: Build) -> list[Path]:
    rtl = build.folder / "rtl"
    return [rtl / name for name in compile_order([path.name for path in rtl.glob("*.sv")])]


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
