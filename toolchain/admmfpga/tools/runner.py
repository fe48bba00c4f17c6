"""Base class for external programs: command line, log file, time-out, errors that name all of it."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar

from admmfpga.errors import ToolError

TAIL_LINES = 20
"""Last lines of a log that an error shows."""

_GRACE = 5.0
"""Seconds that the pipe's reader gets to finish after the program has ended."""


class Runner(ABC):
    """An external program; one subclass a program.

    Attributes:
        program: the executable.
        install: what to type to get it, shown when it is missing.
        minimum: least version.
    """

    program: ClassVar[str]
    install: ClassVar[str] = ""
    minimum: ClassVar[tuple[int, ...]] = ()

    def __init__(self, *, timeout: float = 600.0, env: Mapping[str, str] | None = None) -> None:
        """
        Args:
            timeout: seconds after which a run is ended.
            env: additions to the environment.
        """
        self.timeout = timeout
        self.env = dict(env or {})

    @abstractmethod
    def _build_command(self, *arguments: Any, **options: Any) -> list[str]:
        """The command line of the program's main use."""

    def _version_command(self) -> list[str]:
        return [self.program, "--version"]

    def version(self) -> tuple[int, ...]:
        """The program's version, by the first number with a dot in what it says of itself.

        Raises:
            ToolError: it is missing, or says nothing that looks like a version.
        """
        command = self._version_command()
        path = self._locate(f"looking for {self.program}", command)
        try:
            done = subprocess.run(
                [path, *command[1:]],
                capture_output=True,
                text=True,
                timeout=60,
                env=os.environ | self.env,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolError(f"asking {self.program} for its version", command, None, str(error)) from error
        text = done.stdout + done.stderr
        found = re.search(r"(?<![\d.])(\d+(?:\.\d+)+)", text)
        if found is None:
            raise ToolError(f"asking {self.program} for its version", command, None, "no version in its answer", text)
        return tuple(int(part) for part in found[1].split("."))

    def check_version(self) -> tuple[int, ...]:
        """The version.

        Raises:
            ToolError: it is older than `minimum`, or the program is missing.
        """
        version = self.version()
        if version < self.minimum:
            have, want = (".".join(map(str, v)) for v in (version, self.minimum))
            reason = f"version {have} is too old, {want} is the least" + (f" ({self.install})" if self.install else "")
            raise ToolError(f"looking for {self.program}", self._version_command(), None, reason)
        return version

    def run(
        self,
        step: str,
        command: Sequence[str],
        *,
        log: Path,
        cwd: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Run a command line of this program; see `run_command`."""
        self._locate(step, command)
        run_command(step, command, log=log, cwd=cwd, timeout=self.timeout, env=self.env, on_line=on_line)

    def _locate(self, step: str, command: Sequence[str]) -> str:
        path = shutil.which(command[0], path=(os.environ | self.env).get("PATH"))
        if path is None:
            raise ToolError(step, command, None, f"{command[0]} is not installed", self.install)
        return path


def run_command(
    step: str,
    command: Sequence[str],
    *,
    log: Path,
    cwd: Path | None = None,
    timeout: float = 600.0,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run a program to its end, with everything it prints in a log file.

    The program gets a process group of its own, which is ended as a whole after a time-out or an interruption.

    Args:
        step: what we are doing, for the error ("compiling the HLS C++").
        command: program and arguments.
        log: file for standard output and standard error; its first line is the command.
        cwd: working folder.
        timeout: seconds.
        env: additions to the environment.
        on_line: is called with every line the program prints, as it prints it.

    Raises:
        ToolError: the program is missing, failed or timed out.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        file.write(f"$ {shlex.join(command)}\n".encode())
        file.flush()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file if on_line is None else subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=os.environ | dict(env or {}),
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(step, command, log, f"cannot be started: {error.strerror}") from error
        # What the caller's function raises ends the program and reaches the caller.
        raised: list[BaseException] = []
        reader = None
        if on_line is not None:
            assert process.stdout is not None
            reader = threading.Thread(target=_copy_lines, args=(process.stdout, file, on_line, raised), daemon=True)
            reader.start()
        try:
            timed_out = not _wait(process, timeout, raised)
        finally:
            # Also after a normal end: nothing that the program left behind may hold the log or the machine.
            _kill_group(process)
            if reader is not None:
                reader.join(_GRACE)
            if process.stdout is not None:
                process.stdout.close()
    if raised:
        raise raised[0]
    if timed_out:
        raise ToolError(step, command, log, f"timed out after {timeout:g} s", log_tail(log))
    if process.returncode:
        raise ToolError(step, command, log, _exit_reason(process.returncode), log_tail(log))


def log_tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _exit_reason(code: int) -> str:
    if code < 0:
        try:
            return f"ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"ended by signal {-code}"
    return f"exit status {code}"


def _wait(process: subprocess.Popen[bytes], timeout: float, raised: Sequence[BaseException]) -> bool:
    """Whether the program ended by itself in time."""
    end = time.monotonic() + timeout
    while True:
        left = end - time.monotonic()
        try:
            # Without a reader nothing can be raised, and one wait is enough.
            process.wait(max(0.0, min(left, 0.2)))
        except subprocess.TimeoutExpired:
            if raised:
                return True
            if left <= 0:
                return False
        else:
            return True


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _copy_lines(source: IO[bytes], log: IO[bytes], on_line: Callable[[str], None], raised: list[BaseException]) -> None:
    for line in source:
        log.write(line)
        log.flush()
        try:
            on_line(line.decode(errors="replace").rstrip("\r\n"))
        except BaseException as error:
            raised.append(error)
            return
