"""Mutated ONNX files through `admmfpga check`: no crash, no hang, no huge allocation, exit code 0 or 2.

    python tests/fuzz/check_fuzz.py --count 20000 --report build/fuzz.json
    python tests/fuzz/check_fuzz.py --only 1234 --keep build/finding     # one case again, its file and output kept

A case is made from its number alone. Everything is imported once; forked processes run the command on some cases each,
with limits on address space and processor time, so a case costs what the command itself does.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from mutations import MADE, mutated, seeds

from admmfpga.cli import main as command

MEMORY = 4 << 30
"""Bytes that a case may allocate."""

SECONDS = 10
"""Of processor time that a case may take: the machine may be busy with other things."""

TOGETHER = 25
"""Cases that a process runs before a fresh one takes over."""

PATIENCE = 12
"""Wall clock seconds per second of processor time, after which a case is ended: it waits for something."""


@dataclass(frozen=True)
class Result:
    """What became of a case.

    Attributes:
        number: of the case; its file follows from it.
        seed: name of the file that was mutated.
        code: exit code; negative: the signal that ended it.
        seconds: of processor time.
        megabytes: greatest resident size, the parent's share included.
        output: what it printed on stderr.
    """

    number: int
    seed: str
    code: int
    seconds: float
    megabytes: float
    output: str

    @property
    def sound(self) -> bool:
        """What is asked of every case."""
        return self.code in (0, 2) and self.seconds <= SECONDS and "Traceback" not in self.output

    @property
    def fault(self) -> str:
        """The last line of what it said, and the last place in our sources, numbers left out."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        ours = re.findall(r'admmfpga/(\S+)", line (\d+)', self.output)
        place = f"{ours[-1][0]}:{ours[-1][1]}" if ours else ""
        kind = f"exit {self.code}" if self.code >= 0 else signal.Signals(-self.code).name
        return f"{kind} {place} {re.sub(r'[0-9]+', '#', lines[-1])[:120] if lines else ''}"


def address_space() -> int:
    """Bytes that this process has mapped."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def run(cases: Sequence[tuple[int, str, bytes]], folder: Path, arguments: list[str]) -> list[Result]:
    """The command on some files, one after the other in a forked process; ends with a case that ends the process.

    Args:
        cases: number, name of the sound file, contents.
        folder: for files.
    """
    log, told = folder / "log", folder / "results"
    told.write_bytes(b"")
    child = os.fork()
    if child == 0:
        try:
            _serve(cases, folder, log, told, arguments)
        finally:
            os._exit(0)
    results: list[Result] = []
    began = time.monotonic()
    while True:
        found, status, usage = os.wait4(child, os.WNOHANG)
        lines = told.read_text().splitlines(keepends=True)
        complete = [Result(**json.loads(line)) for line in lines if line.endswith("\n")]
        if len(complete) > len(results):
            results, began = complete, time.monotonic()
        if found:
            break
        if time.monotonic() > began + PATIENCE * SECONDS:
            os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            break
        time.sleep(0.02)
    if len(results) < len(cases):
        number, name, _ = cases[len(results)]
        seconds = usage.ru_utime + usage.ru_stime - sum(result.seconds for result in results)
        code = os.waitstatus_to_exitcode(status) or 1
        results.append(Result(number, name, code, seconds, usage.ru_maxrss / 1024, log.read_text(errors="replace")))
    return results


def _serve(cases: Sequence[tuple[int, str, bytes]], folder: Path, log: Path, told: Path, arguments: list[str]) -> None:
    """The child's part: results go to a file, one JSON line each."""
    descriptor = os.open(log, os.O_RDWR | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    assert sys.__stdout__ is not None
    assert sys.__stderr__ is not None
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    limit = address_space() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path = folder / "m.onnx"
    # A crash is counted here; its trace would look like one of whoever forked this process.
    faulthandler.disable()
    for number, name, data in cases:
        path.write_bytes(data)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        began = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(began) + SECONDS + 2, resource.RLIM_INFINITY))
        code = _exit_code([*arguments, str(path)])
        sys.stdout.flush()
        sys.stderr.flush()
        seconds = time.process_time() - began
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        result = Result(number, name, code, seconds, megabytes, log.read_text(errors="replace"))
        with told.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")


