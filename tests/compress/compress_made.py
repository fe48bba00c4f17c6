"""A small classification task, a small network and runs over them, so that a whole run takes a second."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from admmfpga.compress import loop
from admmfpga.compress.data import TrainingData
from admmfpga.compress.recipe import Recipe

torch.set_num_threads(1)


def tiny_network() -> nn.Sequential:
    """Two convolutions and two fully connected layers for 1 x 8 x 8 images and 4 classes."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 6, 3, padding=1),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 8, 3),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc1=nn.Linear(32, 12),
            relu3=nn.ReLU(),
            fc2=nn.Linear(12, 4),
        )
    )


def tiny_images(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A bright quadrant in noise; the label is the quadrant."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (count,), generator=generator)
    images = torch.randint(0, 100, (count, 1, 8, 8), generator=generator)
    for index, label in enumerate(labels.tolist()):
        row, column = 4 * (label // 2), 4 * (label % 2)
        images[index, :, row : row + 4, column : column + 4] += 100
    return images.float() / 255, labels


def tiny_data() -> TrainingData:
    return TrainingData(*tiny_images(256, 1), *tiny_images(100, 2), input_scale=1 / 255)


def build(
    chosen: Recipe,
    folder: Path,
    *,
    progress: Callable[[loop.Progress], None] = lambda _: None,
    zeros: str = "",
) -> loop.Run:
    """A run of the tiny network; with `zeros`, every second column of that layer comes pruned."""
    torch.manual_seed(7)
    network = tiny_network()
    if zeros:
        with torch.no_grad():
            network.get_submodule(zeros).weight[:, ::2] = 0
    return loop.Run(network, tiny_data(), chosen, folder, device="cpu", progress=progress)
