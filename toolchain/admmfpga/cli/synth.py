"""`admmfpga synth`: what synthesis makes of a build's RTL, beside the modelled figures."""

from __future__ import annotations

import json
from pathlib import Path

import click

from admmfpga.cli import options
from admmfpga.cli.progress import Steps


@click.command("synth")
@click.argument("build", type=click.Path(path_type=Path))
@click.option("--tool", type=click.Choice(["yosys"]), default="yosys", show_default=True)
@click.option("--layer", help="Only this layer, stage by stage; the report stays as it is.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=3600, show_default=True, help="Seconds."
)
@options.as_json
def command(build: Path, tool: str, layer: str | None, timeout: float, as_json: bool) -> None:
    """Synthesize a build's RTL for its board's FPGA family and compare with the model.

    Yosys (pip install "admmfpga[synth]") needs no licence. Its figures are after synthesis, before placement: what is
    used, not how fast it is. They go into the build's report.json.

    \b
    Examples:
      admmfpga synth build/lenet5
      admmfpga synth build/lenet5 --layer conv1 --json
    """
    from admmfpga.blocks.families import using
    from admmfpga.report import format_synthesis, with_synthesis
    from admmfpga.runtime import open_build
    from admmfpga.runtime.synthesis import synthesize_layer, synthesize_top
    from admmfpga.tools.yosys import Yosys

    with Steps(quiet=as_json) as steps:
        steps("reading the build")
        opened = open_build(build)
        yosys = Yosys(timeout=timeout)
        version = ".".join(map(str, yosys.check_version()))
        steps(f"synthesizing with Yosys {version} for {opened.report['family']}")
        if layer is None:
            found = synthesize_top(opened, yosys).resources
            modelled = {name: value["used"] for name, value in opened.report["resources"].items()}
            rows = {"all": (modelled, found.as_dict())}
        else:
            stages = {stage.name: stage.block for stage in opened.design.of_layer(layer)}
            with using(opened.report["family"]):
                rows = {
                    name: (stages[name].resources().as_dict(), result.resources.as_dict())
                    for name, result in synthesize_layer(opened, yosys, layer).items()
                }
    if layer is None:
        synthesis = {"tool": tool, "version": version, "resources": found.as_dict()}
        opened.save_report(with_synthesis(opened.report, synthesis))
    if as_json:
        compared = {name: {"modelled": model, "synthesized": real} for name, (model, real) in rows.items()}
        click.echo(json.dumps({"tool": tool, "version": version, "parts": compared}, indent=2))
    else:
        click.echo(format_synthesis(rows))
