"""What the front end says about nodes that cannot become hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from admmfpga.errors import UserError


@dataclass(frozen=True)
class Problem:
    """One ONNX node that cannot be imported.

    Attributes:
        node: its ONNX name, or that of its first output where it has no name.
        op: its operator.
        message: what is wrong, one line.
        hint: what would help, one line; may be empty.
    """

    node: str
    op: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.node} ({self.op}): {self.message}" + (f" [{self.hint}]" if self.hint else "")


class Unsupported(Exception):
    """Raised by an operator's handler; the traversal turns it into a `Problem` and goes on with the next node."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UnsupportedModelError(UserError):
    """All problems of one model at once.

    Attributes:
        problems: in graph order, at least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        if len(self.problems) == 1:
            super().__init__(f"({first.op}) {first.message}", first.hint, first.node)
            return
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(
            f"{len(self.problems)} nodes of the model are not supported:{lines}",
            "change these nodes, or cut the model before them and leave the rest to the host",
        )
