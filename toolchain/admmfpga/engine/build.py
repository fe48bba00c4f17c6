"""Build folders of the shared engine, and the choice between it and the dataflow architecture."""

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
from admmfpga.codegen.build import Compiled, map_import, with_reload, write_build
from admmfpga.codegen.render import write_files
from admmfpga.engine import driver
from admmfpga.engine.figures import layer_figures, totals
from admmfpga.engine.hls import hls_files
from admmfpga.engine.layers import lower
from admmfpga.engine.schedule import Program, make_program
from admmfpga.engine.shape import EngineShape, choose_shape, dsp_multipliers, fitted_resources
from admmfpga.engine.simulation import rtl_files, rtl_parameters
from admmfpga.engine.timing import EngineTiming, time_program
from admmfpga.errors import UserError
from admmfpga.frontend import Import, load
from admmfpga.manifest import write_manifest
from admmfpga.mapping.candidates import layer_layouts
from admmfpga.mapping.units import is_sparse
from admmfpga.network import Conv, Network, compact, plain, weighted
from admmfpga.network.ranges import weight_type

Progress = Callable[..., None]

ARCHITECTURES = ("auto", "dataflow", "engine")


@dataclass(frozen=True, eq=False)
class EngineCompiled:
    """A network on the shared engine, before anything is written.

    Attributes:
        imported: the model.
        program: what the engine runs.
        timing: of a frame.
        board, clock_mhz: where.
        report: report.json.
    """

    imported: Import
    program: Program
    timing: EngineTiming
    board: Board
    clock_mhz: float
    report: dict[str, Any]


def compile_any(
    path: Path,
    board_name: str,
    *,
    architecture: str = "auto",
    calibration: npt.NDArray[np.generic] | None = None,
    clock_mhz: float | None = None,
    target_fps: float | None = None,
    pe: Mapping[str, str] | None = None,
    reload_slack: float | None = None,
    progress: Progress = lambda *_: None,
) -> Compiled | EngineCompiled:
    """Import a model and put it on a board: one array a layer, or the shared engine where that does not fit.

    Args:
        architecture: "auto", "dataflow" or "engine"; the other arguments are those of `codegen.build.compile_model`.

    Raises:
        UserError: bad file, unsupported operators, unknown board, what does not fit either way.
    """
    board = load_board(board_name)
    clock = board.clock_mhz if clock_mhz is None else clock_mhz
    if architecture == "engine" and pe:
        raise UserError("the shared engine has one PE array for all layers", "leave --pe out")
    imported = load(path, calibration=calibration)
    if reload_slack is not None:
        if architecture == "engine":
            raise UserError(
                "the shared engine's weights are in memory, not in the accelerator", "leave --reloadable out"
            )
        architecture = "dataflow"
        imported = with_reload(imported, reload_slack)
    if architecture == "engine":
        return compile_engine(imported, board, clock, "asked for", target_fps=target_fps, progress=progress)
    too_large = weights_beyond(imported.network, board) if architecture == "auto" and not pe else ""
    if too_large:
        return compile_engine(imported, board, clock, too_large, target_fps=target_fps, progress=progress)
    too_long = search_beyond(imported.network) if architecture == "auto" and not pe else ""
    if too_long:
        try:
            return compile_engine(imported, board, clock, too_long, target_fps=target_fps, progress=progress)
        except UserError:
            progress("the shared engine cannot have it: searching one array a layer, which takes long")
    try:
        return map_import(imported, board, clock, target_fps=target_fps, pe=pe, progress=progress)
    except UserError as error:
        if architecture == "dataflow" or pe:
            raise
        reason = f"not one array a layer: {error.message}"
        try:
            return compile_engine(imported, board, clock, reason, target_fps=target_fps, progress=progress)
        except UserError as other:
            # What the person may want to know is why the first choice does not fit.
            raise UserError(
                error.message, f"{error.hint}; the shared engine: {other.message}".lstrip("; "), node=error.node
            ) from None


def weights_beyond(network: Network, board: Board) -> str:
    """Why the weights cannot all be on the chip; "" if they might.

    A bound: no format stores a weight that is not zero in fewer bits, no board has more than its block RAM and LUTs.
    """
    bits = sum(np.count_nonzero(node.weights) * weight_type(node.weights).bits for node in weighted(network))
    room = board.resources.bram18 * 18 * 1024 + board.resources.lut * 64 + board.uram * 288 * 1024
    if bits <= room:
        return ""
    return f"weights of {bits / 8e6:,.1f} MB are more than the {room / 8e6:,.1f} MB that {board.name} holds on chip"


MOST_LAYOUTS = 4000
"""Ways to spread pruned layers over index-decoding PEs beyond which nobody waits for the search: each is scheduled
weight by weight, which takes some ten milliseconds."""


def search_beyond(network: Network) -> str:
    """Why the search for one array a layer would take minutes; "" if it does not."""
    network = compact(plain(network))
    matrices = [node for node in weighted(network) if not (isinstance(node, Conv) and node.depthwise)]
    layers = [node for node in matrices if is_sparse(node.matrix)]
    found = sum(sum(1 for _ in layer_layouts(network, node)) for node in layers)
    if found <= MOST_LAYOUTS:
        return ""
    return (
        f"one array a layer would have {found:,} forms of {len(layers)} pruned layers to choose from, which takes "
        "minutes (--architecture dataflow)"
    )


