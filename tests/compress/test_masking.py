"""Masks hold under momentum, weight decay and Adam's moments."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from admmfpga.compress import Compressor, Masks, NonStructured

OPTIMIZERS = {
    "sgd with momentum and weight decay": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
    "adam with weight decay": lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pruned_weights_stay_zero_and_held_ones_keep_their_value(name: str, network: nn.Sequential) -> None:
    make: Callable[..., torch.optim.Optimizer] = OPTIMIZERS[name]
    optimizer = make(network.parameters())
    images = torch.rand(8, 1, 8, 8)

    def step() -> None:
        optimizer.zero_grad()
        network(images).square().sum().backward()
        optimizer.step()

    step()  # moments exist before the mask does
    compressor = Compressor(network, {"fc1": NonStructured(40)})
    compressor.prepare()
    zeros = compressor.squash_mask()
    held = Masks(
        network,
        {**zeros.masks, "fc2.weight": torch.zeros(4, 12, dtype=torch.bool)},
        {"fc2.weight": network.fc2.weight.detach()},
    )
    before = network.fc2.weight.detach().clone()
    held.attach(optimizer)
    for _ in range(5):
        step()
    weight = network.fc1.weight.detach()
    assert int(weight.count_nonzero()) == 40
    assert torch.equal(weight != 0, zeros.masks["fc1.weight"])
    assert torch.equal(network.fc2.weight, before)


def test_without_the_mask_momentum_moves_pruned_weights(network: nn.Sequential) -> None:
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    network(torch.rand(8, 1, 8, 8)).square().sum().backward()
    optimizer.step()
    compressor = Compressor(network, {"fc1": NonStructured(40)})
    compressor.squash_mask()
    optimizer.step()
    assert int(network.fc1.weight.count_nonzero()) > 40


def test_state_round_trip(network: nn.Sequential) -> None:
    masks = Masks(network, {"fc1.weight": network.fc1.weight.detach() > 0}, {"fc1.weight": network.fc1.weight.detach()})
    other = Masks.from_state(network, masks.state_dict())
    assert torch.equal(other.masks["fc1.weight"], masks.masks["fc1.weight"])
    assert torch.equal(other.values["fc1.weight"], masks.values["fc1.weight"])


def test_a_mask_of_another_shape_is_refused(network: nn.Sequential) -> None:
    with pytest.raises(ValueError, match="shape"):
        Masks(network, {"fc1.weight": torch.ones(3, 3, dtype=torch.bool)})
