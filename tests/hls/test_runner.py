"""External programs: missing, failing, hanging, talking; g++ and its headers."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest

from admmfpga.errors import ToolError, UserError
from admmfpga.tools.gpp import Gpp, ap_types_include
from admmfpga.tools.runner import Runner, run_command


class Python(Runner):
    program: ClassVar[str] = sys.executable
    install: ClassVar[str] = "apt install python3"

    def _build_command(self, *arguments: Any, **options: Any) -> list[str]:
        return [self.program, "-c", *arguments]


class Missing(Python):
    program: ClassVar[str] = "no-such-program-anywhere"


class TooNew(Python):
    minimum: ClassVar[tuple[int, ...]] = (99, 1)


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "new" / "log"
    script = "import os, sys; print('out'); print(os.getcwd()); print('err', file=sys.stderr)"
    Python().run("talking", [sys.executable, "-c", script], log=log, cwd=tmp_path)
    lines = log.read_text().splitlines()
    assert lines[0].startswith("$ ")
    assert script in lines[0].replace("'\"'\"'", "'")
    assert sorted(lines[1:]) == sorted(["out", str(tmp_path), "err"])


def test_environment_is_added(tmp_path: Path) -> None:
    runner = Python(env={"ADMMFPGA_TEST": "here"})
    runner.run("looking", [sys.executable, "-c", "import os; print(os.environ['ADMMFPGA_TEST'])"], log=tmp_path / "log")
    assert (tmp_path / "log").read_text().endswith("here\n")


def test_failure_names_step_command_log_and_tail(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('\\n'.join(f'line {i}' for i in range(100))); raise SystemExit(3)"]
    with pytest.raises(ToolError, match=r"^counting: exit status 3$") as caught:
        Python().run("counting", command, log=tmp_path / "log")
    error = caught.value
    assert (error.step, error.command, error.log) == ("counting", command, tmp_path / "log")
    assert error.tail.splitlines() == [f"line {i}" for i in range(80, 100)]


def test_a_signal_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="ended by SIGSEGV"):
        run_command("crashing", [sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], log=tmp_path / "log")


def test_missing_program(tmp_path: Path) -> None:
    for call in (
        lambda: Missing().run("trying", ["no-such-program-anywhere"], log=tmp_path / "log"),
        Missing().version,
        Missing().check_version,
    ):
        with pytest.raises(ToolError, match="no-such-program-anywhere is not installed") as caught:
            call()
        assert caught.value.tail == "apt install python3"
    with pytest.raises(ToolError, match="cannot be started: No such file"):
        run_command("trying", ["no-such-program-anywhere"], log=tmp_path / "log")


def test_version() -> None:
    assert Python().check_version() == sys.version_info[:3]
    with pytest.raises(ToolError, match=r"too old, 99\.1 is the least \(apt install python3\)"):
        TooNew().check_version()


LEAVING = (
    "import subprocess, sys, time; "
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True)"
)
HANGING = LEAVING + "; time.sleep(600)"


@pytest.mark.parametrize("reading", [False, True])
def test_time_out_ends_the_children_too(tmp_path: Path, reading: bool) -> None:
    lines: list[str] = []
    start = time.monotonic()
    with pytest.raises(ToolError, match="timed out after 1 s"):
        run_command(
            "hanging",
            [sys.executable, "-c", HANGING],
            log=tmp_path / "log",
            timeout=1,
            on_line=lines.append if reading else None,
        )
    assert time.monotonic() - start < 10
    child = int((tmp_path / "log").read_text().splitlines()[1])
    assert not reading or lines == [str(child)]
    _wait_for_end(child)


def test_children_left_behind_are_ended(tmp_path: Path) -> None:
    run_command("leaving", [sys.executable, "-c", LEAVING], log=tmp_path / "log")
    _wait_for_end(int((tmp_path / "log").read_text().splitlines()[1]))


def _wait_for_end(pid: int) -> None:
    end = time.monotonic() + 5
    while _alive(pid):
        assert time.monotonic() < end, f"process {pid} lives on"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        # A process that nobody has waited for yet is dead all the same.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_lines_arrive_while_the_program_runs(tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    script = "import time; print('a', flush=True); time.sleep(0.5); print('b'); print('no newline', end='')"
    run_command(
        "talking",
        [sys.executable, "-c", script],
        log=tmp_path / "log",
        on_line=lambda line: seen.append((line, time.monotonic())),
    )
    assert [line for line, _ in seen] == ["a", "b", "no newline"]
    assert seen[1][1] - seen[0][1] > 0.3
    assert (tmp_path / "log").read_text().splitlines()[1:] == ["a", "b", "no newline"]


def test_what_the_reader_raises_ends_the_program(tmp_path: Path) -> None:
    def refuse(line: str) -> None:
        raise KeyError(line)

    start = time.monotonic()
    with pytest.raises(KeyError, match="a"):
        run_command(
            "talking",
            [sys.executable, "-c", "import time; print('a', flush=True); time.sleep(60)"],
            log=tmp_path / "log",
            on_line=refuse,
        )
    assert time.monotonic() - start < 10


def test_gpp_compiles_and_complains(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.cpp", tmp_path / "bad.cpp"
    good.write_text("int main() { return VALUE; }\n")
    bad.write_text("int main() { return nothing; }\n")
    binary = Gpp().compile("compiling", [good], tmp_path / "deep" / "program", define=["VALUE=7"])
    with pytest.raises(ToolError, match="exit status 7"):
        run_command("running", [str(binary)], log=tmp_path / "log")
    with pytest.raises(ToolError, match=r"^compiling: exit status 1$") as caught:
        Gpp().compile("compiling", [bad], tmp_path / "program")
    assert "nothing" in caught.value.tail
    assert caught.value.log is not None
    assert caught.value.log.is_file()


def test_gpp_needs_no_ccache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("g++", "as", "ld"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(tools))
    (tmp_path / "main.cpp").write_text("int main() { return 0; }\n")
    binary = Gpp().compile("compiling", [tmp_path / "main.cpp"], tmp_path / "program")
    assert os.access(binary, os.X_OK)
    (tools / "g++").unlink()
    with pytest.raises(ToolError, match=r"g\+\+ is not installed"):
        Gpp().compile("compiling", [tmp_path / "main.cpp"], tmp_path / "program")


def test_headers_are_found_without_importing_hls4ml() -> None:
    sys.modules.pop("hls4ml", None)
    assert (ap_types_include() / "ap_int.h").is_file()
    assert "hls4ml" not in sys.modules


def test_missing_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="ap_int headers") as caught:
        ap_types_include()
    assert caught.value.hint == 'pip install "admmfpga[sim]"'
