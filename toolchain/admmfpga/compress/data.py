"""Training data in memory: uint8 or float arrays as tensors, batches with augmentation, split over processes."""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from admmfpga.compress import folders
from admmfpga.errors import UserError


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Images and labels for classification.

    Attributes:
        train_images, test_images: (N, C, H, W) float32; uint8 sources are scaled to 0..1 (code / 255).
        train_labels, test_labels: (N,) int64.
        input_scale: size of one input code where the source is uint8 (1/255), else 0.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    input_scale: float = 0.0

    def to(self, device: torch.device) -> TrainingData:
        """The same data on a device, channels last, as convolutions like it."""

        def images(tensor: Tensor) -> Tensor:
            return tensor.to(device, memory_format=torch.channels_last) if tensor.dim() == 4 else tensor.to(device)

        return TrainingData(
            images(self.train_images),
            self.train_labels.to(device),
            images(self.test_images),
            self.test_labels.to(device),
            self.input_scale,
        )


def from_dataset(dataset: Any) -> TrainingData:
    """From any object with train_images, train_labels, test_images and test_labels as arrays.

    Images are (N, H, W), (N, H, W, C) or, where the second axis is 1, 3 or the fourth is not, (N, C, H, W); uint8 is
    scaled to 0..1, floats stay.

    Raises:
        UserError: an array is missing, has a wrong shape, or images and labels differ in number.
    """
    arrays = {}
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        value = getattr(dataset, name, None)
        if value is None:
            raise UserError(f"the data has no {name}", hint="train_images, train_labels, test_images, test_labels")
        arrays[name] = np.asarray(value)
    for part in ("train", "test"):
        images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
        if len(images) != len(labels) or not len(images):
            raise UserError(f"{len(images)} {part} images with {len(labels)} labels")
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise UserError(f"{part}_labels must be one whole number an image, not {labels.dtype} of {labels.shape}")
        if images.dtype != arrays["train_images"].dtype:
            raise UserError(f"train images are {arrays['train_images'].dtype}, test images {images.dtype}")
    codes = arrays["train_images"].dtype == np.uint8
    return TrainingData(
        _images(arrays["train_images"]),
        torch.from_numpy(arrays["train_labels"].astype(np.int64)),
        _images(arrays["test_images"]),
        torch.from_numpy(arrays["test_labels"].astype(np.int64)),
        1 / 255 if codes else 0.0,
    )


def load(name: str) -> TrainingData:
    """DATA of the command line: a named set, an .npz file, a folder, or `package.module:dataset`.

    Raises:
        UserError: there is no such data, or it is not of the expected form.
    """
    path = Path(name)
    if name.endswith(".npz"):
        return _npz(path)
    if path.is_dir():
        return from_dataset(folders.read(path))
    if name == "fashion-mnist":
        return from_dataset(folders.fashion_mnist())
    if ":" in name and not path.exists():
        loaded = resolve(name, "data")
        return from_dataset(loaded() if callable(loaded) else loaded)
    from admmfpga import datasets

    return from_dataset(datasets.load(name))


def resolve(name: str, what: str) -> Any:
    """The object that `package.module:attribute` names.

    Raises:
        UserError: the module cannot be imported or lacks the attribute.
    """
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(
            f"cannot import {module_name} for the {what}: {error}", hint="is its folder on PYTHONPATH?"
        ) from error
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise UserError(f"{module_name} has no {attribute}")
        found = getattr(found, part)
    return found


def batches(
    images: Tensor,
    labels: Tensor,
    size: int,
    generator: torch.Generator,
    *,
    shift: int = 0,
    flip: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """One epoch in random order: images, labels, and which of the training set they are.

    Every process draws the same numbers and takes its own slice of each batch.

    Args:
        images, labels: the whole training set, on the device.
        size: images of one batch over all processes, a multiple of `world`; an incomplete last batch is left out.
        generator: on the CPU; the only source of randomness, so its state resumes an epoch's start exactly.
        shift, flip: augmentation, see `recipe.Train`.
        rank, world: this process and how many there are.
    """
    order = torch.randperm(len(images), generator=generator)
    size = min(size, len(images))
    share = size // world
    for start in range(0, len(images) - size + 1, size):
        offsets = torch.randint(-shift, shift + 1, (2, size), generator=generator) if shift else None
        mirrored = torch.rand(size, generator=generator) < 0.5 if flip else None
        mine = slice(rank * share, (rank + 1) * share)
        chosen = order[start : start + size][mine].to(images.device)
        batch = images[chosen]
        if offsets is not None:
            batch = _shifted(batch, offsets[:, mine].to(images.device), shift)
        if mirrored is not None:
            batch = torch.where(mirrored[mine].to(images.device)[:, None, None, None], batch.flip(3), batch)
        yield batch, labels[chosen], chosen


def _shifted(images: Tensor, offsets: Tensor, most: int) -> Tensor:
    """Each image moved by its own (2, N) offsets, zeros shifted in."""
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (most, most, most, most))
    rows = torch.arange(height, device=images.device)[None, :] + offsets[0][:, None] + most
    columns = torch.arange(width, device=images.device)[None, :] + offsets[1][:, None] + most
    picked = padded.permute(0, 2, 3, 1)[
        torch.arange(count, device=images.device)[:, None, None], rows[:, :, None], columns[:, None, :]
    ]
    return picked.permute(0, 3, 1, 2)


def _images(array: np.ndarray) -> Tensor:
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 3, 4) and array.shape[1] not in (1, 3, 4):
        array = array.transpose(0, 3, 1, 2)
    if array.ndim not in (2, 4):
        raise UserError(f"images of shape {array.shape[1:]}", hint="(H, W), (H, W, C) or (C, H, W)")
    tensor = torch.from_numpy(np.ascontiguousarray(array)).float()
    return tensor / 255 if array.dtype == np.uint8 else tensor


def _npz(path: Path) -> TrainingData:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = {
                "train_images": ("train_images", "x_train"),
                "train_labels": ("train_labels", "y_train"),
                "test_images": ("test_images", "x_test"),
                "test_labels": ("test_labels", "y_test"),
            }
            found = {key: next((archive[one] for one in both if one in archive), None) for key, both in names.items()}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"cannot read {path}: {error}") from error
    return from_dataset(type("Archive", (), found))
