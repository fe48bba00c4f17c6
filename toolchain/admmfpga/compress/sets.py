"""Constraint sets of ADMM: each is a small frozen dataclass with one `project` and one `violation`.

A set works on the GEMM view of a weight: A x B x C x D becomes A rows by B*C*D columns (A x B stays as it is), on the
tensor's own device and in its own type. `project` is the Euclidean projection onto the set; `violation` says in words
how a tensor breaks the constraint, without using `project`, so that the checker does not trust what it checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class ConstraintSet(Protocol):
    """What ADMM needs to know of a set."""

    def project(self, weight: Tensor) -> Tensor:
        """The nearest tensor (squared error) inside the set, of the same shape."""
        ...

    def violation(self, weight: Tensor) -> str:
        """One line that says how `weight` lies outside the set; empty when it lies inside, exactly."""
        ...


def matrix(weight: Tensor) -> Tensor:
    """GEMM view: (rows, columns) of a weight of two or more dimensions."""
    return weight.reshape(weight.shape[0], -1)


def largest(scores: Tensor, keep: int) -> Tensor:
    """Boolean mask of exactly `keep` largest scores; among equal scores the lowest index wins. O(n).

    Args:
        scores: of any shape; ranked as one list.
        keep: how many; more than there are keeps all.
    """
    flat = scores.reshape(-1)
    if keep >= flat.numel():
        return torch.ones_like(scores, dtype=torch.bool)
    if keep <= 0:
        return torch.zeros_like(scores, dtype=torch.bool)
    threshold = flat.kthvalue(flat.numel() - keep + 1).values
    above = flat > threshold
    ties = flat == threshold
    return (above | (ties & (ties.cumsum(0) <= keep - above.sum()))).reshape(scores.shape)


@dataclass(frozen=True)
class NonStructured:
    """Any `keep` weights of the layer."""

    keep: int

    def project(self, weight: Tensor) -> Tensor:
        return weight * largest(weight.abs(), self.keep)

    def violation(self, weight: Tensor) -> str:
        return _too_many(int(weight.count_nonzero()), self.keep, "weights")


@dataclass(frozen=True)
class Filter:
    """`keep` rows of the GEMM matrix (filters, output neurons), ranked by L2 norm."""

    keep: int

    def project(self, weight: Tensor) -> Tensor:
        rows = matrix(weight)
        return (rows * largest(_norms(rows, 1), self.keep)[:, None]).reshape(weight.shape)

    def violation(self, weight: Tensor) -> str:
        return _too_many(int((matrix(weight) != 0).any(dim=1).sum()), self.keep, "rows")


@dataclass(frozen=True)
class FilterShape:
    """`keep` columns of the GEMM matrix (one position of the kernel window in one channel), ranked by L2 norm."""

    keep: int

    def project(self, weight: Tensor) -> Tensor:
        rows = matrix(weight)
        return (rows * largest(_norms(rows, 0), self.keep)).reshape(weight.shape)

    def violation(self, weight: Tensor) -> str:
        return _too_many(int((matrix(weight) != 0).any(dim=0).sum()), self.keep, "columns")


@dataclass(frozen=True)
class Channel:
    """`keep` input channels: groups of adjacent columns, C*D of them for a kernel window of C x D.

    Attributes:
        keep: how many groups stay.
        width: columns of one group; 0 means the kernel window (1 for a fully connected layer). A fully connected layer
            behind a flattened H x W x channels tensor has groups of H*W columns.
    """

    keep: int
    width: int = 0

    def project(self, weight: Tensor) -> Tensor:
        groups = self._groups(weight)
        return (groups * largest(groups.square().sum(dim=(0, 2)), self.keep)[:, None]).reshape(weight.shape)

    def violation(self, weight: Tensor) -> str:
        return _too_many(int((self._groups(weight) != 0).any(dim=2).any(dim=0).sum()), self.keep, "channels")

    def _groups(self, weight: Tensor) -> Tensor:
        width = self.width or max(1, weight[0].numel() // weight.shape[1])
        return weight.reshape(weight.shape[0], -1, width)


@dataclass(frozen=True)
class RowBlocked:
    """`keep` blocks of `height` adjacent rows by one column: the rows of a block share one index.

    The last block of a column is shorter when `height` does not divide the rows.
    """

    keep: int
    height: int = 2

    def project(self, weight: Tensor) -> Tensor:
        blocks = _row_groups(matrix(weight), self.height)
        kept = blocks * largest(_norms(blocks, 1), self.keep)[:, None, :]
        return kept.reshape(-1, kept.shape[2])[: weight.shape[0]].reshape(weight.shape)

    def violation(self, weight: Tensor) -> str:
        blocks = _row_groups(matrix(weight), self.height)
        return _too_many(int((blocks != 0).any(dim=1).sum()), self.keep, f"blocks of {self.height} rows")


@dataclass(frozen=True)
class Balanced:
    """Every one of `groups` groups of adjacent rows (one group a PE) keeps the same number of weights, `keep` in each.

    Groups have ceil(rows / groups) rows; the last may have fewer.
    """

    keep: int
    groups: int

    def project(self, weight: Tensor) -> Tensor:
        rows = matrix(weight)
        blocks = self._blocks(rows)
        scores = blocks.abs()
        if self.keep >= blocks.shape[1]:
            return weight.clone()
        threshold = scores.kthvalue(blocks.shape[1] - self.keep + 1, dim=1, keepdim=True).values
        above, ties = scores > threshold, scores == threshold
        mask = above | (ties & (ties.cumsum(1) <= self.keep - above.sum(dim=1, keepdim=True)))
        return (blocks * mask).reshape(-1)[: weight.numel()].reshape(weight.shape)

    def violation(self, weight: Tensor) -> str:
        return _too_many(
            int((self._blocks(matrix(weight)) != 0).sum(dim=1).max()),
            self.keep,
            f"weights in one of {self.groups} groups",
        )

    def _blocks(self, rows: Tensor) -> Tensor:
        height = -(-rows.shape[0] // self.groups)
        blocks = _row_groups(rows, height)
        return blocks.reshape(blocks.shape[0], -1)


@dataclass(frozen=True, eq=False)
class Frozen:
    """Zero wherever `mask` is False: what earlier steps pruned stays pruned.

    Attributes:
        mask: boolean, of the weight's shape.
    """

    mask: Tensor

    def project(self, weight: Tensor) -> Tensor:
        return weight * self.mask.to(weight.device)

    def violation(self, weight: Tensor) -> str:
        count = int((weight[~self.mask.to(weight.device)] != 0).sum())
        return f"{count} weights that were pruned are not zero" if count else ""


@dataclass(frozen=True, eq=False)
class Then:
    """Composition: projects onto each set in turn; every later projection must keep the zeros of the earlier ones.

    All sets of this package but Binary do: those that prune only zero more, those that quantize take exact zeros as
    pruned. The result lies in every set. It is the usual greedy point of the intersection (columns first, then rows;
    sparsity first, then levels for the survivors), not always the nearest one.
    """

    sets: Sequence[ConstraintSet]

    def project(self, weight: Tensor) -> Tensor:
        for member in self.sets:
            weight = member.project(weight)
        return weight

    def violation(self, weight: Tensor) -> str:
        return "; ".join(filter(None, (member.violation(weight) for member in self.sets)))


def filter_and_shape(rows: int, columns: int) -> Then:
    """Columns first, then rows, so that the zeros of both stay (filter + filter-shape pruning)."""
    return Then((FilterShape(columns), Filter(rows)))


def _norms(tensor: Tensor, dim: int) -> Tensor:
    return tensor.square().sum(dim=dim)


def _row_groups(rows: Tensor, height: int) -> Tensor:
    """(groups, height, columns), padded below with zero rows."""
    padding = -rows.shape[0] % height
    if padding:
        rows = torch.cat([rows, rows.new_zeros(padding, rows.shape[1])])
    return rows.reshape(-1, height, rows.shape[1])


def _too_many(found: int, allowed: int, what: str) -> str:
    return f"{found} {what} are not zero where {allowed} may be" if found > allowed else ""
