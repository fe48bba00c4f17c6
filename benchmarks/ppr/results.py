"""The committed raw results: the fastest design of every point of the grid, and what was simulated and synthesized."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from ppr.designs import Best

from admmfpga.atomic import atomic_write
from admmfpga.mapping import Folding

FILE = Path(__file__).resolve().parent / "raw.json"
RESOURCES = ("lut", "ff", "bram18", "dsp")

Point = dict[str, Any]
"""shape, budget, pattern, density, bits, kept; designs by option, each with cycles, resources and folding."""


def read(path: Path = FILE) -> dict[str, Any]:
    """Both lists, empty where there is no file."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {"points": found.get("points", []), "samples": found.get("samples", [])}


def write(raw: dict[str, Any], path: Path = FILE) -> None:
    """One point or sample a line."""
    parts = []
    for name, rows in raw.items():
        lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
        parts.append(f'"{name}": [\n{lines}\n]')
    atomic_write(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode())


def key(point: Point) -> tuple[Any, ...]:
    """What tells points apart."""
    return tuple(point[name] for name in ("shape", "budget", "pattern", "density", "bits"))


def packed(best: Best) -> list[Any]:
    """Cycles, LUT, FF, BRAM18, DSP, and the folding without what is as usual."""
    usual = Folding()
    folding = {f.name: getattr(best.folding, f.name) for f in fields(Folding)}
    short = {name: value for name, value in folding.items() if value != getattr(usual, name) and name != "layout"}
    if best.folding.layout is not None:
        short["layout"] = vars(best.folding.layout)
    return [best.cycles, *(getattr(best.resources, name) for name in RESOURCES), short]


def folding_of(design: list[Any]) -> Folding:
    """The folding of a packed design."""
    return Folding.from_dict(design[-1])
