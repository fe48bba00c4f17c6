"""Plots of a run: accuracy, residuals and rho over the epochs, and the sparsity maps of the GEMM matrices."""

from __future__ import annotations

import importlib.util
import itertools
import json
from typing import TYPE_CHECKING

from admmfpga.compress.recipe import weighted_layers

if TYPE_CHECKING:
    from admmfpga.compress.loop import Run


def available() -> bool:
    """Whether matplotlib is installed (the compress extra brings it); without it a run draws nothing."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(run: Run) -> None:
    """Write training.png and sparsity.png into the run's folder, where matplotlib is installed."""
    if not available():
        return
    _training(run)
    _sparsity(run)


def _training(run: Run) -> None:
    from matplotlib.figure import Figure

    path = run.folder / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    if not rows:
        return
    figure = Figure(figsize=(9, 8), layout="constrained")
    accuracy, residuals, rho = figure.subplots(3, 1, sharex=True)
    accuracy.plot([row["epoch"] for row in rows], [row["accuracy"] for row in rows])
    accuracy.set_ylabel("test accuracy, %")
    changes = [row for before, row in itertools.pairwise(rows) if before["stage"] != row["stage"]]
    for axes in (accuracy, residuals, rho):
        for row in changes:
            axes.axvline(row["epoch"] - 0.5, color="0.8", linewidth=0.8)
    for row in (rows[0], *changes):
        accuracy.text(row["epoch"], accuracy.get_ylim()[0], row["stage"], rotation=90, fontsize=7, va="bottom")
    steps = [row for row in rows if row.get("residuals")]
    for name in sorted({name for row in steps for name in row["residuals"]}):
        mine = [row for row in steps if name in row["residuals"]]
        for index, style in enumerate(("-", ":")):
            values = [max(row["residuals"][name][index], 1e-9) for row in mine]
            label = f"{name} {'primal' if index == 0 else 'dual'}"
            residuals.semilogy([row["epoch"] for row in mine], values, style, label=label)
    if steps:
        residuals.legend(fontsize=7, ncol=2)
        rho.semilogy([row["epoch"] for row in steps], [row["rho"] for row in steps])
    residuals.set_ylabel("residuals")
    rho.set_ylabel("rho")
    rho.set_xlabel("epoch")
    figure.savefig(run.folder / "training.png", dpi=110)


def _sparsity(run: Run) -> None:
    from matplotlib.figure import Figure

    layers = weighted_layers(run.model)
    figure = Figure(figsize=(9, 2.2 * len(layers)), layout="constrained")
    for axes, (name, layer) in zip(figure.subplots(len(layers), 1, squeeze=False)[:, 0], layers.items(), strict=True):
        kept = (layer.weight.detach().flatten(1) != 0).cpu().numpy()
        axes.imshow(kept, aspect="auto", cmap="binary", interpolation="nearest", vmin=0, vmax=1)
        axes.set_title(f"{name}: {int(kept.sum())} of {kept.size} weights kept", fontsize=9)
        axes.set_ylabel("rows")
    figure.savefig(run.folder / "sparsity.png", dpi=110)
