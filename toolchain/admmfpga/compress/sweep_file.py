"""Sweep files: a recipe, which of its keys vary, and what is sought; checked as a whole before anything runs."""

from __future__ import annotations

import copy
import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn

from admmfpga.compress import recipe
from admmfpga.errors import UserError

Value = int | float | str | bool
DIRECTIONS = {"accuracy": "maximize", "rate": "maximize", "weights": "minimize", "storage": "minimize"}
"""Objectives: percent of the integer network, weights of the network / weights left, weights left, and bits of every
layer in its smallest weight format, indices included."""


@dataclass(frozen=True)
class Parameter:
    """Values of one key of the recipe: `choices`, or `low` to `high`.

    Attributes:
        low, high: both included; whole numbers give whole numbers.
        step: between values; not together with `log`.
        log: uniform in the logarithm.
        choices: numbers, strings or truth values.
    """

    low: float | int | None = None
    high: float | int | None = None
    step: float | int | None = None
    log: bool = False
    choices: tuple[int | float | str | bool, ...] = ()

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def extremes(self) -> tuple[Value, ...]:
        """Values that a recipe is checked with: all choices, or both ends."""
        if self.choices or self.low is None or self.high is None:
            return self.choices
        return (self.low, self.high)

    def problems(self) -> list[str]:
        """What is wrong with it, in words."""
        if self.choices:
            ranged = self.low is not None or self.high is not None or self.step is not None or self.log
            return ["takes choices, or low and high, not both"] if ranged else []
        if self.low is None or self.high is None:
            return ["takes choices, or low and high"]
        found = []
        if self.low > self.high:
            found.append(f"low is {self.low}, above high, {self.high}")
        if self.step is not None and (self.step <= 0 or (self.whole and not isinstance(self.step, int))):
            found.append(f"step is {self.step}, not {'a whole number of 1 or more' if self.whole else 'above 0'}")
        if self.log and self.step is not None:
            found.append("takes step or log, not both")
        if self.log and self.low <= 0:
            found.append(f"low is {self.low}, not above 0, with log")
        return found


@dataclass(frozen=True)
class Pruner:
    """Which trials are given up before their end, by the accuracy on the test set after each epoch.

    Attributes:
        kind: "median" gives up what is below the median of the earlier trials at the same epoch (only with accuracy as
            the one objective); "threshold" what is below `below`.
        warmup: epochs of each trial without giving up.
        startup: of "median": trials that are run to the end first.
        below: of "threshold", percent.
    """

    kind: Literal["none", "median", "threshold"] = "none"
    warmup: int = 0
    startup: int = 5
    below: float = 0.0


@dataclass(frozen=True)
class Sweep:
    """A search over recipes.

    Attributes:
        recipe: file of the recipe that the parameters change, relative to the sweep file.
        name: of the study.
        trials: how many; may be raised later to go on.
        seed: of the sampler. Every trial trains with the recipe's own seed.
        sampler: "tpe" (tree-structured Parzen estimator) or "random".
        startup: of "tpe": trials that are drawn at random first.
        objectives: one, or several for a Pareto front; see `DIRECTIONS`.
        least_accuracy: percent; the best recipe is the one that reaches it and is best in the other objectives, in
            their order. Without it, the one that is best in the objectives in their order.
        pruner: which trials are given up.
    """

    recipe: str
    name: str = "sweep"
    trials: int = 20
    seed: int = 0
    sampler: Literal["tpe", "random"] = "tpe"
    startup: int = 10
    objectives: tuple[Literal["accuracy", "rate", "weights", "storage"], ...] = ("accuracy", "storage")
    least_accuracy: float | None = None
    pruner: Pruner = Pruner()

    def problems(self) -> list[str]:
        """What is out of range, in words, with the key."""
        found = []
        if not self.objectives or len(set(self.objectives)) != len(self.objectives):
            found.append("objectives must name at least one, each once")
        if self.pruner.kind == "median" and self.objectives != ("accuracy",):
            found.append('pruner.kind "median" takes objectives = ["accuracy"]; with others use "threshold"')
        if self.least_accuracy is not None and "accuracy" not in self.objectives:
            found.append("least_accuracy needs accuracy among the objectives")
        ranges: list[tuple[str, float | None, float, float]] = [
            ("trials", self.trials, 1, 1 << 20),
            ("seed", self.seed, 0, 2**31 - 1),
            ("startup", self.startup, 1, 1 << 20),
            ("least_accuracy", self.least_accuracy, 0, 100),
            ("pruner.warmup", self.pruner.warmup, 0, 1 << 20),
            ("pruner.startup", self.pruner.startup, 0, 1 << 20),
            ("pruner.below", self.pruner.below, 0, 100),
        ]
        return found + [
            f"{name} is {value}, not in {low:g}..{high:g}"
            for name, value, low, high in ranges
            if value is not None and not low <= value <= high
        ]


