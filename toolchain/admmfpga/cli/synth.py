"""`admmfpga synth`: what synthesis makes of a build, beside the modelled figures."""

from __future__ import annotations

import json
from pathlib import Path

import click

from admmfpga.cli import options
from admmfpga.cli.progress import Steps
from admmfpga.errors import UserError


@click.command("synth")
@click.argument("build", type=click.Path(path_type=Path))
@click.option("--tool", type=click.Choice(["yosys", "vitis", "vivado", "bambu"]), default="yosys", show_default=True)
@click.option("--family", help="FPGA family instead of the board's: xc7, xcup, ecp5. Yosys and Bambu only.")
@click.option("--layer", help="Only this layer, stage by stage, by Yosys; the report stays as it is.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=3600, show_default=True, help="Seconds."
)
@options.as_json
def command(build: Path, tool: str, family: str | None, layer: str | None, timeout: float, as_json: bool) -> None:
    """Synthesize a build and compare with the model.

    \b
    yosys   the RTL, by Yosys (pip install "admmfpga[synth]"), without a licence
    vivado  the RTL, by Vivado, out of context, for the board's part
    vitis   the HLS C++, C synthesis of Vitis HLS or Vivado HLS, for the board's part
    bambu   the HLS C++ without its AXI interfaces: Verilog by PandA-Bambu, then Yosys

    Figures are after synthesis, before placement: what is used, not how fast it is. They go into the build's
    report.json, except those for another family than the board's. Vivado, Vitis and Bambu have to be on the PATH.

    \b
    Examples:
      admmfpga synth build/lenet5
      admmfpga synth build/lenet5 --layer conv1 --json
      admmfpga synth build/lenet5 --tool vivado --timeout 7200
    """
    from admmfpga.blocks.families import using
    from admmfpga.report import format_synthesis, with_synthesis
    from admmfpga.runtime import open_build
    from admmfpga.runtime.synthesis import synthesize, synthesize_layer
    from admmfpga.tools.yosys import Yosys

    if layer is not None and (tool != "yosys" or family is not None):
        raise UserError("--layer goes with Yosys and the board's family", "leave --tool and --family out")
    with Steps(quiet=as_json) as steps:
        steps("reading the build")
        opened = open_build(build)
        steps(f"synthesizing with {tool} for {family or opened.report['family']}")
        if layer is None:
            found = synthesize(opened, tool, family=family, timeout=timeout)
            version = found["version"]
            modelled = {name: value["used"] for name, value in opened.report["resources"].items()}
            rows = {"all": (modelled, found["resources"])}
        else:
            yosys = Yosys(timeout=timeout)
            version = ".".join(map(str, yosys.check_version()))
            stages = {stage.name: stage for stage in opened.design.of_layer(layer)}
            results = synthesize_layer(opened, yosys, layer)
            with using(opened.report["family"]):
                rows = {
                    name: (stages[name].resources().as_dict(), result.resources.as_dict())
                    for name, result in results.items()
                }
    if layer is None and family in (None, opened.report["family"]):
        opened.save_report(with_synthesis(opened.report, found))
    if as_json:
        compared = {name: {"modelled": model, "synthesized": real} for name, (model, real) in rows.items()}
        source = {} if layer is not None else {"source": found["source"]}
        click.echo(json.dumps({"tool": tool, "version": version, **source, "parts": compared}, indent=2))
    else:
        click.echo(format_synthesis(rows))
        if layer is None:
            click.echo(f"{tool} {version}: {found['source']}")
