"""The ready loop: runs a recipe's stages one after the other, and resumes exactly where it was stopped."""

from __future__ import annotations

import hashlib
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.parallel import DistributedDataParallel

from admmfpga.compress import activation, checkpoint, structure
from admmfpga.compress.admm import Compressor, Residual
from admmfpga.compress.data import TrainingData, batches
from admmfpga.compress.distill import Teacher
from admmfpga.compress.levels import Bits, LevelSet
from admmfpga.compress.masking import Masks
from admmfpga.compress.recipe import Admm, Phase, Recipe, Step, check, weighted_layers
from admmfpga.compress.regulation import cosine, periodic
from admmfpga.compress.sensitivity import shares
from admmfpga.compress.sets import ConstraintSet, Frozen, Then
from admmfpga.errors import UserError

EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class Progress:
    """What a progress bar shows after every epoch.

    Attributes:
        stage: name of the stage.
        epoch, epochs: done and to do, over the whole run.
        loss: mean training loss of the epoch.
        accuracy: on the test set, percent, float evaluation of the present weights.
        residual: greatest primal residual of the last ADMM iteration; nan outside ADMM.
        left: estimated seconds to the end.
    """

    stage: str
    epoch: int
    epochs: int
    loss: float
    accuracy: float
    residual: float
    left: float


