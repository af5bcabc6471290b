"""The zoo of a family: one setting searched over its members, and one training of each from a shared start."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from gnndiff.errors import ConfigError, DamagedFileError, ZooError
from gnndiff.family.config import FamilyBudget
from gnndiff.family.networks import Networks
from gnndiff.files import read_checked, write_checked, write_tensors
from gnndiff.progress import progress
from gnndiff.search.samplers import Random
from gnndiff.targets import Target
from gnndiff.targets.base import IMPOSSIBLE, Setting, check_setting, full_space
from gnndiff.targets.build import build, fit_config
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
    target: Target, family: Family, budget: FamilyBudget, seed: int, folder: Path, quiet: bool
) -> Setting:
    """The setting with the best mean validation score over some training members; finished trials are kept.

    Raises:
        ConfigError: None of the settings could be trained.
    """
    tasks, metric = family.members("train")[: budget.searched], family.tasks[0].metric
    path, space = folder / "search.json", full_space(target, family.tasks[0], "modern")
    draws = Random(space, seed)
    settings = [draws.setting(number, {}) for number in range(draws.total(budget.trials))]
    scores: list[float | None] = read_checked(path)["scores"] if path.is_file() else []
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
            write_checked(path, {"settings": settings[: len(scores)], "scores": scores})
            advance("")
    found: int | None = None
    for index, score in enumerate(scores):
        if score is not None and (found is None or metric.better(score, scores[found])):  # type: ignore[arg-type]
            found = index
    if found is None:
        raise ConfigError(f"none of {len(settings)} settings of {target.name!r} could be trained on {family.name!r}")
    check_setting(settings[found], space, path)
    return settings[found]


def collect_family(
    networks: Networks, members: dict[int, GraphTask], starts: Tensor, budget: FamilyBudget, folder: Path, quiet: bool
) -> Tensor:
    """Vectors (n, P) of trainings of members that go on from starts (n, P); finished ones are read from the folder.

    Args:
        networks: Makes modules of vectors.
        members: Prepared members by their indices.
        starts: The vector that each training goes on from.
        budget: Epochs and patience.
        folder: Folder of the vectors.
        quiet: Plain lines instead of progress bars.

    Raises:
        ZooError: A training diverged.
        DamagedFileError: A file holds a vector of another form.
    """
    folder.mkdir(exist_ok=True)
    setting = {**networks.setting, "optimizer": "adam", "lr": min(networks.setting.get("lr", GENTLE), GENTLE)}
    vectors = []
    with progress("zoo", len(members), quiet=quiet) as advance:
        for (index, prepared), start in zip(members.items(), starts, strict=True):
            path = folder / f"{index:05}.safetensors"
            if not path.is_file():
                state = networks.layout.unflatten(start)
                trial = train_gently(networks.target, setting, prepared, budget, networks.seed, state)
                if trial.result is None:
                    raise ZooError(f"member {index} ({prepared.name!r}) could not be trained ({trial.status})")
                write_tensors(path, {"vector": networks.layout.flatten(trial.result.state_dict)})
            vector = load_file(path).get("vector")
            if vector is None or vector.shape != networks.start.shape:
                raise DamagedFileError(f"{path} holds no vector of {len(networks.start)} parameters: delete it")
            vectors.append(vector)
            advance("")
    return torch.stack(vectors)
