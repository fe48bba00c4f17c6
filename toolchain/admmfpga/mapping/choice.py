"""Why a layer got the PE that it got: what each kind would cost at the same speed, and where they break even."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from admmfpga.blocks import Resources
from admmfpga.mapping.candidates import sparse_candidates
from admmfpga.mapping.folding import PRICES, Candidate
from admmfpga.mapping.units import KINDS, is_sparse
from admmfpga.network import Conv, Dense, IntArray, Network, Node


@dataclass(frozen=True)
class Alternative:
    """The cheapest form of a layer on one kind of PE that keeps up with the accelerator.

    Attributes:
        price: shares of the usable resources, weighted as in the search for foldings.
    """

    cycles: int
    resources: Resources
    price: float


@dataclass(frozen=True)
class PeChoice:
    """The PE of a layer and what it was weighed against.

    Attributes:
        kind: that was chosen.
        density: share of the weights that are not zero.
        alternatives: by kind; None: that kind cannot keep up.
        break_even_density: where dense and csr cost the same at the accelerator's interval, for random masks; in pruned
            networks also for layers that are too full to be decoded. None: one of them is cheaper at all densities,
            the dense PE cannot keep up, or either was not to be considered.
        reason: in words.
    """

    kind: str
    density: float
    alternatives: Mapping[str, Alternative | None]
    break_even_density: float | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """For report.json."""
        return asdict(self)


def weigh(
    network: Network,
    node: Node,
    found: Mapping[str, Sequence[Candidate]],
    chosen: Candidate,
    interval: int,
    limit: Resources,
    kinds: Collection[str] = KINDS,
) -> PeChoice | None:
    """Explain the choice for a layer.

    Args:
        found: candidates by kind.
        chosen: the one that was taken.
        interval: of the accelerator, in cycles.
        limit: resources that may be used.
        kinds: of PEs that may be chosen.

    Returns:
        None for layers that are no matrix product.
    """
    if not isinstance(node, Conv | Dense) or chosen.folding.kind not in found:
        return None
    density = float(np.count_nonzero(node.weights) / node.weights.size)
    kind = chosen.folding.kind
    best = {name: _cheapest(options, interval, limit) for name, options in found.items()}
    dense, csr = best.get("dense"), best.get("csr")
    even, reason = None, _reason(kind, density, best, found)
    # It takes a while, so not for networks in which nothing is pruned.
    if dense and (csr or ("csr" in kinds and _is_pruned(network))):
        even = _break_even(network, node, interval, limit, dense.price, density, csr.price if csr else math.inf)
        if even is not None:
            reason += f"; break-even at a density of {100 * even:.1f} %, this layer has {100 * density:.1f} %"
        else:
            cheaper, dearer = ("csr", "dense") if csr and csr.price < dense.price else ("dense", "csr")
            reason += f"; {cheaper} is cheaper than {dearer} at every density"
    return PeChoice(kind, round(density, 6), best, even, reason)


def _is_pruned(network: Network) -> bool:
    return not network.budgets and any(is_sparse(n.weights) for n in network.nodes if isinstance(n, Conv | Dense))


def _break_even(
    network: Network, node: Conv | Dense, interval: int, limit: Resources, dense: float, density: float, csr: float
) -> float | None:
    """The density at which csr costs what dense does, by bisection on a logarithmic scale, within 5 %.

    Args:
        dense, csr: prices of the layer as it is, csr at its own density; infinite where it cannot keep up or is not
            worth considering.
    """

    def cheaper(other: float) -> bool:
        varied = _at(node, other)
        nodes = [varied if one is node else one for one in network.nodes]
        found = _cheapest(sparse_candidates(replace(network, nodes=nodes), varied, interval), interval, limit)
        return found is not None and found.price < dense

    low, high = (density, 1.0) if csr < dense else (1.0 / node.weights.size, density)
    if (csr < dense and cheaper(high)) or (csr >= dense and not cheaper(low)):
        return None
    while high > 1.05 * low:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if cheaper(middle) else (low, middle)
    return round(math.sqrt(low * high), 4)


def _reason(
    kind: str,
    density: float,
    best: Mapping[str, Alternative | None],
    found: Mapping[str, Sequence[Candidate]],
) -> str:
    others = [name for name in found if name != kind]
    parts = [] if others else [f"{kind} alone was considered; {100 * density:.1f} % of the weights are not zero"]
    for name in others:
        mine, theirs = best.get(kind), best[name]
        if theirs is None:
            parts.append(f"{name} cannot keep up")
        elif mine is not None:
            if mine.price <= theirs.price:
                parts.append(f"{name} would cost {theirs.price / max(mine.price, 1e-9):.2f}x as much")
            else:
                parts.append(f"{name} would cost {theirs.price / mine.price:.2f}x as much, but of what is scarcer here")
    return "; ".join(parts)


def _cheapest(options: Sequence[Candidate], interval: int, limit: Resources) -> Alternative | None:
    able = [one for one in options if one.cycles <= interval]
    if not able:
        return None
    best = min(able, key=lambda one: _price(one.resources, limit))
    return Alternative(best.cycles, best.resources, round(_price(best.resources, limit), 6))


def _price(resources: Resources, limit: Resources) -> float:
    shares = {name: int(getattr(resources, name)) / max(1, int(getattr(limit, name))) for name in PRICES}
    return sum(PRICES[name] * share for name, share in shares.items())


def _at(node: Conv | Dense, density: float) -> Conv | Dense:
    """The layer with a random mask of another density: some weights dropped, or some put where there were none."""
    rng = np.random.default_rng(0)
    flat: IntArray = node.weights.reshape(-1).copy()
    kept, free = np.flatnonzero(flat), np.flatnonzero(flat == 0)
    wanted = max(1, round(density * flat.size))
    if wanted < len(kept):
        flat[rng.choice(kept, len(kept) - wanted, replace=False)] = 0
    else:
        values = flat[kept] if len(kept) else np.array([1])
        flat[rng.choice(free, wanted - len(kept), replace=False)] = rng.choice(values, wanted - len(kept))
    return replace(node, weights=flat.reshape(node.weights.shape))
