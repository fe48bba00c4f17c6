"""The engine's RTL in Verilator, with DRAM of a fixed latency or under random stalls."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from admmfpga.codegen.environment import make_environment
from admmfpga.engine import registers
from admmfpga.engine.program import Bytes
from admmfpga.engine.schedule import Program
from admmfpga.engine.shape import EngineShape
from admmfpga.network import IntArray
from admmfpga.resources import resource_dir
from admmfpga.tools.runner import run_command
from admmfpga.tools.verilated import Verilator

TOP = "engine"
MODULES = ("engine_registers", "ram", "multiplier", "carry_adder_tree", "adder_tree", "delay")
"""What the engine shares with the dataflow architecture; its own modules begin with its name."""


@dataclass(frozen=True, eq=False)
class Ran:
    """One frame on the RTL.

    Attributes:
        output: codes of the output tensor.
        cycles: from start to the end of the last transfer.
        busy: of these, cycles in which the array took a position.
    """

    output: IntArray
    cycles: int
    busy: int


def rtl_parameters(shape: EngineShape) -> dict[str, int]:
    """Of the module `engine`."""
    return {
        "PE": shape.pe,
        "SIMD": shape.simd,
        "REQUANT": shape.requant,
        "POSITIONS": shape.positions,
        "DEPTH": shape.scratchpad,
        "AXI_BYTES": shape.axi,
    }


def rtl_files() -> dict[str, str]:
    """All modules of the engine by file name, packages rendered."""
    folder = resource_dir("hls_templates") / "rtl"
    paths = [*sorted(folder.glob("engine*.sv")), *(folder / f"{name}.sv" for name in MODULES[1:])]
    package = make_environment().get_template("rtl/admmfpga_registers.sv.j2").render(registers=registers)
    return {f"{registers.PACKAGE}.sv": package} | {path.name: path.read_text() for path in paths}


class EngineRtl:
    """A Verilated engine of one shape."""

    def __init__(self, shape: EngineShape, work: Path, *, timeout: float = 3600.0) -> None:
        """
        Args:
            work: folder for the model, runs and logs.
            timeout: seconds for a run.
        """
        self.shape, self.work, self.timeout = shape, work, timeout
        self.model = work / "rtl_model"

    def compile(self) -> None:
        """Build the model, unless it is there already for the same sources.

        Raises:
            ToolError: Verilator is missing or found an error.
        """
        sources = self.work / "rtl"
        sources.mkdir(parents=True, exist_ok=True)
        files = rtl_files()
        for name, text in files.items():
            if not (sources / name).is_file() or (sources / name).read_text() != text:
                (sources / name).write_text(text)
        harness = resource_dir("hls_templates") / "sim" / "engine_harness.cpp"
        defines = [f"-DADMM_{register.name}={register.offset}" for register in registers.REGISTERS]
        arguments = [
            *(f"-G{name}={value}" for name, value in rtl_parameters(self.shape).items()),
            "-CFLAGS",
            " ".join([f"-DAXI_BYTES={self.shape.axi}", "-O2", *defines]),
        ]
        stamp = hashlib.sha256(json.dumps([files, harness.read_text(), arguments]).encode()).hexdigest()
        stamp_file = self.work / "rtl_model.stamp"
        if stamp_file.is_file() and stamp_file.read_text() == stamp and (self.model / "harness").is_file():
            return
        stamp_file.unlink(missing_ok=True)
        self.model.mkdir(parents=True, exist_ok=True)
        paths = [sources / name for name in files]
        Verilator().build([harness, *paths], TOP, self.model, arguments=arguments)
        stamp_file.write_text(stamp)

    def run(self, program: Program, frame: IntArray, *, latency: int = 20, stalls: int = 0, seed: int = 1) -> Ran:
        """One frame.

        Args:
            frame: codes of the network's input.
            latency, stalls, seed: as `run_bytes`.

        Raises:
            ToolError: as `run_bytes`.
        """
        output, cycles, busy = self.run_bytes(
            program, program.frame_bytes(frame), latency=latency, stalls=stalls, seed=seed
        )
        return Ran(program.result(output), cycles, busy)

    def run_bytes(
        self, program: Program, packed: Bytes, *, latency: int = 20, stalls: int = 0, seed: int = 1
    ) -> tuple[Bytes, int, int]:
        """One frame as it lies in DRAM; bytes from the output's address on, cycles, busy cycles.

        Args:
            packed: for the input's address.
            latency: cycles from an address to its data.
            stalls: per cent of the cycles in which a channel of DRAM does not move.
            seed: of the stalls.

        Raises:
            ToolError: a deadlock, a burst against the rules, or an access outside of memory.
        """
        folder = self.work / "rtl_run"
        folder.mkdir(parents=True, exist_ok=True)
        stream, transfers, data, times = (folder / f"{name}.bin" for name in ("stream", "list", "data", "times"))
        stream.write_bytes(program.stream().tobytes())
        transfers.write_bytes(program.transfer_list().tobytes())
        dram = np.full(program.dram_bytes, 0x5A, dtype=np.uint8)
        dram[program.input_address : program.input_address + len(packed)] = packed
        data.write_bytes(dram.tobytes())
        run_command(
            "simulating the engine (RTL)",
            [
                str((self.model / "harness").resolve()),
                *(str(path.resolve()) for path in (stream, transfers, data)),
                *map(str, (len(program.transfers), len(program.commands))),
                *map(str, (latency, stalls, seed)),
                str(times.resolve()),
            ],
            log=folder / "harness.log",
            cwd=folder,
            timeout=self.timeout,
        )
        after = np.frombuffer(data.read_bytes(), dtype=np.uint8)
        output = after[program.output_address : program.output_address + program.output_bytes]
        cycles, busy = np.frombuffer(times.read_bytes(), dtype="<u8")
        return output, int(cycles), int(busy)
