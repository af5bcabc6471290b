"""The search: settings drawn from the grid, each trained once and scored by validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from time import sleep
from typing import TYPE_CHECKING, Any

from torch import nn

from gnndiff.errors import DamagedFileError, RunFolderError
from gnndiff.files import digest
from gnndiff.progress import progress
from gnndiff.runs.folder import Run
from gnndiff.scores import best, best_first
from gnndiff.search.space import sample_grid
from gnndiff.search.study import alive, fail_dead, open_study, read_trials, storage_errors
from gnndiff.targets.base import IMPOSSIBLE, Setting
from graphtasks import GraphTask, Trial, train_once

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

SEARCH = "search"

POLL = 2.0
"""Seconds between two looks at a shared storage whose last trainings others do."""


def search(run: Run) -> None:
    """The coarse search. Finished trials are kept, interrupted ones are trained again."""
    run.create()
    search_grid(run, run.limits.trials)
    ranked_trials(run, run.limits.trials)
    run.finish("search", total_seconds(finished_trials(run, SEARCH)[: run.limits.trials]), [run.trials_name])


def search_grid(run: Run, count: int | None) -> None:
    """Train the first `count` settings of the run's random order of the grid, or all of them."""
    evaluate(run, SEARCH, sample_grid(run.space, count, run.seed("grid")))


def evaluate(run: Run, name: str, settings: list[Setting]) -> None:
    """Train each setting once, as the trials of the study with this name.

    Each trial holds its scores at the best validation epoch. A setting's place in the list alone fixes its seeds, so
    that an interrupted study ends as one that ran through. A trial that diverges or cannot be computed is pruned.
    Several processes may work on one study of a shared storage: each training is done by one of them, and by another
    where that one dies.
    """
    with storage_errors(run):
        study = open_study(run, name, create=True)
        assert study is not None
        alone = run.storage is None
        done = _finished(run, name, study)
        if len(done.keys() & set(range(len(settings)))) == len(settings):
            return
        fail_dead(study, alone=alone)
        metric = run.task.metric
        with progress(name, len(settings), done=len(done), quiet=run.config.quiet) as advance:
            while missing := [index for index in range(len(settings)) if index not in done]:
                if not _train_next(run, name, study, settings, missing):
                    sleep(POLL)
                    fail_dead(study, alone=alone)
                for index, trial in _finished(run, name, study, done).items():
                    done[index] = trial
                    scores = [each.value for each in done.values() if each.value is not None]
                    advance(f"best validation {metric.format(best(scores, metric))}" if scores else "none finite")


def _train_next(run: Run, name: str, study: Study, settings: list[Setting], missing: list[int]) -> bool:
    """Train a setting that nobody has taken; False if others train all that are missing.

    A trial is queued and then taken by the storage's own exchange of its state. Of trials of one setting, which two
    processes may have queued at the same time, the first one counts.
    """
    from optuna.distributions import CategoricalDistribution
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    owners = _owners(run, study)
    if not any(index in owners and owners[index].state == TrialState.WAITING for index in missing):
        free = [index for index in missing if index not in owners]
        if not free:
            return False
        study.enqueue_trial(dict(settings[free[0]]), user_attrs={"index": free[0]})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Heartbeat of storage")  # `alive` gives it
        trial = study.ask({key: CategoricalDistribution(choices) for key, choices in run.space.items()})
    index: int = trial.user_attrs.get("index", -1)
    if index not in missing or _owners(run, study)[index].number != trial.number:
        study.tell(trial, state=TrialState.FAIL)
        return True
    try:
        with alive(study, trial._trial_id):
            outcome = train(run, settings[index], run.seed(name, index))
    except BaseException:
        with suppress(Exception):  # that which stopped the training matters more
            study.tell(trial, state=TrialState.FAIL)
        raise
    value = outcome.scores["val"] if outcome.finished else None
    facts = {"test": outcome.scores["test"]} if outcome.finished else {"reason": outcome.status}
    content = _content(name, index, trial.params, value, facts)
    # One attribute, so that of two processes with the same trial one writes both.
    check = {"seconds": outcome.seconds, "sha256": _check(run, content, outcome.seconds)}
    # Another process has it by now if this one gave no sign of life for long.
    with suppress(UpdateFinishedTrialError):
        for key, fact in {**facts, "check": check}.items():
            trial.set_user_attr(key, fact)
        study.tell(trial, value, state=None if outcome.finished else TrialState.PRUNED)
    return True


