"""The training of one trial, in this process, in another one, or on another machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import TYPE_CHECKING, Any

from torch import nn

from gnndiff.config import RunConfig
from gnndiff.runs.folder import Run
from gnndiff.search.records import Record, predictions
from gnndiff.targets.base import IMPOSSIBLE, Setting, Space, Target
from graphtasks import GraphTask, Trial, train_once

if TYPE_CHECKING:
    from optuna import Study

INTERVAL = 5
"""Epochs between two reports of a curve to the pruner, since each is written to the storage."""

WARM_UP = 10
"""Epochs and trials before which nothing is pruned."""


@dataclass(frozen=True)
class Job:
    """A trial to train.

    Args:
        study: Name of its study.
        number: Its number in the study.
        setting: The setting.
        seed: Seed of initialisation and training.
        trial_id: The trial in the storage, to which the curve is reported where there is a pruner; else None.
        keep: Keep the state of the best epoch.
    """

    study: str
    number: int
    setting: Setting
    seed: int
    trial_id: int | None = None
    keep: bool = False


@dataclass(frozen=True)
class Done:
    """Outcome of a job.

    Args:
        val: Best validation score; None where the setting lost.
        test: Test score at that epoch.
        reason: Why the setting lost.
        epochs: Epochs that were trained.
        seconds: Wall clock.
        record: Curve and predictions as a file, see :class:`~gnndiff.search.records.Record`.
        state: The state dict of the best epoch as safetensors.
    """

    val: float | None
    test: float | None
    reason: str | None
    epochs: int
    seconds: float
    record: bytes | None = None
    state: bytes | None = field(default=None, repr=False)


class _Pruned(Exception):
    """The training lags behind."""


@dataclass
class Trainer:
    """A run as other processes open it, to train its jobs."""

    config: RunConfig
    target: Target | None
    task: GraphTask | None
    space: Space
    identity: str

    @classmethod
    def of(cls, run: Run, *, ship: bool = False) -> Trainer:
        """The trainer of a run, which loads task and target by their names, or with `ship` takes them along."""
        from gnndiff.resolve import is_reference

        named_target = not run.own_target or is_reference(run.config.model)
        named_task = not run.own_task or is_reference(run.config.task)
        target = run.target if ship or not named_target else None
        task = run.task if ship or not named_task else None
        # Budgets go by their numbers: another process does not know budgets that a caller added.
        config = dataclasses.replace(run.config, budget="smoke", **dataclasses.asdict(run.limits))
        return cls(config, target, task, run.space, run.identity_hash)

    @cached_property
    def run(self) -> Run:
        """The run."""
        run = Run(self.config, target=self.target, task=self.task, space=self.space, check=False)
        run.__dict__["identity_hash"] = self.identity  # whatever names this process knows target and task by
        return run

    def __call__(self, job: Job) -> Done:
        """Train a job."""
        return do(self.run, job)


def do(run: Run, job: Job, study: Study | None = None) -> Done:
    """Train a trial; a setting that diverges, lags behind or cannot be computed loses."""
    report = None if job.trial_id is None else _reporter(run, job, study)
    curve: list[float] = []

    def follow(epoch: int, val: float, model: nn.Module) -> None:
        curve.append(val)
        due = (epoch + 1) % INTERVAL == 0 and epoch + 1 < run.limits.epochs  # after the last one nothing is saved
        if report is not None and due and report(epoch + 1, curve):
            raise _Pruned

    start = perf_counter()
    try:
        outcome = train(run, job.setting, job.seed, callback=follow)
    except _Pruned:
        return Done(None, None, f"pruned after {len(curve)} epochs", len(curve), perf_counter() - start)
    result = outcome.result
    if not outcome.finished or result is None:
        return Done(None, None, outcome.status, len(curve), outcome.seconds)
    model = run.build(job.setting, job.seed)
    model.load_state_dict(result.state_dict)
    config = run.fit_config(job.setting, job.seed)
    outputs = predictions(model, run.prepared(job.setting), run.config.split, config)
    record = Record(result.val_curve, result.best_epoch, outputs).to_bytes()
    return Done(
        outcome.scores["val"],
        outcome.scores["test"],
        None,
        len(curve),
        outcome.seconds,
        record,
        _as_bytes(result.state_dict) if job.keep else None,
    )


def train(
    run: Run,
    setting: Setting,
    seed: int,
    view: GraphTask | None = None,
    callback: Callable[[int, float, nn.Module], None] | None = None,
) -> Trial:
    """Train a setting once, on the run's task or on a view of it; one that cannot be computed loses.

    Args:
        run: The run.
        setting: The setting.
        seed: Seed of its initialisation and training.
        view: The task to train on, by default the run's.
        callback: Called after each epoch, as by :func:`graphtasks.fit`.
    """
    return train_once(
        lambda task: run.build(setting, seed),
        run.task,
        run.config.split,
        run.fit_config(setting, seed),
        prepare=lambda task: run.preparations(setting, view),
        impossible=IMPOSSIBLE,
        callback=callback,
    )


def _reporter(run: Run, job: Job, study: Study | None) -> Callable[[int, list[float]], bool]:
    """A function that reports the best score so far and says whether the training lags behind."""
    from optuna.trial import Trial

    from gnndiff.scores import best
    from gnndiff.search.study import open_study, storage_errors

    study = open_study(run, job.study) if study is None else study
    assert study is not None
    assert job.trial_id is not None
    trial = Trial(study, job.trial_id)

    def report(step: int, curve: list[float]) -> bool:
        with storage_errors(run):
            trial.report(best(curve, run.task.metric), step)
            return trial.should_prune()

    return report


def pruner(name: str, epochs: int) -> Any:
    """Optuna's pruner with a name."""
    from optuna import pruners

    if name == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=WARM_UP, interval_steps=INTERVAL)
    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=min(WARM_UP, epochs), max_resource=epochs, reduction_factor=3)
    return pruners.NopPruner()


def _as_bytes(state: dict[str, Any]) -> bytes:
    from safetensors.torch import save

    return save({name: tensor.detach().cpu().clone().contiguous() for name, tensor in state.items()})
