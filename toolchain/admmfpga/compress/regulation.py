"""Dynamic ADMM regulation: the penalty rho over the iterations, and the learning rate within one iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Regulation(Protocol):
    """rho as a function of the ADMM iteration."""

    def rho(self, iteration: int) -> float:
        """Penalty of iteration 0, 1, ..."""
        ...

    def restarts(self, iteration: int) -> bool:
        """Whether a new stage starts here: U = 0 and Z = Proj(W) instead of a rescaled dual."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same rho throughout (1.5e-3 is the baseline that the dynamic schedules are compared with)."""

    value: float = 1.5e-3

    def rho(self, iteration: int) -> float:
        return self.value

    def restarts(self, iteration: int) -> bool:
        return False


@dataclass(frozen=True)
class Staged:
    """rho0 * factor^stage; every stage starts from the weights of the last with U = 0 and Z = Proj(W).

    Attributes:
        start: rho0.
        factor: from stage to stage.
        iterations: ADMM iterations in one stage.
    """

    start: float = 1e-4
    factor: float = 10.0
    iterations: int = 4

    def rho(self, iteration: int) -> float:
        return self.start * self.factor ** (iteration // self.iterations)

    def restarts(self, iteration: int) -> bool:
        return iteration > 0 and iteration % self.iterations == 0


@dataclass(frozen=True)
class Continuous:
    """rho0 * factor^iteration; the scaled dual is rescaled at every change.

    Attributes:
        start: rho0.
        factor: from iteration to iteration.
        limit: rho never exceeds it.
    """

    start: float = 1e-3
    factor: float = 1.3
    limit: float = math.inf

    def rho(self, iteration: int) -> float:
        return min(self.limit, self.start * self.factor**iteration)

    def restarts(self, iteration: int) -> bool:
        return False


def periodic(progress: float) -> float:
    """Factor on the base learning rate within one ADMM iteration: x0.1 after 1/3 and again after 2/3.

    Args:
        progress: 0 at a Z/U update, 1 at the next.
    """
    return 1.0 if progress < 1 / 3 else 0.1 if progress < 2 / 3 else 0.01


def cosine(progress: float) -> float:
    """Factor on the base learning rate over a whole phase, from 1 down to 0."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))
