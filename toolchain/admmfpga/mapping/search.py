"""The choice of one folding per layer under a board's resources: an exact search.

For a given frame interval the layers are independent but for the resources that they share: a multiple-choice knapsack
with four resources. It is solved as an integer linear program by branch and bound (HiGHS), so "does not fit" is proven,
not found by a heuristic. What can be reached only grows with the interval, so bisection over the intervals that any
folding has finds the least one. Where branch and bound gives up first, the choice says how much is left open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admmfpga.blocks import Resources
from admmfpga.errors import UserError
from admmfpga.mapping.bounds import amounts, continuous_bound
from admmfpga.mapping.folding import PRICES, Candidate, exceeded, pareto, usable

NODES = 2000
"""Branch-and-bound nodes after which one program is given up: about two seconds for 50 layers."""

RELATIVE_GAP = 1e-4
"""Prices closer than this count as equal."""

_PRICE = np.array([PRICES[name] for name in PRICES])

Array = npt.NDArray[np.float64]

Layers = Mapping[str, Sequence[Candidate]]
"""Candidates by layer name."""

Refine = Callable[[Layers, int], Layers]
"""More candidates for a frame interval or a little less."""


@dataclass(frozen=True)
class Choice:
    """One candidate per layer, by layer name.

    Attributes:
        least_interval: no choice that fits has a shorter frame interval: proven. Equal to `interval` unless branch and
            bound was given up, or an interval was asked for.
        price_gap: by what share of its price the choice may be dearer than the cheapest one at this interval; 0: it is
            the cheapest.
    """

    candidates: dict[str, Candidate]
    resources: Resources
    least_interval: int = 0
    price_gap: float = 0.0

    @property
    def interval(self) -> int:
        return max(c.cycles for c in self.candidates.values())


@dataclass(frozen=True)
class Answer:
    """What was found for one interval.

    Attributes:
        choice: the cheapest that fits; if nothing does, the one nearest to it; None if some layer cannot keep up.
        fits: whether `choice` does.
        decided: False if nothing was found and nothing was proven.
        searched: whether branch and bound looked for the cheapest, so that nothing is gained by asking again.
    """

    choice: Choice | None
    fits: bool
    decided: bool = True
    searched: bool = False


def cheapest(
    layers: Mapping[str, Sequence[Candidate]], interval: int, limit: Resources, fixed: Resources, *, prove: bool = True
) -> Answer:
    """The cheapest choice that keeps up with an interval.

    Args:
        layers: candidates by layer name.
        interval: cycles per frame that no layer may exceed.
        limit: resources that may be used.
        fixed: what is used besides the layers.
        prove: find the cheapest; False: anything that fits will do.
    """
    able = {
        layer: pareto([Candidate(c.folding, 0, c.resources) for c in candidates if c.cycles <= interval])
        for layer, candidates in layers.items()
    }
    if not all(able.values()):
        return Answer(None, False)
    near = exchanges(able, limit, fixed)
    fits, decided = not any(exceeded(near.resources, limit)), True
    searched = prove or not fits
    if searched:
        found, decided = _program(able, limit, fixed, near if fits else None)
        near, fits = found or near, found is not None
    return Answer(_with_cycles(near, layers), fits, decided, searched)


def _with_cycles(choice: Choice, layers: Mapping[str, Sequence[Candidate]]) -> Choice:
    """The candidates as they were given: the search itself does not look at cycles."""
    picked = {
        layer: next(c for c in layers[layer] if c.folding == candidate.folding and c.resources == candidate.resources)
        for layer, candidate in choice.candidates.items()
    }
    return Choice(picked, choice.resources, choice.least_interval, choice.price_gap)


def exchanges(able: Mapping[str, Sequence[Candidate]], limit: Resources, fixed: Resources) -> Choice:
    """A choice by a fast heuristic: it decides most cases, and says what is nearest where nothing fits.

    Each layer starts with its cheapest candidate; as long as a resource is over its limit, the one exchange that
    brings the excess down furthest at the least price is made (LUT multipliers for DSPs, LUT-RAM for block RAM ...).
    """
    limits = amounts(limit).clip(min=1.0)
    # Shares of the limits, (candidates, resources) per layer.
    shares = {layer: np.array([amounts(c.resources) for c in cs]) / limits for layer, cs in able.items()}
    chosen = {layer: int(np.argmin(share @ _PRICE)) for layer, share in shares.items()}
    total = amounts(fixed) / limits
    for layer, index in chosen.items():
        total = total + shares[layer][index]
    while (excess := _excess(total)) > 0:
        best: tuple[float, float, str, int] | None = None
        for layer, share in shares.items():
            trial = total - share[chosen[layer]] + share
            left = np.maximum(trial - 1.0, 0.0).sum(axis=1)
            order = np.lexsort((trial @ _PRICE, left))
            index = int(order[0])
            found = (float(left[index]), float(trial[index] @ _PRICE), layer, index)
            if best is None or found[:2] < best[:2]:
                best = found
        assert best is not None
        if best[0] >= excess:
            break
        _, _, layer, index = best
        total = total - shares[layer][chosen[layer]] + shares[layer][index]
        chosen[layer] = index
    return _chosen({layer: able[layer][index] for layer, index in chosen.items()}, fixed)


def _program(
    able: Mapping[str, Sequence[Candidate]], limit: Resources, fixed: Resources, known: Choice | None
) -> tuple[Choice | None, bool]:
    """The cheapest choice by branch and bound.

    Args:
        known: a choice that fits already.

    Returns:
        the choice, None if none was found; whether that is decided.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    room = amounts(limit) - amounts(fixed)
    if (room < 0).any():
        return None, True
    scale = 1000.0 / amounts(limit).clip(min=1.0)
    flat = [c for candidates in able.values() for c in candidates]
    layer_of = np.repeat(np.arange(len(able)), [len(candidates) for candidates in able.values()])
    each = np.array([amounts(c.resources) for c in flat])
    price = (each * scale) @ _PRICE / 1000.0
    ones = csr_array((np.ones(len(flat)), (layer_of, np.arange(len(flat)))), shape=(len(able), len(flat)))
    # What is sold in whole pieces: half a piece of tolerance keeps rounding out.
    constraints = [
        LinearConstraint((each * scale).T, ub=(room + 0.5) * scale),
        LinearConstraint(ones, lb=1.0, ub=1.0),
    ]
    options = {"node_limit": NODES, "mip_rel_gap": RELATIVE_GAP}
    result = milp(price, integrality=np.ones(len(flat)), bounds=Bounds(0, 1), constraints=constraints, options=options)
    if result.status == 2:
        return None, True
    bound = getattr(result, "mip_dual_bound", None)
    best = known
    if result.x is not None:
        picked = [
            max(np.flatnonzero(layer_of == index), key=lambda i: result.x[i]).item() for index in range(len(able))
        ]
        found = _chosen({layer: flat[i] for layer, i in zip(able, picked, strict=True)}, fixed)
        fits = not any(exceeded(found.resources, limit))
        if fits and (best is None or _price(found, scale) < _price(best, scale)):
            best = found
    if best is None:
        return None, False
    own = _price(best, scale) - float(amounts(fixed) * scale @ _PRICE) / 1000.0
    gap = 1.0 if bound is None else max(0.0, own - float(bound)) / max(own, 1e-12)
    proven = gap <= 2 * RELATIVE_GAP
    return Choice(best.candidates, best.resources, price_gap=0.0 if proven else round(gap, 6)), True


