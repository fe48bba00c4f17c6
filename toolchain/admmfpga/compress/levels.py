"""Quantization sets: n equally distant levels, binary, ternary. Zero weights are pruned weights and stay zero.

Every set has, besides `project` and `violation`, `fit` (the scale q that minimises the squared error) and `quantize`
(nearest level for a given scale), so that retraining can freeze the scale, and `codes` (the integers that go to
hardware, weight = code * scale).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

TOLERANCE = 1e-5
"""How far a weight may lie from its level, in units of the scale: float32 rounding of code * scale, nothing more."""
CANDIDATES = 256
STARTS = 8
REFINEMENTS = 50
CHUNK = 1 << 22


class LevelSet(Protocol):
    """A constraint set whose members are integers times a scale."""

    def project(self, weight: Tensor) -> Tensor: ...

    def violation(self, weight: Tensor) -> str: ...

    def fit(self, weight: Tensor) -> Tensor:
        """Scale with the least squared error: shape (1,), or (rows,) for one scale a row."""
        ...

    def quantize(self, weight: Tensor, scale: Tensor) -> Tensor:
        """The nearest level of every weight for this scale; zeros stay zero."""
        ...

    @property
    def bits(self) -> int: ...


@dataclass(frozen=True)
class Bits:
    """Levels {-M q .. -q, +q .. +M q} with M = 2^(bits-1) - 1 (symmetric, narrow); with `zero`, also 0.

    Attributes:
        bits: 2 to 8; 2 bits without zero is {-q, +q}.
        zero: non-zero weights may be rounded to zero (dense layers). Without it every weight that is not pruned keeps a
            level other than zero. Exact zeros stay zero either way.
        per_row: one scale for each row (output channel) instead of one for the layer.
    """

    bits: int
    zero: bool = False
    per_row: bool = False

    @property
    def top(self) -> int:
        """M, the greatest code."""
        return 2 ** (self.bits - 1) - 1

    def fit(self, weight: Tensor) -> Tensor:
        """Least squared error over the non-zero weights, a 1-D search on sorted magnitudes with prefix sums.

        A grid over the scale brackets the minimum: 0.02 to 1.1 of max|W|/M, for few levels on to max|W|. From its best
        points the closed form q = sum(k |w|) / sum(k^2) for fixed codes k is repeated until nothing changes. A row of
        zeros gets scale 1.
        """
        rows = weight.detach().reshape(weight.shape[0] if self.per_row else 1, -1).abs().double()
        ordered = rows.sort(dim=1).values
        grid = torch.linspace(0.02, 1.1, CANDIDATES, dtype=torch.float64, device=rows.device)
        if self.top < 16:
            wide = torch.logspace(0, math.log10(1.1 * self.top), CANDIDATES, dtype=torch.float64, device=rows.device)
            grid = torch.cat([grid, wide])
        chunk = max(1, CHUNK // (len(grid) * self.top))
        return torch.cat([self._search(part, grid) for part in ordered.split(chunk)]).to(weight.dtype)

    def _search(self, ordered: Tensor, grid: Tensor) -> Tensor:
        """(R,) scales for (R, n) ascending magnitudes."""
        error = _LevelError(ordered, self.top, self.zero)
        peak = ordered[:, -1:]
        candidates = torch.where(peak > 0, peak, 1.0) / self.top * grid
        scales = candidates.gather(1, error(candidates).topk(STARTS, dim=1, largest=False).indices)
        for _ in range(REFINEMENTS):
            better = error.refine(scales)
            if torch.equal(better, scales):
                break
            scales = better
        best = scales.gather(1, error(scales).argmin(dim=1, keepdim=True))
        return torch.where(peak > 0, best, 1.0)[:, 0]

    def codes(self, weight: Tensor, scale: Tensor) -> Tensor:
        """Integer codes, of the weight's shape and type."""
        ratio = weight / _as_rows(scale, weight)
        code = ratio.abs().round().clamp(0 if self.zero else 1, self.top)
        return code * torch.sign(weight)

    def quantize(self, weight: Tensor, scale: Tensor) -> Tensor:
        return self.codes(weight, scale) * _as_rows(scale, weight)

    def project(self, weight: Tensor) -> Tensor:
        return self.quantize(weight, self.fit(weight))

    def violation(self, weight: Tensor) -> str:
        rows = weight.detach().reshape(weight.shape[0] if self.per_row else 1, -1)
        for row in rows.unbind():
            magnitudes = row[row != 0].abs().unique()
            if len(magnitudes) > self.top and len(_distinct(magnitudes)) > self.top:
                return f"{len(_distinct(magnitudes))} magnitudes where {self.bits} bits have {self.top}"
            if len(magnitudes) and not _equally_distant(_distinct(magnitudes), self.top):
                return f"the magnitudes are not multiples 1 to {self.top} of one scale"
        return ""