@dataclass
class Run:
    """One compression run in a folder.

    Args:
        model: freshly built, with its initial or trained weights. Exact zeros in it are taken as pruned and stay.
        data: training and test data.
        recipe: checked against the model here.
        folder: receives checkpoint.pt, metrics.jsonl, pruned.pt and quantized.pt.
        device: "" chooses CUDA where there is one.
        progress: called after every epoch on the first process.
        teacher: a trained network that the recipe's distillation follows; None: the model as it comes.

    Raises:
        UserError: the recipe does not fit the model, or the folder holds another run.
    """

    model: nn.Module
    data: TrainingData
    recipe: Recipe
    folder: Path
    device: str = ""
    progress: Callable[[Progress], None] = lambda _: None
    teacher: nn.Module | None = None

    accuracies: dict[str, float] = field(default_factory=dict, init=False)
    residuals: dict[str, Residual] = field(default_factory=dict, init=False)
    removed: dict[str, int] = field(default_factory=dict, init=False)
    budgets: dict[str, dict[str, float]] = field(default_factory=dict, init=False)
    seconds: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        check(self.recipe, self.model)
        self.target = torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        self.rank = torch.distributed.get_rank() if distributed else 0
        self.world = torch.distributed.get_world_size() if distributed else 1
        if self.recipe.train.batch_size % self.world:
            raise UserError(f"batch_size {self.recipe.train.batch_size} does not divide among {self.world} processes")
        self.data = self.data.to(self.target)
        self.example = self.data.test_images[:1]
        self.original = {name: layer.weight.shape for name, layer in weighted_layers(self.model).items()}
        self.generator = torch.Generator().manual_seed(self.recipe.train.seed)
        pruned = [
            f"{name}.weight" for name, layer in weighted_layers(self.model).items() if bool((layer.weight == 0).any())
        ]
        self.masks = Masks.of_zeros(self.model, pruned)
        self.stages = plan(self.recipe)
        self.metrics: list[dict[str, Any]] = []
        self._place()
        self.lesson = self._lesson()

    # ---- the run ------------------------------------------------------------------------------------------------

    def run(self) -> nn.Module:
        """Run what is left of the recipe.

        Returns:
            The compressed model in evaluation mode; with activation quantizers where the recipe asks for them.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        index, epoch, state = self._restore()
        self._trim_metrics()
        if state is None and "start" not in self.accuracies:
            self.accuracies["start"] = self.evaluate()
        started = time.monotonic() - self.seconds
        while index < len(self.stages):
            stage = self.stages[index]
            stage.begin(self) if state is None else stage.resume(self, state)
            state = None
            self._place()
            while epoch < stage.epochs:
                loss = self._epoch(stage, epoch)
                stage.end_epoch(self, epoch)
                epoch += 1
                self.seconds = time.monotonic() - started
                self._report(index, epoch, stage, loss)
                self._save(index, epoch, stage.state())
            stage.end(self)
            self._place()
            if stage.milestone:
                self.accuracies[stage.milestone] = self.evaluate()
                if self.rank == 0:
                    checkpoint.save(self.folder / f"{stage.milestone}.pt", {"model": plain_state(self.model)})
            index, epoch = index + 1, 0
            self.seconds = time.monotonic() - started
            self._save(index, 0, None)
        self.model.eval()
        return self.model

    def _epoch(self, stage: Stage, epoch: int) -> float:
        """Mean loss of one epoch."""
        options = self.recipe.train
        model: nn.Module = self.model
        if self.world > 1:
            model = DistributedDataParallel(self.model)
        model.train()
        if stage.freezes_normalization:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                    module.eval()
        steps = max(1, len(self.data.train_images) // min(options.batch_size, len(self.data.train_images)))
        total = torch.zeros((), device=self.target)
        stream = batches(
            self.data.train_images,
            self.data.train_labels,
            options.batch_size,
            self.generator,
            shift=options.shift,
            flip=options.flip,
            rank=self.rank,
            world=self.world,
        )
        low = options.precision == "bfloat16" and not stage.freezes_normalization
        for step, (images, labels, chosen) in enumerate(stream):
            rate = stage.learning_rate * stage.decay(epoch + step / steps)
            for group in stage.optimizer.param_groups:
                group["lr"] = rate
            stage.optimizer.zero_grad()
            with torch.autocast(self.target.type, torch.bfloat16, enabled=low):
                output = model(images)
            loss = nn.functional.cross_entropy(output.float(), labels, label_smoothing=options.label_smoothing)
            if self.lesson is not None:
                loss = self.lesson.blended(loss, output.float(), images, chosen)
            loss.backward()
            stage.before_step()
            self.masks.mask_gradients()
            stage.optimizer.step()
            self.masks.apply()
            total += loss.detach()
        return float(total) / steps

    def _lesson(self) -> Teacher | None:
        """Made before a checkpoint is read, so that it is the same one whether the run is resumed or not."""
        options = self.recipe.distill
        if not options.weight:
            return None
        augmented = bool(self.recipe.train.shift or self.recipe.train.flip)
        model = (self.teacher or self.model).to(self.target)
        return Teacher(model, self.data, options.weight, options.temperature, augmented=augmented)

    @torch.no_grad()
    def evaluate(self) -> float:
        """Percent of the test set that the present model gets right, in float32."""
        self.model.eval()
        right = 0
        for start in range(0, len(self.data.test_images), EVALUATION_BATCH):
            images = self.data.test_images[start : start + EVALUATION_BATCH]
            labels = self.data.test_labels[start : start + EVALUATION_BATCH]
            right += int((self.model(images).argmax(dim=1) == labels).sum())
        return 100.0 * right / len(self.data.test_images)

    # ---- constraints --------------------------------------------------------------------------------------------

    def sparsity(self, index: int) -> dict[str, ConstraintSet]:
        """Sparsity sets of a step, for the layers' original shapes."""
        step = self.recipe.steps[index]
        found = {name: one.resolve(self.original[name]) for name, one in step.layers.items()}
        return {name: one for name, one in {**self._budget(index, step), **found}.items() if one is not None}

    def _budget(self, index: int, step: Step) -> dict[str, ConstraintSet | None]:
        if step.budget is None:
            return {}
        if str(index) not in self.budgets:
            self.budgets[str(index)] = shares(self.model, self.data, step.budget, self.original)
        return {
            name: step.budget.sparsity(share).resolve(self.original[name])
            for name, share in self.budgets[str(index)].items()
        }

    def constraints(self) -> dict[str, ConstraintSet]:
        """What the finished model must satisfy, by layer: sparsity of the last step that names it, levels."""
        chosen: dict[str, list[ConstraintSet]] = {}
        for index in range(len(self.recipe.steps)):
            for name, one in self.sparsity(index).items():
                chosen[name] = [one]
        for name, levels in self.levels().items():
            chosen.setdefault(name, []).append(levels)
        return {name: Then(tuple(found)) for name, found in chosen.items()}

    def levels(self) -> dict[str, LevelSet]:
        """Level sets by layer."""
        return self.recipe.levels(self.model)

    def with_zeros(self, name: str, member: ConstraintSet) -> ConstraintSet:
        """The set, with the zeros of earlier steps kept."""
        mask = self.masks.masks.get(f"{name}.weight")
        return member if mask is None else Then((Frozen(mask), member))

    # ---- optimizer ----------------------------------------------------------------------------------------------

    def optimizer(self) -> torch.optim.Optimizer:
        """A fresh optimizer over the present parameters."""
        options = self.recipe.train
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        if options.optimizer == "sgd":
            return torch.optim.SGD(
                parameters, options.learning_rate, options.momentum, weight_decay=options.weight_decay
            )
        return torch.optim.Adam(parameters, options.learning_rate, weight_decay=options.weight_decay)

    def _place(self) -> None:
        self.model.to(self.target)
        for module in self.model.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)

    # ---- state --------------------------------------------------------------------------------------------------

    def fingerprint(self) -> str:
        """Of what decides the result: recipe, the model's shapes, the data's size, number of processes, teacher."""
        described = [self.recipe, sorted(self.original.items()), len(self.data.train_images), self.world]
        if self.teacher is not None:
            described.append(sum(float(tensor.double().sum()) for tensor in self.teacher.state_dict().values()))
        return hashlib.sha256(repr(described).encode()).hexdigest()

    def _save(self, index: int, epoch: int, stage: dict[str, Any] | None) -> None:
        if self.rank != 0:
            return
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in self.metrics)
            file.flush()
            os.fsync(file.fileno())
        self.rows += len(self.metrics)
        self.metrics = []
        state: dict[str, Any] = {
            "fingerprint": self.fingerprint(),
            "stage": index,
            "epoch": epoch,
            "stage_state": stage,
            "model": self.model.state_dict(),
            "quantizers": bool(activation.quantizers(self.model)),
            "masks": self.masks.state_dict(),
            "accuracies": self.accuracies,
            "residuals": {name: [one.primal, one.dual] for name, one in self.residuals.items()},
            "removed": self.removed,
            "budgets": self.budgets,
            "seconds": self.seconds,
            "rows": self.rows,
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
        }
        checkpoint.save(self.folder / "checkpoint.pt", state)

    def _restore(self) -> tuple[int, int, dict[str, Any] | None]:
        """(stage, epoch, state of the stage) to go on with."""
        self.rows = 0
        state = checkpoint.load(self.folder / "checkpoint.pt")
        if state is None:
            torch.manual_seed(self.recipe.train.seed)
            return 0, 0, None
        if state["fingerprint"] != self.fingerprint():
            raise UserError(
                f"{self.folder} holds a run of another recipe, model or data",
                hint="choose another folder, or remove it",
            )
        structure.resize(self.model, state["model"])
        if state["quantizers"]:
            self.quantize_activations()
        self.model.load_state_dict(state["model"])
        self._place()
        self.masks = Masks.from_state(self.model, state["masks"])
        self.accuracies = state["accuracies"]
        self.residuals = {name: Residual(*one) for name, one in state["residuals"].items()}
        self.removed = state["removed"]
        self.budgets = state["budgets"]
        self.seconds = state["seconds"]
        self.rows = state["rows"]
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])
        return state["stage"], state["epoch"], state["stage_state"]

    def _trim_metrics(self) -> None:
        """Drop rows that were written after the checkpoint."""
        path = self.folder / "metrics.jsonl"
        if self.rank == 0 and path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[: self.rows]
            path.write_text("".join(lines), encoding="utf-8")

    def _report(self, index: int, epoch: int, stage: Stage, loss: float) -> None:
        accuracy = self.evaluate()
        done = sum(one.epochs for one in self.stages[:index]) + epoch
        total = sum(one.epochs for one in self.stages)
        in_admm = isinstance(stage, AdmmStage) and self.residuals
        row: dict[str, Any] = {
            "stage": stage.name,
            "epoch": done,
            "loss": round(loss, 6),
            "accuracy": accuracy,
            "learning_rate": stage.learning_rate * stage.decay(epoch - 1e-9),
            "seconds": round(self.seconds, 2),
        }
        if isinstance(stage, AdmmStage):
            row["rho"] = stage.rho
            row["residuals"] = {name: [one.primal, one.dual] for name, one in self.residuals.items()}
        self.metrics.append(row)
        residual = max(one.primal for one in self.residuals.values()) if in_admm else float("nan")
        left = self.seconds / done * (total - done)
        if self.rank == 0:
            self.progress(Progress(stage.name, done, total, loss, accuracy, residual, left))

    def quantize_activations(self) -> None:
        """Turn the model into its traced form with activation quantizers, not calibrated."""
        options = self.recipe.activations
        traced = structure.trace(self.model, self.example)
        self.model = activation.insert(traced, options.bits, options.learned, self.data.input_scale)


