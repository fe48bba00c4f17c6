"""What `check` and `compile` of large networks cost: processor seconds and greatest resident size; and what they say.

    python benchmarks/engine/light.py bvlc_alexnet vgg19 resnet50 squeezenet densenet121 -o build/light
    python benchmarks/engine/times.py build/light/*.onnx

Each command runs in a process of its own, on one thread. Processor time is user and system time, which a busy machine
lengthens less than the clock. Frames a second and DRAM bytes are modelled, from the command's report.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def measured(arguments: list[str], output: Path) -> tuple[int, float, float, float, str]:
    """Exit code, processor seconds, seconds by the clock, MB resident, and the last line of what went wrong.

    Args:
        output: what the command prints goes there.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile() as log, output.open("wb") as stdout:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-c", "from admmfpga.cli import main; main()", *arguments],
            stdout=stdout,
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


def told(report: dict[str, Any]) -> str:
    """Figures of a report: architecture, frames a second, DRAM bytes and their ratio to the compulsory ones."""
    traffic = report.get("traffic")
    if report.get("architecture") != "engine" or traffic is None:
        return f"dataflow | {report['throughput_fps']:g} | | |"
    nodes = len(report["layers"])
    return (
        f"engine, {nodes} layers | {report['throughput_fps']:g} | {traffic['bytes'] / 1e6:.1f} MB | "
        f"{traffic['ratio']:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--board", default="pynq")
    parser.add_argument("--command", choices=["check", "compile"], action="append", help="default: both")
    arguments = parser.parse_args()
    print("| network | command | processor time | by the clock | resident | architecture | frames/s | DRAM | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for model in arguments.models:
        for command in arguments.command or ["check", "compile"]:
            with tempfile.TemporaryDirectory() as folder:
                printed, build = Path(folder) / "printed", Path(folder) / "build"
                more = ["--json"] if command == "check" else ["-o", str(build)]
                code, seconds, clock, megabytes, last = measured(
                    [command, str(model), "--board", arguments.board, *more], printed
                )
                report = printed if command == "check" else build / "report.json"
                found = f"exit code {code}: {last} | | | |" if code else told(json.loads(report.read_text()))
            row = f"| {model.stem} | {command} | {seconds:.1f} s | {clock:.1f} s | {megabytes / 1024:.1f} GiB"
            print(f"{row} | {found}", flush=True)


if __name__ == "__main__":
    main()
