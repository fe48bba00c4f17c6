"""`admmfpga compress`: prune and quantize a model by a recipe."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from admmfpga.errors import UserError

if TYPE_CHECKING:
    from admmfpga.compress.loop import Progress

BAR = 24


@click.command("compress")
@click.argument("model")
@click.option("--data", required=True, help="mnist, fashion-mnist, .npz file, folder or package.module:dataset.")
@click.option("--recipe", "recipe_path", required=True, type=click.Path(path_type=Path), help="TOML file.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder; resumes there.")
@click.option("--weights", type=click.Path(path_type=Path), help="Start from these weights (a state_dict file).")
@click.option(
    "--teacher", type=click.Path(path_type=Path), help="Weights of MODEL that [distill] follows; default: the start."
)
@click.option("--device", default="", help="cpu, cuda, cuda:1; default: CUDA where there is one.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads of torch.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["qdq", "qonnx"]),
    default="qdq",
    show_default=True,
    help="qonnx: compressed.qonnx.onnx too, with weights of 1, 2, 3, 5, 6, 7 bits at their width.",
)
@click.option("--check", "check_only", is_flag=True, help="Check recipe, model and data, and stop.")
def command(
    model: str,
    data: str,
    recipe_path: Path,
    output: Path,
    weights: Path | None,
    teacher: Path | None,
    device: str,
    threads: int,
    output_format: str,
    check_only: bool,
) -> None:
    """Prune and quantize MODEL by a recipe, with ADMM.

    MODEL is a float .onnx file, a .pt2 file of torch.export.save, or package.module:factory. Nothing in a file is
    executed.

    Writes compressed.onnx (QDQ), summary.json, metrics.jsonl and checkpoint.pt into the output folder. Interrupted at
    any moment, the same command goes on from the last epoch and ends with the same weights. Under torchrun it trains
    on all processes.

    \b
    Example:
      admmfpga compress admmfpga.compress.models:lenet5 --data mnist --recipe recipes/lenet5-base.toml -o build/base
    """
    if importlib.util.find_spec("torch") is None:
        raise UserError("compress needs torch", hint="pip install 'admmfpga[compress]'")
    import torch

    from admmfpga.compress import data as datas
    from admmfpga.compress import distributed, finish, loop, recipe, source

    torch.set_num_threads(threads)
    chosen = recipe.load(recipe_path)
    torch.manual_seed(chosen.train.seed)
    network = source.load(model, weights)
    recipe.check(chosen, network, str(recipe_path))
    teaching = None
    if teacher is not None:
        if not chosen.distill.weight:
            raise UserError("--teacher is given and the recipe does not distill", hint="[distill] weight = 0.7")
        teaching = source.load(model, teacher)
    loaded = datas.load(data)
    if check_only:
        click.echo(f"{recipe_path}: {len(loop.plan(chosen))} stages, {sum(s.epochs for s in loop.plan(chosen))} epochs")
        return
    with distributed.processes() as rank:
        run = loop.Run(
            network, loaded, chosen, output, device or distributed.device(), progress=_show, teacher=teaching
        )
        run.run()
        if rank:
            return
        if sys.stderr.isatty():
            click.echo(err=True)
        summary = finish.finish(run, qonnx=output_format == "qonnx")
    accuracy = ", ".join(f"{name} {value:.2f} %" for name, value in summary["accuracy"].items())
    click.echo(f"{summary['remaining_weights']} of {summary['weights']} weights left, {summary['rate']}x")
    for layer in summary["layers"]:
        click.echo(f"  {layer['name']:<24} {layer['kept']:>9} of {layer['weights']:<9} {layer['bits']} bits")
    click.echo(f"accuracy: {accuracy}")
    click.echo(f"{output / 'compressed.onnx'}")
    if output_format == "qonnx":
        click.echo(f"{output / 'compressed.qonnx.onnx'}")


def _show(progress: Progress) -> None:
    """One line after every epoch; on a terminal it is rewritten in place."""
    filled = BAR * progress.epoch // max(1, progress.epochs)
    residual = "" if math.isnan(progress.residual) else f"  residual {progress.residual:.3f}"
    minutes, seconds = divmod(round(progress.left), 60)
    line = (
        f"[{'#' * filled}{'.' * (BAR - filled)}] {progress.epoch}/{progress.epochs} {progress.stage}"
        f"  accuracy {progress.accuracy:.2f} %{residual}  {minutes}:{seconds:02d} left"
    )
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[2K{line}", nl=False, err=True)
    else:
        click.echo(line, err=True)
