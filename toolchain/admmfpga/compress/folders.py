"""Data sets in folders: idx files of the MNIST family, CIFAR's standard batches, images sorted into class folders."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from admmfpga.errors import UserError

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its files."""
IDX_UINT8 = 0x08
CIFAR_TRAIN = tuple(f"data_batch_{index}" for index in range(1, 6))
CIFAR_TEST = "test_batch"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm")


@dataclass(frozen=True, eq=False)
class Arrays:
    """Images uint8 (N, H, W), (N, H, W, C) or (N, C, H, W), and labels."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def read(folder: Path) -> Arrays:
    """Whatever data set the folder holds.

    Raises:
        UserError: none that is known, or its files are damaged.
    """
    if (folder / CIFAR_TEST).exists():
        return cifar(folder)
    if _idx_path(folder, "train-images-idx3-ubyte") is not None:
        return idx(folder)
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        return images(folder)
    raise UserError(
        f"{folder} holds no data set",
        hint="CIFAR's data_batch_1..5 and test_batch, MNIST's idx files, or train/CLASS/*.png and test/CLASS/*.png",
    )


def fashion_mnist() -> Arrays:
    """Fashion-MNIST from Debian's package.

    Raises:
        UserError: it is not installed.
    """
    if FASHION_MNIST.is_dir():
        return idx(FASHION_MNIST)
    raise UserError("Fashion-MNIST is not installed", hint="apt-get install dataset-fashion-mnist, or pass its folder")


def idx(folder: Path) -> Arrays:
    """The four idx files of the MNIST family, plain or .gz."""
    return Arrays(
        *(
            _read_idx(folder, name)
            for name in (
                "train-images-idx3-ubyte",
                "train-labels-idx1-ubyte",
                "t10k-images-idx3-ubyte",
                "t10k-labels-idx1-ubyte",
            )
        )
    )


def cifar(folder: Path) -> Arrays:
    """CIFAR-10's python version: data_batch_1..5 and test_batch, read by an unpickler that admits arrays only."""
    parts = [_cifar_batch(folder / name) for name in CIFAR_TRAIN]
    test_images, test_labels = _cifar_batch(folder / CIFAR_TEST)
    return Arrays(
        np.concatenate([one for one, _ in parts]), np.concatenate([one for _, one in parts]), test_images, test_labels
    )


def images(folder: Path) -> Arrays:
    """train/CLASS/*.png and test/CLASS/*.png, all of one size; classes in alphabetical order."""
    classes = sorted(path.name for path in (folder / "train").iterdir() if path.is_dir())
    if not classes:
        raise UserError(f"{folder / 'train'} holds no class folders")
    return Arrays(*_class_folders(folder / "train", classes), *_class_folders(folder / "test", classes))


def _idx_path(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None)


def _read_idx(folder: Path, name: str) -> np.ndarray:
    path = _idx_path(folder, name)
    if path is None:
        raise UserError(f"{folder} lacks {name}")
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != IDX_UINT8:
        raise UserError(f"{path} is not an idx file of bytes")
    start = 4 + 4 * data[3]
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4))
    if len(data) != start + int(np.prod(shape, dtype=np.int64)):
        raise UserError(f"{path} is cut or too long for its shape {shape}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy()


def _cifar_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    from admmfpga.datasets import load_arrays_pickle

    try:
        batch = load_arrays_pickle(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    try:
        pixels = np.asarray(batch["data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        labels = np.asarray(batch["labels"], dtype=np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a CIFAR-10 batch: {error}") from error
    return pixels, labels


def _class_folders(folder: Path, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise UserError("folders of images need Pillow", hint="pip install pillow, or pass an .npz file") from error
    pixels, labels = [], []
    for label, name in enumerate(classes):
        for path in sorted((folder / name).glob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                try:
                    with Image.open(path) as image:
                        pixels.append(np.asarray(image if image.mode == "L" else image.convert("RGB")))
                except (OSError, UnidentifiedImageError) as error:
                    raise UserError(f"cannot read {path}: {error}") from error
                labels.append(label)
    shapes = sorted({one.shape for one in pixels})
    if len(shapes) != 1:
        raise UserError(f"the images in {folder} have the sizes {shapes[:5]}, not one")
    return np.stack(pixels), np.asarray(labels)
