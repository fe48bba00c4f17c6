"""Devices that run the shared engine's program on this machine: its RTL in Verilator, its HLS C++ as a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from admmfpga.engine.check import WORK, EngineBuild, open_engine_build
from admmfpga.engine.driver import describe
from admmfpga.engine.hls import EngineCsim
from admmfpga.engine.simulation import EngineRtl
from admmfpga.errors import ToolError
from admmfpga.host import AcceleratorError
from admmfpga.host_engine import EngineHost

LATENCY = 30
"""Cycles from an address to its data in simulated DRAM, as reports assume."""


class _Simulated(EngineHost):
    """What both have: a build, a work folder, a count of frames."""

    def __init__(self, build: EngineBuild, timeout_s: float) -> None:
        description, program = describe(build.network, build.program, build.report["model"]["sha256"], build.folder)
        super().__init__(description, program, timeout_s=timeout_s)
        self._build = build
        self._counted = {"FRAMES": 0}

    def counters(self) -> dict[str, int]:
        """Frames since it was opened, and what the RTL counted in the latest one."""
        return dict(self._counted)

    def _close(self) -> None:
        """Nothing stays alive between frames."""

    def _run(self, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        raise NotImplementedError

    def _frame(self, data: Any) -> Any:
        try:
            output = self._run(np.asarray(data, dtype=np.uint8))
        except ToolError as error:
            self._fail(str(error))
            raise AcceleratorError(f"{error} ({self.describe()}; log: {error.log})") from None
        self._counted["FRAMES"] += 1
        return output


class EngineRtlDevice(_Simulated):
    """`device="sim"`."""

    def __init__(
        self, folder: Path, device: str, *, timeout_s: float = 3600.0, stall_percent: int = 0, seed: int = 1
    ) -> None:
        """
        Args:
            timeout_s: for a frame.
            stall_percent: of the cycles in which a channel of DRAM does not move.
        """
        super().__init__(open_engine_build(folder), timeout_s)
        self._stalls, self._seed = stall_percent, seed
        work = folder / WORK
        work.mkdir(exist_ok=True)
        self._rtl = EngineRtl(self._build.program.shape, work, timeout=timeout_s)
        self._rtl.compile()

    def _run(self, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        ran = self._rtl.run_bytes(self._build.program, data, latency=LATENCY, stalls=self._stalls, seed=self._seed)
        output, self._counted["CYCLES"], self._counted["BUSY"] = ran
        return output


class EngineCsimDevice(_Simulated):
    """`device="csim"`: no registers, no time."""

    def __init__(self, folder: Path, device: str, *, timeout_s: float = 3600.0) -> None:
        """
        Args:
            timeout_s: for a frame.
        """
        super().__init__(open_engine_build(folder), timeout_s)
        work = folder / WORK
        work.mkdir(exist_ok=True)
        self._csim = EngineCsim(self._build.program.shape, work, timeout=timeout_s)
        self._csim.compile()

    def _run(self, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        found: npt.NDArray[np.uint8] = self._csim.run_bytes(self._build.program, data[None])[0]
        return found
