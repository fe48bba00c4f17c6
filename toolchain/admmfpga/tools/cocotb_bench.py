"""Runs a cocotb bench from rtl_tests/ on Verilator: the accelerator of a build, or any module."""

from __future__ import annotations

import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from admmfpga.errors import ToolError
from admmfpga.resources import resource_dir
from admmfpga.tools.verilator import verilator_environment


@dataclass(frozen=True)
class BenchResult:
    """Names of the tests that ran and of those that failed."""

    tests: tuple[str, ...]
    failed: tuple[str, ...]
    log: Path


def run_bench(
    module: str,
    *,
    top: str,
    sources: Sequence[Path],
    build_dir: Path,
    test_dir: Path,
    build_args: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> BenchResult:
    """Build a Verilator model for cocotb and run a bench on it.

    Args:
        module: Python module in rtl_tests/.
        top: module under test.
        sources: HDL (and C++) files in compile order.
        build_dir: for Verilator's products, kept between calls.
        test_dir: where the simulation runs; memory images are read from there.
        build_args: more arguments for Verilator.
        environment: more variables for the bench.

    Raises:
        ToolError: the model could not be built, or the simulation died without results.
    """
    from cocotb_tools.runner import get_runner

    build_dir, test_dir = build_dir.resolve(), test_dir.resolve()
    build_dir.mkdir(parents=True, exist_ok=True)
    test_dir.mkdir(parents=True, exist_ok=True)
    build_log, test_log = build_dir / "build.log", test_dir / "cocotb.log"
    # cocotb's runner makes everything visible, which keeps Verilator from optimizing: a bench needs the ports only.
    visible = build_dir / "visible.vlt"
    visible.write_text(f'`verilator_config\npublic_flat_rw -module "{top}" -var "*"\n')
    with _environment(verilator_environment(), resource_dir("rtl_tests")):
        runner = get_runner("verilator")
        try:
            runner.build(
                sources=[visible, *(path.resolve() for path in sources if path.suffix != ".cpp")],
                hdl_toplevel=top,
                build_dir=build_dir,
                # cocotb's runner takes HDL only as sources; Verilator compiles C++ that it meets as an argument.
                build_args=[
                    "-O3",
                    "--no-public-flat-rw",
                    *build_args,
                    *(str(path.resolve()) for path in sources if path.suffix == ".cpp"),
                ],
                timescale=("1ns", "1ps"),
                log_file=build_log,
            )
        except (SystemExit, RuntimeError) as error:
            raise _failure("building the simulation", build_log, error) from None
        results = test_dir / "results.xml"
        results.unlink(missing_ok=True)
        try:
            runner.test(
                test_module=module,
                hdl_toplevel=top,
                build_dir=build_dir,
                test_dir=test_dir,
                results_xml=str(results),
                extra_env=dict(environment or {}),
                log_file=test_log,
            )
        except (SystemExit, RuntimeError) as error:
            if not results.is_file():
                raise _failure("running the cocotb bench", test_log, error) from None
        if not results.is_file():
            raise _failure("running the cocotb bench", test_log, RuntimeError("the bench gave no results"))
    cases = list(ElementTree.parse(results).iter("testcase"))
    failed = tuple(case.get("name", "") for case in cases if case.find("failure") is not None)
    return BenchResult(tuple(case.get("name", "") for case in cases), failed, test_log)


def first_complaint(log: Path) -> str:
    """The first assertion message in a bench's log, "" if there is none."""
    found = re.search(r"AssertionError: (.*)", log.read_text(errors="replace"))
    return found.group(1) if found else ""


def _failure(step: str, log: Path, error: BaseException) -> ToolError:
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.is_file() else str(error)
    return ToolError(step, ["verilator"], log, str(error) or type(error).__name__, tail)


@contextmanager
def _environment(values: Mapping[str, str], modules: Path) -> Iterator[None]:
    """os.environ and sys.path for the runner, which hands both to the programs that it starts."""
    before = dict(os.environ)
    os.environ.update(values)
    sys.path.insert(0, str(modules))
    try:
        yield
    finally:
        sys.path.remove(str(modules))
        os.environ.clear()
        os.environ.update(before)
