"""Unused paths, residual ties, compaction: the function stays, the tensors shrink."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from admmfpga.compress import structure
from admmfpga.compress.models import lenet5, resnet8
from admmfpga.compress.recipe import Purify


def trained_looking(model: nn.Module) -> nn.Module:
    """Normalization statistics that are not the trivial ones."""
    generator = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
    return model.eval()


@torch.no_grad()
def zero_filter(model: nn.Module, name: str, index: int) -> None:
    layer = model.get_submodule(name)
    layer.weight[index] = 0
    if layer.bias is not None:
        layer.bias[index] = 0


EXAMPLE = torch.zeros(1, 1, 28, 28)
IMAGES = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def test_a_filter_that_nobody_reads_goes_with_everything_that_feeds_it() -> None:
    model = lenet5(6, 8, 12)
    with torch.no_grad():
        model.fc1.weight.reshape(12, 8, 16)[:, 3] = 0  # nobody reads filter 3 of conv2
        before = model(IMAGES)
        removed = structure.remove_unused_paths(model, EXAMPLE)
        assert torch.allclose(model(IMAGES), before, atol=1e-6)
    assert removed == {"conv2": 6 * 25}
    assert float(model.conv2.bias[3].detach()) == 0


def test_removal_goes_on_through_the_network() -> None:
    model = lenet5(6, 8, 12)
    with torch.no_grad():
        model.fc2.weight[:, 1:] = 0  # only neuron 0 is read
        model.fc1.weight.reshape(12, 8, 16)[0, 1:] = 0  # which reads only filter 0
        model.conv2.weight[0, 2:] = 0  # which reads only channels 0 and 1
    structure.remove_unused_paths(model, EXAMPLE)
    assert model.fc1.weight.flatten(1).any(dim=1).nonzero().tolist() == [[0]]
    assert model.conv2.weight.flatten(1).any(dim=1).nonzero().tolist() == [[0]]
    assert model.conv1.weight.flatten(1).any(dim=1).nonzero().tolist() == [[0], [1]]
    kept = structure.compact(model, EXAMPLE)
    assert model.conv1.weight.shape == (2, 1, 5, 5)
    assert model.conv2.weight.shape == (1, 2, 5, 5)
    assert model.fc1.weight.shape == (1, 16)
    assert model.fc2.weight.shape == (10, 1)
    assert kept["conv1"].tolist() == [0, 1]


def test_an_input_that_nobody_writes_goes_with_its_weights() -> None:
    model = lenet5(6, 8, 12)
    zero_filter(model, "conv1", 2)
    removed = structure.remove_unused_paths(model, EXAMPLE)
    assert removed == {"conv2": 8 * 25}


def test_compaction_keeps_the_function() -> None:
    model = lenet5(6, 8, 12)
    for name, index in (("conv1", 0), ("conv1", 5), ("conv2", 3), ("fc1", 7)):
        zero_filter(model, name, index)
    structure.remove_unused_paths(model, EXAMPLE)
    with torch.no_grad():
        before = model(IMAGES)
        structure.compact(model, EXAMPLE)
        assert torch.allclose(model(IMAGES), before, atol=1e-6)
    assert [tuple(layer.weight.shape) for layer in (model.conv1, model.conv2, model.fc1, model.fc2)] == [
        (4, 1, 5, 5),
        (7, 4, 5, 5),
        (11, 7 * 16),
        (10, 11),
    ]
    assert model.conv2.in_channels == 4


def residual_network() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(5)
    model = trained_looking(resnet8(4))
    return model, torch.zeros(1, 3, 32, 32), torch.rand(2, 3, 32, 32)


def test_a_residual_addition_ties_its_producers() -> None:
    model, example, images = residual_network()
    spaces = structure.spaces(model, example)
    tied = next(space for space in spaces if "conv" in space.producers)
    assert set(tied.producers) == {"conv", "block1.conv2"}
    assert {name for name, _ in tied.consumers} == {"block1.conv1", "block2.conv1", "block2.shortcut.0"}
    zero_filter(model, "block1.conv2", 1)
    with torch.no_grad():
        before = model(images)
        assert structure.remove_unused_paths(model, example) == {}, "the other producer still writes channel 1"
        assert torch.equal(model(images), before)
    zero_filter(model, "conv", 1)
    removed = structure.remove_unused_paths(model, example)
    assert set(removed) == {"block1.conv1", "block2.conv1", "block2.shortcut.0"}
    with torch.no_grad():
        before = model(images)
        structure.compact(model, example)
        assert torch.allclose(model(images), before, atol=1e-5)
    assert model.get_submodule("conv").weight.shape[0] == 3
    assert model.get_submodule("block1.bn2").num_features == 3


class Odd(nn.Module):
    """Channels are mixed by an operator that the analysis does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, 4, 3)
        self.two = nn.Conv2d(4, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.two(torch.roll(self.one(images), 1, dims=1))


def test_unknown_operators_pin_their_channels() -> None:
    model = Odd()
    zero_filter(model, "one", 0)
    assert structure.remove_unused_paths(model, torch.zeros(1, 1, 8, 8)) == {}
    assert structure.compact(model, torch.zeros(1, 1, 8, 8)) == {}


def test_outputs_and_inputs_are_never_removed() -> None:
    model = lenet5(6, 8, 12)
    zero_filter(model, "fc2", 4)
    structure.remove_unused_paths(model, EXAMPLE)
    structure.compact(model, EXAMPLE)
    assert model.fc2.weight.shape == (10, 12)
    assert model.conv1.weight.shape[1] == 1


def test_purification_removes_weak_rows_and_columns() -> None:
    model = lenet5(6, 8, 12)
    with torch.no_grad():
        model.conv2.weight[3] *= 1e-4
        model.fc1.weight[:, 17] *= 1e-4
    removed = structure.purify(model, EXAMPLE, Purify(rows=0.1, columns=0.1, paths=True), ["conv2", "fc1"])
    assert removed["conv2"] == 6 * 25
    assert removed["fc1"] == 12 + 12 * 16
    assert structure.purify(model, EXAMPLE, Purify(), ["conv2", "fc1"]) == {}


def test_biases_of_dead_channels_are_held_at_zero() -> None:
    model = lenet5(6, 8, 12)
    zero_filter(model, "conv2", 2)
    structure.remove_unused_paths(model, EXAMPLE)
    masks = structure.held_at_zero(model, EXAMPLE)
    assert set(masks) == {"conv2.bias"}
    assert masks["conv2.bias"].tolist() == [True, True, False, True, True, True, True, True]


def test_a_fresh_model_takes_the_shapes_of_a_compacted_one() -> None:
    model = lenet5(6, 8, 12)
    zero_filter(model, "conv1", 2)
    structure.remove_unused_paths(model, EXAMPLE)
    structure.compact(model, EXAMPLE)
    fresh = lenet5(6, 8, 12)
    structure.resize(fresh, model.state_dict())
    fresh.load_state_dict(copy.deepcopy(model.state_dict()))
    with torch.no_grad():
        assert torch.equal(fresh(IMAGES), model(IMAGES))


def test_lenet5_counts() -> None:
    model = lenet5()
    assert sum(layer.weight.numel() for layer in (model.conv1, model.conv2, model.fc1, model.fc2)) == 430_500