@dataclass(frozen=True)
class SweepFile:
    """A sweep that has been read.

    Attributes:
        sweep: its options.
        parameters: by their path in the recipe, written as a TOML key; whole numbers count entries of arrays.
        paths: the same paths, split.
        base: the recipe's table.
    """

    sweep: Sweep
    parameters: Mapping[str, Parameter]
    paths: Mapping[str, tuple[str, ...]]
    base: Mapping[str, Any] = field(default_factory=dict)

    def table(self, values: Mapping[str, Value]) -> dict[str, Any]:
        """The recipe's table with these values of the parameters."""
        made = copy.deepcopy(dict(self.base))
        for name, value in values.items():
            _set(made, self.paths[name], value)
        return made

    def recipe(self, values: Mapping[str, Value]) -> recipe.Recipe:
        """The recipe with these values.

        Raises:
            UserError: together they make none.
        """
        made, problems = recipe.from_table(self.table(values))
        recipe.refuse(json.dumps(dict(values)), problems)
        assert made is not None
        return made

    def identity(self) -> str:
        """What makes two sweeps the same study: everything but the number of trials."""
        options = {**dataclasses.asdict(self.sweep), "trials": 0}
        parameters = {name: dataclasses.asdict(one) for name, one in self.parameters.items()}
        return json.dumps([options, parameters, self.base], sort_keys=True, default=str)


def load(path: Path, model: nn.Module) -> SweepFile:
    """Read a sweep file and the recipe it names, and check both against the model.

    Every parameter is tried at its ends (or with all its choices), the others at their first value.

    Raises:
        UserError: a file cannot be read, or anything in it is wrong; all mistakes are listed at once.
    """
    table = _toml(path, "sweep file")
    problems: list[str] = []
    given = table.pop("parameters", {})
    sweep = recipe.build(Sweep, table, "", problems)
    if sweep is not None:
        problems += sweep.problems()
    parameters: dict[str, Parameter] = {}
    paths: dict[str, tuple[str, ...]] = {}
    if not isinstance(given, dict) or not given:
        problems.append("the table [parameters] names no key of the recipe")
    else:
        _collect(given, (), parameters, paths, problems)
    named = table.get("recipe")
    base: dict[str, Any] = {}
    if isinstance(named, str):
        try:
            base = _toml(path.parent / named, "recipe")
        except UserError as error:
            problems.append(str(error))
        else:
            problems += _tried(SweepFile(Sweep(named), parameters, paths, base), model)
    recipe.refuse(str(path), problems)
    assert sweep is not None
    return SweepFile(sweep, parameters, paths, base)


def _toml(path: Path, what: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read the {what} {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not TOML: {error}") from error


def _collect(
    table: dict[str, Any],
    path: tuple[str, ...],
    parameters: dict[str, Parameter],
    paths: dict[str, tuple[str, ...]],
    problems: list[str],
) -> None:
    """Parameters out of nested tables: one that holds anything but tables is a parameter."""
    for key, entry in table.items():
        here = (*path, key)
        name = ".".join(one if one.replace("-", "").replace("_", "").isalnum() else json.dumps(one) for one in here)
        if isinstance(entry, dict) and entry and all(isinstance(one, dict) for one in entry.values()):
            _collect(entry, here, parameters, paths, problems)
            continue
        one = recipe.build(Parameter, entry, f"parameters.{name}", problems)
        if one is not None:
            found = one.problems()
            problems += [f"parameters.{name}: {problem}" for problem in found]
            if not found:
                parameters[name], paths[name] = one, here


def _tried(file: SweepFile, model: nn.Module) -> list[str]:
    """What is wrong with the recipes that the parameters give."""
    usable = {}
    problems = []
    for name, parameter in file.parameters.items():
        try:
            file.table({name: parameter.extremes()[0]})
        except LookupError as error:
            problems.append(f"parameters.{name}: {error.args[0]}")
        else:
            usable[name] = parameter
    first = {name: parameter.extremes()[0] for name, parameter in usable.items()}
    made, structural = recipe.from_table(file.table(first))
    if made is None:
        # Ranges are checked in a recipe of the right form only: leave out what spoils it.
        problems += structural
        for name in list(usable):
            without = {other: value for other, value in first.items() if other != name}
            if len(recipe.from_table(file.table(without))[1]) < len(structural):
                del usable[name]
        first = {name: first[name] for name in usable}
    common = _wrong(file.table(first), model)
    problems += [one for one in common if one not in problems]
    for name, parameter in usable.items():
        for value in parameter.extremes()[1:]:
            found = _wrong(file.table({**first, name: value}), model)
            problems += [f"with {name} = {value!r}: {one}" for one in found if one not in common]
    return problems


def _wrong(table: dict[str, Any], model: nn.Module) -> list[str]:
    made, problems = recipe.from_table(table)
    return problems if made is None else problems + recipe.misfits(made, model)


def _set(table: dict[str, Any], path: tuple[str, ...], value: Value) -> None:
    """Set a value deep in a table; whole numbers index arrays, missing tables are made.

    Raises:
        LookupError: the path leads through something that is neither, or behind an array's end.
    """
    at: Any = table
    for index, key in enumerate(path):
        last = index + 1 == len(path)
        where = ".".join(path[:index]) or "the recipe"
        if isinstance(at, list):
            if not key.isdigit() or int(key) >= len(at):
                raise LookupError(f"{where} has {len(at)} entries, counted from 0, and none is {key}")
            if last:
                at[int(key)] = value
            else:
                at = at[int(key)]
        elif isinstance(at, dict):
            if last:
                at[key] = value
            else:
                at = at.setdefault(key, {})
        else:
            raise LookupError(f"{where} is {at!r}, not a table")
