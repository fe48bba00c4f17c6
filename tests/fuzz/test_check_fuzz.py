"""A share of the mutated files that benchmarks run by the thousand, and that the program notices what it looks for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from check_fuzz import Result, run

PROGRAM = Path(__file__).with_name("check_fuzz.py")


def test_mutated_files_end_in_a_message() -> None:
    done = subprocess.run([sys.executable, PROGRAM, "--count", "120"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "120 cases" in done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "body,code,told",
    [
        ("raise SystemExit(2)", 2, ""),
        ("raise KeyError('broken')", 1, "KeyError"),
        ("import numpy; numpy.zeros(5 << 30, numpy.uint8)", 1, "MemoryError"),
        ("import os; os.abort()", -6, ""),
    ],
)
def test_faults_are_noticed(body: str, code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two sound cases; what ends the process is the last that `run` tells of."""
    monkeypatch.setattr("check_fuzz.command.main", lambda args, prog_name: exec(Path(args[-1]).read_text()))
    sound = b"raise SystemExit(0)"
    results = run([(1, "a", sound), (2, "b", body.encode()), (3, "c", sound)], tmp_path, [])
    assert [r.code for r in results] == [0, code, 0][: 2 if code < 0 else 3]
    assert results[0].sound
    assert results[1].sound == (code == 2)
    assert told in results[1].output


def test_slow_cases_are_findings() -> None:
    assert not Result(1, "a", 0, 10.5, 1.0, "").sound
    assert not Result(1, "a", 2, 0.1, 1.0, "Traceback (most recent call last)").sound
