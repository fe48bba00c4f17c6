"""Vitis HLS (or Vivado HLS) on the generated C++: C synthesis and its XML report."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

from admmfpga.blocks import Resources
from admmfpga.errors import ToolError
from admmfpga.tools.vendor import Report, VendorTool

_COMMANDS = {
    "vitis-run": ("--mode", "hls", "--tcl"),
    "vitis_hls": ("-f",),
    "vivado_hls": ("-f",),
}
"""Programs, the newest first, and how they take a script."""

_TAGS = {"lut": ("LUT",), "ff": ("FF",), "bram18": ("BRAM_18K",), "dsp": ("DSP", "DSP48E")}
"""Tags below AreaEstimates/Resources; Vivado HLS counts DSP48E."""


class Vitis(VendorTool):
    """C synthesis by whichever of the programs is there."""

    install: ClassVar[str] = "Vitis is AMD's; its settings64.sh puts vitis-run or vitis_hls on the PATH"
    minimum: ClassVar[tuple[int, ...]] = (2019, 1)

    def __init__(self, *, timeout: float = 3600.0) -> None:
        super().__init__(timeout=timeout, env={"HLS_STEPS": "csynth"})

    @property
    def program(self) -> str:  # type: ignore[override]
        """The newest one that is installed."""
        return next((name for name in _COMMANDS if shutil.which(name)), next(iter(_COMMANDS)))

    def _build_command(self, script: Path) -> list[str]:
        program = self.program
        return [program, *_COMMANDS[program], str(script)]

    def _version_command(self) -> list[str]:
        program = self.program
        return [program, "--version" if program == "vitis-run" else "-version"]

    def synthesize(self, script: Path, top: str, folder: Path) -> Report:
        """C synthesis.

        Args:
            script: run_hls.tcl of a build; it makes its project, build_hls, where it runs.
            top: the top function.
            folder: for the project and the log.

        Raises:
            ToolError: no program, too old, failed, no licence, out of time, or no report.
        """
        self.check_version()
        step, command, log = "synthesizing with Vitis HLS", self._build_command(script.resolve()), folder / "vitis.log"
        report = folder / "build_hls" / "solution" / "syn" / "report" / f"{top}_csynth.xml"
        text = self.run_for_report(step, command, log=log, cwd=folder, report=report)
        try:
            return parse_csynth(text)
        except ValueError as error:
            raise ToolError(f"reading {report}", command, log, str(error)) from None


def parse_csynth(text: str) -> Report:
    """Resources of a C synthesis report (UG1399, output of C synthesis: profile/AreaEstimates/Resources).

    Raises:
        ValueError: not XML, or a figure is missing.
    """
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"the report is not XML: {error}") from None
    found = {}
    for name, tags in _TAGS.items():
        values = [root.findtext(f"AreaEstimates/Resources/{tag}") for tag in tags]
        numbers = [value.strip() for value in values if value is not None]
        if not numbers or not numbers[0].isdigit():
            raise ValueError(f"no figure for {' or '.join(tags)} in the report")
        found[name] = int(numbers[0])
    return Report(Resources(**found), (root.findtext("ReportVersion/Version") or "").strip())
