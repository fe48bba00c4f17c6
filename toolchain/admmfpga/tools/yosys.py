"""Open synthesis: Yosys as the pyosys wheel carries it, with the slang front end for SystemVerilog.

Yosys ends its process on an error, so each run is a process of its own with a script file. A run takes any number of
jobs (a module and its parameters): reading the cell library takes longer than synthesizing a small block.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from admmfpga.blocks import Resources
from admmfpga.errors import ToolError
from admmfpga.resources import resource_dir
from admmfpga.tools.runner import Runner

_PROGRAM = "import sys; from pyosys import libyosys; libyosys.run_pass('script ' + sys.argv[1], libyosys.Design())"
_VERSION = "from pyosys import libyosys; print(libyosys.yosys_maybe_version())"

_LIBRARIES = {
    "xilinx": ("read_verilog -lib -specify +/xilinx/cells_sim.v", "read_verilog -lib +/xilinx/cells_xtra.v"),
    "ecp5": ("read_verilog -lib -specify +/ecp5/cells_sim.v +/ecp5/cells_bb.v",),
}
"""Cells of a family. The synthesis scripts read them themselves, but then want a single top module."""

LUT_ROM = ("lut_rom.txt", "lut_rom.v")
"""Memory library and techmap of a ROM in the LUTs of Xilinx devices."""

PRIMITIVES = "ecp5_primitives.sv"
"""Declarations of the ECP5 primitives that board tops instantiate; slang wants to know their ports."""


def lut_rom_commands(selected: str) -> tuple[str, ...]:
    """Yosys' commands that map the selected $mem_v2 with an asynchronous read port to LUT6."""
    library, techmap = LUT_ROM
    return (
        f'setattr -set rom_style "distributed" {selected}',
        f"memory_libmap -lib {library} {selected}",
        f"techmap -map {techmap} t:$__LUT_ROM_",
    )


@dataclass(frozen=True)
class Flow:
    """Synthesis for a family.

    Attributes:
        name: Yosys' command, for reports.
        commands: behind the reading of the sources.
    """

    name: str
    commands: tuple[str, ...]


def _xilinx(family: str) -> Flow:
    commands = (
        *_LIBRARIES["xilinx"],
        "memory_collect a:rom_style=logic",
        # A memory of one word is a constant. rom_style changes on the way, so it is marked otherwise.
        "setattr -set lut_rom 1 a:rom_style=logic t:$mem_v2 %i r:SIZE>1 %i",
        *lut_rom_commands("a:lut_rom"),
        f"synth_xilinx -family {family} -flatten -noiopad -noclkbuf -run prepare:",
    )
    return Flow(f"synth_xilinx -family {family}", commands)


FLOWS = {
    "xc7": _xilinx("xc7"),
    "xcup": _xilinx("xcup"),
    "ecp5": Flow("synth_ecp5", (*_LIBRARIES["ecp5"], "synth_ecp5 -run coarse:")),
}
"""By FPGA family."""

