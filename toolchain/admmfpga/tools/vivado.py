"""Vivado's logic synthesis of the RTL, out of context, and its utilization report."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

from admmfpga.blocks import Resources
from admmfpga.errors import ToolError
from admmfpga.tools.vendor import Report, VendorTool

SCRIPT, UTILIZATION = "synth.tcl", "utilization.rpt"

_ROWS = {
    "lut": ("Slice LUTs", "CLB LUTs"),
    "ff": ("Slice Registers", "CLB Registers"),
    "bram18": ("Block RAM Tile",),
    "dsp": ("DSPs",),
}
"""Rows of the tables by 7 series' and UltraScale's names. A tile is a RAMB36 or two RAMB18, and may be half used."""


class Vivado(VendorTool):
    """Vivado in batch mode, without a project."""

    program: ClassVar[str] = "vivado"
    install: ClassVar[str] = "Vivado is AMD's; its settings64.sh puts it on the PATH"
    minimum: ClassVar[tuple[int, ...]] = (2020, 1)

    def _build_command(self, script: str) -> list[str]:
        return [self.program, "-mode", "batch", "-nojournal", "-nolog", "-notrace", "-source", script]

    def _version_command(self) -> list[str]:
        return [self.program, "-version"]

    def synthesize(
        self, top: str, sources: Sequence[Path], memories: Iterable[Path], part: str, folder: Path
    ) -> Report:
        """Synthesize a module out of context.

        Args:
            top: the module.
            sources: SystemVerilog files, packages first.
            memories: images that $readmemh names by their plain file names.
            part: as Vivado names it.
            folder: for script, log and report.

        Raises:
            ToolError: Vivado is missing, too old, failed, found no licence, ran out of time, or wrote no report.
        """
        self.check_version()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SCRIPT).write_text(script(top, sources, memories, part))
        step, command, log = "synthesizing with Vivado", self._build_command(SCRIPT), folder / "vivado.log"
        text = self.run_for_report(step, command, log=log, cwd=folder, report=folder / UTILIZATION)
        try:
            return parse_utilization(text)
        except ValueError as error:
            raise ToolError(f"reading {folder / UTILIZATION}", command, log, str(error)) from None


def script(top: str, sources: Sequence[Path], memories: Iterable[Path], part: str) -> str:
    """Tcl of a non-project run (UG835: read_verilog, read_mem, synth_design, report_utilization)."""
    lines = [f"read_verilog -sv {{{path.resolve()}}}" for path in sources]
    lines += [f"read_mem {{{path.resolve()}}}" for path in sorted(memories)]
    lines += [
        f"synth_design -top {top} -part {part} -mode out_of_context",
        f"report_utilization -file {UTILIZATION}",
    ]
    return "\n".join(lines) + "\n"


def parse_utilization(text: str) -> Report:
    """Resources of a utilization report (UG906, Report Utilization: tables with the columns Site Type and Used).

    Raises:
        ValueError: a row is missing.
    """
    rows: dict[str, float] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        # After synthesis LUTs are an estimate, and carry an asterisk.
        if len(cells) >= 5 and re.fullmatch(r"[\d,]+(?:\.\d+)?", cells[1]):
            rows.setdefault(cells[0].rstrip("*"), float(cells[1].replace(",", "")))
    found = {}
    for name, labels in _ROWS.items():
        values = [rows[label] for label in labels if label in rows]
        if not values:
            raise ValueError(f"no row {' or '.join(labels)} in the utilization report")
        found[name] = values[0]
    version = re.search(r"Tool Version\s*:\s*Vivado v\.(\S+)", text)
    resources = Resources(
        lut=int(found["lut"]), ff=int(found["ff"]), bram18=round(2 * found["bram18"]), dsp=int(found["dsp"])
    )
    return Report(resources, "" if version is None else version[1])
