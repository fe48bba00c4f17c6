"""`admmfpga check`: would this model compile for this board, and how fast would it be?"""

from __future__ import annotations

import json
from pathlib import Path

import click

from admmfpga.cli import options
from admmfpga.cli.progress import Steps


@click.command("check")
@options.compiling
def command(
    model: Path,
    board: str,
    calibration: Path | None,
    clock: float | None,
    target_fps: float | None,
    pe: tuple[str, ...],
    architecture: str,
    as_json: bool,
) -> None:
    """Check a model against a board without building: all unsupported nodes, layers, fit, expected throughput.

    Exit code 2 if the model cannot be compiled.

    A network that does not fit as one PE array a layer is checked for the shared engine.

    \b
    Example:
      admmfpga check model.onnx --board pynq
    """
    from admmfpga.engine.build import compile_any
    from admmfpga.engine.table import format_engine_report
    from admmfpga.report import format_report

    with Steps(quiet=as_json) as steps:
        steps("reading and quantizing the model")
        images = None if calibration is None else options.load_npz(calibration)[0]
        compiled = compile_any(
            model,
            board,
            calibration=images,
            clock_mhz=clock,
            target_fps=target_fps,
            pe=options.pe_kinds(pe),
            architecture=architecture,
            progress=steps,
        )
    for warning in compiled.imported.warnings:
        click.secho(f"warning: {warning}", fg="yellow", err=True)
    if as_json:
        click.echo(json.dumps(compiled.report, indent=2))
        return
    engine = compiled.report["architecture"] == "engine"
    click.echo(format_engine_report(compiled.report) if engine else format_report(compiled.report))
