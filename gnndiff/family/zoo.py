"""The zoo of a family: one setting searched over its members, and one training of each from a shared start."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from gnndiff.errors import ConfigError, DamagedFileError, ZooError
from gnndiff.family.config import FamilyBudget
from gnndiff.family.folder import COMMAND, SEARCH, ZOO, FamilyFolder, Vectors
from gnndiff.family.networks import Networks
from gnndiff.family.shared import Start
from gnndiff.files import digest
from gnndiff.progress import progress
from gnndiff.runs.record import read_owned, write_owned
from gnndiff.search.samplers import Random
from gnndiff.targets import Target
from gnndiff.targets.base import IMPOSSIBLE, Setting, full_space
from gnndiff.targets.build import build, fit_config
from gnndiff.zoo.store import content_hash
from gnndiff.zoo.vectors import State
from graphtasks import GraphTask, Trial, train_once
from graphtasks.families.base import Family

GENTLE = 0.01
"""Largest learning rate of a training that goes on from the shared start, so that it stays near."""


def train_member(
    target: Target, setting: Setting, prepared: GraphTask, budget: FamilyBudget, seed: int, state: State | None = None
) -> Trial:
    """One training of a prepared member; its test part decides nothing.

    Args:
        target: The model.
        setting: Its hyperparameters.
        prepared: The member.
        budget: Epochs and patience.
        seed: Seed of the initialisation, which all members share, and of training.
        state: Parameters to go on from, instead of the initialisation.
    """
    config = fit_config(setting, seed, epochs=budget.epochs, patience=budget.patience)

    def made(task: GraphTask) -> nn.Module:
        module = build(target, task, setting, seed, torch.device("cpu"))
        if state is not None:
            module.load_state_dict(state, strict=False)
        return module

    return train_once(made, prepared, config=config, impossible=IMPOSSIBLE, parts=("val",))


def train_gently(
    target: Target, setting: Setting, prepared: GraphTask, budget: FamilyBudget, seed: int, state: State | None = None
) -> Trial:
    """As :func:`train_member`, at 0.3 of the learning rate after a training that diverged, twice at most.

    The setting was searched on some members, and its learning rate may be too large for another.
    """
    trial = train_member(target, setting, prepared, budget, seed, state)
    for _ in range(2):
        if trial.result is not None:
            break
        setting = {**setting, "lr": 0.3 * setting.get("lr", 0.01)}
        trial = train_member(target, setting, prepared, budget, seed, state)
    return trial


def search_family(
    target: Target, family: Family, budget: FamilyBudget, seed: int, run: FamilyFolder, quiet: bool
) -> Setting:
    """The setting with the best mean validation score over some training members; finished trials are kept.

    Raises:
        ConfigError: None of the settings could be trained.
        DamagedFileError: The file of trials is damaged, or of another run.
    """
    tasks, metric = family.members("train")[: budget.searched], family.tasks[0].metric
    path, space = run.folder / SEARCH, full_space(target, family.tasks[0], "modern")
    draws = Random(space, seed)
    settings = [draws.setting(number, {}) for number in range(draws.total(budget.trials))]
    scores = _scores(run, path, settings)
    with progress("search", len(settings), done=len(scores), quiet=quiet) as advance:
        for setting in settings[len(scores) :]:
            trials = []
            for task in tasks:
                try:
                    prepared = Networks(target, setting, task, seed).prepare(task)
                except IMPOSSIBLE:
                    break
                trials.append(train_member(target, setting, prepared, budget, seed))
            good = len(trials) == len(tasks) and all(trial.finished for trial in trials)
            scores.append(sum(trial.score(metric) for trial in trials) / len(trials) if good else None)
            write_owned(path, run.owner(SEARCH), {"settings": settings[: len(scores)], "scores": scores})
            advance("")
    found: int | None = None
    for index, score in enumerate(scores):
        if score is not None and (found is None or metric.better(score, scores[found])):  # type: ignore[arg-type]
            found = index
    if found is None:
        raise ConfigError(f"none of {len(settings)} settings of {target.name!r} could be trained on {family.name!r}")
    return settings[found]


def _scores(run: FamilyFolder, path: Path, settings: list[Setting]) -> list[float | None]:
    """Scores of the first settings, which are there."""
    if not path.exists():
        return []
    stored = read_owned(path, run.owner(SEARCH), COMMAND)
    scores: list[float | None] = stored["scores"]
    if digest(stored["settings"]) != digest(settings[: len(scores)]):
        raise DamagedFileError(f"{path} has other settings than the space: delete it, and `{COMMAND}` makes it again")
    return scores


def collect_family(
    networks: Networks, members: dict[int, GraphTask], start: Start, known: Tensor, budget: FamilyBudget,
    run: FamilyFolder, quiet: bool,
) -> Tensor:  # fmt: skip
    """Vectors (n, P) of trainings of members that go on from a start; finished ones are read from the folder.

    Args:
        networks: Makes modules of vectors.
        members: Prepared members by their indices.
        start: The network or hypernetwork that the trainings go on from.
        known: Conditions (n, C) of the members.
        budget: Epochs and patience.
        run: The run folder.
        quiet: Plain lines instead of progress bars.

    Raises:
        ZooError: A training diverged.
        DamagedFileError: A file holds another vector than was written.
    """
    setting = {**networks.setting, "optimizer": "adam", "lr": min(networks.setting.get("lr", GENTLE), GENTLE)}
    origin = {**setting, "start": content_hash({"start": start.weights})}
    store = Vectors(run, ZOO, origin, {index: task.split(0).hash for index, task in members.items()})
    found = store.found()
    with progress("zoo", len(members), done=len(found), quiet=quiet) as advance:
        for (index, prepared), vector in zip(members.items(), start(known), strict=True):
            if index in found:
                continue
            state = networks.layout.unflatten(vector)
            trial = train_gently(networks.target, setting, prepared, budget, networks.seed, state)
            if trial.result is None:
                raise ZooError(f"member {index} ({prepared.name!r}) could not be trained ({trial.status})")
            found[index] = store.add(
                index, networks.layout.flatten(trial.result.state_dict), seed=networks.seed,
                epoch=trial.result.best_epoch, val=trial.result.val, seconds=trial.seconds,
            )  # fmt: skip
            advance("")
    every = [found[index] for index in members]
    vectors = torch.stack([store.read(each, networks.start.shape) for each in every])
    run.finish("zoo", sum(each.seconds for each in every), store.files(every))
    return vectors
