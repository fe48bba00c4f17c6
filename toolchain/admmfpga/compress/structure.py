"""Who reads whose channels: unused path removal, purification and compaction, on the traced graph of any model.

Every tensor between two layers has a *channel space*. Layers that write it are its producers, layers that read it its
consumers; a residual addition makes one space of two, so the filters of both producers live and die together. Inputs,
outputs and whatever an unknown operator touches is pinned: it is never removed.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from admmfpga.compress.activation import ActivationQuantizer
from admmfpga.compress.recipe import Purify, weighted_layers

_SAME_MODULES = (
    nn.ReLU,
    nn.ReLU6,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
    ActivationQuantizer,
)
_SAME_FUNCTIONS = {
    torch.relu,
    nn.functional.relu,
    nn.functional.relu6,
    nn.functional.max_pool2d,
    torch.max_pool2d,
    nn.functional.avg_pool2d,
    nn.functional.adaptive_avg_pool2d,
    nn.functional.dropout,
}
_SAME_METHODS = {"relu", "contiguous"}
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(eq=False)
class Space:
    """The channels of one tensor.

    Attributes:
        size: how many.
        pinned: none may be removed.
        producers: layers whose rows write it.
        consumers: layers that read it, with the columns that each channel has there (kernel window, flattened pixels).
        norms: batch normalizations in it.
    """

    size: int
    pinned: bool = False
    producers: list[str] = field(default_factory=list)
    consumers: list[tuple[str, int]] = field(default_factory=list)
    norms: list[str] = field(default_factory=list)


class Tracer(fx.Tracer):
    """Keeps activation quantizers whole."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, ActivationQuantizer) or super().is_leaf_module(m, module_qualified_name)


def trace(model: nn.Module, example: Tensor) -> fx.GraphModule:
    """The model as a graph whose nodes know their shapes (node.meta["tensor_meta"].shape).

    Args:
        example: one input of the model, with a batch dimension.
    """
    graph = Tracer().trace(model)
    traced = fx.GraphModule(model, graph)
    mode = model.training
    traced.eval()
    with torch.no_grad():
        ShapeProp(traced).propagate(example)
    model.train(mode)
    return traced


def spaces(model: nn.Module, example: Tensor) -> list[Space]:
    """All channel spaces of a model."""
    return _Analysis(trace(model, example)).result()


