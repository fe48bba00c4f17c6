"""Recipes: TOML files that say what to prune and quantize and how to train, checked as a whole before anything runs."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from admmfpga.compress import sets
from admmfpga.compress.levels import Binary, Bits, LevelSet, Ternary
from admmfpga.compress.regulation import Constant, Continuous, Regulation, Staged
from admmfpga.errors import UserError


@dataclass(frozen=True)
class Train:
    """How every phase trains, unless the phase says otherwise.

    Attributes:
        batch_size: images a step.
        optimizer: "adam" or "sgd".
        learning_rate: base rate.
        momentum: of sgd.
        weight_decay: L2, added to the gradient.
        label_smoothing: 0 to 1.
        shift: augmentation, each training image moved by up to this many pixels each way, zeros shifted in.
        flip: augmentation, half of the training images mirrored left to right.
        precision: "float32", or "bfloat16" for the matrix products of training; evaluation is always float32.
        seed: of shuffling, augmentation and initial weights.
    """

    batch_size: int = 128
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    shift: int = 0
    flip: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0


@dataclass(frozen=True)
class Distill:
    """A trained network teaches (the one that the run starts from, unless the command names another): its softened
    outputs are a part of the loss of every phase.

    Attributes:
        weight: of that part, 0 to 1; 0 is plain training.
        temperature: both outputs are divided by it before softmax.
    """

    weight: float = 0.0
    temperature: float = 4.0


@dataclass(frozen=True)
class Phase:
    """Plain training, with the cosine schedule down to zero over all its epochs."""

    epochs: int = 0
    learning_rate: float | None = None


@dataclass(frozen=True)
class Admm:
    """The ADMM iterations of one step.

    Attributes:
        iterations: Z/U updates.
        epochs: between two of them.
        learning_rate: base rate; 0.1 after 1/3 and 2/3 of every iteration ("periodic"), or cosine over all of them.
        decay: "periodic", "cosine" or "constant".
        schedule: "staged", "continuous" or "constant" rho.
        rho: first value.
        factor: of staged (default 10) and continuous (default 1.3).
        stages: of staged; they share the iterations equally.
        limit: of continuous.
    """

    iterations: int = 0
    epochs: int = 1
    learning_rate: float | None = None
    decay: Literal["periodic", "cosine", "constant"] = "periodic"
    schedule: Literal["staged", "continuous", "constant"] = "continuous"
    rho: float = 1e-3
    factor: float | None = None
    stages: int = 4
    limit: float = math.inf

    def regulation(self) -> Regulation:
        match self.schedule:
            case "staged":
                return Staged(self.rho, self.factor or 10.0, max(1, -(-self.iterations // self.stages)))
            case "continuous":
                return Continuous(self.rho, self.factor or 1.3, self.limit)
            case _:
                return Constant(self.rho)


@dataclass(frozen=True)
class Purify:
    """Network purification after an ADMM step.

    Attributes:
        rows, columns: a row (column) of the GEMM matrix whose L2 norm is below this share of the layer's mean over rows
            (columns) that are kept is removed; 0 removes none.
        paths: unused path removal: filters that nobody reads, inputs that nobody writes.
        compact: the removed filters leave the tensors, not only their values.
    """

    rows: float = 0.0
    columns: float = 0.0
    paths: bool = False
    compact: bool = False


@dataclass(frozen=True)
class Sparsity:
    """What one layer keeps. Exactly one of `keep` (share 0..1), `rate` (1 or more) and `count` (a number), or `rows`
    and `columns` for filter-and-shape.

    Attributes:
        kind: the constraint set.
        keep, rate, count: how much stays, of the set's own units (weights, filters, channels, columns, blocks).
        rows, columns: of filter-and-shape; a share (float) or a number (int).
        height: rows that share an index (row-blocked).
        groups: of balanced; `count` is over all groups.
        width: columns of a channel, where a fully connected layer reads a flattened tensor.
    """

    kind: Literal[
        "none", "non-structured", "filter", "channel", "filter-shape", "filter-and-shape", "row-blocked", "balanced"
    ]
    keep: float | None = None
    rate: float | None = None
    count: int | None = None
    rows: float | int | None = None
    columns: float | int | None = None
    height: int = 2
    groups: int = 1
    width: int = 0

    def resolve(self, shape: torch.Size) -> sets.ConstraintSet | None:
        """The constraint set for a weight of this shape; None where nothing is pruned."""
        rows, columns = shape[0], math.prod(shape[1:])
        match self.kind:
            case "none":
                return None
            case "non-structured":
                return sets.NonStructured(self._number(rows * columns))
            case "filter":
                return sets.Filter(self._number(rows))
            case "channel":
                width = self.width or max(1, columns // shape[1])
                return sets.Channel(self._number(columns // width), width)
            case "filter-shape":
                return sets.FilterShape(self._number(columns))
            case "filter-and-shape":
                assert self.rows is not None
                assert self.columns is not None
                return sets.filter_and_shape(_number(self.rows, rows), _number(self.columns, columns))
            case "row-blocked":
                return sets.RowBlocked(self._number(-(-rows // self.height) * columns), self.height)
            case "balanced":
                return sets.Balanced(max(1, self._number(rows * columns) // self.groups), self.groups)

    def _number(self, total: int) -> int:
        if self.count is not None:
            return min(total, self.count)
        return _number(self.keep if self.keep is not None else 1 / typing.cast(float, self.rate), total)

    def problems(self) -> list[str]:
        """What is wrong with it, in words."""
        if self.kind == "none":
            return []
        found = []
        given = [name for name in ("keep", "rate", "count") if getattr(self, name) is not None]
        if self.kind == "filter-and-shape":
            if self.rows is None or self.columns is None or given:
                found.append('kind "filter-and-shape" takes rows and columns, and no keep, rate or count')
        elif len(given) != 1 or self.rows is not None or self.columns is not None:
            found.append(f'kind "{self.kind}" takes exactly one of keep, rate and count')
        if self.keep is not None and not 0 < self.keep <= 1:
            found.append(f"keep is {self.keep}, not in 0..1")
        if self.rate is not None and not self.rate >= 1:
            found.append(f"rate is {self.rate}, not 1 or more")
        if self.count is not None and self.count < 1:
            found.append(f"count is {self.count}, not 1 or more")
        for name in ("rows", "columns"):
            value = getattr(self, name)
            if isinstance(value, float) and not 0 < value <= 1:
                found.append(f"{name} is {value}: a share in 0..1 or a whole number of 1 or more")
            if isinstance(value, int) and value < 1:
                found.append(f"{name} is {value}: a share in 0..1 or a whole number of 1 or more")
        for name in ("height", "groups"):
            if getattr(self, name) < 1:
                found.append(f"{name} is {getattr(self, name)}, not 1 or more")
        return found


@dataclass(frozen=True)
class Levels:
    """Levels of one layer's weights.

    Attributes:
        kind: "bits", "binary" or "ternary".
        bits: of "bits", 2 to 8.
        zero: weights may be rounded to zero; without it zero means pruned.
        per_row: a scale for each output channel instead of one for the layer.
    """

    kind: Literal["bits", "binary", "ternary"] = "bits"
    bits: int = 8
    zero: bool = False
    per_row: bool = False

    def resolve(self) -> LevelSet:
        match self.kind:
            case "binary":
                return Binary(self.per_row)
            case "ternary":
                return Ternary(self.per_row)
            case _:
                return Bits(self.bits, self.zero, self.per_row)

    def problems(self) -> list[str]:
        return [f"bits is {self.bits}, not 2 to 8"] if self.kind == "bits" and not 2 <= self.bits <= 8 else []


@dataclass(frozen=True)
class Budget:
    """Rates found automatically: a total for the network, shared by sensitivity.

    Attributes:
        kind: constraint set of every layer, one of those that take `keep`.
        rate: weights of the network / weights that stay.
        first_layer: the first layer's rate is at most this.
        spread: no layer's rate is more than this times what the same rate for all (but the first) would be. The measure
            is local; without a bound it empties whole layers, and no retraining brings them back.
        images: training images that the sensitivity is measured on.
        skip: layers that are not pruned.
    """

    kind: Literal["non-structured", "filter", "channel", "filter-shape", "row-blocked", "balanced"] = "non-structured"
    rate: float = 2.0
    first_layer: float = 2.0
    spread: float = 4.0
    images: int = 2000
    skip: tuple[str, ...] = ()

    def sparsity(self, share: float) -> Sparsity:
        """What one layer keeps for its share."""
        return Sparsity(self.kind, keep=share)


@dataclass(frozen=True)
class Step:
    """One step of progressive compression: ADMM, mapping, purification, retraining. Zeros of earlier steps stay.

    Attributes:
        layers: sparsity by layer; layers that are not named keep what they have.
        budget: or a total, shared automatically.
        joint: the levels of `quantize` are a second constraint of the same ADMM.
    """

    admm: Admm = Admm()
    retrain: Phase = Phase()
    purify: Purify = Purify()
    layers: Mapping[str, Sparsity] = field(default_factory=dict)
    budget: Budget | None = None
    joint: bool = False


@dataclass(frozen=True)
class Quantize:
    """Quantization of weights, the zero mask frozen.

    Attributes:
        layers: levels by layer; "*" is every weighted layer that is not named.
        admm: ADMM towards the levels.
        rounds: share of each level's cell that is snapped and frozen before each round of retraining; the remainder
            is snapped after the last.
        retrain: epochs of one round.
        order: groups of layers, quantized one group after the other (middle layers first, then first and last); empty
            takes all at once.
    """

    layers: Mapping[str, Levels] = field(default_factory=dict)
    admm: Admm = Admm()
    rounds: tuple[float, ...] = ()
    retrain: Phase = Phase()
    order: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Activations:
    """Quantization-aware fine-tuning of activations.

    Attributes:
        bits: of every activation, 2 to 8.
        epochs: fine-tuning with fixed weight levels: biases, normalization and clipping are learned.
        learning_rate: base rate, cosine.
        images: training images that calibrate the clipping.
        percentile: of the activations that the calibrated clipping keeps.
        learned: the clipping is trained too.
    """

    bits: int = 8
    epochs: int = 0
    learning_rate: float | None = None
    images: int = 2000
    percentile: float = 99.99
    learned: bool = True


@dataclass(frozen=True)
class Recipe:
    """One compression run.

    Attributes:
        name: of the run, shown in the summary.
        train: defaults of all training.
        distill: what a teacher adds to the loss.
        pretrain: before anything else; 0 epochs for a model that comes trained.
        steps: of progressive pruning, in order.
        quantize: weights, after pruning.
        activations: after the weights.
    """

    name: str = "compress"
    train: Train = Train()
    distill: Distill = Distill()
    pretrain: Phase = Phase()
    steps: tuple[Step, ...] = ()
    quantize: Quantize = Quantize()
    activations: Activations = Activations()

    def problems(self) -> list[str]:
        """What is out of range, in words, with the key."""
        found: list[str] = []
        ranges: list[tuple[str, float | None, float, float]] = [
            ("train.batch_size", self.train.batch_size, 1, 1 << 20),
            ("train.label_smoothing", self.train.label_smoothing, 0, 0.99),
            ("train.momentum", self.train.momentum, 0, 0.9999),
            ("train.weight_decay", self.train.weight_decay, 0, 1),
            ("train.shift", self.train.shift, 0, 64),
            ("distill.weight", self.distill.weight, 0, 1),
            ("distill.temperature", self.distill.temperature, 0.1, 1000),
            ("activations.bits", self.activations.bits, 2, 8),
            ("activations.percentile", self.activations.percentile, 50, 100),
            ("activations.images", self.activations.images, 1, 1 << 31),
            ("train.learning_rate", self.train.learning_rate, 1e-12, 100),
            ("activations.learning_rate", self.activations.learning_rate, 1e-12, 100),
            ("activations.epochs", self.activations.epochs, 0, 1 << 20),
        ]
        phases = [("pretrain", self.pretrain), ("quantize.retrain", self.quantize.retrain)]
        admms = [("quantize.admm", self.quantize.admm)]
        for index, step in enumerate(self.steps):
            phases.append((f"steps[{index}].retrain", step.retrain))
            admms.append((f"steps[{index}].admm", step.admm))
            for layer, sparsity in step.layers.items():
                found += [f"steps[{index}].layers.{layer}: {problem}" for problem in sparsity.problems()]
            if step.budget is not None:
                ranges.append((f"steps[{index}].budget.rate", step.budget.rate, 1, 1e9))
                ranges.append((f"steps[{index}].budget.first_layer", step.budget.first_layer, 1, 1e9))
                ranges.append((f"steps[{index}].budget.spread", step.budget.spread, 1, 1e9))
            for name in ("rows", "columns"):
                ranges.append((f"steps[{index}].purify.{name}", getattr(step.purify, name), 0, 1))
        for name, phase in phases:
            ranges.append((f"{name}.epochs", phase.epochs, 0, 1 << 20))
            ranges.append((f"{name}.learning_rate", phase.learning_rate, 1e-12, 100))
        for name, admm in admms:
            ranges.append((f"{name}.iterations", admm.iterations, 0, 1 << 20))
            ranges.append((f"{name}.epochs", admm.epochs, 1, 1 << 20))
            ranges.append((f"{name}.rho", admm.rho, 1e-12, 1e6))
            ranges.append((f"{name}.factor", admm.factor, 1, 1e6))
            ranges.append((f"{name}.stages", admm.stages, 1, 1 << 20))
            ranges.append((f"{name}.learning_rate", admm.learning_rate, 1e-12, 100))
        for layer, levels in self.quantize.layers.items():
            found += [f"quantize.layers.{layer}: {problem}" for problem in levels.problems()]
        found += [
            f"quantize.rounds holds {share}, not in 0..1" for share in self.quantize.rounds if not 0 <= share <= 1
        ]
        found += [
            f"{name} is {value}, not in {low:g}..{high:g}"
            for name, value, low, high in ranges
            if value is not None and not low <= value <= high
        ]
        return found

    def layers(self) -> dict[str, str]:
        """Every layer that the recipe names, with the key that names it first."""
        named: dict[str, str] = {}
        for index, step in enumerate(self.steps):
            for layer in step.layers:
                named.setdefault(layer, f"steps[{index}].layers")
            for layer in step.budget.skip if step.budget else ():
                named.setdefault(layer, f"steps[{index}].budget.skip")
        for layer in self.quantize.layers:
            if layer != "*":
                named.setdefault(layer, "quantize.layers")
        for group in self.quantize.order:
            for layer in group:
                named.setdefault(layer, "quantize.order")
        return named

    def levels(self, model: nn.Module) -> dict[str, LevelSet]:
        """Level sets of the weighted layers that are quantized, in the model's order."""
        chosen = {}
        for name in weighted_layers(model):
            levels = self.quantize.layers.get(name, self.quantize.layers.get("*"))
            if levels is not None:
                chosen[name] = levels.resolve()
        return chosen


