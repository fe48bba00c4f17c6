"""The Pareto front of a network on a board: frames a second against resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from admmfpga.blocks import Resources
from admmfpga.mapping.folding import PRICES, Candidate, usable
from admmfpga.mapping.search import Choice, Refine, cheapest, fold

POINTS = 20
"""Intervals that are tried, at equal ratios between the least one and that of the cheapest choice."""


def pareto_front(
    layers: Mapping[str, Sequence[Candidate]],
    available: Resources,
    fixed: Resources,
    *,
    board: str,
    least_useful: int = 1,
    points: int = POINTS,
    refine: Refine = lambda layers, interval: layers,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Choice]:
    """Cheapest choices for longer and longer frame intervals, the fastest first.

    Args:
        layers: candidates by layer name.
        available: the board's resources.
        fixed: used besides the layers.
        board: its name, for messages.
        least_useful: frames do not arrive at shorter intervals.
        refine: adds candidates for an interval, see `fold`.
        points: intervals to try; choices that cost no less than a faster one are left out.
        progress: is called with how many are done, and of how many.

    Raises:
        UserError: nothing fits.
    """
    limit = usable(available)
    fastest = fold(layers, available, fixed, board=board, least_useful=least_useful, refine=refine)
    slowest = max(c.cycles for candidates in layers.values() for c in candidates)
    least = cheapest(layers, slowest, limit, fixed).choice
    assert least is not None
    span = max(1.0, least.interval / fastest.interval)
    found = [fastest]
    for step in range(1, points):
        progress(step, points)
        interval = round(fastest.interval * span ** (step / (points - 1)))
        # What is slower than the interval before by less than the grid is the same choice again.
        answer = cheapest(refine(layers, interval), interval, limit, fixed)
        if answer.choice is not None and answer.fits and price(answer.choice, limit) < price(found[-1], limit) - 1e-9:
            found.append(answer.choice)
    progress(points, points)
    return found


def price(choice: Choice, limit: Resources) -> float:
    """Shares of what is usable, weighted as in the search."""
    shares = {name: int(getattr(choice.resources, name)) / max(1, int(getattr(limit, name))) for name in PRICES}
    return sum(PRICES[name] * share for name, share in shares.items())
