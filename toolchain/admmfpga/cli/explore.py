"""`admmfpga explore`: frames a second against resources, over boards."""

from __future__ import annotations

import json
from pathlib import Path

import click

from admmfpga.cli import options
from admmfpga.cli.progress import Steps


@click.command("explore")
@options.model
@click.option(
    "--board",
    "boards",
    multiple=True,
    default=("pynq",),
    show_default=True,
    help="Board name or TOML file, may be given several times; all: every board that is known.",
)
@options.calibration
@options.clock
@options.pe
@click.option(
    "--points", type=click.IntRange(min=2, max=500), default=20, show_default=True, help="Intervals to try on a board."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for explore.json and explore.html.")
@options.as_json
def command(
    model: Path,
    boards: tuple[str, ...],
    calibration: Path | None,
    clock: float | None,
    pe: tuple[str, ...],
    points: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Show what a network can reach on boards: the Pareto front of frames/s against resources.

    The first point of a board is the fastest that fits, as `compile` builds it; the others are the cheapest foldings
    for longer intervals, as `compile --target-fps` builds them. Exit code 2 if it fits none of the boards.

    \b
    Examples:
      admmfpga explore model.onnx --board pynq --board zcu104 -o build/explore
      admmfpga explore model.onnx --board all --json
    """
    from admmfpga.errors import UserError
    from admmfpga.report.exploration import format_exploration, write_exploration
    from admmfpga.runtime.explore import explore_model

    with Steps(quiet=as_json) as steps:
        steps("reading and quantizing the model")
        images = None if calibration is None else options.load_npz(calibration)[0]
        found = explore_model(
            model,
            boards,
            calibration=images,
            clock_mhz=clock,
            pe=options.pe_kinds(pe),
            points=points,
            progress=steps,
        )
        if output is not None:
            steps("writing the exploration")
            write_exploration(found, output)
    click.echo(json.dumps(found, indent=2) if as_json else format_exploration(found))
    if output is not None and not as_json:
        click.echo(f"\nwritten: {output / 'explore.html'}, explore.json")
    rows = found["boards"]
    if not any(row["fits"] for row in rows):
        raise UserError(rows[0]["reason"], rows[0]["hint"])
