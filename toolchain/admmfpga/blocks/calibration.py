"""The LUT and FF model: named structural terms times coefficients that were fitted on synthesis.

Each block says how much of what it holds (counter bits, adder bits, table outputs ...); `calibration.json` beside this
file says what one of it costs on xc7, `calibration_<family>.json` on another family. benchmarks/estimates/ makes these
files. BRAM and DSP follow from the inference rules and are not fitted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from admmfpga.blocks import families

FALLBACK = "xc7"
"""The family whose coefficients serve where a family has none of its own."""


@dataclass(frozen=True)
class Terms:
    """Amounts by name; what each means stands where a block makes them."""

    lut: Mapping[str, float] = field(default_factory=dict)
    ff: Mapping[str, float] = field(default_factory=dict)


def file(family: str) -> Path:
    """Where a family's coefficients are, or would be."""
    return Path(__file__).with_name("calibration.json" if family == FALLBACK else f"calibration_{family}.json")


@cache
def calibration(family: str = FALLBACK) -> dict[str, Any]:
    """Coefficients and where they are from: tool, version, flow, family, errors on held-out configurations.

    Args:
        family: of the FPGA; one that was never fitted gets what `FALLBACK` has.
    """
    path = file(family)
    found: dict[str, Any] = json.loads((path if path.is_file() else file(FALLBACK)).read_text())
    return found


def costs(stem: str, terms: Terms) -> dict[str, int]:
    """LUTs and FFs of a block's or part's terms, for the ambient family.

    Args:
        stem: whose coefficients.
    """
    known = calibration(families.family().name)["coefficients"]
    # A block that was never synthesized for a family costs what it costs elsewhere.
    coefficients = known[stem] if stem in known else calibration()["coefficients"][stem]
    return {"lut": _cost(coefficients["lut"], terms.lut), "ff": _cost(coefficients["ff"], terms.ff)}


def _cost(coefficients: Mapping[str, float], amounts: Mapping[str, float]) -> int:
    # Some terms exist on some families only: where another family's coefficients serve, a bit is taken to cost one.
    return round(sum(coefficients.get(name, 1.0) * amount for name, amount in amounts.items()))


def source(family: str) -> dict[str, str]:
    """What the figures of a report rest on, by resource.

    Args:
        family: of the board's FPGA.
    """
    found = calibration(family)
    tool = f"Yosys {found['version']} {found['flow']}"
    foreign = "" if family == found["family"] else f"; the model was fitted on {found['family']}, this is {family}"
    borrowed = calibration()["coefficients"].keys() - found["coefficients"].keys()
    result = {}
    for name, error in found["errors"].items():
        if name in ("lut", "ff"):
            own = ", ".join(found["coefficients"])
            fit = f"coefficients of {FALLBACK} but for {own}; " if borrowed else "fitted on "
            basis = f"modelled ({fit}{tool}, median error {error['median_percent']:g} %{foreign})"
        else:
            basis = f"modelled (inference rules of {tool}, {error['exact']} of {error['of']} exact{foreign})"
        result[name] = basis
    return result
