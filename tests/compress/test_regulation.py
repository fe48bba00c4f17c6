from __future__ import annotations

import pytest

from admmfpga.compress.regulation import Constant, Continuous, Staged, cosine, periodic


def test_staged_is_the_published_schedule() -> None:
    staged = Staged(1e-4, 10.0, 3)
    assert [staged.rho(i) for i in (0, 2, 3, 6, 9)] == pytest.approx([1e-4, 1e-4, 1e-3, 1e-2, 1e-1])
    assert [i for i in range(12) if staged.restarts(i)] == [3, 6, 9]


def test_continuous_grows_to_the_published_end() -> None:
    continuous = Continuous(1e-3, 1.3)
    assert continuous.rho(10) == pytest.approx(1.38e-2, rel=0.01)
    assert not any(continuous.restarts(i) for i in range(20))
    assert Continuous(1e-3, 2.0, limit=5e-3).rho(9) == 5e-3


def test_constant() -> None:
    assert Constant().rho(0) == Constant().rho(99) == 1.5e-3


def test_learning_rates() -> None:
    assert [periodic(x) for x in (0, 0.32, 0.34, 0.65, 0.67, 0.99)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    assert cosine(0) == 1
    assert cosine(1) == pytest.approx(0)
    assert cosine(0.5) == pytest.approx(0.5)
