"""Layer by layer: how often the integer reference and ONNX Runtime give the same code, and how far they are apart.

python benchmarks/agreement.py [--model M.onnx] [--calibration C.npz] [--images I.npz] [--count N]
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import numpy as np

from admmfpga.errors import UserError
from admmfpga.frontend import compare_with_onnxruntime, load
from admmfpga.network import reference

LENET5 = Path("build/lenet5")


@click.command()
@click.option("--model", type=click.Path(path_type=Path), default=LENET5 / "lenet5.onnx", show_default=True)
@click.option("--calibration", type=click.Path(path_type=Path), default=LENET5 / "calibration.npz", show_default=True)
@click.option("--images", type=click.Path(path_type=Path), default=LENET5 / "test.npz", show_default=True)
@click.option("--count", default=1000, show_default=True, help="Images that are compared; accuracy is over all.")
@click.option("--isolated", is_flag=True, help="Give each layer ONNX Runtime's own inputs.")
def main(model: Path, calibration: Path, images: Path, count: int, isolated: bool) -> None:
    """Print the agreement of every layer and the accuracy of the integer network."""
    try:
        with np.load(calibration) as archive:
            imported = load(model, calibration=archive["images"])
        with np.load(images) as archive:
            frames = archive["images"]
            labels = archive.get("labels")
        agreements = compare_with_onnxruntime(imported, frames[:count], isolated=isolated)
    except UserError as error:
        raise click.ClickException(f"{error}\n{error.hint}") from None
    except OSError as error:
        raise click.ClickException(f"{error} (make model writes the defaults)") from None
    for warning in imported.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{model.name}, {min(count, len(frames))} images: integer reference against ONNX Runtime")
    click.echo(f"{'layer':<12} {'values':>12} {'different':>10} {'equal':>11} {'largest step':>13}")
    for a in agreements:
        click.echo(f"{a.name:<12} {a.total:>12,} {a.total - a.equal:>10,} {a.share:>10.4%} {a.max_step:>13}")
    total, equal = sum(a.total for a in agreements), sum(a.equal for a in agreements)
    largest = max(a.max_step for a in agreements)
    click.echo(f"{'all':<12} {total:>12,} {total - equal:>10,} {equal / total:>10.4%} {largest:>13}")
    if labels is not None:
        codes = reference.run(imported.network, imported.quantize(frames))
        output = imported.network.tensors[imported.network.outputs[0]]
        classes = output.dequantize(codes).reshape(len(codes), -1).argmax(axis=1)
        click.echo(f"accuracy of the integer network: {np.mean(classes == labels):.2%} of {len(labels):,} images")
    if min(a.share for a in agreements) < 0.999 or largest > 1:
        sys.exit(1)


if __name__ == "__main__":
    main()
