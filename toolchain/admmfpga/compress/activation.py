"""Activation quantization: fake-quantizers with calibrated or learned clipping, inserted where hardware rounds.

The learned step size follows LSQ (Esser et al., 2020): the scale is a parameter, the rounding passes its gradient
straight through.
"""

from __future__ import annotations

import operator
from typing import cast

import torch
from torch import Tensor, fx, nn


class ActivationQuantizer(nn.Module):
    """Rounds to `bits`-bit codes times a scale; unsigned 0..2^b-1, or signed -2^(b-1)..2^(b-1)-1.

    Args:
        bits: 2 to 8.
        scale: size of one code; 0 means "not calibrated yet", and activations pass unchanged.
        learned: the scale is trained.
        signed: codes may be negative.
    """

    def __init__(self, bits: int = 8, scale: float = 0.0, learned: bool = True, signed: bool = False) -> None:
        super().__init__()
        self.bits = bits
        self.scale = nn.Parameter(torch.tensor(float(scale)), requires_grad=learned)
        self.register_buffer("is_signed", torch.tensor(signed))

    @property
    def signed(self) -> bool:
        return bool(self.is_signed)

    @property
    def calibrated(self) -> bool:
        return float(self.scale.detach()) > 0.0

    @property
    def low(self) -> int:
        """Least code."""
        return -(2 ** (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Greatest code."""
        return 2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1

    @torch.no_grad()
    def calibrate(self, values: Tensor, percentile: float) -> None:
        """Choose sign and scale so that `percentile` percent of the magnitudes are not clipped."""
        self.is_signed.fill_(bool((values < 0).any()))
        magnitudes = values.abs().reshape(-1).float()
        rank = max(1, min(magnitudes.numel(), round(magnitudes.numel() * percentile / 100)))
        self.scale.fill_(float(magnitudes.kthvalue(rank).values.clamp_min(1e-6)) / self.high)

    def forward(self, values: Tensor) -> Tensor:
        if not self.calibrated:
            return values
        scale = self.scale
        if scale.requires_grad:
            gain = (values.numel() / max(1, values.shape[0]) * self.high) ** -0.5
            scale = (scale * (1 - gain)).detach() + scale * gain
        codes = (values.float() / scale).clamp(self.low, self.high)
        return (codes + (codes.round() - codes).detach()) * scale

    def extra_repr(self) -> str:
        return f"bits={self.bits}, signed={self.signed}, scale={float(self.scale.detach()):g}"


def insert(model: fx.GraphModule, bits: int, learned: bool, input_scale: float) -> fx.GraphModule:
    """Put a quantizer behind every tensor that hardware writes.

    That is: the input; Relu; additions, convolutions, fully connected layers, normalizations and average pools unless a
    Relu or a normalization follows them directly. Maximum pools and flattening only move codes and need none.

    Args:
        model: traced (see `structure.trace`); changed in place.
        bits: of every activation inside; input and output have 8.
        learned: clipping is trained.
        input_scale: of one input code, where the data has one; 0 calibrates the input too.
    """
    graph = model.graph
    nodes = list(graph.nodes)
    outputs = {source for node in nodes if node.op == "output" for source in node.all_input_nodes}
    count = 0
    for node in nodes:
        if not (node.op == "placeholder" or _computes(model, node)) or _absorbed(model, node):
            continue
        name = f"activation{count}"
        count += 1
        if node.op == "placeholder":
            quantizer = ActivationQuantizer(8, input_scale, learned=False)
        else:
            quantizer = ActivationQuantizer(8 if node in outputs else bits, 0.0, learned)
        model.add_submodule(name, quantizer)
        with graph.inserting_after(node):
            inserted = graph.call_module(name, (node,))
        node.replace_all_uses_with(inserted, delete_user_cb=lambda user, mine=inserted: user is not mine)
    graph.lint()
    model.recompile()
    return model


def quantizers(model: nn.Module) -> dict[str, ActivationQuantizer]:
    """The quantizers of a model by path."""
    return {name: module for name, module in model.named_modules() if isinstance(module, ActivationQuantizer)}


@torch.no_grad()
def calibrate(model: nn.Module, images: Tensor, percentile: float) -> None:
    """Calibrate every quantizer that has no scale yet on what arrives there, in the order of the graph."""
    mode = model.training
    model.eval()
    for quantizer in quantizers(model).values():
        if quantizer.calibrated:
            continue
        seen: list[Tensor] = []
        handle = quantizer.register_forward_pre_hook(lambda _, arguments, into=seen: into.append(arguments[0]))
        model(images)
        handle.remove()
        quantizer.calibrate(torch.cat(seen), percentile)
    model.train(mode)


_RELUS = (nn.ReLU, nn.ReLU6)
_COMPUTING = (
    *_RELUS,
    nn.Conv2d,
    nn.Linear,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
)
_RELU_FUNCTIONS = {torch.relu, nn.functional.relu, "relu"}
_ADDITIONS = {operator.add, operator.iadd, torch.add, "add", "add_"}


def _module(model: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return model.get_submodule(cast(str, node.target)) if node.op == "call_module" else None


def _is_relu(model: fx.GraphModule, node: fx.Node) -> bool:
    return isinstance(_module(model, node), _RELUS) or (
        node.op in ("call_function", "call_method") and node.target in _RELU_FUNCTIONS
    )


def _computes(model: fx.GraphModule, node: fx.Node) -> bool:
    return (
        isinstance(_module(model, node), _COMPUTING)
        or _is_relu(model, node)
        or (node.op in ("call_function", "call_method") and node.target in _ADDITIONS)
    )


def _absorbed(model: fx.GraphModule, node: fx.Node) -> bool:
    """Every user is the Relu or the normalization that hardware computes together with this node."""
    if node.op == "placeholder" or _is_relu(model, node):
        return False
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    weighted = isinstance(_module(model, node), nn.Conv2d | nn.Linear)
    return bool(node.users) and all(
        _is_relu(model, user) or (weighted and isinstance(_module(model, user), norms)) for user in node.users
    )
