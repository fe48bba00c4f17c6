"""What the programs that reproduce tables of compressed networks share."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from admmfpga import frontend
from admmfpga.compress import checkpoint, loop, recipe
from admmfpga.compress.data import TrainingData
from admmfpga.network import reference


def scaled(one: recipe.Recipe, factor: float, seed: int) -> recipe.Recipe:
    """The recipe with all its epochs and iterations scaled, and a seed."""

    def times(count: int) -> int:
        return max(1, round(count * factor)) if count else 0

    def phase(old: recipe.Phase) -> recipe.Phase:
        return dataclasses.replace(old, epochs=times(old.epochs))

    def admm(old: recipe.Admm) -> recipe.Admm:
        return dataclasses.replace(old, iterations=times(old.iterations))

    return dataclasses.replace(
        one,
        train=dataclasses.replace(one.train, seed=seed),
        pretrain=phase(one.pretrain),
        steps=tuple(dataclasses.replace(s, admm=admm(s.admm), retrain=phase(s.retrain)) for s in one.steps),
        quantize=dataclasses.replace(one.quantize, admm=admm(one.quantize.admm), retrain=phase(one.quantize.retrain)),
        activations=dataclasses.replace(one.activations, epochs=times(one.activations.epochs)),
    )


def show(name: str, seed: int, progress: loop.Progress) -> None:
    """One line an epoch."""
    print(
        f"{name} seed {seed}: {progress.stage}, epoch {progress.epoch}/{progress.epochs}, "
        f"loss {progress.loss:.4f}, accuracy {progress.accuracy:.2f} %, residual {progress.residual:.3f}, "
        f"{progress.left:.0f} s left",
        flush=True,
    )


def integer_accuracy(path: Path, data: TrainingData) -> float:
    """Percent of the test set that the integer reference gets right, which the hardware equals bit for bit.

    Raises:
        UserError: the front end does not take the network.
    """
    imported = frontend.load(path)
    labels = data.test_labels.numpy()
    right = 0
    for start in range(0, len(labels), 1000):
        codes = imported.quantize(data.test_images[start : start + 1000].contiguous().numpy())
        scores = reference.run(imported.network, codes).reshape(len(codes), -1)
        right += int((scores.argmax(axis=1) == labels[start : start + 1000]).sum())
    return 100.0 * right / len(labels)


def weights_left(path: Path, layers: Sequence[str]) -> int:
    """Weights of these layers that are not zero in a saved model (rounding to 8 bits zeroes a few more later)."""
    saved = checkpoint.load(path)
    assert saved is not None
    return sum(int(saved["model"][f"{name}.weight"].count_nonzero()) for name in layers)


def merge(path: Path, entry: dict[str, Any], keys: Sequence[str], order: Sequence[str]) -> None:
    """Put a row into a results file in place of the one with the same keys, atomically.

    Args:
        entry: the row.
        keys: what tells rows apart.
        order: of the values of "row".
    """
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    rows = [one for one in rows if any(one[key] != entry[key] for key in keys)]
    rows = sorted([*rows, entry], key=lambda one: [order.index(one[key]) if key == "row" else one[key] for key in keys])
    temporary = path.with_suffix(".new")
    temporary.write_text("[\n" + ",\n".join("  " + json.dumps(one) for one in rows) + "\n]\n", encoding="utf-8")
    os.replace(temporary, path)
