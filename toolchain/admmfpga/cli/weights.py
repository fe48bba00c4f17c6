"""`admmfpga weights`: a retrained network's weights for an accelerator that is there."""

from __future__ import annotations

import json
from pathlib import Path

import click

from admmfpga.cli import options
from admmfpga.cli.progress import Steps


@click.command("weights")
@options.model
@click.option(
    "--for", "build", type=click.Path(path_type=Path), required=True, help="Build folder of `compile --reloadable`."
)
@options.calibration
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("weights.admm"),
    show_default=True,
    help="File to write.",
)
@options.as_json
def command(model: Path, build: Path, calibration: Path | None, output: Path, as_json: bool) -> None:
    """Pack the weights of MODEL for a build, so that they can be loaded at run time, without synthesis.

    The network must have the build's layers, types and, where pruning has shaped the hardware, its kept rows and
    columns; weights, biases and scales may differ. What does not fit is refused, all reasons at once.

    \b
    Example:
      admmfpga weights retrained.onnx --for build/lenet5 -o retrained.admm
      python -c "from admmfpga import Accelerator; Accelerator('build/lenet5').load_weights('retrained.admm')"
    """
    from admmfpga.atomic import atomic_write
    from admmfpga.frontend import load
    from admmfpga.runtime import open_build
    from admmfpga.runtime.reload import fit_weights

    with Steps(quiet=as_json) as steps:
        steps("reading the build")
        opened = open_build(build)
        steps("reading the model")
        images = None if calibration is None else options.load_npz(calibration)[0]
        imported = load(model, calibration=images)
        steps("packing its weights")
        found = fit_weights(opened, imported)
        atomic_write(output, found.image)
    loaded = [memory for memory in found.design.memories() if not memory.constant]
    size = sum(len(memory.image()) for memory in loaded)
    if as_json:
        described = {
            "weights": str(output),
            "model_sha256": found.model_sha256,
            "memories": len(loaded),
            "bytes": size,
            "rounding_steps": found.rounding,
            "notes": found.notes,
        }
        click.echo(json.dumps(described, indent=2))
        return
    click.echo(f"{output}: {len(loaded)} memories, {size:,} bytes to load, for {build}")
    for note in found.notes:
        click.echo(note)
    if found.rounding:
        click.echo(f"multipliers rounded to the build's shifts: results move by at most {found.rounding:.4f} steps")
