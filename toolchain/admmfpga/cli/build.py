"""`admmfpga build`: model or build folder to a bitstream, without a vendor's tool."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from admmfpga.cli import options
from admmfpga.cli.progress import Steps
from admmfpga.errors import UserError


@click.command("build")
@click.argument("source", metavar="MODEL|BUILD", type=click.Path(path_type=Path))
@click.option("--board", help="Board name or TOML file, for a model; default is ulx3s-85f.")
@options.calibration
@options.clock
@options.target_fps
@options.pe
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Build folder of a model; default is build/<model>."
)
@click.option("--force", is_flag=True, help="Replace the folder even if something else than a build is in it.")
@click.option("--seed", type=click.IntRange(min=1), default=1, show_default=True, help="Of the placer.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=7200, show_default=True, help="Seconds a program."
)
@options.as_json
def command(
    source: Path,
    board: str | None,
    calibration: Path | None,
    clock: float | None,
    target_fps: float | None,
    pe: tuple[str, ...],
    output: Path | None,
    force: bool,
    seed: int,
    timeout: float,
    as_json: bool,
) -> None:
    """Make a bitstream with Yosys, nextpnr-ecp5 and ecppack (pip install "admmfpga[ecp5]").

    MODEL|BUILD is an ONNX file, which is compiled first, or a build folder for a board with an ECP5. A model is folded
    for as many frames per second as the board's link to the host carries, unless --target-fps says otherwise. The .bit
    file, the placed and routed design and the logs are in the build's bitstream/ folder; Fmax and resources after place
    and route go into report.json. Exit code 1 if the clock is not reached: the bitstream is there all the same.

    \b
    Examples:
      admmfpga build model.onnx --board ulx3s-85f --calibration images.npz -o build/model
      admmfpga build build/model --seed 3
    """
    from admmfpga.report import format_bitstream, with_bitstream
    from admmfpga.runtime import open_build
    from admmfpga.runtime.bitstream import make_bitstream, open_flow_board
    from admmfpga.tools.nextpnr import Ecppack, Nextpnr
    from admmfpga.tools.yosys import Yosys

    with Steps(quiet=as_json) as steps:
        folder = source
        if not source.is_dir():
            folder = _compile(source, board or "ulx3s-85f", calibration, clock, target_fps, pe, output, force, steps)
        else:
            _refuse_model_options(source)
        steps("reading the build")
        opened = open_build(folder)
        open_flow_board(opened)
        tools = Yosys(timeout=timeout), Nextpnr(timeout=timeout), Ecppack(timeout=timeout)
        bit, found = make_bitstream(opened, *tools, seed=seed, progress=steps)
        report = with_bitstream(opened.report, found)
        opened.save_report(report)
    if as_json:
        click.echo(json.dumps(found | {"build": str(folder)}, indent=2))
    else:
        click.echo(format_bitstream(report))
        click.echo(f"\nbitstream: {bit}")
    if not found["placed_and_routed"]["meets_timing"]:
        routed = found["placed_and_routed"]
        click.secho(
            f"error: {routed['fmax_mhz']:g} MHz after place and route, {routed['constraint_mhz']:g} MHz were asked for",
            fg="red",
            err=True,
        )
        click.secho("hint: another --seed, or compile with a lower --clock", fg="red", err=True)
        sys.exit(1)


def _compile(
    model: Path,
    board: str,
    calibration: Path | None,
    clock: float | None,
    target_fps: float | None,
    pe: tuple[str, ...],
    output: Path | None,
    force: bool,
    steps: Steps,
) -> Path:
    """Compile a model for a board with an open flow; the build folder."""
    from admmfpga.boards import load_board
    from admmfpga.codegen.board import link_rate
    from admmfpga.codegen.build import map_import, write_build
    from admmfpga.frontend import load
    from admmfpga.runtime.bitstream import require_open_flow

    place = load_board(board)
    require_open_flow(place)
    images = None if calibration is None else options.load_npz(calibration)[0]
    steps("reading and quantizing the model")
    imported = load(model, calibration=images)
    compiled = map_import(
        imported,
        place,
        place.clock_mhz if clock is None else clock,
        target_fps=link_rate(place, imported.network) if target_fps is None else target_fps,
        pe=options.pe_kinds(pe),
        progress=steps,
    )
    folder = output or Path("build") / compiled.imported.network.name
    steps("writing the build folder")
    write_build(compiled, folder, force=force)
    for warning in compiled.imported.warnings:
        click.secho(f"warning: {warning}", fg="yellow", err=True)
    return folder


def _refuse_model_options(build: Path) -> None:
    """Options that only mean something for a model.

    Raises:
        UserError: one was given.
    """
    given = click.get_current_context()
    names = ("board", "calibration", "clock", "target_fps", "pe", "output", "force")
    wrong = [f"--{name.replace('_', '-')}" for name in names if given.params[name]]
    if wrong:
        raise UserError(
            f"{build} is compiled already: {', '.join(wrong)} cannot be taken", "give the ONNX file instead"
        )
