"""The search of a run: trials, and finalists that are trained again before the winner is named."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnndiff.errors import RunFolderError
from gnndiff.files import digest
from gnndiff.runs.folder import Run
from gnndiff.scores import best_first
from gnndiff.search.samplers import Fixed, Sampler, sampler
from gnndiff.search.trials import complete, content_of_study, evaluate, file_of, finished_trials, total_seconds
from gnndiff.targets.base import Setting

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SEARCH = "search"


@dataclass(frozen=True)
class Finalist:
    """A training of one of the best settings.

    Args:
        setting: The setting.
        seed: Seed of initialisation and training.
        val: Best validation score.
        test: Test score at that epoch.
        epoch: That epoch.
        seconds: Wall clock.
        state: File of its state dict at that epoch, as safetensors. It is missing where another machine trained it.
        sha256: Hash of that file.
    """

    setting: Setting
    seed: int
    val: float
    test: float
    epoch: int
    seconds: float
    state: Path
    sha256: str


def search(run: Run) -> None:
    """Search, and train the finalists. Finished trials are kept, interrupted ones are trained again."""
    run.create()
    search_space(run, run.limits.trials)
    name_winner(run, run.limits.trials)
    ended = finished_trials(run, SEARCH)[: run.limits.trials]
    for study in _studies(run, run.limits.trials):
        ended += finished_trials(run, study)[: run.limits.finalist_trainings]
    run.finish("search", total_seconds(ended), [run.trials_name])


def sampler_of(run: Run) -> Sampler:
    """The sampler of a run's search."""
    return sampler(run.config.sampler, run.space, run.seed("sampler"), run.task.metric)


def search_space(run: Run, count: int | None) -> None:
    """Train the first `count` settings of the run's sampler, or all of a space of choices."""
    order = sampler_of(run)
    evaluate(run, SEARCH, order, order.total(count))


def name_winner(run: Run, count: int | None) -> None:
    """Train the finalists among the first `count` settings again."""
    for study, trial in zip(_studies(run, count), by_validation(run, count), strict=False):
        repeated = Fixed([trial.params] * run.limits.finalist_trainings)
        evaluate(run, study, repeated, run.limits.finalist_trainings, keep=True)


def ranked_trials(run: Run, count: int | None = None) -> list[FrozenTrial]:
    """Trials of the search that were trained to their end, the winner first.

    Finalists come first, by the mean validation score of their trainings, and then all others by that of their only
    one. A finalist of which a training diverged is behind the others.

    Args:
        run: The run.
        count: Only those of the first `count` settings.

    Raises:
        RunFolderError: There is none.
    """
    trials, metric = by_validation(run, count), run.task.metric
    means: dict[int, float] = {}
    for study, trial in zip(_studies(run, count), trials, strict=False):
        repeated = finished_trials(run, study)[: run.limits.finalist_trainings]
        if len(repeated) < run.limits.finalist_trainings:
            continue  # none has been trained again yet
        values = [each.value for each in repeated if each.value is not None and complete(each)]
        means[trial.number] = statistics.fmean(values) if len(values) == len(repeated) else metric.worst
    first = best_first([t for t in trials if t.number in means], lambda trial: means[trial.number], metric)
    return first + [trial for trial in trials if trial.number not in means]


def finalists(run: Run) -> list[Finalist]:
    """Trainings of the finalists of the search that did not diverge, in the order of :func:`by_validation`."""
    found = []
    for study in _studies(run, run.limits.trials):
        for trial in finished_trials(run, study):
            facts = trial.user_attrs
            if not complete(trial):
                continue
            found.append(
                Finalist(
                    setting=trial.params,
                    seed=run.seed(study, facts["index"]),
                    val=_value(trial),
                    test=facts["test"],
                    epoch=facts["best_epoch"],
                    seconds=facts["check"]["seconds"],
                    state=file_of(run, study, facts["index"], "state"),
                    sha256=facts["state"],
                )
            )
    return found


def by_validation(run: Run, count: int | None = None) -> list[FrozenTrial]:
    """Trials of the search that were trained to their end, the best validation score of one training first.

    Raises:
        RunFolderError: There is none.
    """
    ended = finished_trials(run, SEARCH)[:count]
    trials = [trial for trial in ended if trial.value is not None and complete(trial)]
    if not trials:
        reason = ended[-1].user_attrs.get("reason", "") if ended else ""
        raise RunFolderError(
            f"no setting of the search of {run.folder} could be trained, the last one failed with {reason!r}: scale "
            "the features of the task, or give the target other choices"
        )
    return best_first(trials, _value, run.task.metric)


def budget_curve(run: Run) -> list[dict[str, Any]]:
    """Validation and test score of the best trial so far after each one, with its epochs and seconds, all summed up."""
    rows: list[dict[str, Any]] = []
    epochs, seconds, leader = 0, 0.0, None
    for number, trial in enumerate(finished_trials(run, SEARCH), 1):
        epochs, seconds = epochs + trial.user_attrs["epochs"], seconds + trial.user_attrs["check"]["seconds"]
        if complete(trial) and (leader is None or run.task.metric.better(_value(trial), _value(leader))):
            leader = trial
        if leader is not None:
            test = leader.user_attrs["test"]
            rows.append({"trials": number, "epochs": epochs, "seconds": seconds, "val": leader.value, "test": test})
    return rows


def trials_digest(run: Run) -> str | None:
    """Hash of the search, whose time does not count; None where trials are missing."""
    content = content_of_study(run, SEARCH, sampler_of(run).total(run.limits.trials))
    if content is None:
        return None
    if not any(entry[3] is not None for entry in content):
        return digest(content)
    repeated = [
        content_of_study(run, study, run.limits.finalist_trainings) for study in _studies(run, run.limits.trials)
    ]
    return None if None in repeated else digest([content, *repeated])


def _studies(run: Run, count: int | None) -> list[str]:
    """Names of the studies of the finalists, in the order of :func:`by_validation`."""
    chosen = by_validation(run, count)[: run.limits.finalists]
    return [f"finalist {trial.user_attrs['index']}" for trial in chosen]


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
