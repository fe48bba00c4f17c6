"""Train LeNet-5 (20-50-500-10) on MNIST and write what the tool chain takes.

    python examples/lenet5/train.py -o build/lenet5

writes lenet5.onnx (float, input N x 1 x 28 x 28 with pixels 0..1), calibration.npz (500 training images) and test.npz
(the 10,000 test images and labels). The same machine gives the same files. Nothing is done if they are there and this
script has not changed since.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click
import numpy as np
import numpy.typing as npt

from admmfpga import datasets
from admmfpga.atomic import atomic_write
from admmfpga.errors import UserError

if TYPE_CHECKING:
    import torch

SEED = 1
EPOCHS = 2
BATCH = 100
PEAK_RATE = 0.003
CALIBRATION_IMAGES = 500
FILES = ("lenet5.onnx", "calibration.npz", "test.npz")
STAMP = ".trained"


def as_input(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(N, 28, 28) bytes as the model takes them: (N, 1, 28, 28) real, 0..1, so that a quantized input is the byte."""
    return images[:, None].astype(np.float32) / np.float32(255)


def lenet5() -> torch.nn.Module:
    """LeNet-5 as pruning papers use it: 430,500 weights."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(800, 500),
        nn.ReLU(),
        nn.Linear(500, 10),
    )


def train(data: datasets.Dataset) -> torch.nn.Module:
    """A trained network; a few epochs with one cycle of the learning rate are enough."""
    import torch
    from torch.nn.functional import cross_entropy

    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    model = lenet5()
    images = torch.from_numpy(as_input(data.train_images))
    labels = torch.from_numpy(data.train_labels.astype(np.int64))
    steps = EPOCHS * (len(images) // BATCH)
    optimizer = torch.optim.Adam(model.parameters(), lr=PEAK_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    shuffle = torch.Generator().manual_seed(SEED)
    with click.progressbar(length=steps, label="training LeNet-5", file=sys.stderr) as bar:
        for _ in range(EPOCHS):
            order = torch.randperm(len(images), generator=shuffle)[: steps // EPOCHS * BATCH]
            for batch in order.split(BATCH):
                loss = cross_entropy(model(images[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update(1)
    return model.eval()


def accuracy(model: torch.nn.Module, data: datasets.Dataset) -> float:
    """Share of the test images that are classified correctly."""
    import torch

    with torch.no_grad():
        scores = model(torch.from_numpy(as_input(data.test_images)))
    return float((scores.argmax(1).numpy() == data.test_labels).mean())


def export(model: torch.nn.Module) -> bytes:
    """The float ONNX file."""
    import torch

    with TemporaryDirectory() as folder, warnings.catch_warnings():
        # The exporter that needs nothing but torch is marked as old; what it writes for these layers is fine.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model,
            (torch.zeros(1, 1, 28, 28),),
            str(Path(folder) / "model.onnx"),
            input_names=["pixels"],
            output_names=["scores"],
            dynamic_axes={"pixels": {0: "N"}, "scores": {0: "N"}},
            opset_version=17,
            dynamo=False,
        )
        return (Path(folder) / "model.onnx").read_bytes()


def npz(**arrays: npt.NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), default=Path("build/lenet5"))
def main(output: Path) -> None:
    """Train LeNet-5 on MNIST and write lenet5.onnx, calibration.npz and test.npz to OUTPUT."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    stamp = output / STAMP
    if stamp.is_file() and stamp.read_text() == digest and all((output / name).is_file() for name in FILES):
        click.echo(f"{output / FILES[0]} is up to date", err=True)
        return
    # Read when torch loads OpenMP: waiting threads must not spin, others use this machine too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    torch.set_num_threads(min(2, os.cpu_count() or 1))
    try:
        data = datasets.mnist()
        model = train(data)
        output.mkdir(parents=True, exist_ok=True)
        chosen = np.random.default_rng(SEED).permutation(len(data.train_images))[:CALIBRATION_IMAGES]
        calibration = as_input(data.train_images[chosen])
        atomic_write(output / "calibration.npz", npz(images=calibration))
        test_labels = data.test_labels.astype(np.int64)
        atomic_write(output / "test.npz", npz(images=as_input(data.test_images), labels=test_labels))
        atomic_write(output / "lenet5.onnx", export(model))
        atomic_write(stamp, digest)
    except UserError as error:
        raise click.ClickException(f"{error}\n{error.hint}") from None
    click.echo(f"{output / FILES[0]}: {accuracy(model, data):.2%} of the test images (float)", err=True)


if __name__ == "__main__":
    main()
