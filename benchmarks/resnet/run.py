"""ResNet and VGG on a 32x32x3 stand-in for CIFAR-10 (see standin.py): structured and non-structured rows.

    python benchmarks/resnet/run.py --model resnet8 --row ns --row structured

Every row is a recipe of recipes/; the rates of its layers are found by sensitivity, so the same recipes serve
resnet8, resnet18 and vgg16. Accuracies are on the test images, with the weights of the last epoch. Killed at any
moment, the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "toolchain"), str(ROOT / "benchmarks")]

import provenance  # noqa: E402
import rows  # noqa: E402
from resnet import standin  # noqa: E402

from admmfpga.compress import finish, loop, models, recipe, source  # noqa: E402
from admmfpga.compress.data import TrainingData, from_dataset  # noqa: E402
from admmfpga.errors import UserError  # noqa: E402

MODELS = {"resnet8": models.resnet8, "resnet18": models.resnet18, "vgg16": models.vgg16}
ROWS = {"base": None, "ns": "base", "structured": "base"}
"""Each row, and the row whose result it starts from."""
MILESTONES = {"base": "float", "ns": "pruned", "structured": "pruned"}


def run_row(name: str, model_name: str, seed: int, factor: float, folder: Path, data: TrainingData) -> dict[str, Any]:
    """Run one row, after what it starts from.

    Returns:
        The row for results.json.
    """
    torch.manual_seed(seed)
    model = MODELS[model_name]()
    start = ROWS[name]
    if start is not None:
        if not (folder / start / "summary.json").exists():
            run_row(start, model_name, seed, factor, folder, data)
        source.load_weights(model, folder / start / f"{MILESTONES[start]}.pt")
    chosen = rows.scaled(recipe.load(ROOT / "recipes" / f"cifar-{name}.toml"), factor, seed)
    layers = recipe.weighted_layers(model)
    total = sum(layer.weight.numel() for layer in layers.values())
    run = loop.Run(model, data, chosen, folder / name, progress=lambda at: rows.show(f"{model_name} {name}", seed, at))
    run.run()
    summary = finish.finish(run)
    remaining = rows.weights_left(folder / name / f"{MILESTONES[name]}.pt", list(layers))
    try:
        integer, reason = rows.integer_accuracy(folder / name / "compressed.onnx", data), ""
    except UserError as error:
        integer, reason = None, " ".join(line.strip() for line in str(error).splitlines()[:2])
    return {
        "data": "stand-in, not CIFAR-10",
        "train_images": len(data.train_images),
        "test_images": len(data.test_images),
        "model": model_name,
        "row": name,
        "seed": seed,
        "weights": total,
        "remaining_weights": remaining,
        "rate": round(total / remaining, 2),
        "macs_of_dense_gemm": macs(run),
        "bits": 8,
        "accuracy_float": summary["accuracy"][MILESTONES[name]],
        "accuracy_activations": summary["accuracy"]["activations"],
        "accuracy_onnxruntime": summary["accuracy"]["integer"],
        "accuracy_integer": integer,
        "integer_refused": reason,
        "seconds": round(run.seconds),
        "commit": provenance.commit(ROOT),
    }


def macs(run: loop.Run) -> int:
    """Multiplications of one image over the rows and columns that are kept: what a dense array has to do."""
    count = 0
    for node in loop.traced(run).graph.nodes:
        if node.op != "call_module":
            continue
        layer = run.model.get_submodule(node.target)
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            kept = layer.weight.detach().flatten(1) != 0
            pixels = math.prod(node.meta["tensor_meta"].shape[2:])
            count += pixels * int(kept.any(dim=1).sum()) * int(kept.any(dim=0).sum())
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=list(MODELS), default="resnet8")
    parser.add_argument("--row", choices=list(ROWS), action="append", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train-images", type=int, default=60_000)
    parser.add_argument("--test-images", type=int, default=10_000)
    parser.add_argument("--epochs-scale", type=float, default=1.0, help="of all epochs; below 1 for a quick look")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "resnet", help="checkpoints and models")
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = from_dataset(standin.dataset(arguments.train_images, arguments.test_images))
    folder = arguments.work / f"{arguments.model}-{arguments.train_images}-seed{arguments.seed}"
    for name in arguments.row or list(ROWS):
        entry = run_row(name, arguments.model, arguments.seed, arguments.epochs_scale, folder, data)
        print(json.dumps(entry), flush=True)
        if arguments.epochs_scale == 1.0:
            rows.merge(arguments.results, entry, ("model", "train_images", "row", "seed"), list(ROWS))


if __name__ == "__main__":
    main()
