"""`admmfpga simulate`: reference = HLS C++ = RTL = HLS C++ in Verilator, on real frames."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from admmfpga.cli import options
from admmfpga.cli.progress import Steps
from admmfpga.errors import UserError


@click.command("simulate")
@click.argument("build", type=click.Path(path_type=Path))
@click.option("--images", type=click.Path(path_type=Path), help="NPZ with `images` (N x C x H x W) and maybe `labels`.")
@click.option("--dataset", type=click.Choice(["mnist"]), help="Test images of a known data set instead.")
@click.option("--count", type=click.IntRange(min=1), help="Only the first COUNT frames.")
@click.option(
    "--implementation",
    "chosen",
    multiple=True,
    type=click.Choice(["reference", "hls", "rtl", "hls_dpi", "all"]),
    help="What to run beside the reference (`reference`: nothing); may be given several times. Default: all.",
)
@click.option(
    "--against",
    type=click.Choice(["onnxruntime"]),
    help="Compare the reference with ONNX Runtime on the build's QDQ model, layer by layer.",
)
@click.option(
    "--protocol-frames",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="Frames for the cocotb bench with random idle cycles and back-pressure; 0 leaves it out.",
)
@options.as_json
def command(
    build: Path,
    images: Path | None,
    dataset: str | None,
    count: int | None,
    chosen: tuple[str, ...],
    against: str | None,
    protocol_frames: int,
    as_json: bool,
) -> None:
    """Run frames through the reference, the HLS C++, the RTL and the HLS C++ inside Verilator, and compare.

    Whole data sets go through a generated C++ harness that also measures latency and frame interval; some frames go
    through a cocotb bench under random stalls. Results are added to the build's report.json. Exit code 1 if anything
    differs.

    --against onnxruntime gives each layer of the integer network ONNX Runtime's own inputs and names the first layer
    that differs by more than rounding.

    \b
    Examples:
      admmfpga simulate build/lenet5 --images test.npz --count 100
      admmfpga simulate build/lenet5 --dataset mnist --count 1000 --implementation rtl --json
      admmfpga simulate build/resnet50 --images test.npz --count 1 --against onnxruntime
    """
    from admmfpga.engine.check import is_engine_build
    from admmfpga.report import format_verification, with_verification
    from admmfpga.runtime import open_build
    from admmfpga.runtime.images import to_codes
    from admmfpga.runtime.simulate import IMPLEMENTATIONS, Simulation

    if (images is None) == (dataset is None):
        raise UserError("give either --images FILE.npz or --dataset mnist")
    if against is not None:
        if chosen:
            raise UserError("--against compares the reference, not an implementation", "run them without --against")
        sys.exit(_against(build, images, count, as_json=as_json))
    wanted = [n for n in IMPLEMENTATIONS[1:] if not chosen or "all" in chosen or n in chosen]
    if is_engine_build(build):
        sys.exit(_engine(build, images, count, wanted, named="rtl" in chosen, as_json=as_json))
    with Steps(quiet=as_json) as steps:
        steps("reading the build")
        opened = open_build(build)
        if images is not None:
            pixels, labels = options.load_npz(images, labels=True)
        else:
            pixels, labels = options.dataset_images("mnist", opened.design.input)
        pixels, labels = pixels[:count], None if labels is None else labels[:count]
        simulation = Simulation(opened, to_codes(opened.design, pixels), labels, progress=steps)
        for name in wanted:
            simulation.run_hls() if name == "hls" else simulation.run_verilated(name)
        protocol = {
            name: simulation.run_protocol(name, protocol_frames)
            for name in wanted
            if name != "hls" and protocol_frames and not simulation.outcomes[name].mismatches
        }
    verification = {name: outcome.as_dict() for name, outcome in simulation.outcomes.items()}
    opened.save_report(with_verification(opened.report, verification))
    problems = [f"{name}: {text}" for name, outcome in simulation.outcomes.items() for text in outcome.problems]
    if as_json:
        click.echo(json.dumps({"verification": verification, "protocol": protocol, "problems": problems}, indent=2))
    else:
        click.echo(format_verification(verification))
        for name, found in protocol.items():
            verdict = f"{found['failed']} of {found['tests']} tests failed" if found["failed"] else "passed"
            told = f"{found['tests']} tests, {found['frames']} frames, random stalls"
            click.echo(f"{name}: cocotb bench, {told}: {verdict}")
        timing = opened.design.timing
        click.echo(f"closed forms: latency {timing.latency:,}, frame interval {timing.frame_interval:,} cycles")
    for text in problems:
        click.secho(f"mismatch: {text}", fg="red", err=True)
    sys.exit(1 if problems else 0)


def _against(folder: Path, images: Path | None, count: int | None, *, as_json: bool) -> int:
    """The build's network against ONNX Runtime, of either architecture."""
    from admmfpga.report import format_agreement
    from admmfpga.runtime.against import against_onnxruntime, built_model, complaint, save_agreement

    with Steps(quiet=as_json) as steps:
        steps("reading the build")
        imported = built_model(folder)
        if images is not None:
            pixels = options.load_npz(images)[0]
        else:
            pixels = options.dataset_images("mnist", imported.network.tensors[imported.network.inputs[0]])[0]
        found = against_onnxruntime(imported, pixels[:count], progress=steps)
    save_agreement(folder, found)
    click.echo(json.dumps({"onnxruntime": found}, indent=2) if as_json else format_agreement(found))
    problem = complaint(found)
    if problem:
        click.secho(f"mismatch: {problem}", fg="red", err=True)
    return 1 if problem else 0


def _engine(
    folder: Path, images: Path | None, count: int | None, wanted: list[str], *, named: bool, as_json: bool
) -> int:
    """The same for a build of the shared engine; it has no streams, so no cocotb bench and no DPI shell."""
    from admmfpga.engine.check import open_engine_build, verify
    from admmfpga.runtime.images import codes_of

    with Steps(quiet=as_json) as steps:
        steps("reading the build")
        build = open_engine_build(folder)
        if images is not None:
            pixels = options.load_npz(images)[0]
        else:
            pixels = options.dataset_images("mnist", build.input)[0]
        codes = codes_of(build.input, pixels[:count])
        found, problems = verify(build, codes, wanted, named=named, progress=steps)
    build.save_report(build.report | {"verification": build.report.get("verification", {}) | found})
    if as_json:
        click.echo(json.dumps({"verification": found, "problems": problems}, indent=2))
    else:
        for name, entry in found.items():
            click.echo(f"{name}: " + ", ".join(f"{key} {value}" for key, value in entry.items()))
    for text in problems:
        click.secho(f"mismatch: {text}", fg="red", err=True)
    return 1 if problems else 0
