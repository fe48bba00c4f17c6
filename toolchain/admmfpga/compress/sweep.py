"""Search over recipes: Optuna chooses the parameters, every trial is a run in a folder of its own, Ray may spread them.

The study is kept in SQLite in the output folder. An interrupted sweep goes on: what was running is tried again with the
same parameters, from its last checkpoint. Every trial has a sampler seeded by the sweep's seed and the trial's number,
so a sweep of one worker that was interrupted ends as one that was not.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import onnx
import torch
from onnx import numpy_helper

from admmfpga.atomic import atomic_write
from admmfpga.compress import data as datas
from admmfpga.compress import finish, loop, recipe, source
from admmfpga.compress.sweep_file import DIRECTIONS, Parameter, Pruner, SweepFile, Value
from admmfpga.errors import UserError
from admmfpga.packing import sizes

STUDY = "sweep"
DATABASE = "sweep.db"


@dataclass(frozen=True)
class Job:
    """One trial, in words that travel to another machine.

    Attributes:
        number: of the trial.
        model, data, weights: as on the command line of `compress`.
        table: of the recipe.
        folder: of the run; on a file system that all machines share.
        device, threads: of torch.
        pruner: of the sweep; "median" is the driver's, through the watcher.
    """

    number: int
    model: str
    data: str
    weights: str | None
    table: dict[str, Any]
    folder: str
    device: str = ""
    threads: int = 1
    pruner: Pruner = field(default_factory=Pruner)


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: "complete", "pruned" (given up) or "failed".
        measures: every objective by name, where it is complete.
        seconds: of the run.
        message: why it failed.
    """

    state: str
    measures: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    message: str = ""


Watcher = Callable[[loop.Progress], bool]
"""Called after every epoch; answers whether the trial is given up."""


class Executor(Protocol):
    """Where trials run."""

    slots: int

    def submit(self, job: Job, watch: Watcher) -> None:
        """Take a trial; never more than `slots` that have not come back."""
        ...

    def wait(self) -> tuple[int, Outcome]:
        """The number and the outcome of a trial that has ended."""
        ...


class GivenUp(Exception):
    """Leaves a run in the middle."""


def execute(job: Job, watch: Watcher = lambda _: False) -> Outcome:
    """Run one trial in this process."""

    def show(progress: loop.Progress) -> None:
        low = job.pruner.kind == "threshold" and progress.accuracy < job.pruner.below
        if watch(progress) or (low and progress.epoch > job.pruner.warmup):
            raise GivenUp

    folder, started = Path(job.folder), time.monotonic()
    try:
        torch.set_num_threads(job.threads)
        chosen, problems = recipe.from_table(job.table)
        recipe.refuse(f"trial {job.number}", problems)
        assert chosen is not None
        torch.manual_seed(chosen.train.seed)
        model = source.load(job.model, None if job.weights is None else Path(job.weights))
        run = loop.Run(model, _data(job.data), chosen, folder, job.device, progress=show)
        run.run()
        summary = finish.finish(run, draw=False)
    except GivenUp:
        return Outcome("pruned", seconds=time.monotonic() - started)
    except UserError as error:
        return Outcome("failed", seconds=time.monotonic() - started, message=str(error))
    measures = {
        "accuracy": float(summary["accuracy"]["integer"]),
        "rate": float(summary["rate"]),
        "weights": float(summary["remaining_weights"]),
        "storage": float(storage_bits(folder / "compressed.onnx")),
    }
    return Outcome("complete", measures, float(summary["seconds"]))


@functools.lru_cache(maxsize=1)
def _data(name: str) -> datas.TrainingData:
    return datas.load(name)


def storage_bits(path: Path) -> int:
    """Bits of a QDQ file's weights, every layer in the smallest of the weight formats, indices included."""
    model = onnx.load(path)
    bits = {one.key.removeprefix("weight_bits."): int(one.value) for one in model.metadata_props}
    total = 0
    for tensor in model.graph.initializer:
        layer = tensor.name.removesuffix(".weight_codes")
        if layer != tensor.name:
            codes = numpy_helper.to_array(tensor).astype("int64")
            matrix = codes.reshape(len(codes), -1)
            total += min(size.total for size in sizes(matrix, max(2, bits.get(layer, 8))).values())
    return total


class LocalExecutor:
    """One trial after the other, in this process."""

    slots = 1

    def submit(self, job: Job, watch: Watcher) -> None:
        self._next = (job, watch)

    def wait(self) -> tuple[int, Outcome]:
        job, watch = self._next
        return job.number, execute(job, watch)


