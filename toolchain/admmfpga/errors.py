"""The two ways in which a command can end badly through no fault of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class UserError(Exception):
    """A mistake that the person at the keyboard can mend: bad model, unknown board, design that does not fit.

    Commands print it in two lines (what is wrong; what to do) and exit with 2, without a traceback.

    Args:
        message: what is wrong, one line, no final full stop.
        hint: what would help, one line; may be empty.
        node: name of the layer or ONNX node it is about; may be empty.
    """

    def __init__(self, message: str, hint: str = "", node: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.node = node

    def __str__(self) -> str:
        return f"{self.node}: {self.message}" if self.node else self.message


class ToolError(Exception):
    """An external program failed, is missing or timed out.

    Args:
        step: what we were doing ("compiling the HLS C++").
        command: the command line.
        log: file with everything the program printed.
        reason: one line ("exit status 1", "not found", "timed out after 60 s").
        tail: the last lines of the log.
    """

    def __init__(self, step: str, command: Sequence[str], log: Path | None, reason: str, tail: str = "") -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.command = list(command)
        self.log = log
        self.reason = reason
        self.tail = tail