# ---- stages -----------------------------------------------------------------------------------------------------


class Stage:
    """Plain training under the run's masks; subclasses add what happens around it.

    Attributes:
        name: shown in metrics and progress.
        epochs: of this stage.
        milestone: name under which the accuracy and the weights at the end are kept; empty for none.
        freezes_normalization: batch statistics no longer move (and training is float32).
    """

    milestone = ""
    freezes_normalization = False

    def __init__(self, name: str, epochs: int, learning_rate: float | None) -> None:
        self.name, self.epochs, self._rate = name, epochs, learning_rate

    def begin(self, run: Run) -> None:
        """Enter the stage for the first time."""
        self._enter(run)

    def resume(self, run: Run, state: dict[str, Any]) -> None:
        """Enter the stage in the middle."""
        self._enter(run)
        self.optimizer.load_state_dict(state["optimizer"])

    def _enter(self, run: Run) -> None:
        run._place()
        self.learning_rate = run.recipe.train.learning_rate if self._rate is None else self._rate
        self.optimizer = run.optimizer()

    def decay(self, epoch: float) -> float:
        """Factor on the learning rate at a fraction of epochs into the stage."""
        return cosine(epoch / max(1, self.epochs))

    def before_step(self) -> None:
        """Between backward and the optimizer's step."""

    def end_epoch(self, run: Run, epoch: int) -> None:
        """After epoch 0, 1, ..."""

    def end(self, run: Run) -> None:
        """Leave the stage."""

    def state(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict()}


