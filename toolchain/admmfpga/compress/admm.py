"""The ADMM engine: a compressor that is stepped inside any training loop.

Life cycle (that of torch.ao.pruning)::

    compressor = Compressor(model, {"conv1": NonStructured(400), "fc1": [NonStructured(3600), Bits(4)]}, Staged())
    compressor.prepare()
    compressor.attach(optimizer)            # adds the penalty's gradient in front of every optimizer step
    for iteration in range(16):
        train_some_epochs(model, optimizer)
        residuals = compressor.step()       # Z and U
    masks = compressor.squash_mask()        # W <- Proj(W); masks for retraining
    masks.attach(optimizer)
    ...
    compressor.convert()

Without `attach`, add `compressor.penalty()` to the loss, or call `compressor.add_penalty_gradient()` after backward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from admmfpga.compress.masking import Masks
from admmfpga.compress.recipe import Recipe, check, weighted_layers
from admmfpga.compress.regulation import Constant, Regulation
from admmfpga.compress.sets import ConstraintSet, Frozen, Then
from admmfpga.errors import UserError

Constraints = Mapping[str, ConstraintSet | Sequence[ConstraintSet]]


@dataclass(frozen=True)
class Residual:
    """Convergence evidence of one layer after one ADMM iteration.

    Attributes:
        primal: ||W - Z|| / ||W||.
        dual: ||Z_new - Z_old|| / ||Z_new||.
    """

    primal: float
    dual: float


@dataclass
class _Pair:
    """One constraint of one layer: auxiliary Z, scaled dual U and their difference, all of the weight's shape."""

    constraint: ConstraintSet
    auxiliary: Tensor
    dual: Tensor
    target: Tensor


