"""Run under torchrun by test_loop: an ADMM stage on every process; each saves what it ended with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from compress_made import build

from admmfpga.compress import distributed, recipe
from admmfpga.compress.loop import AdmmStage, Run

RECIPE = """
[train]
batch_size = 32
optimizer = "sgd"
learning_rate = 0.05
shift = 1
[[steps]]
admm = { iterations = 3, rho = 0.1 }
[steps.layers]
fc1 = { kind = "non-structured", rate = 4.0 }
conv2 = { kind = "filter", keep = 0.5 }
"""


def state_after_admm(folder: Path) -> dict[str, torch.Tensor]:
    """W, Z and U of every pruned layer after the ADMM stage."""
    run: Run = build(recipe.parse(RECIPE), folder)
    stage = run.stages[0]
    assert isinstance(stage, AdmmStage)
    stage.begin(run)
    for epoch in range(stage.epochs):
        run._epoch(stage, epoch)
        stage.end_epoch(run, epoch)
    found = {}
    for name, pairs in stage.compressor.state_dict()["pairs"].items():
        found[f"weight {name}"] = run.model.get_submodule(name).weight.detach().clone()
        found[f"Z {name}"], found[f"U {name}"] = pairs[0]["auxiliary"], pairs[0]["dual"]
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    if int(os.environ["RANK"]) == 0:
        world = os.environ.pop("WORLD_SIZE")
        torch.save(state_after_admm(folder / "one"), folder / "alone.pt")
        os.environ["WORLD_SIZE"] = world
    with distributed.processes() as rank:
        torch.save(state_after_admm(folder / "two"), folder / f"rank{rank}.pt")


if __name__ == "__main__":
    main()
