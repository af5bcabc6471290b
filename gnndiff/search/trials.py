"""The search: settings drawn from the grid, each trained once and scored by validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn

from gnndiff.errors import RunFolderError
from gnndiff.progress import progress
from gnndiff.runs.folder import Run
from gnndiff.scores import best, best_first
from gnndiff.search.space import sample_grid
from gnndiff.search.study import open_study
from gnndiff.targets.base import IMPOSSIBLE, Setting
from graphtasks import GraphTask, Trial, train_once

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SEARCH = "search"


def search(run: Run) -> None:
    """The coarse search. Finished trials are kept, interrupted ones are trained again."""
    run.create()
    search_grid(run, run.limits.trials)
    ranked_trials(run, run.limits.trials)
    run.set_seconds("search", total_seconds(finished_trials(run, SEARCH)[: run.limits.trials]))


def search_grid(run: Run, count: int | None) -> None:
    """Train the first `count` settings of the run's random order of the grid, or all of them."""
    evaluate(run, SEARCH, sample_grid(run.space, count, run.seed("grid")))


def evaluate(run: Run, name: str, settings: list[Setting]) -> None:
    """Train each setting once, as the trials of the study with this name.

    Each trial holds its scores at the best validation epoch. A setting's place in the list alone fixes its seeds, so
    that an interrupted study ends as one that ran through. A trial that diverges or cannot be computed is pruned.
    """
    import optuna
    from optuna.trial import TrialState

    study = open_study(run, name)
    space: dict[str, optuna.distributions.BaseDistribution] = {
        key: optuna.distributions.CategoricalDistribution(choices) for key, choices in run.space.items()
    }
    done, waiting = set(), set()
    for old in study.get_trials(deepcopy=False):
        if old.state == TrialState.RUNNING:  # left by a process that was killed
            study.tell(old.number, state=TrialState.FAIL)
        elif old.state == TrialState.WAITING:
            waiting.add(old.user_attrs["index"])
        elif old.state != TrialState.FAIL:
            done.add(old.user_attrs["index"])
    missing = set(range(len(settings))) - done
    if not missing:
        return
    metric = run.task.metric
    scores = [trial.value for trial in finished_trials(run, name) if trial.value is not None]
    with progress(name, len(settings), done=len(settings) - len(missing), quiet=run.config.quiet) as advance:
        while missing:
            index = min(missing)
            if index not in waiting:
                study.enqueue_trial(dict(settings[index]), user_attrs={"index": index})
            trial = study.ask(space)
            index = trial.user_attrs["index"]
            seed = run.seed(name, index)
            outcome = train(run, trial.params, seed)
            if outcome.finished:
                trial.set_user_attr("test", outcome.scores["test"])
                study.tell(trial, outcome.scores["val"])
                scores.append(outcome.scores["val"])
            else:
                trial.set_user_attr("reason", outcome.status)
                study.tell(trial, state=TrialState.PRUNED)
            missing.discard(index)
            waiting.discard(index)
            advance(f"best validation {metric.format(best(scores, metric))}")


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
    from optuna.trial import TrialState

    trials = open_study(run, name).get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return sorted(trials, key=lambda trial: trial.user_attrs["index"])


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
    """Time that trials took."""
    return sum(trial.duration.total_seconds() for trial in trials if trial.duration is not None)


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value
