"""What `check` and `compile` of large networks cost: processor seconds and greatest resident size.

    python benchmarks/engine/light.py bvlc_alexnet vgg19 resnet50 squeezenet densenet121 -o build/light
    python benchmarks/engine/times.py build/light/*.onnx

Each command runs in a process of its own, on one thread. Processor time is user and system time, which a busy machine
lengthens less than the clock.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def measured(arguments: list[str]) -> tuple[int, float, float, float, str]:
    """Exit code, processor seconds, seconds by the clock, MB resident, and the last line of what the command said."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as log:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", "from admmfpga.cli import main; main()", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=environment,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        said = log.read().decode(errors="replace").splitlines()
    seconds = usage.ru_utime + usage.ru_stime
    last = said[-1] if said and process.returncode else ""
    return process.returncode, seconds, time.monotonic() - began, usage.ru_maxrss / 1024, last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--board", default="pynq")
    parser.add_argument("--command", choices=["check", "compile"], action="append", help="default: both")
    arguments = parser.parse_args()
    print("| network | command | processor time | by the clock | resident | exit code |")
    print("|---|---|---|---|---|---|")
    for model in arguments.models:
        for command in arguments.command or ["check", "compile"]:
            with tempfile.TemporaryDirectory() as folder:
                output = ["-o", f"{folder}/build"] if command == "compile" else []
                code, seconds, clock, megabytes, last = measured(
                    [command, str(model), "--board", arguments.board, *output]
                )
            row = (
                f"| {model.stem} | {command} | {seconds:.1f} s | {clock:.1f} s | {megabytes / 1024:.1f} GiB | {code} |"
            )
            print(row + (f" {last}" if last else ""), flush=True)


if __name__ == "__main__":
    main()
