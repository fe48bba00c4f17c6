"""Progress on stderr: one line a step with its time, bars for what has a count. Silent when nobody watches."""

from __future__ import annotations

import sys
import time
from types import TracebackType

import click


class Steps:
    """Names the step that runs now; on a terminal with its duration, in a log one line a step.

    Called with a name it begins the next step; called with name, done and total it shows a bar.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.terminal = sys.stderr.isatty()
        self.name = ""
        self.began = 0.0
        self.shown = 0.0

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._finish(failed=kind is not None)

    def __call__(self, name: str, done: int = 0, total: int = 0) -> None:
        if self.quiet:
            return
        now = time.monotonic()
        if name != self.name:
            self._finish()
            self.name, self.began, self.shown = name, now, 0.0
            if not self.terminal:
                click.echo(f"{name} ...", err=True)
        if self.terminal and (now - self.shown > 0.1 or done == total):
            self.shown = now
            click.echo(f"\r\x1b[K{name} {_bar(done, total)}", nl=False, err=True)

    def _finish(self, failed: bool = False) -> None:
        if self.name and not self.quiet and self.terminal:
            mark = "failed" if failed else f"{time.monotonic() - self.began:.1f} s"
            click.echo(f"\r\x1b[K{self.name}: {mark}", err=True)
        self.name = ""


def _bar(done: int, total: int, width: int = 30) -> str:
    if not total:
        return "..."
    filled = width * done // total
    return f"[{'#' * filled}{'-' * (width - filled)}] {done}/{total}"
