"""The checker passes right models and fails wrong ones."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from admmfpga.compress import Binary, Bits, Filter, NonStructured, Then, violations

CONSTRAINTS = {
    "conv1": Filter(2),
    "conv2": Binary(),
    "fc1": Then((NonStructured(40), Bits(3))),
    "fc2": NonStructured(10),
}


@pytest.fixture
def right(network: nn.Sequential) -> nn.Sequential:
    with torch.no_grad():
        for name, constraint in CONSTRAINTS.items():
            weight = network.get_submodule(name).weight
            weight.copy_(constraint.project(weight.detach()))
    return network


def test_a_right_model_passes(right: nn.Sequential) -> None:
    assert violations(right, CONSTRAINTS) == {}


@pytest.mark.parametrize(
    "layer, value, message",
    [
        ("conv1", 0.5, "3 rows"),
        ("fc1", 0.123, "41 weights"),
        ("fc1", 0.123, "multiples|magnitudes"),
        ("fc2", 1e-9, "almost zero"),
        ("fc2", float("nan"), "finite"),
    ],
)
@torch.no_grad()
def test_one_wrong_weight_fails(right: nn.Sequential, layer: str, value: float, message: str) -> None:
    weight = right.get_submodule(layer).weight
    if layer == "fc2":
        weight[weight != 0] = torch.where(torch.arange(10) == 0, value, weight[weight != 0])
    else:
        weight.view(-1)[int((weight.flatten() == 0).nonzero()[-1 if layer == "conv1" else 0])] = value
    found = violations(right, CONSTRAINTS)
    assert set(found) == {layer}
    assert re.search(message, found[layer])


@torch.no_grad()
def test_a_binary_layer_with_a_zero_or_another_magnitude_fails(right: nn.Sequential) -> None:
    right.conv2.weight[0, 0, 0, 0] = 0
    assert "zero" in violations(right, CONSTRAINTS)["conv2"]
    right.conv2.weight[0, 0, 0, 0] = 2.0
    assert "2 magnitudes" in violations(right, CONSTRAINTS)["conv2"]
