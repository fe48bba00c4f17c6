"""`admmfpga sweep`: search over recipes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from admmfpga.errors import UserError

if TYPE_CHECKING:
    from admmfpga.compress.sweep import Status

BAR = 24


@click.command("sweep")
@click.argument("model")
@click.option("--data", required=True, help="As of `compress`.")
@click.option("--sweep", "sweep_path", required=True, type=click.Path(path_type=Path), help="TOML file.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder; resumes there.")
@click.option("--weights", type=click.Path(path_type=Path), help="Every trial starts from these weights.")
@click.option("--device", default="", help="cpu, cuda, cuda:1; default: CUDA where there is one.")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads of each trial.")
@click.option("--ray", "address", help="Run the trials on this Ray cluster; `local` starts one here.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Trials at once, with --ray.")
@click.option("--check", "check_only", is_flag=True, help="Check sweep, recipe, model and data, and stop.")
def command(
    model: str,
    data: str,
    sweep_path: Path,
    output: Path,
    weights: Path | None,
    device: str,
    threads: int,
    address: str | None,
    workers: int,
    check_only: bool,
) -> None:
    """Search over recipes for MODEL: parameters, ranges and objectives stand in a TOML file.

    Writes sweep.json (all trials, the Pareto set, the best), best.toml, pareto/*.toml and trials/ into the output
    folder. Interrupted at any moment, the same command goes on.

    \b
    Example:
      admmfpga sweep admmfpga.compress.models:lenet5 --weights build/base/float.pt --data mnist \\
          --sweep recipes/sweeps/lenet5-bits.toml -o build/sweep
    """
    if importlib.util.find_spec("torch") is None:
        raise UserError("sweep needs torch", hint="pip install 'admmfpga[compress,sweep]'")
    if workers > 1 and address is None:
        raise UserError("--workers needs --ray", hint="--ray local starts a cluster on this machine")
    from admmfpga.compress import data as datas
    from admmfpga.compress import source, sweep, sweep_file

    file = sweep_file.load(sweep_path, source.load(model, weights))
    if check_only:
        datas.load(data)
        click.echo(f"{sweep_path}: {len(file.parameters)} parameters, {file.sweep.trials} trials")
        return
    given = None if weights is None else str(weights.resolve())
    ray = None if address is None else sweep.RayExecutor(address, workers, threads, device)
    try:
        executor = ray or sweep.LocalExecutor()
        search = sweep.Search(file, model, data, output, given, device, threads, executor, _show)
        result = search.run()
    finally:
        if ray is not None:
            ray.close()
    if sys.stderr.isatty():
        click.echo(err=True)
    rows = {row["number"]: row for row in result["trials"]}
    states = [row["state"] for row in rows.values()]
    click.echo(f"{len(rows)} trials: " + ", ".join(f"{states.count(one)} {one}" for one in dict.fromkeys(states)))
    for row in rows.values():
        if row["state"] == "failed":
            click.secho(f"trial {row['number']} failed: {row['message']}", fg="yellow", err=True)
    click.echo("Pareto set:")
    for number in result["pareto"]:
        told = ", ".join(f"{name} {rows[number]['measures'][name]:g}" for name in search.objectives)
        click.echo(f"  {number:>4}{' *' if number == result['best'] else '  '} {told}  {rows[number]['parameters']}")
    if result["least_accuracy_reached"] is False:
        click.secho(f"no trial reaches {file.sweep.least_accuracy} %", fg="yellow", err=True)
    if result["best"] is not None:
        click.echo(f"{output / 'best.toml'}")


def _show(status: Status) -> None:
    """One line after every epoch; on a terminal it is rewritten in place."""
    now = status.progress
    part = 0.0 if now is None else now.epoch / max(1, now.epochs)
    filled = round(BAR * (status.trial + part) / status.trials)
    line = f"[{'#' * filled}{'.' * (BAR - filled)}] {status.trial}/{status.trials} trials"
    if now is not None:
        minutes, seconds = divmod(round(now.left), 60)
        line += f"  {now.stage} {now.epoch}/{now.epochs}  accuracy {now.accuracy:.2f} %  {minutes}:{seconds:02d} left"
    if status.best:
        line += "  best " + ", ".join(f"{name} {value:g}" for name, value in status.best.items())
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[2K{line}", nl=False, err=True)
    elif now is None:
        click.echo(line, err=True)