_LUTS = {
    # An inverter that no LUT has absorbed.
    **dict.fromkeys(("INV", "LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "LUT6_2"), 1),
    **dict.fromkeys(("SRL16", "SRL16E", "SRLC16E", "SRLC32E", "RAM32X1S", "RAM64X1S"), 1),
    **dict.fromkeys(("RAM32X1D", "RAM64X1D", "RAM32X2S", "RAM128X1S"), 2),
    **dict.fromkeys(("RAM32M", "RAM64M", "RAM128X1D", "RAM256X1S"), 4),
    **dict.fromkeys(("RAM32M16", "RAM64M8", "RAM256X1D", "RAM512X1S"), 8),
    # ECP5: a carry cell is two LUTs; a 16x4 memory is two of storage in two slices and one slice of write logic.
    "CCU2C": 2,
    "TRELLIS_DPR16X4": 6,
}
_FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1", "LDCE", "LDPE", "TRELLIS_FF")
_BRAM18 = {
    **dict.fromkeys(("RAMB18E1", "RAMB18E2", "DP16KD", "PDPW16KD"), 1),
    **dict.fromkeys(("RAMB36E1", "RAMB36E2"), 2),
}
_DSP = ("DSP48E1", "DSP48E2", "MULT18X18D")
_FREE = (
    "EHXPLLL",
    "TRELLIS_IO",
    "$scopeinfo",
    "CARRY4",
    "CARRY8",
    "MUXF5",
    "MUXF6",
    "MUXF7",
    "MUXF8",
    "MUXF9",
    "PFUMX",
    "L6MUX21",
    "GND",
    "VCC",
    "BUFG",
)
"""Part of the slices that hold the LUTs, or no part of the fabric."""


@dataclass(frozen=True)
class Job:
    """A module to synthesize.

    Attributes:
        top: its name.
        parameters: values as SystemVerilog literals, texts in quotes.
    """

    top: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Synthesis:
    """What synthesis made of a job.

    Attributes:
        resources: LUTs include LUT-RAM and shift registers by the LUTs they occupy; carry chains lie beside LUTs.
        cells: number of cells by type.
    """

    resources: Resources
    cells: dict[str, int]


class Yosys(Runner):
    """Yosys from PyPI."""

    program: ClassVar[str] = "yosys"
    install: ClassVar[str] = 'pip install "admmfpga[synth]"'
    minimum: ClassVar[tuple[int, ...]] = (0, 50)

    def __init__(self, *, timeout: float = 3600.0) -> None:
        super().__init__(timeout=timeout)

    def _build_command(self, script: str) -> list[str]:
        return [sys.executable, "-c", _PROGRAM, script]

    def _version_command(self) -> list[str]:
        return [sys.executable, "-c", _VERSION]

    def _locate(self, step: str, command: Sequence[str]) -> str:
        if importlib.util.find_spec("pyosys") is None:
            raise ToolError(step, command, None, "pyosys is not installed", self.install)
        return super()._locate(step, command)

    def netlist(
        self,
        top: str,
        sources: Sequence[Path],
        *,
        folder: Path,
        memories: Iterable[Path] = (),
    ) -> tuple[Path, Synthesis]:
        """Synthesize a whole design for an ECP5, pins included.

        Args:
            top: module whose ports are pins.
            sources: SystemVerilog files, packages first.
            folder: for script, log, statistics and the netlist.
            memories: images that the design names, by their plain file names.

        Returns:
            the netlist for nextpnr, and what it holds.

        Raises:
            ToolError: as `synthesize`.
        """
        self.check_version()
        netlist = folder / f"{top}.json"
        script, log, statistics = (folder / f"yosys.{name}" for name in ("ys", "log", "json"))
        primitives = resource_dir("hls_templates") / "yosys" / PRIMITIVES
        for path in (primitives, *sources):
            _link(folder / "sources" / path.name, path)
        for path in memories:
            _link(folder / path.name, path)
        files = " ".join(f"sources/{path.name}" for path in (primitives, *sources))
        script.write_text(
            f"read_slang --no-implicit-memories --ignore-assertions {files} --top {top}\n"
            f"synth_ecp5 -top {top} -json {netlist.name}\n"
            f"tee -q -o {statistics.name} stat -json\n"
        )
        command = self._build_command(script.name)
        self.run("synthesizing with Yosys", command, log=log, cwd=folder)
        modules = json.loads(statistics.read_text())["modules"]
        cells = {kind: int(count) for kind, count in modules[f"\\{top}"]["num_cells_by_type"].items()}
        return netlist, _counted(cells, command, log)

    def synthesize(
        self,
        jobs: Mapping[str, Job],
        sources: Sequence[Path],
        *,
        family: str,
        folder: Path,
        memories: Iterable[Path] = (),
    ) -> dict[str, Synthesis]:
        """Synthesize modules, each by itself.

        Args:
            jobs: by name, an identifier.
            sources: SystemVerilog files, packages first.
            family: a key of `FLOWS`.
            folder: for script, log and raw statistics.
            memories: images that the parameters name, by their plain file names.

        Raises:
            ToolError: Yosys is missing, too old, failed, ran out of time, or used a cell that we cannot count.
        """
        self.check_version()
        script, log, statistics = (folder / f"yosys.{name}" for name in ("ys", "log", "json"))
        # Yosys takes no file names with spaces: everything is reached by plain names from here.
        for path in sources:
            _link(folder / "sources" / path.name, path)
        for path in (*(resource_dir("hls_templates") / "yosys" / name for name in LUT_ROM), *memories):
            _link(folder / path.name, path)
        statistics.unlink(missing_ok=True)
        script.write_text(_script(jobs, [path.name for path in sources], family, statistics.name))
        command = self._build_command(script.name)
        self.run("synthesizing with Yosys", command, log=log, cwd=folder)
        modules = json.loads(statistics.read_text())["modules"]
        result = {}
        for name in jobs:
            cells = {kind: int(count) for kind, count in modules[f"\\{name}"]["num_cells_by_type"].items()}
            result[name] = _counted(cells, command, log)
        return result


def _counted(cells: dict[str, int], command: Sequence[str], log: Path) -> Synthesis:
    try:
        return Synthesis(count_resources(cells), cells)
    except ValueError as error:
        raise ToolError("counting the cells that Yosys used", command, log, str(error)) from None


def count_resources(cells: Mapping[str, int]) -> Resources:
    """Resources of a netlist.

    Args:
        cells: number of cells by type.

    Raises:
        ValueError: there are cells of unknown types.
    """
    unknown = [k for k in cells if k not in {*_LUTS, *_FLIP_FLOPS, *_BRAM18, *_DSP, *_FREE}]
    if unknown:
        raise ValueError(f"cells of unknown type: {', '.join(unknown)}")
    return Resources(
        lut=sum(_LUTS.get(kind, 0) * count for kind, count in cells.items()),
        ff=sum(cells.get(kind, 0) for kind in _FLIP_FLOPS),
        bram18=sum(_BRAM18.get(kind, 0) * count for kind, count in cells.items()),
        dsp=sum(cells.get(kind, 0) for kind in _DSP),
    )


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.resolve() != target.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(target.resolve())


def _script(jobs: Mapping[str, Job], sources: Sequence[str], family: str, statistics: str) -> str:
    files = " ".join(f"sources/{name}" for name in sources)
    lines = []
    for name, job in jobs.items():
        parameters = " ".join(f"-G {key}={value}" for key, value in job.parameters.items())
        # Without --no-implicit-memories accumulators become memories, and DSP blocks do not take them.
        lines += [
            f"read_slang --no-implicit-memories --ignore-assertions {files} --top {job.top} {parameters}".rstrip(),
            f"rename {job.top} {name}",
        ]
    lines += [
        # None of the modules is above the others.
        "setattr -mod -unset top *",
        *FLOWS[family].commands,
        f"tee -q -o {statistics} stat -json",
    ]
    return "\n".join(lines) + "\n"