class AdmmStage(Stage, ABC):
    """ADMM towards sets that the subclasses give.

    Attributes:
        rho: penalty of the last epoch.
    """

    rho = 0.0

    def __init__(self, name: str, options: Admm) -> None:
        super().__init__(name, options.iterations * options.epochs, options.learning_rate)
        self.options = options

    @abstractmethod
    def sets(self, run: Run) -> dict[str, tuple[ConstraintSet, ...]]:
        """Constraint sets by layer."""

    def begin(self, run: Run) -> None:
        super().begin(run)
        self.compressor.prepare()
        run.residuals = {}

    def resume(self, run: Run, state: dict[str, Any]) -> None:
        super().resume(run, state)
        self.compressor.load_state_dict(state["compressor"])

    def _enter(self, run: Run) -> None:
        super()._enter(run)
        self.compressor = Compressor(run.model, self.sets(run), self.options.regulation())

    def decay(self, epoch: float) -> float:
        if self.options.decay == "constant":
            return 1.0
        if self.options.decay == "cosine":
            return super().decay(epoch)
        return periodic(epoch / self.options.epochs % 1.0)

    def before_step(self) -> None:
        self.compressor.add_penalty_gradient()

    def end_epoch(self, run: Run, epoch: int) -> None:
        self.rho = self.compressor.rho
        if (epoch + 1) % self.options.epochs == 0:
            run.residuals = self.compressor.step()

    def end(self, run: Run) -> None:
        self.compressor.convert()

    def state(self) -> dict[str, Any]:
        return {**super().state(), "compressor": self.compressor.state_dict()}