@dataclass(frozen=True)
class Binary:
    """alpha * sign(V) with alpha = mean|V|, the exact minimiser; zero counts as positive.

    Every weight takes part: nothing is pruned in a binary layer.
    """

    per_row: bool = False

    bits = 1

    def fit(self, weight: Tensor) -> Tensor:
        return weight.detach().reshape(weight.shape[0] if self.per_row else 1, -1).abs().mean(dim=1)

    def codes(self, weight: Tensor, scale: Tensor) -> Tensor:
        return torch.where(weight < 0, -1.0, 1.0).to(weight)

    def quantize(self, weight: Tensor, scale: Tensor) -> Tensor:
        return self.codes(weight, scale) * _as_rows(scale, weight)

    def project(self, weight: Tensor) -> Tensor:
        return self.quantize(weight, self.fit(weight))

    def violation(self, weight: Tensor) -> str:
        rows = weight.detach().reshape(weight.shape[0] if self.per_row else 1, -1).abs()
        if bool((rows == 0).any()):
            return f"{int((rows == 0).sum())} weights are zero in a binary layer"
        found = max(len(_distinct(row.unique())) for row in rows.unbind())
        return f"{found} magnitudes where a binary layer has 1" if found > 1 else ""


@dataclass(frozen=True)
class Ternary:
    """Levels {-alpha, 0, alpha}, threshold alpha/2; assignment and alpha alternate until nothing changes."""

    per_row: bool = False

    bits = 2

    def fit(self, weight: Tensor) -> Tensor:
        rows = weight.detach().reshape(weight.shape[0] if self.per_row else 1, -1).abs()
        alpha = rows.mean(dim=1, keepdim=True)
        for _ in range(REFINEMENTS):
            kept = rows > alpha / 2
            better = (rows * kept).sum(dim=1, keepdim=True) / kept.sum(dim=1, keepdim=True).clamp_min(1)
            if torch.equal(better, alpha):
                break
            alpha = better
        return alpha[:, 0]

    def codes(self, weight: Tensor, scale: Tensor) -> Tensor:
        return torch.sign(weight) * (weight.abs() > _as_rows(scale, weight) / 2)

    def quantize(self, weight: Tensor, scale: Tensor) -> Tensor:
        return self.codes(weight, scale) * _as_rows(scale, weight)

    def project(self, weight: Tensor) -> Tensor:
        return self.quantize(weight, self.fit(weight))

    def violation(self, weight: Tensor) -> str:
        rows = weight.detach().reshape(weight.shape[0] if self.per_row else 1, -1).abs()
        found = max(len(_distinct(row[row != 0].unique())) for row in rows.unbind())
        return f"{found} magnitudes where a ternary layer has 1" if found > 1 else ""


class _LevelError:
    """Squared error of the nearest levels as a function of q, in O(M log n) per candidate after one sort.

    Args:
        ordered: (R, n) magnitudes, ascending in each row; zeros cost nothing.
        top: M.
        zero: level zero exists.
    """

    def __init__(self, ordered: Tensor, top: int, zero: bool) -> None:
        self.ordered, self.top, self.zero = ordered.contiguous(), top, zero
        nothing = ordered.new_zeros(ordered.shape[0], 1)
        self.sums = torch.cat([nothing, ordered.cumsum(1)], dim=1)
        self.squares = torch.cat([nothing, ordered.square().cumsum(1)], dim=1)
        self.zeros = (ordered == 0).sum(dim=1, keepdim=True)

    def __call__(self, scale: Tensor) -> Tensor:
        """(R, K) errors of (R, K) scales."""
        levels, count, total, squares = self._cells(scale)
        value = levels * scale[..., None]
        return (squares - 2 * value * total + value.square() * count).sum(dim=2)

    def refine(self, scale: Tensor) -> Tensor:
        """(R, K) least-squares scales for the codes that (R, K) scales give."""
        levels, count, total, _ = self._cells(scale)
        weight = (levels.square() * count).sum(dim=2)
        return torch.where(weight > 0, (levels * total).sum(dim=2) / weight.clamp_min(1), scale)

    def _cells(self, scale: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        first = 0 if self.zero else 1
        levels = torch.arange(first, self.top + 1, dtype=scale.dtype, device=scale.device)
        inner = (scale[..., None] * (levels[1:] - 0.5)).reshape(scale.shape[0], -1)
        edges = torch.searchsorted(self.ordered, inner.contiguous()).reshape(*scale.shape, -1)
        low = self.zeros[..., None].expand(*scale.shape, 1)
        high = torch.full_like(low, self.ordered.shape[1])
        bounds = torch.cat([low, edges, high], dim=2)

        def between(sums: Tensor) -> Tensor:
            flat = sums.gather(1, bounds.reshape(bounds.shape[0], -1)).reshape(bounds.shape)
            return flat.diff(dim=2)

        return levels, bounds.diff(dim=2), between(self.sums), between(self.squares)


def _as_rows(scale: Tensor, weight: Tensor) -> Tensor:
    """(R,) or (1,) scale, shaped to multiply a weight."""
    return scale.to(weight).reshape(-1, *([1] * (weight.dim() - 1)))


def _distinct(magnitudes: Tensor) -> Tensor:
    """Ascending magnitudes with float32 neighbours merged."""
    if len(magnitudes) < 2:
        return magnitudes
    new = magnitudes.diff() > TOLERANCE * magnitudes[0]
    return magnitudes[torch.cat([new.new_ones(1), new])]


def _equally_distant(magnitudes: Tensor, top: int) -> bool:
    """Whether one scale q exists with every magnitude a multiple 1..top of q."""
    ratio = magnitudes.double() / magnitudes[0].double()
    divisors = torch.arange(1, top + 1, dtype=torch.float64, device=magnitudes.device)
    multiples = ratio[None, :] * divisors[:, None]  # the least magnitude is `divisor` times q
    whole = (multiples - multiples.round()).abs() <= TOLERANCE * multiples
    return bool((whole & (multiples.round() <= top)).all(dim=1).any())
