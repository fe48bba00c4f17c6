from __future__ import annotations

import pytest
import torch
from torch import nn

from admmfpga.compress import activation, structure
from admmfpga.compress.activation import ActivationQuantizer
from admmfpga.compress.models import resnet8


def test_codes_are_clipped_and_rounded() -> None:
    quantizer = ActivationQuantizer(4, 0.5, learned=False)
    assert quantizer(torch.tensor([-1.0, 0.2, 0.3, 3.1, 99.0])).tolist() == [0.0, 0.0, 0.5, 3.0, 7.5]
    signed = ActivationQuantizer(4, 0.5, learned=False, signed=True)
    assert signed(torch.tensor([-99.0, 99.0])).tolist() == [-4.0, 3.5]


def test_gradients_pass_inside_the_range_only_and_reach_the_scale() -> None:
    quantizer = ActivationQuantizer(8, 0.1)
    values = torch.tensor([[-1.0, 5.0, 99.0]], requires_grad=True)
    quantizer(values).sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[0.0, 1.0, 0.0]]
    assert quantizer.scale.grad is not None
    gain = (3 * 255) ** -0.5
    assert float(quantizer.scale.grad) == pytest.approx(255 * gain, rel=1e-4)  # only the clipped value moves the range


def test_calibration_takes_sign_and_percentile() -> None:
    values = torch.arange(0, 1000.0)
    quantizer = ActivationQuantizer(8)
    assert torch.equal(quantizer(values), values)
    quantizer.calibrate(values, 90)
    assert quantizer.low == 0
    assert float(quantizer.scale.detach()) == pytest.approx(899 / 255)
    quantizer.calibrate(values - 500, 100)
    assert (quantizer.low, quantizer.high) == (-128, 127)


def test_quantizers_stand_where_hardware_rounds(network: nn.Sequential) -> None:
    model = structure.trace(network, torch.zeros(1, 1, 8, 8))
    activation.insert(model, 6, True, 1 / 255)
    activation.calibrate(model, torch.rand(8, 1, 8, 8), 100)
    after = {}
    for node in model.graph.nodes:
        if node.op == "call_module" and isinstance(model.get_submodule(node.target), ActivationQuantizer):
            after[node.args[0].name] = model.get_submodule(node.target)
    assert set(after) == {"input_1", "relu1", "relu2", "relu3", "fc2"}
    assert float(after["input_1"].scale) == pytest.approx(1 / 255)
    assert [after[name].bits for name in ("input_1", "relu1", "fc2")] == [8, 6, 8]
    assert [after[name].signed for name in ("relu1", "fc2")] == [False, True]


def test_residual_networks_are_quantized_around_their_additions() -> None:
    model = structure.trace(resnet8(4).eval(), torch.zeros(1, 3, 32, 32))
    activation.insert(model, 8, True, 0.0)
    activation.calibrate(model, torch.rand(4, 3, 32, 32), 100)
    sources = {
        str(node.args[0].target)
        for node in model.graph.nodes
        if node.op == "call_module" and isinstance(model.get_submodule(node.target), ActivationQuantizer)
    }
    assert {"relu", "block1.bn2", "block1.relu2", "block2.shortcut.1", "pool", "fc"} <= sources
    assert not {"conv", "bn", "block1.conv1", "block1.bn1", "flatten"} & sources