class RayExecutor:
    """Trials as tasks of a Ray cluster.

    Args:
        address: of the cluster; "local" starts one on this machine.
        slots: trials at once.
        threads, device: what one trial reserves: so many CPUs, and a GPU where the device is one.
        ray: the module; given by tests.

    Raises:
        UserError: Ray is not installed, or the cluster does not answer.
    """

    def __init__(self, address: str, slots: int, threads: int, device: str, ray: ModuleType | Any = None) -> None:
        if ray is None:
            if importlib.util.find_spec("ray") is None:
                raise UserError("--ray needs Ray", hint="pip install 'admmfpga[ray]'")
            ray = importlib.import_module("ray")
        self.ray, self.slots = ray, slots
        try:
            ray.init(address=address, log_to_driver=False, include_dashboard=False if address == "local" else None)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(f"no Ray cluster at {address}: {error}", hint="--ray local starts one here") from error
        reserved = {"num_cpus": threads, "num_gpus": 1 if device.startswith("cuda") else 0, "max_retries": 0}
        self.task = ray.remote(execute).options(**reserved)
        self.running: dict[Any, int] = {}

    def submit(self, job: Job, watch: Watcher) -> None:
        self.running[self.task.remote(job)] = job.number

    def wait(self) -> tuple[int, Outcome]:
        (done, *_), _ = self.ray.wait(list(self.running), num_returns=1)
        return self.running.pop(done), self.ray.get(done)

    def close(self) -> None:
        self.ray.shutdown()


@dataclass(frozen=True)
class Status:
    """What a progress bar shows.

    Attributes:
        trial, trials: finished and to do.
        best: measures of the best recipe so far; empty before there is one.
        progress: of the trial that runs in this process.
    """

    trial: int
    trials: int
    best: dict[str, float]
    progress: loop.Progress | None = None