def _exit_code(arguments: list[str]) -> int:
    try:
        command.main(args=arguments, prog_name="admmfpga")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
        return 1
    return 0


class Fuzzer:
    """Makes the cases and runs them."""

    def __init__(self, folder: Path, board: str) -> None:
        self.folder = folder
        self.arguments = ["check", "--board", board]
        self.seeds = seeds()
        # Imports and caches once, in front of all forks.
        for sound in MADE[:2]:
            path = folder / "sound.onnx"
            path.write_bytes(sound().SerializeToString())
            assert _exit_code([*self.arguments, str(path)]) == 0, f"{sound.__name__} is sound"

    def file(self, number: int) -> tuple[str, bytes]:
        """Name of the sound file, and its mutation."""
        rng = np.random.default_rng([2026, number])
        name, data = self.seeds[int(rng.integers(len(self.seeds)))]
        return name, mutated(data, rng, self.seeds)

    def results(self, numbers: Iterable[int]) -> Iterator[Result]:
        """Of all cases, in order."""
        waiting = list(numbers)
        # What is there already is not looked at again, so that the children share its memory.
        gc.collect()
        gc.freeze()
        while waiting:
            cases = [(number, *self.file(number)) for number in waiting[:TOGETHER]]
            found = run(cases, self.folder, self.arguments)
            del waiting[: len(found)]
            yield from found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", type=int, nargs="+", help="these cases")
    parser.add_argument("--board", default="pynq")
    parser.add_argument("--report", type=Path, help="figures and findings as JSON")
    parser.add_argument("--keep", type=Path, help="folder for the files of findings, of all cases with --only")
    given = parser.parse_args()
    numbers = given.only or range(given.first, given.first + given.count)
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as name, open(os.devnull, "w") as nowhere:
        folder = Path(name)
        shown = [os.dup(descriptor) for descriptor in (1, 2)]
        for descriptor in (1, 2):  # what the warming-up runs report
            os.dup2(nowhere.fileno(), descriptor)
        try:
            fuzzer = Fuzzer(folder, given.board)
            sys.stdout.flush()
        finally:
            for descriptor, before in zip((1, 2), shown, strict=True):
                os.dup2(before, descriptor)
        for result in fuzzer.results(numbers):
            number = result.number
            results.append(result)
            if given.keep and (given.only or not result.sound):
                given.keep.mkdir(parents=True, exist_ok=True)
                (given.keep / f"{number}.onnx").write_bytes(fuzzer.file(number)[1])
                (given.keep / f"{number}.txt").write_text(result.output)
            if not result.sound:
                print(f"{number} ({result.seed}): {result.fault}, {result.seconds:.1f} s", flush=True)
            if len(results) % 1000 == 0:
                print(f"{len(results)} cases, {sum(not r.sound for r in results)} findings", flush=True)
    print(summary(results))
    if given.report:
        findings = [asdict(r) | {"fault": r.fault} for r in results if not r.sound]
        given.report.write_text(json.dumps({"summary": summary(results), "findings": findings}, indent=1) + "\n")
    return int(any(not r.sound for r in results))


def summary(results: list[Result]) -> str:
    """One line."""
    codes = Counter(r.code for r in results)
    told = ", ".join(f"{count} exit {code}" for code, count in sorted(codes.items()))
    slowest, largest = max(r.seconds for r in results), max(r.megabytes for r in results)
    return (
        f"{len(results)} cases: {told}; {sum(not r.sound for r in results)} findings; "
        f"slowest {slowest:.1f} s of processor time, largest {largest:.0f} MB resident"
    )


if __name__ == "__main__":
    sys.exit(main())
