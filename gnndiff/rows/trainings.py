"""Trainings behind the rows: of a winning setting anew, and of a few epochs from a network that is there."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from time import perf_counter

from torch import Tensor, nn

from gnndiff.errors import RunFolderError
from gnndiff.judge import Judge
from gnndiff.runs.folder import Run
from gnndiff.search import SEARCH, finished_trials, name_winner, read_state, retrain, total_seconds
from gnndiff.targets.base import IMPOSSIBLE, Setting
from graphtasks import GraphTask, train_once


@dataclass(frozen=True)
class Trainings:
    """Trainings of the best of the first settings of a search.

    Args:
        setting: The setting.
        states: State dicts at the best validation epochs.
        vals: Validation scores of these.
        searched: Seconds of the search.
        seconds: Seconds of the trainings, all together.
        note: One line for the reader.
    """

    setting: Setting
    states: list[dict[str, Tensor]]
    vals: list[float]
    searched: float
    seconds: float
    note: str


def retrained(run: Run, count: int | None) -> Trainings:
    """Train the best of the first `count` settings of the search anew several times.

    Raises:
        RunFolderError: All of them diverged.
    """
    name_winner(run, count)
    trials, good = retrain(run, count)
    if not good:
        raise RunFolderError(f"all trainings of the winning setting {trials[0].params} diverged: use another seed")
    searched = finished_trials(run, SEARCH)[:count]
    note = f"best of {len(searched)} settings, trained {len(trials)} times"
    if len(good) < len(trials):
        note += f", {len(trials) - len(good)} of which diverged and do not count"
    return Trainings(
        good[0].setting,
        [read_state(run, training) for training in good],
        [training.val for training in good],
        total_seconds(searched),
        sum(training.seconds for training in good),
        note,
    )


def refined(
    run: Run, judge: Judge, setting: Setting, state: dict[str, Tensor], seed: int
) -> tuple[dict[str, Tensor], float]:
    """A network after a few epochs of training, at the best of them by the half of validation that ranks.

    The learning rate is lower than the setting's, at which a fresh optimizer leaves the basin. A network that diverges
    stays as it was.

    Args:
        run: The run, whose limits have the number of epochs.
        judge: Has the halves.
        setting: The setting to train by.
        state: Where the training begins.
        seed: Its seed.

    Returns:
        The state dict and the seconds of the training.
    """
    start = perf_counter()
    if "lr" in setting:
        setting = {**setting, "lr": run.method.refine_rate * setting["lr"]}
    task = run.prepared(setting).replace(splits=[judge.halves.split])

    def build(task: GraphTask) -> nn.Module:
        module = run.build(setting, seed)
        module.load_state_dict(state)
        return module

    config = dataclasses.replace(run.fit_config(setting, seed), epochs=run.limits.refine_epochs, patience=None)
    result = train_once(build, task, 0, config, impossible=IMPOSSIBLE).result
    return (state if result is None else result.state_dict), perf_counter() - start
