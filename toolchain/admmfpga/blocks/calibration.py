"""The LUT and FF model: named structural terms times coefficients that were fitted on synthesis.

Each block says how much of what it holds (counter bits, adder bits, table outputs ...); `calibration.json` beside this
file says what one of it costs. benchmarks/estimates/ makes that file. BRAM and DSP follow from the inference rules and
are not fitted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("calibration.json")


@dataclass(frozen=True)
class Terms:
    """Amounts by name; what each means stands where a block makes them."""

    lut: Mapping[str, float] = field(default_factory=dict)
    ff: Mapping[str, float] = field(default_factory=dict)


@cache
def calibration() -> dict[str, Any]:
    """Coefficients and where they are from: tool, version, flow, family, errors on held-out configurations."""
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def costs(stem: str, terms: Terms) -> dict[str, int]:
    """LUTs and FFs of a block's or part's terms.

    Args:
        stem: whose coefficients.
    """
    coefficients = calibration()["coefficients"][stem]
    return {
        "lut": round(sum(coefficients["lut"][name] * amount for name, amount in terms.lut.items())),
        "ff": round(sum(coefficients["ff"][name] * amount for name, amount in terms.ff.items())),
    }


def source(family: str) -> dict[str, str]:
    """What the figures of a report rest on, by resource.

    Args:
        family: of the board's FPGA.
    """
    found = calibration()
    tool = f"Yosys {found['version']} {found['flow']}"
    foreign = "" if family == found["family"] else f"; the model was fitted on {found['family']}, this is {family}"
    result = {}
    for name, error in found["errors"].items():
        if name in ("lut", "ff"):
            basis = f"modelled (fitted on {tool}, median error {error['median_percent']:g} %{foreign})"
        else:
            basis = f"modelled (inference rules of {tool}, {error['exact']} of {error['of']} exact{foreign})"
        result[name] = basis
    return result
