"""LeNet-5 on MNIST: reproduces the rows of the published table and writes results.json.

    python benchmarks/lenet5/run.py --row ns71 --seed 0

Every row is a recipe of recipes/, run on all 60,000 training images; accuracies are on all 10,000 test images, with the
weights of the last epoch (no choice is made on the test set). Rows that start from another row's result run that row
first, or take it from the working folder. Killed at any moment, the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "toolchain"), str(ROOT / "benchmarks")]

import provenance  # noqa: E402
import rows  # noqa: E402

from admmfpga.compress import finish, loop, models, recipe, source  # noqa: E402
from admmfpga.compress.data import TrainingData, load  # noqa: E402

WEIGHTS = 430_500
"""Of LeNet-5 without biases; every rate refers to it."""
LAYERS = ("conv1", "conv2", "fc1", "fc2")


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        start: the row whose result it starts from, and which of its weights; None trains from scratch.
        accuracy_float: the milestone whose accuracy is the row's float accuracy.
        teacher: the row, and which of its weights, that the recipe's distillation follows; None: the start.
    """

    start: tuple[str, str] | None
    accuracy_float: str
    teacher: tuple[str, str] | None = None


ROWS = {
    "base": Row(None, "float"),
    "slim": Row(("base", "float"), "pruned"),
    "ns71": Row(("slim", "pruned"), "pruned"),
    "ns167": Row(("ns71", "pruned"), "pruned", ("slim", "pruned")),
    "ns348": Row(("ns71", "pruned"), "pruned", ("slim", "pruned")),
    "structured": Row(("slim", "pruned"), "pruned"),
    "structured232": Row(("structured", "pruned"), "pruned", ("slim", "pruned")),
    "binary": Row(("base", "float"), "quantized"),
    "ns71-quant": Row(("ns71", "pruned"), "quantized"),
    "structured-quant": Row(("structured", "pruned"), "quantized"),
}


def run_row(name: str, seed: int, factor: float, work: Path, data: TrainingData) -> dict[str, Any]:
    """Run one row, after what it starts from unless the working folder has that.

    Returns:
        The row's summary; "seconds" adds up everything that led to it.
    """
    row = ROWS[name]
    folder = work / f"seed{seed}"
    torch.manual_seed(seed)
    model = models.lenet5()
    before = 0.0
    for other in dict.fromkeys(part[0] for part in (row.start, row.teacher) if part is not None):
        if not (folder / other / "summary.json").exists():
            run_row(other, seed, factor, work, data)
    if row.start is not None:
        before = spent(row.start[0], folder)
        source.load_weights(model, folder / row.start[0] / f"{row.start[1]}.pt")
    teacher = None
    if row.teacher is not None:
        teacher = models.lenet5()
        source.load_weights(teacher, folder / row.teacher[0] / f"{row.teacher[1]}.pt")
    chosen = rows.scaled(recipe.load(ROOT / "recipes" / f"lenet5-{name}.toml"), factor, seed)
    show = functools.partial(rows.show, name, seed)
    run = loop.Run(model, data, chosen, folder / name, progress=show, teacher=teacher)
    run.run()
    summary = finish.finish(run)
    return {**summary, "seconds": before + run.seconds}


def spent(name: str, folder: Path) -> float:
    """Seconds of a row that is done and of all that it started from."""
    start = ROWS[name].start
    summary = json.loads((folder / name / "summary.json").read_text(encoding="utf-8"))
    return float(summary["seconds"]) + (spent(start[0], folder) if start is not None else 0.0)


def overhead(data: TrainingData, work: Path) -> float:
    """Seconds of an ADMM epoch over those of a plain epoch: same loop, same machine, the two alternating."""
    images = 12_800
    part = dataclasses.replace(data, train_images=data.train_images[:images], train_labels=data.train_labels[:images])
    options = recipe.parse(
        "[[steps]]\nadmm = {iterations = 1}\n[steps.layers]\n"
        + "\n".join(f'{name} = {{kind = "non-structured", rate = 71}}' for name in ("conv1", "conv2", "fc1", "fc2"))
    )
    run = loop.Run(models.lenet5(), part, options, work / "overhead")
    plain = loop.Stage("plain", 1, None)
    admm = run.stages[0]
    plain.begin(run)
    admm.begin(run)
    seconds = {plain.name: [], admm.name: []}
    for turn in range(6):
        for stage in (plain, admm):
            started = time.process_time()
            run._epoch(stage, 0)
            stage.end_epoch(run, 0)
            if turn:
                seconds[stage.name].append(time.process_time() - started)
    return min(seconds[admm.name]) / min(seconds[plain.name])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--row", choices=list(ROWS), action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs-scale", type=float, default=1.0, help="of all epochs; below 1 for a quick look")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "lenet5", help="checkpoints and models")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results.json"))
    parser.add_argument("--overhead", action="store_true", help="print the cost of ADMM over a plain epoch")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load("mnist")
    if arguments.overhead:
        print(f"ADMM epoch / plain epoch: {overhead(data, arguments.work):.3f}")
    for name in arguments.row:
        summary = run_row(name, arguments.seed, arguments.epochs_scale, arguments.work, data)
        folder = arguments.work / f"seed{arguments.seed}" / name
        remaining = rows.weights_left(folder / f"{ROWS[name].accuracy_float}.pt", LAYERS)
        entry = {
            "row": name,
            "seed": arguments.seed,
            "remaining_weights": remaining,
            "rate": round(WEIGHTS / remaining, 1),
            "bits": {layer["name"]: layer["bits"] for layer in summary["layers"]},
            "accuracy_float": summary["accuracy"][ROWS[name].accuracy_float],
            "accuracy_integer": rows.integer_accuracy(folder / "compressed.onnx", data),
            "seconds": round(summary["seconds"]),
            "commit": provenance.commit(ROOT),
        }
        print(json.dumps(entry), flush=True)
        if arguments.epochs_scale == 1.0:
            rows.merge(arguments.results, entry, ("row", "seed"), list(ROWS))


if __name__ == "__main__":
    main()