class PruneStage(AdmmStage):
    """ADMM of one progressive step: sparsity, and levels as a second constraint where the step is joint."""

    def __init__(self, index: int, step: Step) -> None:
        super().__init__(f"admm {index + 1}", step.admm)
        self.index, self.step = index, step

    def sets(self, run: Run) -> dict[str, tuple[ConstraintSet, ...]]:
        chosen: dict[str, tuple[ConstraintSet, ...]] = {
            name: (run.with_zeros(name, one),) for name, one in run.sparsity(self.index).items()
        }
        if self.step.joint:
            for name, levels in run.levels().items():
                chosen[name] = (*chosen.get(name, ()), run.with_zeros(name, levels))
        return chosen


class RetrainStage(Stage):
    """Masked mapping, purification, masked retraining."""

    def __init__(self, index: int, step: Step, last: bool) -> None:
        super().__init__(f"retrain {index + 1}", step.retrain.epochs, step.retrain.learning_rate)
        self.index, self.step = index, step
        self.milestone = "pruned" if last else f"pruned-{index + 1}"

    def begin(self, run: Run) -> None:
        sets = run.sparsity(self.index)
        layers = weighted_layers(run.model)
        with torch.no_grad():
            for name, one in sets.items():
                weight = layers[name].weight
                weight.copy_(run.with_zeros(name, one).project(weight.detach()))
        for name, count in structure.purify(run.model, run.example, self.step.purify, list(sets)).items():
            run.removed[name] = run.removed.get(name, 0) + count
        if self.step.purify.compact:
            structure.compact(run.model, run.example)
        run._place()
        touched = [
            name for name, layer in layers.items() if name in sets or bool((layer.weight == 0).any()) or run.removed
        ]
        masks = Masks.of_zeros(run.model, [f"{name}.weight" for name in touched]).masks
        run.masks = Masks(run.model, {**masks, **structure.held_at_zero(run.model, run.example)})
        super().begin(run)


class LevelsStage(AdmmStage):
    """ADMM of one group of layers towards their quantization levels, the zero mask frozen."""

    def __init__(self, name: str, options: Admm, group: tuple[str, ...]) -> None:
        super().__init__(name, options)
        self.group = group

    def sets(self, run: Run) -> dict[str, tuple[ConstraintSet, ...]]:
        return {
            name: (run.with_zeros(name, one),)
            for name, one in run.levels().items()
            if not self.group or name in self.group
        }


