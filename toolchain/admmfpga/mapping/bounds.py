"""What holds the frame interval up, whatever is chosen: streams, bandwidth, a layer's parallelism, resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from admmfpga.blocks import Resources
from admmfpga.boards import MemoryPort
from admmfpga.mapping.design import AxisFormat
from admmfpga.mapping.folding import PRICES, Candidate
from admmfpga.network import Conv, Dense, Network

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


def vectors(network: Network) -> dict[str, int]:
    """Vectors of a frame, by the name of each layer that multiplies a matrix."""
    outputs = {node.name: network.output_of(node) for node in network.nodes if isinstance(node, Conv | Dense)}
    return {name: output.elements // output.channels for name, output in outputs.items()}


def folding_bounds(
    layers: Mapping[str, Sequence[Candidate]],
    limit: Resources,
    fixed: Resources,
    vectors: Mapping[str, int] | None = None,
) -> list[IntervalBound]:
    """Bounds that follow from the candidates: the layer that cannot be made any faster, and the resources.

    Args:
        layers: candidates by layer name.
        limit: resources that may be used.
        fixed: what is used besides the layers.
        vectors: see `continuous_bound`.
    """
    fastest = {layer: min(c.cycles for c in candidates) for layer, candidates in layers.items()}
    slowest = max(fastest, key=lambda layer: fastest[layer])
    found = [IntervalBound(PARALLELISM, fastest[slowest], slowest)]
    continuous = continuous_bound(layers, limit, fixed, vectors)
    if continuous is not None:
        found.append(IntervalBound(continuous.kind, continuous.interval))
    return found


def amounts(resources: Resources) -> npt.NDArray[np.float64]:
    """As an array, in the order of `PRICES`."""
    return np.array([getattr(resources, name) for name in PRICES], dtype=np.float64)


@dataclass(frozen=True)
class ContinuousBound:
    """The least interval if foldings were continuous.

    Attributes:
        interval: cycles per frame.
        kind: the resource that is scarcest there.
        weights: of the resources in the proof, by name.
    """

    interval: int
    kind: str
    weights: Mapping[str, float]


SLOWED = 0.5
"""How far a folding may be slowed down in the bound: to half of its speed."""


def continuous_bound(
    layers: Mapping[str, Sequence[Candidate]],
    limit: Resources,
    fixed: Resources,
    vectors: Mapping[str, int] | None = None,
) -> ContinuousBound | None:
    """A bound on the frame interval of all choices that fit, and of foldings between those that there are.

    At an interval a layer may be any mixture of its candidates that keep up. One that is faster may be slowed down,
    to half of its speed at most: what it has beyond the least form of its kind (control, buffers, deep memories)
    shrinks in proportion. A layer of which no candidate keeps up takes more than its fastest one, in proportion. Every
    choice is such a mixture, not slowed down. Whether mixtures fit is a linear program;
    bisection finds the least interval at which they do, its dual prices say which resource is scarce.

    Args:
        layers: candidates by layer name.
        limit: resources that may be used.
        fixed: what is used besides the layers.
        vectors: of a frame, by layer name: a PE takes a whole number of steps for each of them (or for as many as it
            takes at a time), so it is slowed down to multiples of these cycles only. Layers that are left out: to any.

    Returns:
        None if not even mixtures fit.
    """
    program = _Relaxation(layers, limit, fixed, vectors or {})
    high = max(c.cycles for candidates in layers.values() for c in candidates)
    found = program.solve(high)
    if found.excess > TOLERANCE:
        return None
    # `low` is too short, at `high` mixtures fit; what is in between by ratios first.
    low, refuted = 0, found
    while high - low > 1:
        middle = int((max(low, 1) * high) ** 0.5) if high > 1.1 * low else (low + high) // 2
        middle = min(max(middle, low + 1), high - 1)
        found = program.solve(middle)
        if found.excess > TOLERANCE:
            low, refuted = middle, found
        else:
            high = middle
    kind = max(refuted.weights, key=lambda name: refuted.weights[name])
    return ContinuousBound(high, kind, refuted.weights)


TOLERANCE = 1e-7
"""Shares of a resource that are none."""


@dataclass(frozen=True)
class _Excess:
    """The least excess over the limits, as a share of them, and what each resource has to do with it."""

    excess: float
    weights: Mapping[str, float]


class _Relaxation:
    """The linear program of `continuous_bound` for any interval."""

    def __init__(
        self,
        layers: Mapping[str, Sequence[Candidate]],
        limit: Resources,
        fixed: Resources,
        vectors: Mapping[str, int],
    ) -> None:
        flat = [(name, c) for name, candidates in layers.items() for c in candidates]
        scale = 1.0 / amounts(limit).clip(min=1.0)
        self._room = (amounts(limit) - amounts(fixed)) * scale
        self._layer_of = np.repeat(np.arange(len(layers)), [len(candidates) for candidates in layers.values()])
        self._cycles = np.array([c.cycles for _, c in flat], dtype=np.float64)
        self._uses = np.array([amounts(c.resources) for _, c in flat]) * scale
        fastest = [min(c.cycles for c in candidates) for candidates in layers.values()]
        self._fastest = np.array(fastest, dtype=np.float64)[self._layer_of]
        self._vectors = np.array([vectors.get(name, 1) / c.folding.vectors for name, c in flat])
        kinds = [(name, c.folding.kind, c.folding.weight_block_ram, c.folding.lut_weight_rows > 0) for name, c in flat]
        self._least = np.zeros_like(self._uses)
        for kind in set(kinds):
            members = np.array([one == kind for one in kinds])
            self._least[members] = self._uses[members].min(axis=0)

    def solve(self, interval: int) -> _Excess:
        """The mixture with the least excess. Where no candidate of a layer keeps up, its fastest one costs more in
        proportion: what it takes to do as much at the same time."""
        from scipy.optimize import linprog

        able = self._cycles <= np.maximum(interval, self._fastest)
        cycles, every = self._cycles[able], self._vectors[able]
        slowed = np.clip(cycles / np.maximum(np.floor(interval / every) * every, 1.0), SLOWED, 1.0)
        share = np.where(cycles <= interval, slowed, cycles / interval)[:, None]
        uses = self._least[able] + (self._uses[able] - self._least[able]) * share
        count, layers = len(uses), int(self._layer_of.max()) + 1
        member = np.zeros((layers, count + 1))
        member[self._layer_of[able], np.arange(count)] = 1.0
        result = linprog(
            np.append(np.zeros(count), 1.0),
            A_ub=np.hstack([uses.T, -np.ones((len(PRICES), 1))]),
            b_ub=self._room,
            A_eq=member,
            b_eq=np.ones(layers),
            bounds=[*[(0, None)] * count, (None, None)],
            method="highs",
        )
        assert result.status == 0, result.message
        prices = -result.ineqlin.marginals
        weights = {name: round(max(0.0, float(p)), 6) for name, p in zip(PRICES, prices, strict=True)}
        return _Excess(float(result.x[-1]), weights)
