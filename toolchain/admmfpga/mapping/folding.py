"""How each layer can be folded onto hardware, and the choice under a board's resources (dataflow architecture).

Layers are separable for a given frame interval: each takes its cheapest folding that keeps up. The least interval is
found by bisection over the intervals that any folding has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from admmfpga.blocks import Resources
from admmfpga.errors import UserError
from admmfpga.packing import LaneLayout


@dataclass(frozen=True)
class Folding:
    """Parallelism of one layer.

    Attributes:
        pe: rows (output channels) at a time.
        simd: columns at a time.
        channels: input channels a beat in the window unit.
        use_dsp: multipliers in DSP blocks, else in LUTs.
        weight_block_ram: weights in block RAM, else in LUTs.
        kind: of the PE that multiplies, see `blocks.MatrixUnit.kind`.
        layout: how a sparse matrix is spread over lanes; `pe` and `simd` say what follows from it.
    """

    pe: int = 1
    simd: int = 1
    channels: int = 1
    use_dsp: bool = True
    weight_block_ram: bool = True
    kind: str = "dense"
    layout: LaneLayout | None = None

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Folding:
        """The inverse of `dataclasses.asdict`."""
        layout = values.get("layout")
        return cls(**values | {"layout": None if layout is None else LaneLayout(**layout)})


@dataclass(frozen=True)
class Candidate:
    """One way to build a layer: its folding, cycles per frame and modelled resources."""

    folding: Folding
    cycles: int
    resources: Resources


CEILING = {"lut": 0.75, "ff": 0.75, "bram18": 0.95, "dsp": 1.0}
"""Share of each resource that the accelerator may take: routing fails long before all LUTs are used, and the DMA and
interconnect beside it want block RAM."""

PRICES = {"lut": 1.0, "ff": 0.2, "bram18": 1.0, "dsp": 0.2}
"""Relative prices of the whole usable amount of each resource: DSPs have no other use here, so they come first."""


@lru_cache(maxsize=4096)
def divisors(value: int) -> tuple[int, ...]:
    """All divisors, ascending."""
    small = [d for d in range(1, int(value**0.5) + 1) if value % d == 0]
    return tuple(sorted({*small, *(value // d for d in small)}))


def usable(available: Resources) -> Resources:
    """What the accelerator may take of a board."""
    return Resources(**{name: int(getattr(available, name) * share) for name, share in CEILING.items()})


def exceeded(used: Resources, limit: Resources) -> Iterator[tuple[str, int, int]]:
    """(resource, used, limit) for every resource over its limit."""
    for f in fields(Resources):
        have, may = getattr(used, f.name), getattr(limit, f.name)
        if have > may:
            yield f.name, have, may


def pareto(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Candidates that no other one beats or equals in cycles and in every resource; sorted by cycles."""
    kept: list[Candidate] = []
    # Rows of those kept so far; a candidate that follows is not faster than any of them.
    amounts = np.empty((len(candidates), len(fields(Resources))), dtype=np.int64)
    for candidate in sorted(candidates, key=lambda c: (c.cycles, sum(c.resources.as_dict().values()))):
        own = amounts[len(kept)]
        own[:] = tuple(candidate.resources.as_dict().values())
        if not (amounts[: len(kept)] <= own).all(axis=1).any():
            kept.append(candidate)
    return kept


@dataclass(frozen=True)
class Choice:
    """One candidate per layer, by layer name."""

    candidates: dict[str, Candidate]
    resources: Resources

    @property
    def interval(self) -> int:
        return max(c.cycles for c in self.candidates.values())


def cheapest(
    layers: Mapping[str, Sequence[Candidate]], interval: int, limit: Resources, fixed: Resources
) -> tuple[Choice, bool] | None:
    """The cheapest choice that keeps up with `interval`, and whether it fits.

    Each layer starts with its cheapest candidate; as long as a resource is over its limit, the one exchange that
    brings the excess down furthest at the least price is made (LUT multipliers for DSPs, LUT-RAM for block RAM ...).

    Args:
        layers: candidates by layer name.
        interval: cycles per frame that no layer may exceed.
        limit: resources that may be used.
        fixed: what is used besides the layers.

    Returns:
        None if some layer cannot keep up at all.
    """
    names = tuple(PRICES)
    limits = np.array([max(1, getattr(limit, name)) for name in names], dtype=np.float64)
    price = np.array([PRICES[name] for name in names])
    able = {layer: [c for c in candidates if c.cycles <= interval] for layer, candidates in layers.items()}
    if not all(able.values()):
        return None
    # Shares of the limits, (candidates, resources) per layer.
    shares = {layer: np.array([_amounts(c.resources, names) for c in cs]) / limits for layer, cs in able.items()}
    chosen = {layer: int(np.argmin(share @ price)) for layer, share in shares.items()}
    total = _amounts(fixed, names) / limits
    for layer, index in chosen.items():
        total = total + shares[layer][index]
    while (excess := _excess(total)) > 0:
        best: tuple[float, float, str, int] | None = None
        for layer, share in shares.items():
            trial = total - share[chosen[layer]] + share
            left = np.maximum(trial - 1.0, 0.0).sum(axis=1)
            order = np.lexsort((trial @ price, left))
            index = int(order[0])
            found = (float(left[index]), float(trial[index] @ price), layer, index)
            if best is None or found[:2] < best[:2]:
                best = found
        assert best is not None
        if best[0] >= excess:
            break
        _, _, layer, index = best
        total = total - shares[layer][chosen[layer]] + shares[layer][index]
        chosen[layer] = index
    picked = {layer: able[layer][index] for layer, index in chosen.items()}
    used = sum((c.resources for c in picked.values()), fixed)
    return Choice(picked, used), not any(exceeded(used, limit))