def _owners(run: Run, study: Study) -> dict[int, FrozenTrial]:
    """The first trial of each setting that has not failed."""
    from optuna.trial import TrialState

    owners: dict[int, FrozenTrial] = {}
    for trial in read_trials(run, study):
        if trial.state != TrialState.FAIL:
            owners.setdefault(trial.user_attrs.get("index", -1), trial)
    return owners


def _finished(run: Run, name: str, study: Study, known: Container[int] = ()) -> dict[int, FrozenTrial]:
    """Trials of a study that are complete or diverged, but for those that are known, each compared with its checksum.

    Raises:
        DamagedFileError: One is not as it was written.
    """
    found: dict[int, FrozenTrial] = {}
    for trial in read_trials(run, study):
        facts, index = trial.user_attrs, trial.user_attrs.get("index", -1)
        if trial.state.name not in ("COMPLETE", "PRUNED") or index in known:
            continue
        content, check = _content(name, index, trial.params, trial.value, facts), facts.get("check", {})
        if check.get("sha256") != _check(run, content, check.get("seconds")):
            raise DamagedFileError(
                f"trial {trial.number} of the study {name!r} of {run.folder} is not as it was written: delete "
                f"{'search.db to search again' if run.storage is None else 'the study from the storage'}"
            )
        found.setdefault(index, trial)
    return found


def _content(name: str, index: Any, setting: Setting, value: float | None, facts: Mapping[str, Any]) -> list[Any]:
    """All of a trial but its time."""
    return [name, index, dict(setting), value, facts.get("test"), facts.get("reason")]


def _check(run: Run, content: list[Any], seconds: float) -> str:
    return digest([run.identity_hash, *content, seconds])


def trials_digest(run: Run) -> str | None:
    """Hash of the search, whose time does not count; None where trials are missing."""
    trials = finished_trials(run, SEARCH)[: run.limits.trials]
    wanted = len(sample_grid(run.space, run.limits.trials, run.seed("grid")))
    if [trial.user_attrs["index"] for trial in trials] != list(range(wanted)):
        return None
    facts = [(trial.user_attrs, trial) for trial in trials]
    return digest([_content(SEARCH, each["index"], trial.params, trial.value, each) for each, trial in facts])


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


def finished_trials(run: Run, name: str) -> list[FrozenTrial]:
    """Complete and diverged trials of a study, in the order of their settings."""
    with storage_errors(run):
        study = open_study(run, name)
        found = {} if study is None else _finished(run, name, study)
    return [found[index] for index in sorted(found)]


def ranked_trials(run: Run, count: int | None = None) -> list[FrozenTrial]:
    """Trials of the search that did not diverge, the best validation score first.

    Args:
        run: The run.
        count: Only those of the first `count` settings.

    Raises:
        RunFolderError: There is none.
    """
    finished = finished_trials(run, SEARCH)[:count]
    trials = [trial for trial in finished if trial.value is not None]
    if not trials:
        reason = finished[-1].user_attrs.get("reason", "") if finished else ""
        raise RunFolderError(
            f"no setting of the search of {run.folder} could be trained, the last one failed with {reason!r}: scale "
            "the features of the task, or give the target other choices"
        )
    return best_first(trials, _value, run.task.metric)


def total_seconds(trials: list[FrozenTrial]) -> float:
    """Time that trials took, by a clock that nobody sets."""
    return float(sum(trial.user_attrs["check"]["seconds"] for trial in trials))


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
