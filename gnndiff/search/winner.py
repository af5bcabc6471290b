"""The search of a run: trials, and finalists that are trained again before the winner is named."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from gnndiff.errors import RunFolderError
from gnndiff.files import digest
from gnndiff.runs.folder import Run
from gnndiff.scores import best_first
from gnndiff.search.kept import KeptTraining, kept_trainings
from gnndiff.search.samplers import Repeated, Sampler, sampler
from gnndiff.search.trials import complete, content_of_study, evaluate, finished_trials, total_seconds

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SEARCH, FINALISTS, RETRAININGS = "search", "finalists", "retrainings"


def search(run: Run) -> None:
    """Search, and train the finalists. Finished trials are kept, interrupted ones are trained again."""
    run.create()
    count = run.limits.trials
    search_space(run, count)
    name_winner(run, count)
    ended = finished_trials(run, SEARCH)[:count] + _chosen(
        finished_trials(run, FINALISTS), _finalists(run, count).numbers
    )
    run.finish("search", total_seconds(ended), [run.trials_name])


def sampler_of(run: Run) -> Sampler:
    """The sampler of a run's search."""
    return sampler(run.config.sampler, run.space, run.seed("sampler"), run.task.metric)


def search_space(run: Run, count: int | None) -> None:
    """Train the first `count` settings of the run's sampler, or all of a space of choices."""
    order = sampler_of(run)
    evaluate(run, SEARCH, order, range(order.total(count)))


def name_winner(run: Run, count: int | None) -> None:
    """Train the finalists among the first `count` settings again, all of them as one study."""
    repeated = _finalists(run, count)
    evaluate(run, FINALISTS, repeated, repeated.numbers, keep=True)


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
    trials, metric, times = by_validation(run, count), run.task.metric, run.limits.finalist_trainings
    every = {_index(trial): trial for trial in finished_trials(run, FINALISTS)}
    means: dict[int, float] = {}
    for trial in trials[: run.limits.finalists]:
        numbers = Repeated({_index(trial): trial.params}, times).numbers
        if any(number not in every for number in numbers):
            continue  # none has been trained again yet
        values = [_value(every[number]) for number in numbers if complete(every[number])]
        means[_index(trial)] = statistics.fmean(values) if len(values) == times else metric.worst
    first = best_first([t for t in trials if _index(t) in means], lambda trial: means[_index(trial)], metric)
    return first + [trial for trial in trials if _index(trial) not in means]


def finalists(run: Run) -> list[KeptTraining]:
    """Trainings of the finalists of the search that did not diverge, in the order of :func:`by_validation`."""
    return kept_trainings(run, FINALISTS, _finalists(run, run.limits.trials).numbers)


def retrain(run: Run, count: int | None, times: int | None = None) -> tuple[list[FrozenTrial], list[KeptTraining]]:
    """Train the winner among the first `count` settings anew, and keep the states.

    Args:
        run: The run.
        count: Only the first `count` settings of the search; None for all.
        times: How often, by default as often as the budget says, and never more.

    Returns:
        All of these trainings as trials, and those that did not diverge with their states.
    """
    winner = ranked_trials(run, count)[0]
    repeated = Repeated({_index(winner): winner.params}, run.limits.retrainings)
    numbers = repeated.numbers[:times]
    evaluate(run, RETRAININGS, repeated, numbers, keep=True)
    return _chosen(finished_trials(run, RETRAININGS), numbers), kept_trainings(run, RETRAININGS, numbers)


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
    content = content_of_study(run, SEARCH, range(sampler_of(run).total(run.limits.trials)))
    if content is None:
        return None
    if not any(entry[3] is not None for entry in content):
        return digest(content)
    repeated = content_of_study(run, FINALISTS, _finalists(run, run.limits.trials).numbers)
    return None if repeated is None else digest([content, repeated])


def _finalists(run: Run, count: int | None) -> Repeated:
    """The finalists' settings, in the order of :func:`by_validation`."""
    chosen = by_validation(run, count)[: run.limits.finalists]
    return Repeated({_index(trial): trial.params for trial in chosen}, run.limits.finalist_trainings)


def _chosen(trials: list[FrozenTrial], numbers: list[int]) -> list[FrozenTrial]:
    return [trial for trial in trials if _index(trial) in numbers]


def _index(trial: FrozenTrial) -> int:
    index: int = trial.user_attrs["index"]
    return index


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