class Compressor:
    """Scaled ADMM over the weights of any module.

    Args:
        model: any module.
        constraints: by module path ("features.0"), a set, or several: each of several gets its own (Z, U) pair and its
            own quadratic term (joint pruning and quantization). Biases and normalization stay unpenalised.
        regulation: rho over the iterations.

    Raises:
        UserError: a path is not a module of the model with a weight.
    """

    def __init__(self, model: nn.Module, constraints: Constraints, regulation: Regulation | None = None) -> None:
        self.model = model
        self.regulation = regulation or Constant()
        self.iteration = 0
        self.sets: dict[str, tuple[ConstraintSet, ...]] = {
            name: tuple(sets) if isinstance(sets, Sequence) else (sets,) for name, sets in constraints.items()
        }
        modules = dict(model.named_modules())
        wrong = [name for name in self.sets if not isinstance(getattr(modules.get(name), "weight", None), Tensor)]
        if wrong:
            known = [name for name, module in modules.items() if isinstance(getattr(module, "weight", None), Tensor)]
            raise UserError(f"no weight at {', '.join(wrong)}", hint=f"layers with weights: {', '.join(known)}")
        self.weights: dict[str, nn.Parameter] = {name: modules[name].weight for name in self.sets}
        self._pairs: dict[str, list[_Pair]] = {}

    @classmethod
    def from_recipe(cls, model: nn.Module, chosen: Recipe, step: int | None = 0) -> Compressor:
        """The ADMM of one progressive step of a recipe, or of its quantization, for a loop that is not ours.

        Exact zeros of the layers count as pruned and stay.

        Args:
            model: whose layers the recipe names.
            chosen: see `recipe.load`; its epochs and learning rates are the loop's business.
            step: index of the step; None takes the levels of `quantize`.

        Raises:
            UserError: the recipe does not fit the model, has no such step, or shares a budget (which takes data).
        """
        check(chosen, model)
        levels = chosen.levels(model)
        layers = weighted_layers(model)
        sets: dict[str, list[ConstraintSet]] = {}
        if step is None:
            admm = chosen.quantize.admm
            sets = {name: [one] for name, one in levels.items()}
        else:
            if not 0 <= step < len(chosen.steps):
                raise UserError(f"the recipe has {len(chosen.steps)} steps, counted from 0, and none is {step}")
            if chosen.steps[step].budget is not None:
                raise UserError("a budget is shared by measuring on data", hint="loop.Run does it, or name the layers")
            admm = chosen.steps[step].admm
            for name, sparsity in chosen.steps[step].layers.items():
                resolved = sparsity.resolve(layers[name].weight.shape)
                if resolved is not None:
                    sets[name] = [resolved]
            for name, one in levels.items() if chosen.steps[step].joint else ():
                sets.setdefault(name, []).append(one)
        frozen = {name: Frozen(layers[name].weight.detach() != 0) for name in sets}
        return cls(
            model,
            {
                name: [one if bool(frozen[name].mask.all()) else Then((frozen[name], one)) for one in members]
                for name, members in sets.items()
            },
            admm.regulation(),
        )

    @property
    def rho(self) -> float:
        """The penalty of the iteration under way."""
        return self.regulation.rho(self.iteration)

    @torch.no_grad()
    def prepare(self) -> None:
        """Start from the present weights: U = 0, Z = Proj(W)."""
        self._pairs = {name: [self._fresh(name, member) for member in sets] for name, sets in self.sets.items()}

    def _fresh(self, name: str, member: ConstraintSet) -> _Pair:
        weight = self.weights[name].detach()
        auxiliary = member.project(weight)
        return _Pair(member, auxiliary, torch.zeros_like(weight), auxiliary.clone())

    def penalty(self) -> Tensor:
        """sum_i rho/2 * ||W_i - Z_i + U_i||_F^2, differentiable: add it to the loss."""
        terms = [
            (self.weights[name] - pair.target).square().sum() for name, pairs in self._pairs.items() for pair in pairs
        ]
        return 0.5 * self.rho * torch.stack(terms).sum()

    @torch.no_grad()
    def add_penalty_gradient(self) -> None:
        """Add the gradient of `penalty`, rho * (W - Z + U), to the weights' gradients without building a graph.

        Costs two fused passes over the weights. Call after backward and before the optimizer's step.
        """
        gradients, weights, targets = [], [], []
        for name, pairs in self._pairs.items():
            parameter = self.weights[name]
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            for pair in pairs:
                gradients.append(parameter.grad)
                weights.append(parameter.detach())
                targets.append(pair.target)
        if gradients:
            torch._foreach_add_(gradients, weights, alpha=self.rho)
            torch._foreach_add_(gradients, targets, alpha=-self.rho)

    def attach(self, optimizer: torch.optim.Optimizer) -> torch.utils.hooks.RemovableHandle:
        """Add the penalty's gradient in front of every step of an optimizer, for loops that are not ours."""
        return optimizer.register_step_pre_hook(lambda *_: self.add_penalty_gradient())

    @torch.no_grad()
    def step(self) -> dict[str, Residual]:
        """End an ADMM iteration: Z <- Proj(W + U), U <- U + W - Z, then rho.

        When rho changes inside a stage the scaled dual is multiplied by rho_old/rho_new (the unscaled dual rho*U is
        what must not jump); when a new stage starts, U = 0 and Z = Proj(W).

        Returns:
            Residuals by layer; of several constraints the greatest.
        """
        residuals = {}
        for name, pairs in self._pairs.items():
            weight = self.weights[name].detach()
            primal = dual = 0.0
            for pair in pairs:
                auxiliary = pair.constraint.project(weight + pair.dual)
                primal = max(primal, _ratio(weight - auxiliary, weight))
                dual = max(dual, _ratio(auxiliary - pair.auxiliary, auxiliary))
                pair.dual.add_(weight).sub_(auxiliary)
                pair.auxiliary = auxiliary
            residuals[name] = Residual(primal, dual)
        before = self.rho
        self.iteration += 1
        restart, factor = self.regulation.restarts(self.iteration), before / self.rho
        for name, pairs in self._pairs.items():
            for index, pair in enumerate(pairs):
                if restart:
                    pairs[index] = self._fresh(name, pair.constraint)
                else:
                    pair.dual.mul_(factor)
                    pair.target = pair.auxiliary - pair.dual
        return residuals

    @torch.no_grad()
    def squash_mask(self) -> Masks:
        """Masked mapping: W <- Proj(W), set after set, and the masks of what is left for retraining."""
        for name, sets in self.sets.items():
            weight = self.weights[name]
            weight.copy_(Then(sets).project(weight.detach()))
        return Masks.of_zeros(self.model, [f"{name}.weight" for name in self.sets])

    def convert(self) -> nn.Module:
        """Drop Z and U and give the plain model back."""
        self._pairs = {}
        return self.model

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers only: loads with weights_only."""
        return {
            "iteration": self.iteration,
            "pairs": {
                name: [{"auxiliary": pair.auxiliary, "dual": pair.dual} for pair in pairs]
                for name, pairs in self._pairs.items()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state_dict` was taken.

        Raises:
            UserError: the state belongs to other layers or constraints.
        """
        pairs = state["pairs"]
        if pairs and {name: len(saved) for name, saved in pairs.items()} != {
            name: len(sets) for name, sets in self.sets.items()
        }:
            raise UserError("the saved ADMM state belongs to other layers or constraints")
        self.iteration = state["iteration"]
        self._pairs = {
            name: [
                _Pair(member, one["auxiliary"].clone(), one["dual"].clone(), one["auxiliary"] - one["dual"])
                for member, one in zip(self.sets[name], saved, strict=True)
            ]
            for name, saved in pairs.items()
        }


def _ratio(part: Tensor, whole: Tensor) -> float:
    return float(torch.linalg.vector_norm(part) / torch.linalg.vector_norm(whole).clamp_min(1e-30))
