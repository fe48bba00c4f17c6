"""`admmfpga compare`: structured, non-structured and dense networks side by side on one board."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import numpy.typing as npt

from admmfpga.cli import options
from admmfpga.cli.progress import Steps
from admmfpga.errors import UserError
from admmfpga.network import Tensor

if TYPE_CHECKING:
    from admmfpga.runtime.compare import Samples

RESOURCES = {"lut": "lut", "ff": "ff", "bram": "bram18", "bram18": "bram18", "dsp": "dsp"}
"""Names that --budget takes."""


def parse_budget(text: str) -> dict[str, int]:
    """`lut=20000,bram=100` as amounts by resource.

    Raises:
        UserError: not of that form, an unknown resource, one named twice.
    """
    budget: dict[str, int] = {}
    for part in text.split(","):
        name, _, amount = (word.strip() for word in part.partition("="))
        if name.lower() not in RESOURCES:
            raise UserError(
                f"--budget: unknown resource {name!r}", f"one of {', '.join(RESOURCES)}, as in lut=20000,bram=100"
            )
        if not amount.isdecimal():
            raise UserError(f"--budget: {part.strip()!r} is not NAME=AMOUNT", "for example lut=20000,bram=100")
        if RESOURCES[name.lower()] in budget:
            raise UserError(f"--budget: {name} is given twice", "name every resource once")
        budget[RESOURCES[name.lower()]] = int(amount)
    return budget


def _samples(images: Path | None, dataset: str | None, count: int | None) -> Samples | None:
    """Where a network's images come from."""
    if images is None and dataset is None:
        return None
    loaded = None if images is None else options.load_npz(images, labels=True)

    def samples(source: Tensor) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.int64] | None]:
        pixels, labels = loaded if loaded is not None else options.dataset_images(str(dataset), source)
        return pixels[:count], None if labels is None else labels[:count]

    return samples


@click.command("compare")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", type=click.Path(path_type=Path))
@options.board
@options.calibration
@click.option("--images", type=click.Path(path_type=Path), help="NPZ with `images` and `labels`: measures accuracy.")
@click.option("--dataset", type=click.Choice(["mnist"]), help="Test images of a known data set instead.")
@click.option("--count", type=click.IntRange(min=1), help="Only the first COUNT images.")
@click.option(
    "--budget", metavar="NAME=N,...", help="What each may take: lut, ff, bram (RAMB18), dsp; else the board's."
)
@options.clock
@click.option("--simulate", type=click.IntRange(min=2), metavar="FRAMES", help="Measure cycles in RTL simulation.")
@click.option("--synthesize", is_flag=True, help="Resources from Yosys instead of the model.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Folder for compare.json, .csv, .html (and builds)."
)
@options.as_json
def command(
    models: tuple[Path, ...],
    board: str,
    calibration: Path | None,
    images: Path | None,
    dataset: str | None,
    count: int | None,
    budget: str | None,
    clock: float | None,
    simulate: int | None,
    synthesize: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Compare networks, pruned structured, non-structured or not at all, on the same board with the same resources.

    MODEL is an ONNX file, or a build folder of `admmfpga compile`, whose simulation and synthesis are used where they
    are of the same design. Every network is mapped with every kind of PE array; the fastest one that fits counts. What
    kind of pruning a network has is seen from its weights.

    For each: storage in every weight format, pruning rate, cycles, frames/s, resources, PPR (pruning rate / speed-up),
    an energy estimate; and a verdict. docs/compare.md explains every figure.

    \b
    Examples:
      admmfpga compare dense.onnx structured.onnx nonstructured.onnx --board pynq --images test.npz -o build/compare
      admmfpga compare a.onnx b.onnx --budget lut=20000,bram=60,dsp=80 --simulate 10 -o build/compare
    """
    from admmfpga.report.comparison import format_comparison
    from admmfpga.report.page import write_comparison
    from admmfpga.runtime.compare import compare_models, notes

    if len(models) < 2:
        raise UserError("one network cannot be compared", "give two or more, as in admmfpga compare a.onnx b.onnx")
    if images is not None and dataset is not None:
        raise UserError("give either --images FILE.npz or --dataset mnist")
    if (simulate or synthesize) and output is None:
        raise UserError("--simulate and --synthesize write build folders", "say where with -o DIR")
    limits = {} if budget is None else parse_budget(budget)
    with Steps(quiet=as_json) as steps:
        calibrated = None if calibration is None else options.load_npz(calibration)[0]
        found = compare_models(
            models,
            board,
            calibration=calibrated,
            samples=_samples(images, dataset, count),
            budget=limits,
            clock_mhz=clock,
            simulate=simulate or 0,
            synthesize=synthesize,
            folder=output,
            progress=steps,
        )
        if output is not None:
            steps("writing the comparison")
            write_comparison(found, output)
    click.echo(json.dumps(found, indent=2) if as_json else format_comparison(found))
    for note in notes(found["networks"]):
        click.secho(f"warning: {note}", fg="yellow", err=True)
    if output is not None and not as_json:
        click.echo(f"\nwritten: {output / 'compare.html'}, compare.json, compare.csv")