def _amounts(resources: Resources, names: Sequence[str]) -> npt.NDArray[np.float64]:
    return np.array([getattr(resources, name) for name in names], dtype=np.float64)


def _excess(total: npt.NDArray[np.float64]) -> float:
    # A hair of tolerance: shares are rounded, the limits themselves are checked in integers.
    return float(np.maximum(total - 1.0 - 1e-12, 0.0).sum())


def fold(
    layers: Mapping[str, Sequence[Candidate]],
    available: Resources,
    fixed: Resources,
    *,
    board: str,
    target_interval: int | None = None,
) -> Choice:
    """Choose a folding for every layer.

    Args:
        layers: candidates by layer name.
        available: the board's resources.
        fixed: used besides the layers (AXI wrappers, control).
        board: its name, for messages.
        target_interval: cycles per frame to reach with the least resources; None for the least interval.

    Raises:
        UserError: nothing fits, or the target cannot be reached.
    """
    limit = usable(available)
    intervals = sorted({c.cycles for candidates in layers.values() for c in candidates})
    slowest = max(min(c.cycles for c in candidates) for candidates in layers.values())
    if target_interval is not None:
        if target_interval < slowest:
            layer = max(layers, key=lambda name: min(c.cycles for c in layers[name]))
            raise UserError(
                f"the target is a frame every {target_interval} cycles; the fastest form of {layer} takes {slowest}",
                "ask for fewer frames per second or a faster clock",
                node=layer,
            )
        found = cheapest(layers, target_interval, limit, fixed)
        assert found is not None
        choice, fits = found
        if not fits:
            raise does_not_fit(choice, limit, board, "ask for fewer frames per second")
        return choice
    intervals = [i for i in intervals if i >= slowest]
    found = cheapest(layers, intervals[-1], limit, fixed)
    assert found is not None
    if not found[1]:
        raise does_not_fit(found[0], limit, board, "the slowest folding is too large already")
    # Feasibility is monotone in the interval but for rounding in the models; bisection finds its edge.
    low, high = 0, len(intervals) - 1
    best = found[0]
    while low < high:
        middle = (low + high) // 2
        found = cheapest(layers, intervals[middle], limit, fixed)
        if found is not None and found[1]:
            best, high = found[0], middle
        else:
            low = middle + 1
    # Layers faster than the bottleneck need not be: the cheapest at the interval really reached.
    relaxed = cheapest(layers, best.interval, limit, fixed)
    assert relaxed is not None
    return relaxed[0] if relaxed[1] else best


def does_not_fit(choice: Choice, limit: Resources, board: str, reason: str) -> UserError:
    """The error for a design that is too large: resource, excess, heaviest layers, what would help."""
    parts = []
    for name, used, may in exceeded(choice.resources, limit):
        heavy = sorted(choice.candidates.items(), key=lambda item: -getattr(item[1].resources, name))[:3]
        shares = ", ".join(f"{layer} {getattr(c.resources, name)}" for layer, c in heavy)
        excess = "" if may == 0 else f" ({100 * (used - may) / may:.0f} % over)"
        parts.append(f"{name} {used} of {may} usable{excess}; heaviest: {shares}")
    heaviest = max(
        choice.candidates,
        key=lambda layer: max(
            getattr(choice.candidates[layer].resources, name) / max(1, may)
            for name, _, may in exceeded(choice.resources, limit)
        ),
    )
    help_ = "fewer weight bits or structured pruning of " + heaviest + ", or a larger board (admmfpga boards)"
    return UserError(f"does not fit {board}: " + " | ".join(parts), f"{reason}; {help_}", node=heaviest)
