"""Rates for a total budget, found from each layer's sensitivity; the first layer is treated lightly.

Sensitivity follows the second-order Taylor view of pruning: what a weight w contributes to the loss is about
(dL/dw * w)^2 (Molchanov et al., 2019). Sorted by it, every layer gives a curve of loss against the share that stays;
one threshold for all layers, found by bisection, spends the budget where it hurts least.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from admmfpga.compress.data import TrainingData
from admmfpga.compress.recipe import Budget, weighted_layers

BATCH = 250


def shares(model: nn.Module, data: TrainingData, budget: Budget, shapes: Mapping[str, torch.Size]) -> dict[str, float]:
    """Share of the weights that each layer keeps, so that the network keeps 1/rate of all its weights.

    Args:
        model: trained.
        data: the sensitivity is measured on its first training images.
        budget: the total and the exceptions.
        shapes: original weight shapes by layer; shares refer to them.
    """
    layers = {name: layer for name, layer in weighted_layers(model).items() if name not in budget.skip}
    saliency = _saliency(model, layers, data, budget.images)
    totals = {name: math.prod(shape) for name, shape in shapes.items()}
    skipped = sum(totals.values()) - sum(totals[name] for name in layers)
    goal = max(len(layers), math.floor(sum(totals.values()) / budget.rate) - skipped)
    first = next(iter(layers))
    light = math.ceil(totals[first] / budget.first_layer)
    uniform = max(0, goal - light) / max(1, sum(totals[name] for name in layers if name != first))
    least = {name: max(1, math.floor(totals[name] * uniform / budget.spread)) for name in layers}
    least[first] = light
    low, high = 0.0, max(float(one.max()) for one in saliency.values())
    counts: dict[str, int] = {}
    for _ in range(100):
        middle = (low + high) / 2
        counts = {name: max(least[name], int((one > middle).sum())) for name, one in saliency.items()}
        if sum(counts.values()) > goal:
            low = middle
        else:
            high = middle
    counts = {name: max(least[name], int((one > high).sum())) for name, one in saliency.items()}
    return {name: min(1.0, count / totals[name]) for name, count in counts.items()}


def _saliency(model: nn.Module, layers: Mapping[str, nn.Module], data: TrainingData, images: int) -> dict[str, Tensor]:
    """(dL/dw * w)^2 per weight, summed over batches."""
    mode = model.training
    model.eval()
    found = {name: torch.zeros_like(layer.weight) for name, layer in layers.items()}
    count = min(images, len(data.train_images))
    for start in range(0, count, BATCH):
        chosen = slice(start, min(count, start + BATCH))
        loss = nn.functional.cross_entropy(model(data.train_images[chosen]), data.train_labels[chosen])
        gradients = torch.autograd.grad(loss, [layer.weight for layer in layers.values()])
        for (name, layer), gradient in zip(layers.items(), gradients, strict=True):
            found[name] += (gradient * layer.weight.detach()).square()
    model.train(mode)
    return found
