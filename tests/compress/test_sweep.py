"""Sweeps: the Pareto set is one, an interrupted sweep ends as one that was not, Ray's way of running gives the same."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from compress_made import tiny_data, tiny_network

from admmfpga.cli import main
from admmfpga.compress import recipe, sweep, sweep_file
from admmfpga.errors import UserError

pytest.importorskip("optuna", reason="pip install 'admmfpga[sweep]'")

Whole = tuple[sweep.Search, dict[str, Any]]
RECIPE = """
[train]
batch_size = 32
learning_rate = 1e-2
[pretrain]
epochs = 4
[[steps]]
admm = { iterations = 1 }
retrain = { epochs = 1 }
[steps.layers]
fc1 = { kind = "non-structured", keep = 0.5 }
"""
SWEEP = """
recipe = "base.toml"
trials = 6
startup = 3
objectives = ["accuracy", "storage"]
[parameters]
steps.0.layers.fc1.keep = { low = 0.05, high = 1.0 }
pretrain.epochs = { low = 1, high = 4 }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made, path = tiny_data(), tmp_path_factory.mktemp("sweep")
    np.savez(
        path / "data.npz",
        train_images=(made.train_images[:96] * 255).round().byte().numpy(),
        train_labels=made.train_labels[:96].numpy(),
        test_images=(made.test_images * 255).round().byte().numpy(),
        test_labels=made.test_labels.numpy(),
    )
    (path / "base.toml").write_text(RECIPE)
    (path / "sweep.toml").write_text(SWEEP)
    return path


def search(folder: Path, output: Path, text: str = SWEEP, **options: Any) -> sweep.Search:
    path = folder / f"{output.name}.toml"
    path.write_text(text)
    file = sweep_file.load(path, tiny_network())
    return sweep.Search(file, "compress_made:tiny_network", str(folder / "data.npz"), output, device="cpu", **options)


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """Without numbers (interrupted trials have some too) and times."""
    order = {row["number"]: index for index, row in enumerate(result["trials"])}
    trials = [{k: v for k, v in row.items() if k not in ("number", "seconds")} for row in result["trials"]]
    pareto, best = [order[number] for number in result["pareto"]], order.get(result["best"])
    return {**result, "trials": trials, "pareto": pareto, "best": best}


@pytest.fixture(scope="module")
def whole(folder: Path) -> Whole:
    """A sweep that ran to its end."""
    made = search(folder, folder / "whole")
    return made, made.run()


def test_the_pareto_set_is_one(whole: Whole) -> None:
    made, result = whole
    rows = {row["number"]: row["measures"] for row in result["trials"]}
    assert len(rows) == 6
    assert len({one["accuracy"] for one in rows.values()}) > 1
    assert len({json.dumps(row["parameters"]) for row in result["trials"]}) == 6

    def better(one: dict[str, float], other: dict[str, float]) -> bool:
        signs = [(one["accuracy"] - other["accuracy"]), (other["storage"] - one["storage"])]
        return min(signs) >= 0 and max(signs) > 0

    expected = {n for n, mine in rows.items() if not any(better(other, mine) for other in rows.values())}
    assert set(result["pareto"]) == expected
    assert result["best"] == result["pareto"][0]
    assert rows[result["best"]]["accuracy"] == max(one["accuracy"] for one in rows.values())
    assert json.loads((made.folder / "sweep.json").read_text()) == result


def test_recipes_are_written_and_give_what_they_gave(whole: Whole, tmp_path: Path) -> None:
    made, result = whole
    assert {path.stem for path in (made.folder / "pareto").iterdir()} == {str(number) for number in result["pareto"]}
    best = next(row for row in result["trials"] if row["number"] == result["best"])
    chosen = recipe.load(made.folder / "best.toml")
    assert chosen == made.file.recipe(best["parameters"])
    table = tomllib.loads((made.folder / "best.toml").read_text())
    again = sweep.execute(sweep.Job(0, made.model, made.data, None, table, str(tmp_path / "again"), "cpu"))
    assert again.measures == best["measures"]
    summary = json.loads((tmp_path / "again" / "summary.json").read_text())
    assert again.measures["weights"] == summary["remaining_weights"]


