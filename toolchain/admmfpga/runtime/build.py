"""A build folder read back: checked against its manifest, with the Design that made it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from admmfpga.atomic import atomic_write
from admmfpga.codegen.render import CONTAINER
from admmfpga.codegen.vivado import WORK_FILES
from admmfpga.codegen.weights import VECTORS
from admmfpga.errors import UserError
from admmfpga.frontend import load
from admmfpga.manifest import verify_manifest
from admmfpga.mapping import AxisFormat, Design, Folding, Timing, lower
from admmfpga.network import compact, plain, with_budgets
from admmfpga.packing import read_container

BITSTREAM_FOLDER = "bitstream"
"""Folder inside a build for netlist, placed and routed design and bitstream; not in the manifest."""

WORK = "simulation"
"""Folder inside a build that simulations write to; not in the manifest."""


@dataclass(frozen=True, eq=False)
class Build:
    """A build folder on disk.

    Attributes:
        folder: where it is.
        design: what was built.
        model_sha256: of the user's ONNX file; the MODEL register shows its first 32 bits.
        report: report.json.
    """

    folder: Path
    design: Design
    model_sha256: str
    report: dict[str, Any]

    @property
    def work(self) -> Path:
        path = self.folder / WORK
        path.mkdir(exist_ok=True)
        return path

    def save_report(self, report: dict[str, Any]) -> None:
        """Replace report.json atomically."""
        atomic_write(self.folder / "report.json", (json.dumps(report, indent=2) + "\n").encode())


def open_build(folder: Path) -> Build:
    """Read a build folder; everything in it is checked first.

    Raises:
        UserError: not a build folder, or a file is missing, damaged or foreign.
    """
    if not (folder / "manifest.json").is_file():
        raise UserError(f"{folder} is not a build folder", "make one with `admmfpga compile MODEL -o DIR`")
    verify_manifest(folder, ignore=("report.json", WORK, BITSTREAM_FOLDER, *WORK_FILES))
    described = json.loads((folder / "design.json").read_text())
    sha256 = described["model_sha256"]
    memories = {m.name for m in read_container((folder / CONTAINER).read_bytes(), sha256)}
    imported = load(folder / "model.onnx", name=described["name"])
    foldings = {name: Folding.from_dict(folding) for name, folding in described["foldings"].items()}
    axis_in, axis_out = (AxisFormat(**form) for form in described["formats"])
    original, slack = imported.network, described.get("reload_slack")
    if slack is not None:
        original = with_budgets(original, slack)
    network = compact(plain(original))
    stages, streams = lower(network, foldings, (axis_in, axis_out))
    sized = tuple(
        replace(stage, block=stage.block.with_depths([described["depths"][name] for name in stage.outputs]))
        for stage in stages
    )
    design = Design(
        network=network,
        original=original,
        stages=sized,
        streams=streams,
        timing=Timing(**described["timing"]),
        foldings=foldings,
        formats=(axis_in, axis_out),
    )
    if {memory.name for memory in design.memories()} | {VECTORS} != memories:
        raise UserError(f"{folder / CONTAINER} does not hold the memories of this design", "compile again")
    return Build(folder, design, sha256, json.loads((folder / "report.json").read_text()))
