"""What `admmfpga explore` finds: Pareto fronts of one network on boards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from admmfpga.blocks.families import using
from admmfpga.boards import Board, all_boards, load_board
from admmfpga.codegen.build import pe_kinds
from admmfpga.errors import UserError
from admmfpga.frontend import load
from admmfpga.mapping import axis_formats, candidates_by_layer, wrapper_resources
from admmfpga.mapping.bounds import folding_bounds, stream_bounds, vectors
from admmfpga.mapping.candidates import Refinement
from admmfpga.mapping.folding import Candidate, usable
from admmfpga.mapping.front import POINTS, pareto_front
from admmfpga.mapping.search import Choice
from admmfpga.network import Network, compact, plain

Progress = Callable[..., None]

ALL = "all"
"""Stands for every board that ships with the package."""


def explore_model(
    path: Path,
    boards: Sequence[str],
    *,
    calibration: npt.NDArray[np.generic] | None = None,
    clock_mhz: float | None = None,
    pe: Mapping[str, str] | None = None,
    points: int = POINTS,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Pareto fronts of a network on one or several boards.

    Args:
        path: ONNX file, QDQ or float.
        boards: names or TOML files; "all".
        calibration: images for a float model.
        clock_mhz: of all boards; None: each board's own.
        pe: kind of PE by layer name, "" for all others.
        points: intervals to try on each board.

    Returns:
        model; boards: for each of them its part, clock, usable resources, bounds and points, the fastest first; where
        nothing fits no points but the reason. Resources are modelled, with FIFOs at their least depth.

    Raises:
        UserError: bad file, unknown board.
    """
    placed = list({board.name: board for name in boards for board in _boards(name)}.values())
    imported = load(path, calibration=calibration)
    kinds = pe_kinds(imported.network, pe or {})
    network = compact(plain(imported.network))
    layers: dict[str, dict[str, list[Candidate]]] = {}
    for family in dict.fromkeys(board.family for board in placed):
        with using(family):
            layers[family] = candidates_by_layer(
                network, kinds, partial(progress, f"foldings of the layers ({family})")
            )
    return {
        "model": {"name": imported.network.name, "sha256": imported.sha256},
        "resources_source": "modelled, FIFOs at their least depth",
        "boards": [_board(network, layers[board.family], board, clock_mhz, points, progress) for board in placed],
    }


def _boards(name: str) -> list[Board]:
    return all_boards() if name == ALL else [load_board(name)]


def _board(
    network: Network,
    layers: Mapping[str, Sequence[Candidate]],
    board: Board,
    clock_mhz: float | None,
    points: int,
    progress: Progress,
) -> dict[str, Any]:
    clock = board.clock_mhz if clock_mhz is None else clock_mhz
    limit = usable(board.resources)
    row: dict[str, Any] = {
        "board": board.name,
        "part": board.part,
        "clock_mhz": clock,
        "available": board.resources.as_dict(),
        "usable": limit.as_dict(),
        "fits": False,
        "reason": "",
        "hint": "",
        "bounds": {},
        "points": [],
    }
    with using(board.family):
        fixed, refinement = wrapper_resources(), Refinement(network)
        streams = stream_bounds(network, axis_formats(network, 1), board.memory_port(clock))
        least = max(bound.interval for bound in streams)
        try:
            front = pareto_front(
                layers,
                board.resources,
                fixed,
                board=board.name,
                least_useful=least,
                points=points,
                refine=refinement,
                progress=partial(progress, f"front on {board.name}"),
            )
        except UserError as error:
            return row | {"reason": str(error), "hint": error.hint}
        layers = refinement(layers, front[0].interval)
        bounds = [*streams, *folding_bounds(layers, limit, fixed, vectors(network))]
    return row | {
        "fits": True,
        "bounds": {b.kind: b.interval for b in sorted(bounds, key=lambda b: -b.interval)},
        "least_interval_proven": front[0].least_interval,
        "points": [_point(choice, clock, board, least) for choice in front],
    }


def _point(choice: Choice, clock: float, board: Board, least: int) -> dict[str, Any]:
    limit = usable(board.resources).as_dict()
    interval = max(choice.interval, least)
    shares = {name: amount / max(1, limit[name]) for name, amount in choice.resources.as_dict().items()}
    scarcest = max(shares, key=lambda name: shares[name])
    return {
        "frame_interval_cycles": interval,
        "throughput_fps": round(clock * 1e6 / interval, 3),
        "resources": choice.resources.as_dict(),
        "share": round(shares[scarcest], 4),
        "scarcest": scarcest,
        "slowest_layer": max(choice.candidates, key=lambda layer: choice.candidates[layer].cycles),
        "price_gap": choice.price_gap,
    }