@dataclass
class Search:
    """A sweep in a folder.

    Args:
        file: the sweep.
        model, data, weights, device, threads: as on the command line of `compress`.
        folder: receives sweep.db, sweep.json, trials/, pareto/ and best.toml.
        executor: where the trials run.
        progress: called after every epoch and every trial.

    Raises:
        UserError: the folder holds another sweep, or Optuna is not installed.
    """

    file: SweepFile
    model: str
    data: str
    folder: Path
    weights: str | None = None
    device: str = ""
    threads: int = 1
    executor: Executor = field(default_factory=LocalExecutor)
    progress: Callable[[Status], None] = lambda _: None

    def __post_init__(self) -> None:
        if importlib.util.find_spec("optuna") is None or importlib.util.find_spec("tomli_w") is None:
            raise UserError("sweep needs Optuna", hint="pip install 'admmfpga[sweep]'")
        if self.executor.slots > 1 and self.file.sweep.pruner.kind == "median":
            raise UserError('pruner.kind "median" needs the trials in one process', hint='use "threshold" with --ray')
        self.optuna = importlib.import_module("optuna")
        self.objectives = self.file.sweep.objectives
        self.best: dict[str, float] = {}

    def run(self) -> dict[str, Any]:
        """Run what is left of the sweep.

        Returns:
            The result, as in sweep.json.
        """
        with self._study() as study:
            self._recover(study)
            self.running: dict[int, Any] = {}
            result = self._result(study)
            while len(result["trials"]) < self.file.sweep.trials or self.running:
                while (
                    len(self.running) < self.executor.slots
                    and len(result["trials"]) + len(self.running) < self.file.sweep.trials
                ):
                    self._begin(study, len(result["trials"]) + len(self.running))
                number, outcome = self.executor.wait()
                self._end(study, number, outcome)
                result = self._result(study)
                self._write(result)
                self.progress(Status(len(result["trials"]), self.file.sweep.trials, self.best))
            self._write(result)
            self._recipes(result)
        return result

    # ---- trials -------------------------------------------------------------------------------------------------

    def _begin(self, study: Any, count: int) -> None:
        study.sampler = self._sampler(count)
        trial = study.ask({name: self._distribution(one) for name, one in self.file.parameters.items()})
        table = self.file.table(trial.params)
        digest = hashlib.sha256(json.dumps(table, sort_keys=True, default=str).encode()).hexdigest()[:12]
        folder = self.folder / "trials" / digest  # the same recipe is never run twice
        trial.set_user_attr("folder", f"trials/{digest}")
        self.running[trial.number] = trial
        sweep = self.file.sweep
        job = Job(
            trial.number,
            self.model,
            self.data,
            self.weights,
            table,
            str(folder.resolve()),
            self.device,
            self.threads,
            sweep.pruner,
        )

        def watch(progress: loop.Progress) -> bool:
            self.progress(Status(count, sweep.trials, self.best, progress))
            if sweep.pruner.kind != "median":
                return False
            trial.report(progress.accuracy, progress.epoch)
            return bool(trial.should_prune())

        self.executor.submit(job, watch)

    def _end(self, study: Any, number: int, outcome: Outcome) -> None:
        trial = self.running.pop(number)
        for name, value in (("measures", outcome.measures), ("seconds", outcome.seconds), ("message", outcome.message)):
            trial.set_user_attr(name, value)
        states = self.optuna.trial.TrialState
        if outcome.state == "complete":
            study.tell(trial, [outcome.measures[name] for name in self.objectives])
        else:
            study.tell(trial, state=states.PRUNED if outcome.state == "pruned" else states.FAIL)

    def _recover(self, study: Any) -> None:
        """Trials that ran when the sweep was interrupted are tried again."""
        states = self.optuna.trial.TrialState
        for trial in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            study.tell(trial.number, state=states.FAIL)
            if set(trial.params) == set(self.file.parameters):
                study.enqueue_trial(trial.params)

    def _sampler(self, count: int) -> Any:
        samplers, sweep = self.optuna.samplers, self.file.sweep
        if sweep.sampler == "random":
            return samplers.RandomSampler(seed=sweep.seed + count)
        return samplers.TPESampler(seed=sweep.seed + count, n_startup_trials=sweep.startup)

    def _distribution(self, parameter: Parameter) -> Any:
        kinds = self.optuna.distributions
        if parameter.choices:
            return kinds.CategoricalDistribution(parameter.choices)
        if parameter.whole:
            return kinds.IntDistribution(parameter.low, parameter.high, parameter.log, parameter.step or 1)
        return kinds.FloatDistribution(parameter.low, parameter.high, parameter.log, parameter.step)

    # ---- study --------------------------------------------------------------------------------------------------

    @contextmanager
    def _study(self) -> Iterator[Any]:
        optuna = self.optuna
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = (self.folder / DATABASE).resolve()
        errors = importlib.import_module("sqlalchemy.exc")
        pruner = self.file.sweep.pruner
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
            study = optuna.create_study(
                storage=storage,
                study_name=STUDY,
                load_if_exists=True,
                directions=[DIRECTIONS[name] for name in self.objectives],
                pruner=optuna.pruners.MedianPruner(pruner.startup, pruner.warmup)
                if pruner.kind == "median"
                else optuna.pruners.NopPruner(),
            )
        except (errors.SQLAlchemyError, RuntimeError) as error:
            raise UserError(f"{path} is not a sweep's database: {error}", hint="remove it to start again") from error
        try:
            identity = json.dumps([self.file.identity(), self.model, self.data, self.weights])
            if study.user_attrs.setdefault("identity", identity) != identity:
                raise UserError(f"{self.folder} holds another sweep", hint="choose another folder, or remove it")
            study.set_user_attr("identity", identity)
            yield study
        finally:
            storage.remove_session()
            storage.engine.dispose()

    # ---- results ------------------------------------------------------------------------------------------------

    def _result(self, study: Any) -> dict[str, Any]:
        states = self.optuna.trial.TrialState
        names = {states.COMPLETE: "complete", states.PRUNED: "pruned", states.FAIL: "failed"}
        rows = {}
        for trial in study.get_trials(deepcopy=False):
            if trial.state in names and "seconds" in trial.user_attrs:  # others were interrupted
                rows[trial.number] = {
                    "number": trial.number,
                    "state": names[trial.state],
                    "parameters": trial.params,
                    **{name: trial.user_attrs[name] for name in ("measures", "seconds", "message", "folder")},
                }
        complete = any(row["state"] == "complete" for row in rows.values())
        front = [rows[trial.number] for trial in study.best_trials] if complete else []
        front.sort(key=self._rank)
        best, reached = self._best(front)
        self.best = best["measures"] if best else {}
        return {
            "name": self.file.sweep.name,
            "objectives": [{"name": name, "direction": DIRECTIONS[name]} for name in self.objectives],
            "trials": list(rows.values()),
            "pareto": [row["number"] for row in front],
            "best": best["number"] if best else None,
            "least_accuracy_reached": reached,
        }

    def _rank(self, row: dict[str, Any], last: str = "") -> tuple[float, ...]:
        """Sorts by the objectives in their order, best first; `last` goes behind the others."""
        ordered = sorted(self.objectives, key=lambda name: name == last)
        return tuple(row["measures"][name] * (-1 if DIRECTIONS[name] == "maximize" else 1) for name in ordered)

    def _best(self, front: list[dict[str, Any]]) -> tuple[dict[str, Any] | None, bool | None]:
        """The best recipe of the Pareto set, and whether it reaches the least accuracy (None where none is asked)."""
        least = self.file.sweep.least_accuracy
        if not front or least is None:
            return (front[0] if front else None), None
        good = [row for row in front if row["measures"]["accuracy"] >= least]
        if good:
            return min(good, key=lambda row: self._rank(row, "accuracy")), True
        return max(front, key=lambda row: row["measures"]["accuracy"]), False

    def _write(self, result: dict[str, Any]) -> None:
        atomic_write(self.folder / "sweep.json", json.dumps(result, indent=2) + "\n")

    def _recipes(self, result: dict[str, Any]) -> None:
        """The recipes of the Pareto set and the best one, as TOML."""
        writer = importlib.import_module("tomli_w")
        rows = {row["number"]: row for row in result["trials"]}
        folder = self.folder / "pareto"
        folder.mkdir(exist_ok=True)
        wanted = {folder / f"{number}.toml": number for number in result["pareto"]}
        for old in set(folder.glob("*.toml")) - set(wanted):
            old.unlink()
        if result["best"] is not None:
            wanted[self.folder / "best.toml"] = result["best"]
        for path, number in wanted.items():
            row = rows[number]
            told = ", ".join(f"{name} {value:g}" for name, value in row["measures"].items())
            values: dict[str, Value] = row["parameters"]
            atomic_write(path, f"# Trial {number} of a sweep: {told}\n{writer.dumps(self.file.table(values))}")
