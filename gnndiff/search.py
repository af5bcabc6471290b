"""The search: configurations drawn from the grid, each trained once and scored by validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gnndiff.errors import ConfigError, DamagedFileError, RunFolderError
from gnndiff.progress import progress
from gnndiff.runs import Run
from gnndiff.space import Params, fit_config, sample_grid
from graphtasks import DivergedError, fit

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

STUDY = "search"


def search(run: Run) -> None:
    """The coarse search. Finished trials are kept, interrupted ones are trained again."""
    run.create()
    search_grid(run, run.limits.trials)
    ranked_trials(run, run.limits.trials)
    run.set_seconds("search", total_seconds(finished_trials(run, STUDY)[: run.limits.trials]))


def search_grid(run: Run, count: int | None) -> None:
    """Train the first `count` configurations of the run's random order of the grid, or all of them."""
    evaluate(run, STUDY, sample_grid(run.space, count, run.seed("grid")))


def evaluate(run: Run, name: str, configurations: list[Params]) -> None:
    """Train each configuration once, as the trials of the study with this name.

    Each trial holds its scores at the best validation epoch. A configuration's place in the list alone fixes its
    seeds, so that an interrupted study ends as one that ran through. A trial that diverges is pruned.
    """
    import optuna
    from optuna.trial import TrialState

    study = _study(run, name)
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
    missing = set(range(len(configurations))) - done
    if not missing:
        return
    best = max((trial.value for trial in finished_trials(run, name) if trial.value is not None), default=0.0)
    with progress(
        name, len(configurations), done=len(configurations) - len(missing), quiet=run.config.quiet
    ) as advance:
        while missing:
            index = min(missing)
            if index not in waiting:
                study.enqueue_trial(dict(configurations[index]), user_attrs={"index": index})
            trial = study.ask(space)
            index = trial.user_attrs["index"]
            seed = run.seed(name, index)
            try:
                result = fit(
                    run.build(trial.params, seed),
                    run.prepared_task(trial.params),
                    run.config.split,
                    fit_config(trial.params, run.limits, seed),
                )
            except DivergedError:
                study.tell(trial, state=TrialState.PRUNED)
            else:
                trial.set_user_attr("test", result.test)
                study.tell(trial, result.val)
                best = max(best, result.val)
            missing.discard(index)
            waiting.discard(index)
            advance(f"best validation {best:.4f}")


def finished_trials(run: Run, name: str) -> list[FrozenTrial]:
    """Complete and diverged trials of a study, in the order of their configurations."""
    from optuna.trial import TrialState

    trials = _study(run, name).get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return sorted(trials, key=lambda trial: trial.user_attrs["index"])


def ranked_trials(run: Run, count: int | None = None) -> list[FrozenTrial]:
    """Trials of the search that did not diverge, the best validation score first.

    Args:
        run: The run.
        count: Only those of the first `count` configurations.

    Raises:
        RunFolderError: There is none.
    """
    trials = [trial for trial in finished_trials(run, STUDY)[:count] if trial.value is not None]
    if not trials:
        raise RunFolderError(
            f"the search of {run.folder} has no training that ended well: run `gnndiff search`, and if all diverge "
            "scale the features of the task"
        )
    return sorted(trials, key=lambda trial: trial.value or 0.0, reverse=True)


def total_seconds(trials: list[FrozenTrial]) -> float:
    """Time that trials took."""
    return sum(trial.duration.total_seconds() for trial in trials if trial.duration is not None)


def _study(run: Run, name: str) -> Study:
    """The study with this name in the run's storage, made where it is not there."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            storage=run.storage,
            study_name=run.study_name(name),
            load_if_exists=True,
            direction=run.task.metric.direction,
            sampler=optuna.samplers.RandomSampler(seed=run.seed(name)),
        )
    except Exception as error:  # every database has errors of its own
        if run.config.storage is None:
            raise DamagedFileError(
                f"the trials in {run.folder / 'search.db'} cannot be read ({type(error).__name__}): delete the file to "
                "search again"
            ) from error
        raise ConfigError(
            f"the Optuna storage cannot be used ({type(error).__name__}): check the URL of --storage and its driver"
        ) from error