def _price(choice: Choice, scale: Array) -> float:
    return float(amounts(choice.resources) * scale @ _PRICE) / 1000.0


def _chosen(picked: dict[str, Candidate], fixed: Resources) -> Choice:
    return Choice(picked, sum((c.resources for c in picked.values()), fixed))


def _excess(total: Array) -> float:
    # A hair of tolerance: shares are rounded, the limits themselves are checked in integers.
    return float(np.maximum(total - 1.0 - 1e-12, 0.0).sum())


def fold(
    layers: Mapping[str, Sequence[Candidate]],
    available: Resources,
    fixed: Resources,
    *,
    board: str,
    target_interval: int | None = None,
    least_useful: int = 1,
    refine: Refine | None = None,
) -> Choice:
    """Choose a folding for every layer.

    Args:
        layers: candidates by layer name.
        available: the board's resources.
        fixed: used besides the layers (AXI wrappers, control).
        board: its name, for messages.
        target_interval: cycles per frame to reach with the least resources; None for the least interval.
        least_useful: the interval below which nothing is gained: frames do not arrive faster.
        refine: adds candidates where the first search has led to, for as long as that helps.

    Raises:
        UserError: nothing fits, or the target cannot be reached.
    """
    if target_interval is not None and refine is not None:
        layers, refine = refine(layers, target_interval), None
    choice = _fold(layers, available, fixed, board, target_interval, least_useful, None)
    while refine is not None:
        before = max(choice.interval, least_useful)
        layers = refine(layers, before)
        choice = _fold(layers, available, fixed, board, target_interval, least_useful, choice.interval)
        if max(choice.interval, least_useful) >= before:
            break
    return choice


