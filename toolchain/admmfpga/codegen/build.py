"""`compile`: ONNX file -> Design -> build folder. The one place that knows what a build folder holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from admmfpga import __version__
from admmfpga.atomic import atomic_directory
from admmfpga.blocks import uart_link
from admmfpga.blocks.families import using
from admmfpga.boards import Board, load_board
from admmfpga.codegen.board import link_of
from admmfpga.codegen.render import render_design, write_files
from admmfpga.errors import UserError
from admmfpga.frontend import Import, load
from admmfpga.manifest import write_manifest
from admmfpga.mapping import KINDS, Design, map_network
from admmfpga.network import Network, weighted, with_budgets
from admmfpga.report import make_report

Progress = Callable[..., None]

AUTO = "auto"
"""The cheapest PE that keeps up, layer by layer."""


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
    pe: Mapping[str, str] | None = None,
    reload_slack: float | None = None,
    progress: Progress = lambda *_: None,
) -> Compiled:
    """Import a model and map it onto a board.

    Args:
        path: ONNX file, QDQ or float.
        board_name: board or path of a board's TOML file.
        calibration: (N, C, H, W) images for a float model.
        clock_mhz: of the accelerator; the board's default if None.
        target_fps: frames per second to reach with the least resources; None for as fast as fits.
        pe: kind of PE by layer name, "" standing for all others; layers that are not named take what is cheapest.
        reload_slack: weights can be loaded at run time, and programs of non-zero weights have that share of steps to
            spare; None: weights are constants.

    Raises:
        UserError: bad file, unsupported operators, unknown board, design that does not fit.
    """
    board = load_board(board_name)
    clock = board.clock_mhz if clock_mhz is None else clock_mhz
    imported = load(path, calibration=calibration)
    if reload_slack is not None:
        imported = with_reload(imported, reload_slack)
    return map_import(imported, board, clock, target_fps=target_fps, pe=pe, progress=progress)


def with_reload(imported: Import, slack: float) -> Import:
    """A model whose weights can be exchanged at run time.

    Raises:
        UserError: activations are bits that mean -1 and +1.
    """
    network = imported.network
    if bipolar := [name for name, tensor in network.tensors.items() if tensor.dtype.bipolar]:
        raise UserError(
            f"weights of networks with bipolar activations cannot be exchanged ({', '.join(bipolar)})",
            "compile without --reloadable",
        )
    return replace(imported, network=with_budgets(network, slack))


def map_import(
    imported: Import,
    board: Board,
    clock: float,
    *,
    target_fps: float | None = None,
    pe: Mapping[str, str] | None = None,
    progress: Progress = lambda *_: None,
) -> Compiled:
    """Map an imported model onto a board; see `compile_model`."""
    progress("folding the layers onto the board")
    interval = None if target_fps is None else int(clock * 1e6 / target_fps)
    if interval == 0:
        raise UserError(f"{target_fps:g} frames/s is more than one a cycle at {clock:g} MHz", "ask for fewer")
    kinds = pe_kinds(imported.network, pe or {})
    with using(board.family):
        design = map_network(
            imported.network,
            board.resources,
            board=board.name,
            target_interval=interval,
            kinds=kinds,
            port=board.memory_port(clock),
            beside=uart_link.BESIDE if board.open_flow else None,
        )
    report = make_report(design, board, clock_mhz=clock, model_name=imported.network.name, model_sha256=imported.sha256)
    if link := link_of(board, clock, design):
        report["link"] = link
    return Compiled(imported, design, board, clock, report)


def pe_kinds(network: Network, pe: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Kinds of PEs that each layer may take.

    Args:
        pe: kind by layer name, "" standing for all others.

    Raises:
        UserError: unknown kinds, layers that are not there or have no weights, all at once.
    """
    layers = [node.name for node in weighted(network)]
    problems = [f"no layer {name!r} with weights" for name in pe if name and name not in layers]
    problems += [f"no PE {kind!r}" for kind in dict.fromkeys(pe.values()) if kind not in (AUTO, *KINDS)]
    if problems:
        raise UserError("; ".join(problems), f"layers are {', '.join(layers)}; PEs are {', '.join((AUTO, *KINDS))}")
    chosen = {name: pe.get(name, pe.get("", AUTO)) for name in layers}
    return {name: KINDS if kind == AUTO else (kind,) for name, kind in chosen.items()}


def write_build(compiled: Compiled, folder: Path, *, force: bool = False) -> None:
    """Write the build folder; it appears as a whole or not at all.

    Raises:
        UserError: if `folder` holds something that is not a build, unless forced.
    """
    with atomic_directory(folder, force=force) as work:
        write_files(work, render_build(compiled))
        write_manifest(work, {"generator": f"admmfpga {__version__}", "model_sha256": compiled.imported.sha256})


def render_build(compiled: Compiled) -> dict[str, str | bytes]:
    """All files of a build folder but the manifest, by path. The same input gives the same bytes."""
    files: dict[str, str | bytes] = {
        "model.onnx": compiled.imported.model.SerializeToString(deterministic=True),
        "design.json": _json(describe_design(compiled)),
        "report.json": _json(compiled.report),
    }
    return files | render_design(compiled.design, compiled.board, compiled.clock_mhz, compiled.imported.sha256)


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
        "depths": design.depths,
        "timing": asdict(design.timing),
        "reload_slack": reload_slack(design.network),
    }


def reload_slack(network: Network) -> float | None:
    """The slack that `compile_model` was given."""
    return next((budget.slack for budget in network.budgets.values()), None)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2) + "\n"