def weighted_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Convolutions and fully connected layers by path, in the model's order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)}


def load(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        UserError: not TOML, or any key or value is wrong; all of them are listed at once.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read the recipe {path}: {error.strerror}") from error
    return parse(text, str(path))


def parse(text: str, source: str = "recipe") -> Recipe:
    """As `load`, from text."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source} is not TOML: {error}") from error
    recipe, problems = from_table(table)
    refuse(source, problems)
    assert recipe is not None
    return recipe


def from_table(table: dict[str, Any]) -> tuple[Recipe | None, list[str]]:
    """The recipe of a TOML table, and what is wrong with it; None where keys or types are."""
    problems: list[str] = []
    recipe = build(Recipe, table, "", problems)
    if recipe is not None:
        problems += recipe.problems()
    return recipe, problems


def check(recipe: Recipe, model: nn.Module, source: str = "recipe") -> None:
    """Check a recipe against the model it is for.

    Raises:
        UserError: it names layers that do not exist, or prunes a binary layer; all problems are listed at once.
    """
    refuse(source, misfits(recipe, model))


def misfits(recipe: Recipe, model: nn.Module) -> list[str]:
    """What `check` refuses, in words."""
    layers = weighted_layers(model)
    problems = []
    for name, key in recipe.layers().items():
        if name not in layers:
            close = difflib.get_close_matches(name, layers, 1)
            meant = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(layers)}"
            problems.append(f"{key}: the model has no layer {name}{meant}")
    for name, levels in recipe.quantize.layers.items():
        pruned = any(
            step.budget is not None or step.layers.get(name, Sparsity("none")).kind != "none" for step in recipe.steps
        )
        if levels.kind == "binary" and pruned:
            problems.append(f"quantize.layers.{name}: a binary layer has no zeros, so it cannot be pruned too")
    return problems


def refuse(source: str, problems: list[str]) -> None:
    """Raise one UserError with all problems; nothing without any."""
    if problems:
        count = f"{len(problems)} mistakes" if len(problems) > 1 else "a mistake"
        raise UserError(
            f"{source} has {count}: " + "; ".join(problems), hint="every key is described in docs/compress.md"
        )


def build(kind: Any, value: Any, path: str, problems: list[str]) -> Any:
    """A dataclass from a TOML table.

    Args:
        kind: the dataclass; its fields' annotations say what is taken.
        path: of the table, for messages.
        problems: receives every unknown key and wrong type, instead of stopping at the first.

    Returns:
        The object; None where there was a problem.
    """
    if not isinstance(value, dict):
        problems.append(f"{path or 'the recipe'} must be a table")
        return None
    hints = typing.get_type_hints(kind)
    names = [one.name for one in dataclasses.fields(kind)]
    fields: dict[str, Any] = {}
    good = True
    for key, entry in value.items():
        where = f"{path}.{key}" if path else key
        if key not in names:
            close = difflib.get_close_matches(key, names, 1)
            problems.append(f"unknown key {where}" + (f" (did you mean {close[0]}?)" if close else ""))
            continue
        before = len(problems)
        fields[key] = _value(hints[key], entry, where, problems)
        good = good and len(problems) == before
    required = [
        one.name
        for one in dataclasses.fields(kind)
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]
    for name in required:
        if name not in value:
            problems.append(f"{path} needs the key {name}")
            good = False
    return kind(**fields) if good else None


def _value(hint: Any, value: Any, path: str, problems: list[str]) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return build(hint, value, path, problems)
    if origin is types.UnionType or origin is typing.Union:
        options = [one for one in arguments if one is not type(None)]
        if len(options) == 1:
            return _value(options[0], value, path, problems)
        if type(value) in options:
            return value
        problems.append(f"{path} is {value!r}, not {' or '.join(_NAMES[one] for one in options)}")
        return None
    if origin is Literal:
        if value not in arguments:
            problems.append(f"{path} is {value!r}, not one of {', '.join(arguments)}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            problems.append(f"{path} must be an array")
            return ()
        return tuple(_value(arguments[0], one, f"{path}[{index}]", problems) for index, one in enumerate(value))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            problems.append(f"{path} must be a table")
            return {}
        return {key: _value(arguments[1], one, f"{path}.{key}", problems) for key, one in value.items()}
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        problems.append(f"{path} is {value!r}, not {_NAMES[hint]}")
    return value


_NAMES: dict[Callable[..., Any], str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a string",
}


def _number(amount: float | int, total: int) -> int:
    """A share (float) or a number (int) of `total`, at least 1 and never more than the share allows."""
    return min(total, amount) if isinstance(amount, int) else max(1, math.floor(total * amount + 1e-9))
