"""Which buffer and planes each tensor gets: joining along channels is a matter of addresses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from admmfpga.engine.shape import EngineShape
from admmfpga.engine.views import View, standard_lanes
from admmfpga.network import (
    Add,
    AveragePool,
    Concat,
    Conv,
    Flatten,
    IntArray,
    Lookup,
    MaxPool,
    Network,
    Rescale,
    Tensor,
)


def flattened(network: Network) -> set[str]:
    return {node.output for node in network.nodes if isinstance(node, Flatten)}


class Placement:
    """Decides which buffer and planes each tensor gets."""

    def __init__(self, network: Network, shape: EngineShape) -> None:
        self.network, self.shape = network, shape
        self.views: dict[str, View] = {}
        self.buffers: dict[str, int] = {}
        self.copies: dict[str, list[tuple[str, View, View]]] = {}
        concats = [node for node in network.nodes if isinstance(node, Concat)]
        lanes = self._lanes()
        for join in reversed(concats):
            self._place_concat(join, lanes)
        flat = flattened(network)
        for name in network.tensors:
            if name not in self.views and name in lanes and name not in flat:
                self._own(name, lanes[name])
        for node in network.nodes:
            if isinstance(node, Flatten):
                self.views[node.output] = self.views[node.inputs[0]]
        for join in concats:
            self.copies[join.name] = [
                (f"{join.name}_part{i}", self.views[name], target)
                for i, (name, target) in enumerate(zip(join.inputs, self._parts(join, lanes), strict=True))
                if not _same_place(self.views[name], target)
            ]

    def _lanes(self) -> dict[str, IntArray]:
        """Layout of every tensor that has one of its own, in order."""
        found: dict[str, IntArray] = {}
        for name in self.network.inputs:
            found[name] = standard_lanes(self.network.tensors[name].channels, self.shape.simd)
        for node in self.network.nodes:
            match node:
                case Concat():
                    parts, base = [], 0
                    for name in node.inputs:
                        lanes = found[name]
                        parts.append(np.where(lanes >= 0, lanes + base, -1))
                        base += self.network.tensors[name].channels
                    found[node.output] = np.concatenate(parts)
                case Flatten():
                    found[node.output] = found[node.inputs[0]]
                case Conv() if node.depthwise and len(node.weights) == node.groups:
                    found[node.output] = found[node.inputs[0]]
                case MaxPool() | AveragePool() | Rescale() | Lookup() | Add():
                    found[node.output] = found[node.inputs[0]]
                case _:
                    found[node.output] = standard_lanes(self.network.output_of(node).channels, self.shape.simd)
        return found

    def _place_concat(self, node: Concat, lanes: dict[str, IntArray]) -> None:
        output = node.output
        if output not in self.views:
            placed = [self.views.get(name) for name in node.inputs]
            if all(placed) and _adjoining([view for view in placed if view is not None]):
                first = placed[0]
                assert first is not None
                self.views[output] = replace(first, lanes=lanes[output])
            else:
                self._own(output, lanes[output])
        flat = flattened(self.network)
        for index, (name, target) in enumerate(zip(node.inputs, self._parts(node, lanes), strict=True)):
            movable = name not in self.views and name not in self.network.inputs and name not in flat
            if movable and name not in node.inputs[:index]:
                self.views[name] = target

    def _parts(self, node: Concat, lanes: dict[str, IntArray]) -> list[View]:
        """Where the inputs have to be."""
        output, at, found = self.views[node.output], 0, []
        for name in node.inputs:
            found.append(replace(output, first=output.first + at, lanes=lanes[name]))
            at += len(lanes[name])
        return found

    def _own(self, name: str, lanes: IntArray) -> None:
        tensor = self.network.tensors[name]
        height, width = _image(tensor)
        self.views[name] = View(name, 0, lanes, height, width, tensor.dtype)
        self.buffers[name] = len(lanes)


def _adjoining(views: Sequence[View]) -> bool:
    first = views[0].first
    for view in views:
        if view.buffer != views[0].buffer or view.first != first:
            return False
        first += view.planes
    return True


def _same_place(a: View, b: View) -> bool:
    return (a.buffer, a.first) == (b.buffer, b.first)


def _image(tensor: Tensor) -> tuple[int, int]:
    return (tensor.shape[0], tensor.shape[1]) if len(tensor.shape) == 3 else (1, 1)
