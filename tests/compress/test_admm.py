"""The engine: the formulas of the specification, dual rescaling, joint constraints, saved state."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from admmfpga.compress import (
    Bits,
    Compressor,
    Constant,
    Continuous,
    Filter,
    Frozen,
    NonStructured,
    Staged,
    Ternary,
    recipe,
)
from admmfpga.errors import UserError


def pairs(compressor: Compressor, name: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(one["auxiliary"].clone(), one["dual"].clone()) for one in compressor.state_dict()["pairs"][name]]


def disturb(network: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def test_start_and_update_follow_the_specification(network: nn.Sequential) -> None:
    compressor = Compressor(network, {"fc1": NonStructured(20)}, Constant(0.1))
    compressor.prepare()
    weight = network.fc1.weight.detach()
    (auxiliary, dual), *_ = pairs(compressor, "fc1")
    assert torch.equal(auxiliary, NonStructured(20).project(weight))
    assert torch.equal(dual, torch.zeros_like(weight))
    for iteration in range(3):
        disturb(network, iteration)
        before_auxiliary, before_dual = auxiliary, dual
        residual = compressor.step()["fc1"]
        (auxiliary, dual), *_ = pairs(compressor, "fc1")
        assert torch.allclose(auxiliary, NonStructured(20).project(weight + before_dual))
        assert torch.allclose(dual, before_dual + weight - auxiliary, atol=1e-6)
        assert residual.primal == pytest.approx(float((weight - auxiliary).norm() / weight.norm()), rel=1e-5)
        assert residual.dual == pytest.approx(float((auxiliary - before_auxiliary).norm() / auxiliary.norm()), rel=1e-5)


def test_penalty_gradient_is_that_of_the_penalty(network: nn.Sequential) -> None:
    compressor = Compressor(network, {"conv1": Filter(2), "fc1": [NonStructured(50), Bits(3)]}, Constant(0.3))
    compressor.prepare()
    disturb(network, 1)
    compressor.step()
    disturb(network, 2)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    compressor.penalty().backward()
    expected = [parameter.grad.clone() for parameter in network.parameters()]
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    compressor.add_penalty_gradient()
    for parameter, one in zip(network.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, one, atol=1e-6)
    assert torch.equal(network.fc2.weight.grad, torch.ones_like(network.fc2.weight))
    assert torch.equal(network.conv1.bias.grad, torch.ones_like(network.conv1.bias))


def test_the_unscaled_dual_does_not_jump_when_rho_changes(network: nn.Sequential) -> None:
    compressor = Compressor(network, {"fc1": NonStructured(30)}, Continuous(1e-3, 1.7))
    constant = Compressor(copy.deepcopy(network), {"fc1": NonStructured(30)}, Constant(1e-3))
    for one in (compressor, constant):
        one.prepare()
        disturb(one.model, 5)
        one.step()
    assert compressor.rho == pytest.approx(1.7e-3)
    (_, scaled), (_, plain) = pairs(compressor, "fc1")[0], pairs(constant, "fc1")[0]
    assert float(plain.norm()) > 0
    assert torch.allclose(compressor.rho * scaled, constant.rho * plain, rtol=1e-5)


def test_a_new_stage_starts_from_the_weights_with_no_dual(network: nn.Sequential) -> None:
    compressor = Compressor(network, {"fc1": NonStructured(30)}, Staged(1e-4, 10.0, 2))
    compressor.prepare()
    rhos = [compressor.rho]
    for iteration in range(2):
        disturb(network, iteration)
        compressor.step()
        rhos.append(compressor.rho)
    assert rhos == pytest.approx([1e-4, 1e-4, 1e-3])
    (auxiliary, dual), *_ = pairs(compressor, "fc1")
    assert torch.equal(dual, torch.zeros_like(dual))
    assert torch.equal(auxiliary, NonStructured(30).project(network.fc1.weight.detach()))


def test_joint_constraints_each_have_their_own_pair(network: nn.Sequential) -> None:
    compressor = Compressor(network, {"fc1": [NonStructured(30), Bits(4)]}, Constant(0.1))
    compressor.prepare()
    (sparse, _), (levels, _) = pairs(compressor, "fc1")
    assert int(sparse.count_nonzero()) == 30
    assert Bits(4).violation(levels) == ""
    masks = compressor.squash_mask()
    assert int(network.fc1.weight.count_nonzero()) == 30
    assert Bits(4).violation(network.fc1.weight) == ""
    assert int(masks.masks["fc1.weight"].sum()) == 30


def test_admm_pulls_the_weights_into_the_set(network: nn.Sequential) -> None:
    compressor = Compressor(network, {"fc1": NonStructured(40)}, Continuous(0.05, 1.5))
    compressor.prepare()
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    handle = compressor.attach(optimizer)
    images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    residuals = []
    for _ in range(12):
        for _ in range(10):
            optimizer.zero_grad()
            network(images).square().mean().backward()
            optimizer.step()
        residuals.append(compressor.step()["fc1"].primal)
    handle.remove()
    assert residuals[-1] < 0.05 < residuals[0]


def test_state_resumes_exactly(network: nn.Sequential) -> None:
    one = Compressor(network, {"fc1": [NonStructured(30), Bits(4)]}, Continuous(0.01, 1.3))
    one.prepare()
    disturb(network, 1)
    one.step()
    twin = copy.deepcopy(network)
    other = Compressor(twin, {"fc1": [NonStructured(30), Bits(4)]}, Continuous(0.01, 1.3))
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for model in (network, twin):
        disturb(model, 2)
    assert one.step() == other.step()
    for (a, u), (b, v) in zip(pairs(one, "fc1"), pairs(other, "fc1"), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(u, v)


def test_state_of_other_layers_is_refused(network: nn.Sequential) -> None:
    one = Compressor(network, {"fc1": NonStructured(30)})
    one.prepare()
    with pytest.raises(UserError, match="other layers"):
        Compressor(network, {"fc2": NonStructured(30)}).load_state_dict(one.state_dict())


def test_a_layer_that_does_not_exist_is_refused_with_those_that_do(network: nn.Sequential) -> None:
    with pytest.raises(UserError, match="fc9") as caught:
        Compressor(network, {"fc9": NonStructured(3)})
    assert "fc1" in caught.value.hint


RECIPE = """
[[steps]]
joint = true
admm = { iterations = 4, schedule = "continuous", rho = 0.5, factor = 2.0 }
[steps.layers]
conv1 = { kind = "filter", count = 3 }
fc1 = { kind = "non-structured", rate = 4.0 }
fc2 = { kind = "none" }
[[steps]]
budget = { rate = 2.0 }
[quantize]
admm = { schedule = "constant", rho = 0.25 }
[quantize.layers]
fc1 = { bits = 3 }
conv2 = { kind = "ternary" }
"""


def test_a_recipe_gives_the_sets_and_rho_of_its_step(network: nn.Sequential) -> None:
    chosen = recipe.parse(RECIPE)
    with torch.no_grad():
        network.fc1.weight[:, 0] = 0
    pruning = Compressor.from_recipe(network, chosen)
    zeros = Frozen(network.fc1.weight != 0)
    assert set(pruning.sets) == {"conv1", "fc1", "conv2"}
    assert pruning.sets["conv1"] == (Filter(3),)
    assert pruning.sets["conv2"] == (Ternary(),)
    assert [one.sets[1] for one in pruning.sets["fc1"]] == [NonStructured(96), Bits(3)]
    assert all(torch.equal(one.sets[0].mask, zeros.mask) for one in pruning.sets["fc1"])
    pruning.prepare()
    assert pruning.rho == 0.5
    pruning.step()
    assert pruning.rho == 1.0
    pruning.squash_mask()
    assert int(network.fc1.weight.count_nonzero()) == 96
    assert not network.fc1.weight[:, 0].any()
    levels = Compressor.from_recipe(network, chosen, None)
    assert set(levels.sets) == {"fc1", "conv2"}
    assert levels.rho == 0.25


def test_a_recipe_that_gives_no_sets_is_refused(network: nn.Sequential) -> None:
    chosen = recipe.parse(RECIPE)
    with pytest.raises(UserError, match="measuring on data"):
        Compressor.from_recipe(network, chosen, 1)
    with pytest.raises(UserError, match="2 steps, counted from 0, and none is 2"):
        Compressor.from_recipe(network, chosen, 2)
    with pytest.raises(UserError, match="no layer fc1"):
        Compressor.from_recipe(nn.Sequential(nn.Linear(2, 2)), chosen)
