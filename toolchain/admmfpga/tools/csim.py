"""C simulation of a build's HLS C++: compiled with g++ against the open ap_int headers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from admmfpga.resources import resource_dir
from admmfpga.tools.gpp import Gpp, ap_types_include
from admmfpga.tools.runner import run_command

LOAD = "ADMMFPGA_LOAD"
"""Tables that can be written, for builds whose weights are reloadable."""

FAST = "ADMMFPGA_FAST_SIMULATION"
"""Lanes as plain C integers; without it the very code that an HLS compiler sees runs, several times slower."""


class CSimulation:
    """The HLS C++ as a program that maps input beats to output beats."""

    def __init__(self, build: Path, work: Path, *, fast: bool = True, timeout: float = 3600.0) -> None:
        """
        Args:
            build: build folder; its hls/ is compiled.
            work: folder for objects, binaries, traces and logs.
            fast: see FAST.
            timeout: seconds for a run.
        """
        self.build = build
        self.work = work
        self.fast = fast
        self.timeout = timeout
        self._compiled: dict[bool, Path] = {}

    @property
    def trace_folder(self) -> Path:
        """Where a traced run puts its streams."""
        return self.work / "trace"

    def compile(self, *, trace: bool = False) -> Path:
        """Compile the program, at most once.

        Args:
            trace: the program writes every beat of every inner stream.
        """
        if trace not in self._compiled:
            hls, sim = self.build / "hls", resource_dir("hls_templates") / "sim"
            define = [LOAD, *([FAST] if self.fast else []), *(["ADMMFPGA_TRACE"] if trace else [])]
            self._compiled[trace] = Gpp().compile(
                "compiling the HLS C++",
                [sim / "csim_main.cpp", hls / "dataflow.cpp"],
                self.work / ("csim_trace" if trace else "csim"),
                include=[sim, hls],
                system_include=[ap_types_include()],
                define=define,
            )
        return self._compiled[trace]

    def run(
        self,
        beats: npt.NDArray[np.uint64],
        frames: int,
        trace: bool = False,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> npt.NDArray[np.uint64]:
        """Run frames.

        Args:
            beats: TDATA of `frames` frames, in order; any shape.
            frames: how many.
            trace: write `trace_folder`/<stream>.hex, one beat a line.
            progress: is called with the number of frames done.

        Returns:
            TDATA of the results, (frames, beats of a result).

        Raises:
            ToolError: the compiler or the program failed.
        """
        binary = self.compile(trace=trace)
        source, target = self.work / "csim.input", self.work / "csim.output"
        source.write_bytes(np.ascontiguousarray(beats).astype("<u8").tobytes())
        if trace:
            self.trace_folder.mkdir(exist_ok=True)

        def on_line(line: str) -> None:
            if progress is not None and line.startswith("frame "):
                progress(int(line.removeprefix("frame ")))

        run_command(
            "running the HLS C++",
            [str(binary.resolve()), str(source.resolve()), str(frames), str(target.resolve())],
            log=self.work / "csim.log",
            cwd=self.work,
            timeout=self.timeout,
            on_line=None if progress is None else on_line,
        )
        return np.frombuffer(target.read_bytes(), dtype="<u8").astype(np.uint64).reshape(frames, -1)