class SnapStage(Stage):
    """Weights nearest to a level are snapped and frozen, the rest retrained, and so on; then the remainder."""

    def __init__(self, name: str, rounds: tuple[float, ...], phase: Phase, group: tuple[str, ...], last: bool) -> None:
        super().__init__(name, len(rounds) * phase.epochs, phase.learning_rate)
        self.rounds, self.each, self.group = rounds, phase.epochs, group
        self.milestone = "quantized" if last else ""
        self.scales: dict[str, Tensor] = {}

    def begin(self, run: Run) -> None:
        super().begin(run)
        self._choose(run)
        self.scales = {name: levels.fit(self.layers[name].weight) for name, levels in self.chosen.items()}
        if self.epochs:
            self._snap(run, self.rounds[0])

    def resume(self, run: Run, state: dict[str, Any]) -> None:
        super().resume(run, state)
        self._choose(run)
        self.scales = {name: scale.to(run.target) for name, scale in state["scales"].items()}

    def _choose(self, run: Run) -> None:
        self.layers = weighted_layers(run.model)
        self.chosen = {name: one for name, one in run.levels().items() if not self.group or name in self.group}

    def end_epoch(self, run: Run, epoch: int) -> None:
        if (epoch + 1) % self.each == 0 and epoch + 1 < self.epochs:
            self._snap(run, self.rounds[(epoch + 1) // self.each])

    def end(self, run: Run) -> None:
        self._snap(run, 1.0)

    @torch.no_grad()
    def _snap(self, run: Run, share: float) -> None:
        """Snap and freeze every weight of which the distance to its level is within `share` of the level's cell."""
        masks, values = dict(run.masks.masks), dict(run.masks.values)
        for name, levels in self.chosen.items():
            key, weight = f"{name}.weight", self.layers[name].weight
            target = levels.quantize(weight, self.scales[name])
            scale = self.scales[name].reshape(-1, *([1] * (weight.dim() - 1)))
            near = (weight - target).abs() <= share * scale / 2
            if share >= 1.0:
                near = torch.ones_like(near)
            free = masks.get(key, torch.ones_like(near))
            snapped = near & free
            values[key] = torch.where(snapped, target, values.get(key, torch.zeros_like(weight)))
            masks[key] = free & ~near
        run.masks = Masks(run.model, masks, values)
        run.masks.apply()

    def state(self) -> dict[str, Any]:
        return {**super().state(), "scales": self.scales}


class ActivationStage(Stage):
    """Quantization-aware fine-tuning: weights stay on their levels (8 bits where the recipe names none)."""

    milestone = "activations"
    freezes_normalization = True

    def __init__(self, recipe: Recipe) -> None:
        super().__init__("activations", recipe.activations.epochs, recipe.activations.learning_rate)

    def begin(self, run: Run) -> None:
        options = run.recipe.activations
        levels = run.levels()
        with torch.no_grad():
            for name, layer in weighted_layers(run.model).items():
                if name not in levels:
                    layer.weight.copy_(Bits(8, zero=True).project(layer.weight.detach()))
        run.quantize_activations()
        activation.calibrate(run.model, run.data.train_images[: options.images], options.percentile)
        held = {f"{name}.weight": layer.weight.detach() for name, layer in weighted_layers(run.model).items()}
        others = {name: mask for name, mask in run.masks.masks.items() if name not in held}
        run.masks = Masks(
            run.model, {**others, **{name: torch.zeros_like(one, dtype=torch.bool) for name, one in held.items()}}, held
        )
        super().begin(run)


def plan(recipe: Recipe) -> list[Stage]:
    """The stages of a recipe, in order."""
    stages: list[Stage] = []
    if recipe.pretrain.epochs:
        stages.append(Stage("pretrain", recipe.pretrain.epochs, recipe.pretrain.learning_rate))
        stages[-1].milestone = "float"
    for index, step in enumerate(recipe.steps):
        stages += [PruneStage(index, step), RetrainStage(index, step, index + 1 == len(recipe.steps))]
    if recipe.quantize.layers:
        groups = recipe.quantize.order or ((),)
        for number, group in enumerate(groups):
            suffix = f" {number + 1}" if len(groups) > 1 else ""
            stages.append(LevelsStage(f"levels{suffix}", recipe.quantize.admm, group))
            stages.append(
                SnapStage(
                    f"snap{suffix}", recipe.quantize.rounds, recipe.quantize.retrain, group, number + 1 == len(groups)
                )
            )
    stages.append(ActivationStage(recipe))
    return stages


def plain_state(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict of the module without activation quantizers."""
    inserted = tuple(f"{name}." for name in activation.quantizers(model))
    state = model.state_dict()
    return {name: tensor for name, tensor in state.items() if not (inserted and name.startswith(inserted))}


def traced(run: Run) -> fx.GraphModule:
    """The finished model as the graph that `export` walks."""
    assert isinstance(run.model, fx.GraphModule)
    return run.model
