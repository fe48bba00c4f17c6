"""What the vendor's tools have in common: no licence is an error of its own, and so is a run that leaves no report."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from admmfpga.blocks import Resources
from admmfpga.errors import ToolError
from admmfpga.tools.runner import Runner, log_tail

_NO_LICENCE = re.compile(
    r"^(?:ERROR|FATAL|CRITICAL)\b.*licen[cs]e|valid licen[cs]e was not found|licen[cs]e checkout failed",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True)
class Report:
    """What a tool says of a design.

    Attributes:
        version: of the tool, as the report gives it; "" if it does not.
    """

    resources: Resources
    version: str = ""


class VendorTool(Runner):
    """A tool that works by a script and leaves a report."""

    def run_for_report(self, step: str, command: Sequence[str], *, log: Path, cwd: Path, report: Path) -> str:
        """Run a command line and read the report that it writes.

        Raises:
            ToolError: the program is missing, failed, found no licence, timed out, or wrote no report.
        """
        cwd.mkdir(parents=True, exist_ok=True)
        report.unlink(missing_ok=True)
        try:
            self.run(step, command, log=log, cwd=cwd)
        except ToolError as error:
            if error.log is not None and _NO_LICENCE.search(log.read_text(errors="replace")):
                raise ToolError(step, command, log, "no licence for this tool or device", error.tail) from None
            raise
        if not report.is_file():
            raise ToolError(step, command, log, f"wrote no {report.name}", log_tail(log))
        return report.read_text(errors="replace")
