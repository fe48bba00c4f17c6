"""`compile`: ONNX file -> Design -> build folder. The one place that knows what a build folder holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from admmfpga import __version__
from admmfpga.atomic import atomic_directory
from admmfpga.boards import Board, load_board
from admmfpga.codegen.driver import render_driver
from admmfpga.codegen.environment import make_environment
from admmfpga.codegen.hls import render_hls
from admmfpga.codegen.rtl import compile_order, render_rtl
from admmfpga.codegen.vectors import render_vectors
from admmfpga.codegen.vivado import render_vivado
from admmfpga.errors import UserError
from admmfpga.frontend import Import, load
from admmfpga.manifest import write_manifest
from admmfpga.mapping import Design, map_network
from admmfpga.packing import to_coe, to_mem, to_mif, write_container
from admmfpga.report import make_report

Progress = Callable[..., None]

CONTAINER = "memory/weights.admm"
"""The binary container inside a build folder."""


@dataclass(frozen=True, eq=False)
class Compiled:
    """Everything that `compile` decided, before anything is written."""

    imported: Import
    design: Design
    board: Board
    clock_mhz: float
    report: dict[str, Any]


def compile_model(
    path: Path,
    board_name: str,
    *,
    calibration: npt.NDArray[np.generic] | None = None,
    clock_mhz: float | None = None,
    target_fps: float | None = None,
    progress: Progress = lambda *_: None,
) -> Compiled:
    """Import a model and map it onto a board.

    Args:
        path: ONNX file, QDQ or float.
        board_name: board or path of a board's TOML file.
        calibration: (N, C, H, W) images for a float model.
        clock_mhz: of the accelerator; the board's default if None.
        target_fps: frames per second to reach with the least resources; None for as fast as fits.

    Raises:
        UserError: bad file, unsupported operators, unknown board, design that does not fit.
    """
    board = load_board(board_name)
    clock = board.clock_mhz if clock_mhz is None else clock_mhz
    imported = load(path, calibration=calibration)
    progress("folding the layers onto the board")
    interval = None if target_fps is None else int(clock * 1e6 / target_fps)
    if interval == 0:
        raise UserError(f"{target_fps:g} frames/s is more than one a cycle at {clock:g} MHz", "ask for fewer")
    design = map_network(imported.network, board.resources, board=board.name, target_interval=interval)
    report = make_report(design, board, clock_mhz=clock, model_name=imported.network.name, model_sha256=imported.sha256)
    return Compiled(imported, design, board, clock, report)


def write_build(compiled: Compiled, folder: Path, *, force: bool = False) -> None:
    """Write the build folder; it appears as a whole or not at all.

    Raises:
        UserError: if `folder` holds something that is not a build, unless forced.
    """
    with atomic_directory(folder, force=force) as work:
        for name, content in render_build(compiled).items():
            path = work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        write_manifest(work, {"generator": f"admmfpga {__version__}", "model_sha256": compiled.imported.sha256})


def render_build(compiled: Compiled) -> dict[str, str | bytes]:
    """All files of a build folder but the manifest, by path. The same input gives the same bytes."""
    design, board, sha256 = compiled.design, compiled.board, compiled.imported.sha256
    environment = make_environment()
    memories = [memory for stage in design.stages for memory in stage.memories.values()]
    axis_in, axis_out = design.formats
    rtl = render_rtl(design, environment, model_sha256=sha256)
    files: dict[str, str | bytes] = {
        "model.onnx": compiled.imported.model.SerializeToString(deterministic=True),
        "design.json": _json(describe_design(compiled)),
        "report.json": _json(compiled.report),
        CONTAINER: write_container(memories, sha256),
    }
    for memory in memories:
        files[f"memory/{memory.name}.mem"] = to_mem(memory)
        files[f"memory/{memory.name}.coe"] = to_coe(memory)
        files[f"memory/{memory.name}.mif"] = to_mif(memory)
    files |= _under("rtl", rtl)
    files |= _under("hls", render_hls(design, environment, part=board.part, clock_mhz=compiled.clock_mhz))
    files |= _under("vectors", render_vectors(design))
    files |= _under(
        "driver",
        render_driver(
            design,
            environment,
            model_sha256=sha256,
            axis_in=(axis_in.lanes, axis_in.container_bits),
            axis_out=(axis_out.lanes, axis_out.container_bits),
        ),
    )
    files |= _under(
        "vivado",
        render_vivado(
            design,
            board,
            environment,
            clock_mhz=compiled.clock_mhz,
            rtl_files=compile_order(list(rtl)),
            memory_files=[f"{memory.name}.mem" for memory in memories],
            axis_in_width=axis_in.width,
            axis_out_width=axis_out.width,
        ),
    )
    return files


def describe_design(compiled: Compiled) -> dict[str, Any]:
    """design.json: what is needed to make the same Design again from model.onnx, without searching."""
    design = compiled.design
    return {
        "name": design.network.name,
        "model_sha256": compiled.imported.sha256,
        "board": compiled.board.name,
        "clock_mhz": compiled.clock_mhz,
        "foldings": {name: asdict(folding) for name, folding in design.foldings.items()},
        "formats": [asdict(form) for form in design.formats],
        "depths": {stage.name: stage.block.out_depth for stage in design.stages},
        "timing": asdict(design.timing),
    }


def _under(folder: str, files: Mapping[str, str | bytes]) -> dict[str, str | bytes]:
    return {f"{folder}/{name}": content for name, content in files.items()}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
