from __future__ import annotations

from pathlib import Path

import pytest
from compress_made import build

from admmfpga.compress import plots, recipe

RECIPE = """
[train]
batch_size = 64
[[steps]]
admm = { iterations = 2 }
retrain = { epochs = 1 }
[steps.layers]
fc1 = { kind = "non-structured", rate = 2 }
conv2 = { kind = "filter", keep = 0.5 }
"""


def test_plots_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run = build(recipe.parse(RECIPE), tmp_path)
    plots.draw(run)
    assert not (tmp_path / "training.png").exists(), "nothing was trained yet"
    run.run()
    plots.draw(run)
    for name in ("training.png", "sparsity.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "available", lambda: False)
    plots.draw(build(recipe.parse(RECIPE), tmp_path))
    assert list(tmp_path.iterdir()) == []