def test_a_finished_sweep_does_nothing_and_goes_on_with_more_trials(
    folder: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, result = whole
    ran: list[int] = []
    real = sweep.execute
    monkeypatch.setattr(sweep, "execute", lambda job, watch: (ran.append(job.number), real(job, watch))[1])
    assert search(folder, made.folder).run() == result
    assert ran == []
    more = search(folder, made.folder, SWEEP.replace("trials = 6", "trials = 7")).run()
    assert more["trials"][:6] == result["trials"]
    assert len(ran) == len(more["trials"]) - 6 == 1


def test_another_sweep_in_the_folder_is_refused(folder: Path, whole: Whole) -> None:
    with pytest.raises(UserError, match="another sweep"):
        search(folder, whole[0].folder, SWEEP.replace("0.05", "0.06")).run()


def test_a_damaged_database_is_refused(folder: Path) -> None:
    (folder / "damaged").mkdir()
    (folder / "damaged" / sweep.DATABASE).write_bytes(b"SQLite format 3\0" + bytes(5000))
    with pytest.raises(UserError, match="not a sweep's database"):
        search(folder, folder / "damaged").run()


def command(folder: Path, output: Path, *options: str) -> list[str]:
    arguments = ["sweep", "compress_made:tiny_network", "--data", str(folder / "data.npz"), "--device", "cpu"]
    return [*arguments, "--sweep", str(folder / "sweep.toml"), "-o", str(output), *options]


def invoke(folder: Path, output: Path, *options: str) -> Result:
    return CliRunner().invoke(main, command(folder, output, *options))


def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(folder: Path, whole: Whole) -> None:
    output = folder / "killed"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    program = [sys.executable, "-c", "from admmfpga.cli import main; main()", *command(folder, output)]
    process = subprocess.Popen(program, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def epochs() -> int:
        return sum(path.read_text().count("\n") for path in output.glob("trials/*/metrics.jsonl"))

    deadline = time.monotonic() + 600
    while epochs() < 9:  # in the second or third trial
        assert time.monotonic() < deadline
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result = invoke(folder, output)
    assert result.exit_code == 0, result.output
    assert "6 trials: 6 complete" in result.output
    found = json.loads((output / "sweep.json").read_text())
    expected = comparable(whole[1])
    expected["trials"] = expected["trials"][:6]
    assert comparable(found) == expected
    assert (output / "best.toml").exists()


def test_least_accuracy_chooses_the_smallest_that_reaches_it(folder: Path) -> None:
    rows = [
        {"number": n, "measures": {"accuracy": a, "storage": s}} for n, a, s in ((0, 99, 90), (1, 97, 50), (2, 90, 10))
    ]
    for least, number, reached in ((95.0, 1, True), (98.0, 0, True), (99.5, 0, False), (50.0, 2, True)):
        made = search(folder, folder / "least", f"least_accuracy = {least}\n{SWEEP}")
        best, found = made._best(rows)
        assert best is not None
        assert (best["number"], found) == (number, reached)


def test_trials_below_the_threshold_are_given_up(folder: Path) -> None:
    text = SWEEP.replace("trials = 6", 'trials = 2\npruner = { kind = "threshold", below = 100.0, warmup = 2 }')
    result = search(folder, folder / "threshold", text).run()
    assert [row["state"] for row in result["trials"]] == ["pruned", "pruned"]
    assert (result["pareto"], result["best"]) == ([], None)
    for row in result["trials"]:
        lines = (folder / "threshold" / row["folder"] / "metrics.jsonl").read_text().splitlines()
        assert len(lines) == 2


def test_the_median_pruner_gives_up_what_does_not_learn(folder: Path) -> None:
    text = """
    recipe = "base.toml"
    trials = 2
    seed = 2
    sampler = "random"
    objectives = ["accuracy"]
    pruner = { kind = "median", startup = 1, warmup = 3 }
    [parameters]
    pretrain.epochs.choices = [6]
    train.learning_rate.choices = [1e-2, 1e-9]
    """
    good, bad = search(folder, folder / "median", text).run()["trials"]
    assert (good["parameters"]["train.learning_rate"], good["state"]) == (1e-2, "complete")
    assert (bad["parameters"]["train.learning_rate"], bad["state"]) == (1e-9, "pruned")
    assert len((folder / "median" / bad["folder"] / "metrics.jsonl").read_text().splitlines()) < 8


def test_a_trial_that_cannot_run_is_told_and_the_others_go_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = sweep.execute

    def failing(job: sweep.Job, watch: sweep.Watcher) -> sweep.Outcome:
        return real(dataclasses.replace(job, model="no_such:model") if job.number == 0 else job, watch)

    monkeypatch.setattr(sweep, "execute", failing)
    (folder / "sweep2.toml").write_text(SWEEP.replace("trials = 6", "trials = 2"))
    arguments = command(folder, folder / "failing")
    arguments[arguments.index(str(folder / "sweep.toml"))] = str(folder / "sweep2.toml")
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "2 trials: 1 failed, 1 complete" in result.output
    assert "trial 0 failed: cannot import no_such" in result.output


class StandInRay:
    """What RayExecutor uses of Ray, run in this process; tasks end in another order than they began."""

    def __init__(self) -> None:
        self.most = 0
        self.pending: dict[int, Any] = {}
        self.options_given: dict[str, Any] = {}
        self.closed = False
        self.count = 0

    def init(self, **options: Any) -> None:
        if options["address"] == "nowhere":
            raise ConnectionError("no answer")

    def remote(self, function: Any) -> StandInRay:
        self.function = function
        return self

    def options(self, **given: Any) -> Any:
        self.options_given = given
        outer = self

        class Task:
            @staticmethod
            def remote(job: sweep.Job) -> int:
                outer.count += 1
                outer.pending[outer.count] = json.loads(json.dumps(job.table)), job
                outer.most = max(outer.most, len(outer.pending))
                return outer.count

        return Task()

    def wait(self, references: list[int], num_returns: int) -> tuple[list[int], list[int]]:
        assert num_returns == 1
        assert set(references) == set(self.pending)
        return [references[-1]], references[:-1]

    def get(self, reference: int) -> sweep.Outcome:
        return self.function(self.pending.pop(reference)[1])

    def shutdown(self) -> None:
        self.closed = True


def test_ray_runs_several_trials_at_once(folder: Path, whole: Whole) -> None:
    ray = StandInRay()
    executor = sweep.RayExecutor("local", 2, 1, "cuda", ray)
    assert ray.options_given == {"num_cpus": 1, "num_gpus": 1, "max_retries": 0}
    text = SWEEP.replace("startup = 3", 'sampler = "random"').replace("trials = 6", "trials = 3")
    result = search(folder, folder / "ray", text, executor=executor).run()
    executor.close()
    assert (ray.most, ray.pending, ray.closed) == (2, {}, True)
    assert [row["state"] for row in result["trials"]] == ["complete"] * 3
    alone = search(folder, folder / "alone", text).run()
    assert sorted(json.dumps(row["parameters"]) for row in result["trials"]) == sorted(
        json.dumps(row["parameters"]) for row in alone["trials"]
    )
    assert comparable(alone)["trials"] == comparable(result)["trials"]


def test_ray_that_does_not_answer() -> None:
    with pytest.raises(UserError, match="no Ray cluster at nowhere"):
        sweep.RayExecutor("nowhere", 1, 1, "", StandInRay())


def test_several_workers_need_ray_and_cannot_take_the_median(folder: Path) -> None:
    result = invoke(folder, folder / "out", "--workers", "2")
    assert result.exit_code == 2
    assert "--workers needs --ray" in result.output
    text = SWEEP.replace('["accuracy", "storage"]', '["accuracy"]\npruner = { kind = "median" }')
    with pytest.raises(UserError, match="median"):
        search(folder, folder / "out", text, executor=sweep.RayExecutor("local", 2, 1, "", StandInRay()))


def test_check_stops_before_training(folder: Path) -> None:
    result = invoke(folder, folder / "checked", "--check")
    assert result.exit_code == 0, result.output
    assert "2 parameters, 6 trials" in result.output
    assert not (folder / "checked").exists()


def test_storage_counts_the_smallest_format(whole: Whole) -> None:
    """Few kept weights take less than one code a position, and never less than their own bits."""
    for row in whole[1]["trials"]:
        weights, storage = row["measures"]["weights"], row["measures"]["storage"]
        assert 8 * weights <= storage <= 8 * (54 + 432 + 384 + 48) + 64
