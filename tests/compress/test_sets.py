"""Projections against brute force on tiny tensors: every subset of groups is tried."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from admmfpga.compress import sets
from admmfpga.compress.sets import (
    Balanced,
    Channel,
    ConstraintSet,
    Filter,
    FilterShape,
    Frozen,
    NonStructured,
    RowBlocked,
    Then,
    filter_and_shape,
    largest,
)

# Multiples of 1/8 with few values: ties occur often, and squared sums are exact in float32.
VALUES = st.integers(-12, 12).map(lambda code: code / 8)


def weights(rows: int, columns: int) -> st.SearchStrategy[Tensor]:
    size = rows * columns
    return st.lists(VALUES, min_size=size, max_size=size).map(lambda x: torch.tensor(x).reshape(rows, columns))


def best_error(weight: Tensor, groups: list[Tensor], keep: int) -> float:
    """Least squared error over all ways to keep `keep` groups (boolean masks)."""

    def subsets() -> Iterator[Tensor]:
        for chosen in combinations(groups, min(keep, len(groups))):
            yield torch.stack(chosen).any(dim=0)

    return min(float((weight * ~mask).square().sum()) for mask in subsets())


def groups_of(weight: Tensor, labels: Tensor) -> list[Tensor]:
    return [labels == label for label in labels.unique()]


def indices(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    return torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")


@settings(deadline=None, max_examples=60)
@given(weights(3, 4), st.integers(1, 4), st.sampled_from(["any", "row", "column", "channel", "block"]))
def test_projection_is_the_nearest_point(weight: Tensor, keep: int, kind: str) -> None:
    row, column = indices(3, 4)
    constraint: ConstraintSet
    match kind:
        case "any":
            constraint, labels = NonStructured(keep), row * 4 + column
        case "row":
            constraint, labels = Filter(keep), row
        case "column":
            constraint, labels = FilterShape(keep), column
        case "channel":
            constraint, labels = Channel(keep, width=2), column // 2
        case _:
            constraint, labels = RowBlocked(keep, height=2), (row // 2) * 4 + column
    projected = constraint.project(weight)
    error = float((weight - projected).square().sum())
    assert error == pytest.approx(best_error(weight, groups_of(weight, labels), keep), abs=1e-6)
    assert torch.all((projected == weight) | (projected == 0))
    assert constraint.violation(projected) == ""
    assert torch.equal(constraint.project(projected), projected)


@settings(deadline=None, max_examples=40)
@given(weights(5, 3), st.integers(1, 4), st.integers(1, 3))
def test_balanced_is_the_nearest_point_in_every_group(weight: Tensor, keep: int, groups: int) -> None:
    constraint = Balanced(keep, groups)
    projected = constraint.project(weight)
    height = -(-5 // groups)
    for start in range(0, 5, height):
        part, kept = weight[start : start + height], projected[start : start + height]
        every = groups_of(part, torch.arange(part.numel()).reshape(part.shape))
        assert float((part - kept).square().sum()) == pytest.approx(best_error(part, every, keep), abs=1e-6)
    assert constraint.violation(projected) == ""


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 13))
def test_largest_keeps_exactly_k_and_the_first_of_equals(scores: list[int], keep: int) -> None:
    mask = largest(torch.tensor(scores, dtype=torch.float32), keep)
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))
    assert mask.nonzero()[:, 0].tolist() == sorted(order[:keep])


def test_a_convolution_is_seen_as_its_gemm_matrix() -> None:
    weight = torch.zeros(4, 3, 2, 2)
    weight[1], weight[:, 2] = 1.0, 3.0
    assert torch.equal(Filter(1).project(weight).flatten(1).any(dim=1), torch.tensor([False, True, False, False]))
    kept = Channel(1).project(weight)
    assert kept[:, 2].eq(3).all()
    assert kept[:, :2].eq(0).all()


def test_columns_first_then_rows() -> None:
    # Row 0 is the heavier row, column 2 the heavier column, and row 0 has nothing in column 2.
    weight = torch.tensor([[9.0, 9.0, 0.0], [0.0, 0.0, 10.0]])
    assert filter_and_shape(rows=1, columns=1).project(weight).nonzero().tolist() == [[1, 2]]


def test_sets_compose_and_frozen_zeros_stay() -> None:
    weight = torch.arange(1.0, 13.0).reshape(3, 4)
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[2] = False
    both = Then((Frozen(mask), NonStructured(3)))
    projected = both.project(weight)
    assert projected.nonzero().tolist() == [[1, 1], [1, 2], [1, 3]]
    assert both.violation(projected) == ""
    assert "pruned" in both.violation(weight)
    assert "12 weights" in both.violation(weight)


@pytest.mark.parametrize(
    "constraint",
    [NonStructured(3), Filter(1), FilterShape(1), Channel(1, 2), RowBlocked(2), Balanced(1, 2), filter_and_shape(1, 2)],
    ids=lambda constraint: type(constraint).__name__,
)
def test_violation_fails_on_a_wrong_tensor(constraint: ConstraintSet) -> None:
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    assert constraint.violation(weight) != ""
    projected = constraint.project(weight)
    assert constraint.violation(projected) == ""
    projected[projected == 0] = 1e-12
    assert constraint.violation(projected) != ""


def test_projections_keep_type_and_device() -> None:
    weight = torch.randn(4, 6, dtype=torch.float64)
    for constraint in (NonStructured(3), Filter(2), FilterShape(2), RowBlocked(2, 3), Balanced(2, 3)):
        assert constraint.project(weight).dtype == torch.float64


def test_a_sparsity_set_larger_than_the_layer_changes_nothing() -> None:
    weight = torch.randn(3, 3)
    for constraint in (NonStructured(99), Filter(99), FilterShape(99), Balanced(99, 2), RowBlocked(99)):
        assert torch.equal(constraint.project(weight), weight)


def test_protocol() -> None:
    assert isinstance(NonStructured(1), sets.ConstraintSet)
