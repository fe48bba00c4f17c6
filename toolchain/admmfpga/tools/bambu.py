"""PandA-Bambu on the generated C++: the same sources with its spelling of the pragmas, Verilog out.

It has no loop pipelining, so its cycle counts say nothing about Vitis HLS; resources are those of its Verilog after
Yosys.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from admmfpga.errors import ToolError
from admmfpga.tools.runner import Runner, log_tail

TOP = "dataflow"
"""The core function: words on streams. The function around it has structs in streams, which Bambu does not carry."""

DEVICES = {"xc7": "xc7z020-1clg484-VVD", "xcup": "xcku060-3ffva1156-VVD", "ecp5": "LFE5U85F8BG756C"}
"""A device that Bambu is characterized for, by family: it plans with that one's delays."""

_PRAGMA = re.compile(r"^\s*#\s*pragma\s+HLS\s+(\w+)(.*)$", re.IGNORECASE)
_KEPT = ("dataflow", "inline")
"""Pragmas that mean the same there. Of the others some are refused, the rest is about pipelining and storage."""


class Bambu(Runner):
    """Bambu from PATH."""

    program: ClassVar[str] = "bambu"
    install: ClassVar[str] = "PandA-Bambu is built from source or comes as an AppImage: panda.dei.polimi.it"
    minimum: ClassVar[tuple[int, ...]] = (2023, 1)

    def _build_command(self, sources: Sequence[str], family: str, clock_mhz: float) -> list[str]:
        return [
            self.program,
            *sources,
            f"--top-fname={TOP}",
            "--generate-interface=INFER",
            "--compiler=I386_CLANG16",
            "--std=c++14",
            "-O1",
            "-D__SYNTHESIS__",
            "-I.",
            f"--device-name={DEVICES[family]}",
            f"--clock-period={1000 / clock_mhz:g}",
        ]

    def synthesize(self, hls: Path, family: str, clock_mhz: float, folder: Path) -> list[Path]:
        """Verilog of the core function.

        Args:
            hls: folder of the generated C++.
            family: of the FPGA.
            clock_mhz: to plan for.
            folder: for rewritten sources, log and products.

        Returns:
            the Verilog file, then the memory images that it reads.

        Raises:
            ToolError: Bambu is missing, too old, failed, ran out of time, or wrote no Verilog.
        """
        self.check_version()
        rewrite(hls, folder)
        verilog = folder / f"{TOP}.v"
        verilog.unlink(missing_ok=True)
        step, log = "high-level synthesis with Bambu", folder / "bambu.log"
        command = self._build_command([f"{TOP}.cpp"], family, clock_mhz)
        self.run(step, command, log=log, cwd=folder)
        if not verilog.is_file():
            raise ToolError(step, command, log, f"wrote no {verilog.name}", log_tail(log))
        return [verilog, *sorted(path for path in folder.glob("*.mem") if path.is_file())]


def rewrite(hls: Path, folder: Path) -> None:
    """Copies of the core's sources with pragmas as Bambu takes them.

    Args:
        hls: folder of the generated C++; its tables of weights are reached by a link.
        folder: is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(hls.glob("*.[ch]pp")):
        (folder / path.name).write_text(rewrite_text(path.read_text()))
    for tables in (path for path in hls.iterdir() if path.is_dir()):
        link = folder / tables.name
        link.unlink(missing_ok=True)
        link.symlink_to(tables.resolve())


def rewrite_text(text: str) -> str:
    """C++ with pragmas as Bambu takes them, which are one a line."""
    lines = []
    for line in text.splitlines():
        found = _PRAGMA.match(line)
        if found and found[1].lower() not in _KEPT:
            line = "" if found[1].lower() != "interface" else _interface(found[2])
        lines.append(line)
        if line.startswith(f"void {TOP}(") and line.endswith("{"):
            # The core has no interface pragmas of its own: elsewhere the function around it has them.
            ports = re.findall(r"hls::stream<\w+>& (\w+)", line)
            lines[-1] = "\n".join(f"#pragma HLS interface port = {port} mode = axis" for port in ports) + "\n" + line
    return "\n".join(lines) + "\n"


def _interface(rest: str) -> str:
    """`axis port=x` becomes `port = x mode = axis`; what is not a stream port is left out."""
    port = re.search(r"\bport\s*=\s*(\w+)", rest)
    return f"#pragma HLS interface port = {port[1]} mode = axis" if port and re.search(r"\baxis\b", rest) else ""