def _fold(
    layers: Mapping[str, Sequence[Candidate]],
    available: Resources,
    fixed: Resources,
    board: str,
    target_interval: int | None,
    least_useful: int,
    known: int | None,
) -> Choice:
    """As `fold`, over these candidates.

    Args:
        known: an interval that is reached anyway.
    """
    limit = usable(available)
    slowest = max(min(c.cycles for c in candidates) for candidates in layers.values())
    if target_interval is not None:
        if target_interval < slowest:
            layer = max(layers, key=lambda name: min(c.cycles for c in layers[name]))
            raise UserError(
                f"the target is a frame every {target_interval} cycles; the fastest form of {layer} takes {slowest}",
                "ask for fewer frames per second or a faster clock",
                node=layer,
            )
        answer = cheapest(layers, target_interval, limit, fixed)
        assert answer.choice is not None
        if not answer.fits:
            raise does_not_fit(answer.choice, limit, board, "ask for fewer frames per second")
        return answer.choice
    # The continuous bound is a bound: what is below it need not be tried.
    bound = continuous_bound(layers, limit, fixed)
    floor = max(slowest, least_useful)
    intervals = sorted({max(c.cycles, floor) for candidates in layers.values() for c in candidates})
    if known is not None:
        intervals = [interval for interval in intervals if interval <= max(known, floor)]
    answer = cheapest(layers, intervals[-1], limit, fixed, prove=False)
    assert answer.choice is not None
    if not answer.fits:
        raise does_not_fit(answer.choice, limit, board, "the slowest folding is too large already")
    best, refuted = answer.choice, -1
    settled = intervals[-1] if answer.searched else None
    low, high = 0, len(intervals) - 1
    while bound is not None and low < high and intervals[low] < bound.interval:
        refuted, low = low, low + 1
    while low < high:
        middle = (low + high) // 2
        answer = cheapest(layers, intervals[middle], limit, fixed, prove=False)
        if answer.fits:
            assert answer.choice is not None
            best, high = answer.choice, middle
            settled = intervals[middle] if answer.searched else None
        else:
            low = middle + 1
            refuted = middle if answer.decided else refuted
    # Layers faster than the bottleneck need not be: the cheapest at the interval really reached.
    reached = max(best.interval, floor)
    if settled != reached:
        answer = cheapest(layers, reached, limit, fixed)
        if answer.choice is not None and answer.fits:
            best = answer.choice
    return Choice(best.candidates, best.resources, min(intervals[refuted + 1], reached), best.price_gap)


# --- refusal ---------------------------------------------------------------------------------------------------------


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
