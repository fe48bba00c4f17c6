"""Masks that hold during retraining: on the gradients, and on the weights after every optimizer step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Masks:
    """Boolean masks over parameters, enforced against momentum, weight decay and Adam's moments.

    Args:
        model: owner of the parameters.
        masks: by parameter name; True keeps, False holds `values` (0 by default).
        values: by parameter name, what a held entry holds (frozen quantization levels); zero where absent.

    Raises:
        KeyError: a name is not a parameter of the model.
        ValueError: a mask has another shape than its parameter.
    """

    def __init__(
        self, model: nn.Module, masks: Mapping[str, Tensor], values: Mapping[str, Tensor] | None = None
    ) -> None:
        parameters = dict(model.named_parameters())
        self.masks = {name: mask.clone() for name, mask in masks.items()}
        self.values = {name: value.clone() for name, value in (values or {}).items()}
        for name, mask in self.masks.items():
            if mask.shape != parameters[name].shape:
                raise ValueError(f"mask of {name} has shape {tuple(mask.shape)}, not {tuple(parameters[name].shape)}")
        self.parameters = {name: parameters[name] for name in self.masks}

    @staticmethod
    def of_zeros(model: nn.Module, names: list[str]) -> Masks:
        """Masks that keep the present zeros of the named parameters."""
        parameters = dict(model.named_parameters())
        return Masks(model, {name: parameters[name].detach() != 0 for name in names})

    def mask_gradients(self) -> None:
        """Zero the gradients of held entries; call between backward and the optimizer's step."""
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                parameter.grad.mul_(self.masks[name])

    @torch.no_grad()
    def apply(self) -> None:
        """Put held entries back exactly; call after the optimizer's step."""
        for name, parameter in self.parameters.items():
            mask = self.masks[name]
            if name in self.values:
                parameter.copy_(torch.where(mask, parameter, self.values[name]))
            else:
                parameter.mul_(mask)

    def attach(self, optimizer: torch.optim.Optimizer) -> list[torch.utils.hooks.RemovableHandle]:
        """Hook both calls into an optimizer's step, for training loops that are not ours."""
        return [
            optimizer.register_step_pre_hook(lambda *_: self.mask_gradients()),
            optimizer.register_step_post_hook(lambda *_: self.apply()),
        ]

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        return {"masks": dict(self.masks), "values": dict(self.values)}

    @staticmethod
    def from_state(model: nn.Module, state: dict[str, dict[str, Tensor]]) -> Masks:
        return Masks(model, state["masks"], state["values"])