def compile_engine(
    imported: Import,
    board: Board,
    clock_mhz: float,
    reason: str,
    *,
    target_fps: float | None = None,
    progress: Progress = lambda *_: None,
) -> EngineCompiled:
    """A program for the engine that the board has room for.

    Args:
        reason: why the engine, for the report.

    Raises:
        UserError: nodes that the engine cannot compute, a board without memory port, a rate that it does not reach.
    """
    progress("planning the shared engine")
    shape = choose_shape(board.resources, board.port_bits, board=board.name)
    network, program = planned(imported.network, shape)
    timing = time_program(program)
    rate = clock_mhz * 1e6 / timing.cycles
    if target_fps is not None and rate < target_fps:
        raise UserError(
            f"the shared engine reaches {rate:.2f} frames/s on {board.name}, {target_fps:g} are asked for",
            "a larger board, a higher --clock, or a smaller network",
        )
    report = _report(imported, network, program, timing, board, clock_mhz, reason)
    return EngineCompiled(imported, program, timing, board, clock_mhz, report)


def planned(network: Network, shape: EngineShape) -> tuple[Network, Program]:
    """What is left of a network without constant and unread channels, and the program that computes it.

    Groups and dilation stay: the engine has commands for them, unlike the dataflow's blocks (`network.plain`).
    """
    left = compact(network)
    return left, make_program(lower(left, shape), shape)


def _report(
    imported: Import,
    network: Network,
    program: Program,
    timing: EngineTiming,
    board: Board,
    clock_mhz: float,
    reason: str,
) -> dict[str, Any]:
    available = board.resources.as_dict()
    used = fitted_resources(program.shape, board.resources).as_dict()
    # DSP and block RAM follow the inference rules; LUT and FF are a rough count that no synthesis has confirmed.
    sources = {"bram18": "modelled", "dsp": "modelled", "lut": "rough estimate", "ff": "rough estimate"}
    return {
        "model": {"name": imported.network.name, "sha256": imported.sha256},
        "board": board.name,
        "part": board.part,
        "family": board.family,
        "clock_mhz": clock_mhz,
        "architecture": "engine",
        "reason": reason,
        "shape": asdict(program.shape) | {"multipliers": program.shape.multipliers},
        "throughput_fps": round(clock_mhz * 1e6 / timing.cycles, 3),
        **totals(program, timing, network),
        "resources": {
            name: {"used": used[name], "available": available[name], "source": sources[name]} for name in available
        },
        "layers": layer_figures(program, timing),
        "host": [{"op": op.op, "axis": op.axis} for op in network.host_ops],
    }


def write_any(compiled: Compiled | EngineCompiled, folder: Path, *, force: bool = False) -> None:
    """Write a build folder of either architecture; it appears as a whole or not at all.

    Raises:
        UserError: if `folder` holds something that is not a build, unless forced.
    """
    if isinstance(compiled, Compiled):
        write_build(compiled, folder, force=force)
        return
    with atomic_directory(folder, force=force) as work:
        write_files(work, render_engine(compiled))
        write_manifest(work, {"generator": f"admmfpga {__version__}", "model_sha256": compiled.imported.sha256})


def render_engine(compiled: EngineCompiled) -> dict[str, str | bytes]:
    """All files of an engine's build folder but the manifest, by path."""
    program = compiled.program
    design = {
        "architecture": "engine",
        "name": compiled.imported.network.name,
        "model_sha256": compiled.imported.sha256,
        "board": compiled.board.name,
        "clock_mhz": compiled.clock_mhz,
        "shape": asdict(program.shape),
        "rtl_parameters": rtl_parameters(program.shape)
        | {"DSP_MULTIPLIERS": dsp_multipliers(program.shape, compiled.board.resources)},
        "program": {
            "stream_beats": program.stream_beats,
            "commands": len(program.commands),
            "transfers": len(program.transfers),
            "data_bytes": program.dram_bytes,
            "input": {"address": program.input_address, "fold": _fold(program)},
            "output": {"address": program.output_address, "bytes": program.output_bytes},
        },
    }
    files: dict[str, str | bytes] = {
        "model.onnx": compiled.imported.model.SerializeToString(deterministic=True),
        "design.json": json.dumps(design, indent=2) + "\n",
        "report.json": json.dumps(compiled.report, indent=2) + "\n",
        "program/stream.bin": program.stream().tobytes(),
        "program/transfers.bin": program.transfer_list().tobytes(),
    }
    seconds = compiled.timing.cycles / (compiled.clock_mhz * 1e6)
    files |= driver.render(compiled.imported.network, program, compiled.imported.sha256, seconds=seconds)
    files |= {f"rtl/{name}": text for name, text in rtl_files().items()}
    return files | {f"hls/{name}": text for name, text in hls_files(program.shape).items()}


def _fold(program: Program) -> dict[str, int] | None:
    fold = program.lowered.fold
    return None if fold is None else asdict(fold)


def engine_shape(described: Mapping[str, Any]) -> EngineShape:
    """The shape of an engine's design.json."""
    return EngineShape(**described["shape"])
