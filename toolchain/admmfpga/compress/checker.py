"""The check that can fail: every constraint holds exactly, read off the finished weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from admmfpga.compress.levels import Binary, Bits, LevelSet, Ternary
from admmfpga.compress.sets import ConstraintSet, Then


def violations(model: nn.Module, constraints: Mapping[str, ConstraintSet]) -> dict[str, str]:
    """By layer, how its weight breaks its constraint; empty when all hold.

    Besides the sets' own `violation`, which looks at the weights alone: no near-zeros (a weight that is not zero but a
    million times smaller than the layer's largest is a mask that leaked), no NaN, no infinity.

    Args:
        model: finished.
        constraints: by module path.
    """
    found = {}
    for name, constraint in constraints.items():
        weight = model.get_submodule(name).weight.detach()
        problems = [constraint.violation(weight)]
        if not bool(torch.isfinite(weight).all()):
            problems.append("a weight is not a finite number")
        magnitudes = weight.abs()
        near = (magnitudes > 0) & (magnitudes < 1e-6 * magnitudes.max())
        if _prunes(constraint) and bool(near.any()):
            problems.append(f"{int(near.sum())} weights are almost zero, but not zero")
        text = "; ".join(filter(None, problems))
        if text:
            found[name] = text
    return found


def _prunes(constraint: ConstraintSet) -> bool:
    if isinstance(constraint, Then):
        return any(_prunes(member) for member in constraint.sets)
    return not isinstance(constraint, Bits | Binary | Ternary)


def levels_used(levels: LevelSet, weight: torch.Tensor) -> list[int]:
    """The codes that occur in a quantized weight, ascending; zero is the pruned weights."""
    assert isinstance(levels, Bits | Binary | Ternary)
    scale = levels.fit(weight).double()
    return [int(code) for code in levels.codes(weight.double(), scale).unique()]