class _Analysis:
    def __init__(self, traced: fx.GraphModule) -> None:
        self.traced = traced
        self.parent: dict[Space, Space] = {}
        self.of: dict[fx.Node, tuple[Space, int]] = {}
        self.calls: dict[str, int] = {}
        for node in traced.graph.nodes:
            if node.op == "call_module":
                self.calls[node.target] = self.calls.get(node.target, 0) + 1
        for node in traced.graph.nodes:
            self._visit(node)

    def result(self) -> list[Space]:
        return [space for space in self.parent if self._find(space) is space]

    def _new(self, size: int, pinned: bool = False) -> Space:
        space = Space(size, pinned)
        self.parent[space] = space
        return space

    def _find(self, space: Space) -> Space:
        while self.parent[space] is not space:
            space = self.parent[space]
        return space

    def _join(self, one: Space, other: Space) -> Space:
        one, other = self._find(one), self._find(other)
        if one is not other:
            self.parent[other] = one
            one.pinned = one.pinned or other.pinned
            one.producers += other.producers
            one.consumers += other.consumers
            one.norms += other.norms
        return one

    def _shape(self, node: fx.Node) -> tuple[int, ...] | None:
        meta = node.meta.get("tensor_meta")
        return tuple(meta.shape) if hasattr(meta, "shape") else None

    def _source(self, node: fx.Node) -> tuple[Space, int]:
        space, repeat = self.of[node]
        return self._find(space), repeat

    def _pin(self, node: fx.Node) -> None:
        for source in node.all_input_nodes:
            if source in self.of:
                self._source(source)[0].pinned = True
        shape = self._shape(node)
        if shape is not None and len(shape) >= 2:
            self.of[node] = (self._new(shape[1], pinned=True), 1)

    def _visit(self, node: fx.Node) -> None:
        if node.op in ("placeholder", "get_attr", "output"):
            self._pin(node)
            return
        module = self.traced.get_submodule(node.target) if node.op == "call_module" else None
        first = node.all_input_nodes[0] if node.all_input_nodes else None
        known = first is not None and first in self.of
        shape = self._shape(node)
        if isinstance(module, nn.Conv2d | nn.Linear) and known and shape is not None:
            plain = isinstance(module, nn.Linear) and len(shape) == 2
            plain = plain or (isinstance(module, nn.Conv2d) and module.groups == 1)
            if not plain or self.calls[node.target] > 1:
                self._pin(node)
                return
            space, repeat = self._source(first)
            window = module.weight[0, 0].numel() if isinstance(module, nn.Conv2d) else 1
            space.consumers.append((node.target, repeat * window))
            out = self._new(shape[1])
            out.producers.append(node.target)
            self.of[node] = (out, 1)
        elif isinstance(module, _NORMS) and known and self.calls[node.target] == 1:
            space, repeat = self._source(first)
            if repeat == 1:
                space.norms.append(node.target)
                self.of[node] = (space, repeat)
            else:
                self._pin(node)
        elif known and self._keeps_channels(node, module):
            self.of[node] = self._source(first)
        elif known and self._flattens(node, module):
            before = self._shape(first)
            assert before is not None
            assert shape is not None
            space, repeat = self._source(first)
            self.of[node] = (space, repeat * (shape[1] // before[1]))
        elif node.target in (operator.add, operator.iadd, torch.add, "add", "add_") and len(node.all_input_nodes) == 2:
            (one, one_repeat), (other, other_repeat) = (self._source(source) for source in node.all_input_nodes)
            if one_repeat == other_repeat and one.size == other.size:
                self.of[node] = (self._join(one, other), one_repeat)
            else:
                self._pin(node)
        else:
            self._pin(node)

    def _keeps_channels(self, node: fx.Node, module: nn.Module | None) -> bool:
        return (
            isinstance(module, _SAME_MODULES)
            or (node.op == "call_function" and node.target in _SAME_FUNCTIONS)
            or (node.op == "call_method" and node.target in _SAME_METHODS)
        )

    def _flattens(self, node: fx.Node, module: nn.Module | None) -> bool:
        named = isinstance(module, nn.Flatten) or node.target in (torch.flatten, "flatten", "view", "reshape")
        shape = self._shape(node)
        before = self._shape(node.all_input_nodes[0])
        return (
            named
            and shape is not None
            and before is not None
            and len(shape) == 2
            and shape[0] == before[0]
            and shape[1] % before[1] == 0
        )


def _by_channel(model: nn.Module, name: str, width: int) -> Tensor:
    """(rows, channels, width) view of a consumer's weight."""
    weight = model.get_submodule(name).weight
    return weight.reshape(weight.shape[0], -1, width)


def alive(model: nn.Module, space: Space) -> Tensor:
    """Which channels of a space are both written by a producer and read by a consumer: (size,) booleans."""
    if space.pinned or not space.producers or not space.consumers:
        device = next(model.parameters()).device
        return torch.ones(space.size, dtype=torch.bool, device=device)
    written = torch.stack(
        [(model.get_submodule(name).weight.flatten(1) != 0).any(dim=1) for name in space.producers]
    ).any(dim=0)
    read = torch.stack(
        [(_by_channel(model, name, width) != 0).any(dim=2).any(dim=0) for name, width in space.consumers]
    ).any(dim=0)
    return written & read


@torch.no_grad()
def remove_unused_paths(model: nn.Module, example: Tensor) -> dict[str, int]:
    """Zero every filter that nobody reads and every input that nobody writes, until nothing changes.

    A removed filter's bias and normalization are zeroed with it, so its output is exactly zero.

    Returns:
        Weights zeroed, by layer.
    """
    found = spaces(model, example)
    layers = weighted_layers(model)
    before = {name: int(layer.weight.count_nonzero()) for name, layer in layers.items()}
    changed = True
    while changed:
        changed = False
        for space in found:
            dead = ~alive(model, space)
            if not bool(dead.any()):
                continue
            for name in space.producers:
                layer = model.get_submodule(name)
                changed |= _clear(layer.weight, dead)
                if layer.bias is not None:
                    _clear(layer.bias, dead)
            for name in space.norms:
                norm = model.get_submodule(name)
                for part in (norm.weight, norm.bias):
                    if part is not None:
                        _clear(part, dead)
            for name, width in space.consumers:
                changed |= _clear(_by_channel(model, name, width).transpose(0, 1), dead)
    return {
        name: before[name] - int(layer.weight.count_nonzero())
        for name, layer in layers.items()
        if before[name] != int(layer.weight.count_nonzero())
    }


def held_at_zero(model: nn.Module, example: Tensor) -> dict[str, Tensor]:
    """Masks of biases and normalizations that must stay zero because their channel is dead."""
    masks = {}
    for space in spaces(model, example):
        live = alive(model, space)
        if bool(live.all()):
            continue
        for name in (*space.producers, *space.norms):
            module = model.get_submodule(name)
            for part in ("bias", *(["weight"] if name in space.norms else [])):
                if getattr(module, part) is not None:
                    masks[f"{name}.{part}"] = live.clone()
    return masks


@torch.no_grad()
def purify(model: nn.Module, example: Tensor, options: Purify, layers: list[str]) -> dict[str, int]:
    """Remove rows and columns that ADMM left redundant, then unused paths.

    Args:
        example: one input of the model.
        options: thresholds, see `recipe.Purify`.
        layers: the pruned layers; the others lose weights only through unused paths.

    Returns:
        Weights zeroed, by layer.
    """
    removed: dict[str, int] = {}
    for name in layers:
        weight = model.get_submodule(name).weight
        rows = weight.reshape(weight.shape[0], -1)
        before = int(rows.count_nonzero())
        for dim, share in ((1, options.rows), (0, options.columns)):
            norms = torch.linalg.vector_norm(rows, dim=dim)
            kept = norms > 0
            if share > 0 and bool(kept.any()):
                weak = kept & (norms < share * norms[kept].mean())
                _clear(rows if dim == 1 else rows.t(), weak)
        if before != int(rows.count_nonzero()):
            removed[name] = before - int(rows.count_nonzero())
    if options.paths:
        for name, count in remove_unused_paths(model, example).items():
            removed[name] = removed.get(name, 0) + count
    return removed


@torch.no_grad()
def compact(model: nn.Module, example: Tensor) -> dict[str, Tensor]:
    """Take dead channels out of the tensors: fewer filters, fewer inputs, the same function.

    Call after `remove_unused_paths`: what is dead must be zero.

    Returns:
        By module path, the indices of the outputs that stay (only of modules that changed).
    """
    kept: dict[str, Tensor] = {}
    for space in spaces(model, example):
        live = alive(model, space)
        if bool(live.all()):
            continue
        index = live.nonzero()[:, 0]
        if not len(index):
            index = index.new_zeros(1)
        for name in space.producers:
            layer = model.get_submodule(name)
            _replace(layer, "weight", layer.weight[index])
            if layer.bias is not None:
                _replace(layer, "bias", layer.bias[index])
            kept[name] = index
        for name in space.norms:
            norm = model.get_submodule(name)
            for part in ("weight", "bias", "running_mean", "running_var"):
                if getattr(norm, part) is not None:
                    _replace(norm, part, getattr(norm, part)[index])
            kept[name] = index
        for name, width in space.consumers:
            layer = model.get_submodule(name)
            chosen = _by_channel(model, name, width)[:, index]
            _replace(layer, "weight", chosen.reshape(layer.weight.shape[0], -1, *layer.weight.shape[2:]))
    _fit_attributes(model)
    return kept


@torch.no_grad()
def resize(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Give a freshly built model the tensor shapes of a compacted one's state_dict."""
    for name, tensor in state.items():
        path, _, part = name.rpartition(".")
        try:
            module = model.get_submodule(path)
        except AttributeError:
            continue
        present = getattr(module, part, None)
        if isinstance(present, Tensor) and present.shape != tensor.shape:
            _replace(module, part, present.new_zeros(tensor.shape))
    _fit_attributes(model)


def _fit_attributes(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.out_channels = module.weight.shape[0]
            module.in_channels = module.weight.shape[1] * module.groups
        elif isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
        elif isinstance(module, _NORMS) and module.weight is not None:
            module.num_features = module.weight.shape[0]


def _replace(module: nn.Module, part: str, value: Tensor) -> None:
    value = value.detach().clone()
    setattr(module, part, nn.Parameter(value) if isinstance(getattr(module, part), nn.Parameter) else value)


def _clear(tensor: Tensor, rows: Tensor) -> bool:
    """Zero the given rows in place; whether any weight changed."""
    changed = bool((tensor[rows] != 0).any())
    tensor[rows] = 0
    return changed
