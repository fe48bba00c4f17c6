"""`admmfpga compile`: ONNX model to build folder."""

from __future__ import annotations

import json
from pathlib import Path

import click

from admmfpga.cli import options
from admmfpga.cli.progress import Steps


@click.command("compile")
@options.compiling
@click.option("--reloadable", is_flag=True, help="Weights can be replaced at run time, see `admmfpga weights`.")
@click.option(
    "--reload-slack",
    type=click.FloatRange(0, 100),
    default=5.0,
    show_default=True,
    help="With --reloadable: per cent of steps that index-decoding PEs have to spare for other masks.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Build folder; default is build/<model>.")
@click.option("--force", is_flag=True, help="Replace the folder even if something else than a build is in it.")
def command(
    model: Path,
    board: str,
    calibration: Path | None,
    clock: float | None,
    target_fps: float | None,
    pe: tuple[str, ...],
    architecture: str,
    as_json: bool,
    reloadable: bool,
    reload_slack: float,
    output: Path | None,
    force: bool,
) -> None:
    """Turn an ONNX model into HLS C++, SystemVerilog, memory images, a Vivado project, a driver and a report.

    MODEL is a quantized (QDQ) network, or a float one that is quantized first with the --calibration images. The build
    folder appears as a whole or not at all, and the same input gives byte-identical files. A network that does not fit
    as one PE array a layer gets the shared engine: HLS C++, SystemVerilog and the program that it runs.

    \b
    Examples:
      admmfpga compile model.onnx --board pynq --calibration images.npz
      admmfpga compile pruned.onnx --board pynq --pe csr --pe conv1=dense
      admmfpga compile resnet50.onnx --board pynq --architecture engine
      admmfpga compile pruned.onnx --board pynq --reloadable
      admmfpga compile model.onnx --board zcu104 --clock 250 --target-fps 10000 -o build/fast
    """
    from admmfpga.engine.build import compile_any, write_any
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
            reload_slack=reload_slack / 100 if reloadable else None,
            progress=steps,
        )
        folder = output or Path("build") / compiled.imported.network.name
        steps("writing the build folder")
        write_any(compiled, folder, force=force)
    for warning in compiled.imported.warnings:
        click.secho(f"warning: {warning}", fg="yellow", err=True)
    if as_json:
        click.echo(json.dumps(compiled.report | {"build": str(folder)}, indent=2))
        return
    engine = compiled.report["architecture"] == "engine"
    click.echo(format_engine_report(compiled.report) if engine else format_report(compiled.report))
    click.echo(f"\nbuild folder: {folder}    next: admmfpga simulate {folder} --images FILE.npz")
