"""The engine's HLS C++: its files, and running it as a program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from admmfpga.engine.program import Bytes
from admmfpga.engine.schedule import Program
from admmfpga.engine.shape import EngineShape
from admmfpga.network import IntArray
from admmfpga.resources import resource_dir
from admmfpga.tools.gpp import Gpp
from admmfpga.tools.runner import run_command


def hls_files(shape: EngineShape) -> dict[str, str]:
    """engine.cpp, engine.hpp and the sizes of a shape, by file name."""
    sizes = {"PE": shape.pe, "SIMD": shape.simd, "POSITIONS": shape.positions, "SCRATCHPAD": shape.scratchpad}
    sizes["AXI"] = shape.axi
    lines = [f"#define ENGINE_{name} {value}" for name, value in sizes.items()]
    guard = "ADMMFPGA_ENGINE_CONFIG_HPP"
    config = "\n".join(
        [
            "// Sizes of the engine: array, positions of a tile, words of the scratchpad, bytes of a beat.",
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            *lines,
            "",
            "#endif",
            "",
        ]
    )
    folder = resource_dir("hls_templates") / "hls"
    copied = {name: (folder / name).read_text() for name in ("engine.cpp", "engine.hpp")}
    return copied | {"engine_config.hpp": config}


class EngineCsim:
    """The HLS C++ of one shape, compiled with g++."""

    def __init__(self, shape: EngineShape, work: Path, *, timeout: float = 3600.0) -> None:
        """
        Args:
            work: folder for sources, the binary, runs and logs.
            timeout: seconds for a run.
        """
        self.shape, self.work, self.timeout = shape, work, timeout
        self.binary = work / "engine_csim"

    def compile(self) -> None:
        """Compile the program.

        Raises:
            ToolError: g++ is missing or found an error.
        """
        folder = self.work / "hls"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in hls_files(self.shape).items():
            (folder / name).write_text(text)
        sim = resource_dir("hls_templates") / "sim"
        sources = [sim / "engine_csim.cpp", folder / "engine.cpp"]
        flags = ["-O3", "-march=native"]
        Gpp().compile("compiling the engine's HLS C++", sources, self.binary, include=[folder], flags=flags)

    def run(self, program: Program, frames: IntArray, *, progress: Callable[[int], None] | None = None) -> IntArray:
        """Outputs of a batch of frames, (N, *output shape).

        Args:
            frames: (N, *input shape) codes.
            progress: is called with the number of frames done.

        Raises:
            ToolError: the program failed.
        """
        packed = np.stack([program.frame_bytes(frame) for frame in frames])
        return np.stack([program.result(one) for one in self.run_bytes(program, packed, progress=progress)])

    def run_bytes(self, program: Program, packed: Bytes, *, progress: Callable[[int], None] | None = None) -> Bytes:
        """(N, output_bytes) from the output's address on.

        Args:
            packed: (N, bytes) frames as they lie in DRAM.
            progress: is called with the number of frames done.

        Raises:
            ToolError: the program failed.
        """
        files = {name: self.work / f"csim_{name}.bin" for name in ("stream", "list", "input", "output")}
        files["stream"].write_bytes(program.stream().tobytes())
        files["list"].write_bytes(program.transfer_list().tobytes())
        files["input"].write_bytes(packed.tobytes())

        def on_line(line: str) -> None:
            if progress is not None and line.startswith("frame "):
                progress(int(line.removeprefix("frame ")))

        paths = {name: str(path.resolve()) for name, path in files.items()}
        run_command(
            "running the engine's HLS C++",
            [
                *(str(self.binary.resolve()), paths["stream"], paths["list"]),
                *map(str, (len(program.commands), len(program.transfers), program.dram_bytes, program.input_address)),
                *(str(len(packed)), paths["input"], str(program.output_address), str(program.output_bytes)),
                paths["output"],
            ],
            log=self.work / "engine_csim.log",
            cwd=self.work,
            timeout=self.timeout,
            on_line=on_line,
        )
        return np.frombuffer(files["output"].read_bytes(), dtype=np.uint8).reshape(len(packed), -1)
