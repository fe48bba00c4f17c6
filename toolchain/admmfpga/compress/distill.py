"""Knowledge distillation: the network that a run starts from teaches the one that it leaves (Hinton et al., 2015)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from admmfpga.compress.data import TrainingData

BATCH = 1000


class Teacher:
    """A network that no longer changes, and the loss that follows it.

    Args:
        model: copied; trained.
        data: on the device that trains.
        weight: of the teacher's part in the loss, 0..1.
        temperature: that both outputs are divided by before softmax.
        augmented: batches are not the training images as they are, so that the teacher has to see each batch; else its
            outputs are computed once.
    """

    def __init__(
        self, model: nn.Module, data: TrainingData, weight: float, temperature: float, *, augmented: bool
    ) -> None:
        self.weight, self.temperature, self.augmented = weight, temperature, augmented
        self.model = copy.deepcopy(model).eval()
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        self.images = data.train_images
        self.known: Tensor | None = None

    @torch.no_grad()
    def outputs(self, images: Tensor, chosen: Tensor) -> Tensor:
        """The teacher's logits.

        Args:
            images: the batch.
            chosen: which training images they are.
        """
        if self.augmented:
            return self.model(images).float()
        if self.known is None:
            self.known = torch.cat([self.model(part).float() for part in self.images.split(BATCH)])
        return self.known[chosen]

    def blended(self, loss: Tensor, output: Tensor, images: Tensor, chosen: Tensor) -> Tensor:
        """(1 - weight) * loss + weight * T^2 * KL(teacher || student), both at temperature T.

        T^2 keeps the gradient's size independent of the temperature (section 2 of the paper).
        """
        student = nn.functional.log_softmax(output / self.temperature, dim=1)
        teacher = nn.functional.softmax(self.outputs(images, chosen) / self.temperature, dim=1)
        follows = nn.functional.kl_div(student, teacher, reduction="batchmean")
        return (1 - self.weight) * loss + self.weight * self.temperature**2 * follows
