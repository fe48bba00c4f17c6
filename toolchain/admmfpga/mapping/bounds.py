"""What holds the frame interval up, whatever is chosen: streams, bandwidth, a layer's parallelism, resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from admmfpga.blocks import Resources
from admmfpga.boards import MemoryPort
from admmfpga.mapping.design import AxisFormat
from admmfpga.mapping.folding import PRICES, Candidate
from admmfpga.network import Network

INPUT, OUTPUT, BANDWIDTH, PARALLELISM = "input stream", "output stream", "bandwidth", "layer parallelism"
"""Kinds of bounds besides the resources, which go by their names."""


@dataclass(frozen=True)
class IntervalBound:
    """No frame interval is shorter.

    Attributes:
        kind: one of the words above, or a resource.
        interval: cycles per frame.
        layer: that limits, or "".
    """

    kind: str
    interval: int
    layer: str = ""


def stream_bounds(
    network: Network, formats: tuple[AxisFormat, AxisFormat], port: MemoryPort | None
) -> list[IntervalBound]:
    """Bounds that follow from the frame's size alone.

    Args:
        formats: of input and output at their widest.
        port: None: frames come from elsewhere.
    """
    beats = [
        network.tensors[name].elements // form.lanes
        for name, form in zip((network.inputs[0], network.outputs[0]), formats, strict=True)
    ]
    found = [IntervalBound(INPUT, beats[0]), IntervalBound(OUTPUT, beats[1])]
    if port is not None:
        moved = [count * form.width // 8 for count, form in zip(beats, formats, strict=True)]
        found.append(IntervalBound(BANDWIDTH, port.cycles(*moved)))
    return found


def folding_bounds(
    layers: Mapping[str, Sequence[Candidate]], limit: Resources, fixed: Resources
) -> list[IntervalBound]:
    """Bounds that follow from the candidates: the layer that cannot be made any faster, and the resources.

    Args:
        layers: candidates by layer name.
        limit: resources that may be used.
        fixed: what is used besides the layers.
    """
    fastest = {layer: min(c.cycles for c in candidates) for layer, candidates in layers.items()}
    slowest = max(fastest, key=lambda layer: fastest[layer])
    found = [IntervalBound(PARALLELISM, fastest[slowest], slowest)]
    continuous = continuous_bound(layers, limit, fixed)
    if continuous is not None and continuous.kind:
        found.append(IntervalBound(continuous.kind, ceil(continuous.interval * (1 - 1e-6))))
    return found


def amounts(resources: Resources) -> npt.NDArray[np.float64]:
    """As an array, in the order of `PRICES`."""
    return np.array([getattr(resources, name) for name in PRICES], dtype=np.float64)


@dataclass(frozen=True)
class ContinuousBound:
    """The least interval if foldings were continuous.

    Attributes:
        interval: cycles per frame.
        kind: the resource that is scarcest there, "" if a layer's fastest form is what limits.
        layer: that layer, or "".
        weights: of the resources in the proof, by name: what share of the limit each resource has.
    """

    interval: float
    kind: str
    layer: str
    weights: Mapping[str, float]


def continuous_bound(
    layers: Mapping[str, Sequence[Candidate]], limit: Resources, fixed: Resources
) -> ContinuousBound | None:
    """A bound on the frame interval of all choices that fit.

    A layer may be any mixture of its candidates: a share theta of one that takes c cycles works at the rate theta / c
    and takes theta of its resources. The fastest rate at which every layer keeps up and resources suffice is a linear
    program; every choice is one of its solutions. Its dual prices say which resource limits.

    Returns:
        None if not even mixtures fit.
    """
    from scipy.optimize import linprog

    flat = [c for candidates in layers.values() for c in candidates]
    layer_of = np.repeat(np.arange(len(layers)), [len(candidates) for candidates in layers.values()])
    scale = 1.0 / amounts(limit).clip(min=1.0)
    room = (amounts(limit) - amounts(fixed)) * scale
    slowest = max(min(c.cycles for c in candidates) for candidates in layers.values())
    # Variables: shares of candidates, then the rate in frames per `slowest` cycles.
    member = np.zeros((len(layers), len(flat) + 1))
    member[layer_of, np.arange(len(flat))] = 1.0
    rates = -member * np.array([*(slowest / c.cycles for c in flat), 0.0])
    rates[:, -1] = 1.0
    uses = np.hstack([(np.array([amounts(c.resources) for c in flat]) * scale).T, np.zeros((len(PRICES), 1))])
    cost = np.zeros(len(flat) + 1)
    cost[-1] = -1.0
    result = linprog(
        cost,
        A_ub=np.vstack([uses, rates]),
        b_ub=np.concatenate([room, np.zeros(len(layers))]),
        A_eq=member,
        b_eq=np.ones(len(layers)),
        bounds=(0, None),
        method="highs",
    )
    if result.status == 2:
        return None
    assert result.status == 0, result.message
    rate = float(result.x[-1])
    prices = -result.ineqlin.marginals
    weights = {name: float(max(0.0, p)) for name, p in zip(PRICES, prices, strict=False)}
    kind = max(weights, key=lambda name: weights[name])
    layer = ""
    if rate >= 1 - 1e-9 or weights[kind] < 1e-9:
        kind = ""
        layer = max(layers, key=lambda name: min(c.cycles for c in layers[name]))
    return ContinuousBound(slowest / rate, kind, layer, {name: round(weight, 6) for name, weight in weights.items()})
