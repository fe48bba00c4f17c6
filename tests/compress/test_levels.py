"""Quantization sets against an exhaustive search over scales."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from admmfpga.compress.levels import Binary, Bits, Ternary

WEIGHTS = st.lists(
    st.floats(-2, 2, allow_nan=False, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=1, max_size=9
)


def brute(weight: Tensor, levels: Tensor) -> float:
    """Least squared error over a fine grid of scales; every weight takes its nearest of `levels` times the scale."""
    scales = torch.linspace(1e-3, 2.2, 4000, dtype=torch.float64)
    distance = (weight.double()[None, :, None] - scales[:, None, None] * levels.double()[None, None, :]).abs()
    return float(distance.amin(dim=2).square().sum(dim=1).min())


@settings(deadline=None, max_examples=60)
@given(WEIGHTS, st.integers(2, 5), st.booleans())
def test_bits_has_the_least_error(values: list[float], bits: int, zero: bool) -> None:
    weight = torch.tensor(values)
    constraint = Bits(bits, zero)
    projected = constraint.project(weight[None])[0]
    codes = torch.arange(-constraint.top, constraint.top + 1)
    if not zero:
        codes = codes[codes != 0]
    error = float((weight - projected)[weight != 0].square().sum())
    kept = weight[weight != 0]
    assert error <= brute(kept, codes) + 1e-5 if len(kept) else error == 0
    assert torch.equal(projected == 0, weight == 0) or zero
    assert torch.all(projected[weight == 0] == 0)
    assert constraint.violation(projected[None]) == ""


@settings(deadline=None, max_examples=40)
@given(WEIGHTS)
def test_ternary_is_a_fixed_point(values: list[float]) -> None:
    weight = torch.tensor(values)[None]
    constraint = Ternary()
    projected = constraint.project(weight)
    alpha = constraint.fit(weight)
    assert constraint.violation(projected) == ""
    kept = weight.abs() > alpha / 2
    assert torch.equal(projected != 0, kept & (alpha > 0))
    if bool(kept.any()):
        assert float(weight.abs()[kept].mean()) == pytest.approx(float(alpha), rel=1e-5)


@settings(deadline=None, max_examples=40)
@given(WEIGHTS)
def test_binary_alpha_is_the_exact_minimiser(values: list[float]) -> None:
    weight = torch.tensor(values)[None]
    constraint = Binary()
    projected = constraint.project(weight)
    assert float(constraint.fit(weight)) == pytest.approx(float(weight.abs().mean()))
    error = float((weight - projected).square().sum())
    assert error <= brute(weight[0], torch.tensor([-1, 1])) + 1e-5


def test_codes_times_scale_is_the_weight_and_scales_can_be_one_a_row() -> None:
    torch.manual_seed(0)
    weight = torch.randn(4, 3, 3, 3) * torch.tensor([0.1, 1.0, 10.0, 0.0]).reshape(4, 1, 1, 1)
    for constraint in (Bits(4, per_row=True), Bits(3, zero=True, per_row=True), Ternary(per_row=True)):
        scale = constraint.fit(weight)
        assert scale.shape == (4,)
        codes = constraint.codes(weight, scale)
        assert torch.equal(codes, codes.round())
        assert torch.allclose(codes * scale.reshape(4, 1, 1, 1), constraint.project(weight))
        assert constraint.violation(constraint.project(weight)) == ""


@pytest.mark.parametrize("codes", [[1, 2], [2, 3], [1, 7], [5], [3, 6], [-4, 7, 1]])
def test_a_quantized_tensor_projects_onto_itself_whatever_codes_occur(codes: list[int]) -> None:
    weight = torch.tensor([codes * 3], dtype=torch.float32) * 0.37
    assert torch.allclose(Bits(4).project(weight), weight, atol=1e-6)


def test_violation_fails_on_wrong_levels() -> None:
    assert "magnitudes" in Bits(2).violation(torch.tensor([[1.0, 2.0]]))
    assert "multiples" in Bits(3).violation(torch.tensor([[1.0, 1.7]]))
    assert "multiples" in Bits(4).violation(torch.tensor([[1.0, 2.0, 2.01]]))
    assert "zero" in Binary().violation(torch.tensor([[1.0, 0.0, -1.0]]))
    assert "magnitudes" in Binary().violation(torch.tensor([[1.0, -1.001]]))
    assert "magnitudes" in Ternary().violation(torch.tensor([[1.0, 0.0, 0.5]]))


def test_large_layers_are_fitted_as_well_as_small_ones() -> None:
    weight = torch.randn(200, 500, generator=torch.Generator().manual_seed(1))
    error = (weight - Bits(4, zero=True).project(weight)).square().mean()
    assert float(error) < 0.0145  # 15-level uniform quantizer of a unit Gaussian: about 0.0139
