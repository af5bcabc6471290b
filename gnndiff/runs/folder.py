"""The folder of a run: its configuration, its task and where each stage leaves its results."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gnndiff.config import Budget, Method, RunConfig
from gnndiff.errors import ConfigError, DamagedFileError, RunFolderError
from gnndiff.evaluation import Evaluator
from gnndiff.files import digest, is_partial, write_checked
from gnndiff.probe import Probe, check_selection, probe
from gnndiff.resolve import canonical, find_target, find_task, is_reference
from gnndiff.runs.lock import locked
from gnndiff.runs.record import CONFIG, UNSEEN, Recorded, read_config, read_run
from gnndiff.targets import Target, is_registered
from gnndiff.targets.base import (
    Setting,
    Space,
    architecture,
    check_kind,
    check_loaders,
    check_space,
    corner,
    full_space,
)
from gnndiff.targets.build import Preparations, build, fit_config
from gnndiff.targets.ranges import from_plain, is_range, plain
from gnndiff.zoo.recipes import find as find_recipe
from graphtasks import FitConfig, GraphTask, sensible_threads, threads
from graphtasks.files import as_path, explained

# Fields that may differ between two calls that go on with the same run.
_NOT_IDENTITY = ("out", "root", "quiet", "threads", "workers", "ray", "storage")

TRIALS, SHARED = "search.db", "trials of the storage"
INDEX = "zoo/index.jsonl"
STORAGE = "GNNDIFF_STORAGE"


class Run(Recorded):
    """One run of search, collection, training, generation and comparison, in a folder of its own.

    Opening a folder that holds the same configuration goes on with it. Nothing is written before the configuration
    is known to be valid and the target to work on the task.

    Args:
        config: The settings.
        target: The target, where it is none that `config.model` names.
        task: The task, where it is none that `config.task` names.
        space: Hyperparameters with their choices, instead of the target's own.
        check: Compare the folder's configuration with this one.

    Raises:
        ConfigError: Unknown target, task, budget or device, or a target that does not fit the task.
        RunFolderError: The folder holds a run of another configuration.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        target: Target | None = None,
        task: GraphTask | None = None,
        space: Space | None = None,
        check: bool = True,
    ) -> None:
        self.limits: Budget = config.limits
        self.method: Method = config.method
        self.target: Target = find_target(config.model) if target is None else target
        self.device = _device(config.device)
        self.task: GraphTask = find_task(config.task, root=config.root) if task is None else task
        self.own_target = not is_registered(self.target)
        self.own_task = task is not None or is_reference(config.task)
        self.config = dataclasses.replace(
            config,
            task=canonical(config.task) if task is None else task.name,
            model=canonical(config.model) if target is None else target.name,
        )
        self.folder: Path = config.folder
        find_recipe(config.zoo)
        self.task.split(config.split)
        check_kind(self.target, self.task)
        own = full_space(self.target, self.task, config.space)
        self.space: Space = own if space is None else {**own, **space}
        check_space(self.target, self.space)
        ranges = [name for name, choices in self.space.items() if is_range(choices)]
        if ranges and config.sampler == "grid":
            raise ConfigError(
                f"a grid needs choices, but {ranges[0]} is a range: use --sampler random, or give choices"
            )
        check_loaders(self.target, {**self.config.loading, **self.space})
        self.preparations = Preparations(self.target, self.task)
        if check:
            self._check_folder()

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        target: Target | None = None,
        task: GraphTask | None = None,
        root: Path | None = None,
    ) -> Run:
        """The run in a folder.

        Args:
            folder: The run folder.
            target: The run's target, where it was one of your own.
            task: The run's task, where it was one of your own.
            root: Folder of raw data files.

        Raises:
            RunFolderError: The folder holds no run.
            ConfigError: The run's target or task is one of your own, and was not passed.
        """
        place = as_path(folder)
        path, stored = place / CONFIG, read_run(place)
        names = {entry.name for entry in dataclasses.fields(RunConfig)}
        settings = {name: value for name, value in stored.items() if name in names}
        try:
            method = Method.from_json(settings.pop("method"))
            neighbors = settings.pop("neighbors")
            config = RunConfig(
                **settings,
                neighbors=None if neighbors is None else tuple(neighbors),
                method=method,
                out=place,
                root=root,
            )
            space = {name: from_plain(choices) for name, choices in stored["choices"].items()}
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise DamagedFileError(f"{path} is damaged ({error}): restore it, or start another run") from error
        for what, given in (("target", target), ("task", task)):
            if stored.get(f"own_{what}") and given is None:
                raise ConfigError(f"the run in {folder} has a {what} of your own: pass it as {what}=...")
        return cls(config, target=target, task=task, space=space)

    def __repr__(self) -> str:
        done = list(self.stages())
        return (
            f"Run({str(self.folder)!r}, task={self.task.name!r}, target={self.target.name!r}, "
            f"finished={', '.join(done) or 'nothing'})"
        )

    @property
    def split_hash(self) -> str:
        """Hash of the split's content."""
        return self.task.split(self.config.split).hash

    @cached_property
    def probe(self) -> Probe:
        """Facts found by running the target once on the task, before anything expensive."""
        with self.threaded():
            return probe(self.preparations, self.space, self.config.split, self.device, **self.config.loading)

    def identity(self) -> dict[str, Any]:
        """Settings that make two runs the same, as stored in config.json."""
        settings = {k: v for k, v in dataclasses.asdict(self.config).items() if k not in _NOT_IDENTITY}
        return {
            **settings,
            "limits": dataclasses.asdict(self.limits),
            "choices": {name: plain(choices) for name, choices in self.space.items()},
            "target": self.target.version,
            "split_hash": self.split_hash,
            "data_hash": self.task.data_hash,
        }

    @cached_property
    def identity_hash(self) -> str:
        """Hash of the identity, which all artefacts of a run are known by."""
        return digest(self.identity())

    def _check_folder(self) -> None:
        if not (self.folder / CONFIG).exists():
            others = self.folder.is_dir() and any(not is_partial(file) for file in self.folder.iterdir())
            if others or (self.folder.exists() and not self.folder.is_dir()):
                raise RunFolderError(f"{self.folder} is not empty and holds no run: choose another folder with --out")
            return
        stored = read_config(self.folder)
        wanted = json.loads(json.dumps(self.identity()))
        differing = [key for key in wanted if stored.get(key) != wanted[key]]
        if differing:
            changes = ", ".join(f"{key} {stored.get(key)!r}, now {wanted[key]!r}" for key in differing)
            raise RunFolderError(
                f"{self.folder} holds a run of another configuration ({changes}): "
                "choose another folder with --out, or the same settings"
            )

    def create(self) -> None:
        """Make the folder and write config.json, unless they are there.

        Raises:
            ConfigError: The target does not work on the task, or an option of a later stage is none.
        """
        if (self.folder / CONFIG).exists():
            return
        _ = self.probe
        self._check_later_stages()
        with explained(self.folder, "make"):
            self.folder.mkdir(parents=True, exist_ok=True)
        versions = {name: version(name) for name in ("torch", "torch-geometric", "dmdgnn")}
        own = {"own_target": self.own_target, "own_task": self.own_task}
        content = {**self.identity(), **own, "versions": versions, "identity": self.identity_hash}
        write_checked(self.folder / CONFIG, json.loads(json.dumps(content)))

    def _check_later_stages(self) -> None:
        """Raise `ConfigError` for options that no stage before the last ones would look at."""
        from gnndiff.generators import find as find_generator

        find_generator(self.config.generator)
        planned = find_recipe(self.config.zoo).trainings([corner(self.space, 0)], self.limits, self.method)
        if len(planned) < 2:
            raise ConfigError(
                f"got settings={self.limits.settings} and initialisations={self.limits.initialisations}, which makes "
                "a zoo of one training: give two at least"
            )
        for which in sorted({self.config.parameters, *(training.parameters for training in planned)}):
            check_selection(self.preparations, self.space, self.device, which)
        find_generator(self.config.generator).check(self.method)

    @property
    def storage(self) -> str | None:
        """URL of an Optuna storage outside the folder, if any. A search that began in the folder goes on there."""
        began = (self.folder / TRIALS).exists()
        return self.config.storage or (None if began else os.environ.get(STORAGE)) or None

    @property
    def trials_name(self) -> str:
        """Name of the trials among what the search leaves."""
        return TRIALS if self.storage is None else SHARED

    @property
    def searched_elsewhere(self) -> bool:
        """Whether the finished search is in a storage outside the folder."""
        search = self.stages().get("search")
        return search is not None and SHARED in search.left

    def study_name(self, name: str) -> str:
        """Name of an Optuna study; in a storage that several runs share, each run has its own."""
        if self.storage is None:
            return name
        return f"{self.task.name}-{self.target.name}-{self.identity_hash[:16]}/{name}"

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes away from the folder."""
        return locked(self.folder)

    @contextmanager
    def threaded(self) -> Iterator[int]:
        """Train with the run's number of threads, and yield it."""
        several = self.config.workers > 1 or self.config.ray is not None
        count = self.config.threads or (1 if several else sensible_threads(self.task))
        with threads(count):
            yield count

    def seed(self, *names: str | int) -> int:
        """A seed for one purpose, fixed by the run's seed and the purpose's name."""
        text = "/".join(str(name) for name in (self.config.seed, *names))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")

    def generator(self, *names: str | int) -> torch.Generator:
        """A CPU generator with the seed of a purpose."""
        return torch.Generator().manual_seed(self.seed(*names))

    def prepared(self, setting: Setting) -> GraphTask:
        """The run's task with what the target needs on its graphs."""
        return self.preparations(setting)

    def build(self, setting: Setting, seed: int) -> nn.Module:
        """A freshly initialised module of the target."""
        return build(self.target, self.prepared(setting), setting, seed, self.device)

    def fit_config(self, setting: Setting, seed: int) -> FitConfig:
        """Training settings of a setting."""
        return fit_config(
            setting, seed, epochs=self.limits.epochs, patience=self.limits.patience, **self.config.loading
        )

    def evaluator(self, setting: Setting) -> Evaluator:
        """Evaluator of networks of a setting's architecture."""
        key = json.dumps(architecture(self.target, setting), sort_keys=True)
        if key not in self._evaluators:
            self._evaluators[key] = Evaluator(
                self.build(setting, 0), self.prepared(setting), self.config.split, self.fit_config(setting, 0)
            )
        return self._evaluators[key]

    @cached_property
    def _evaluators(self) -> dict[str, Evaluator]:
        return {}

    def left(self, stage: str, name: str) -> str | None:
        """Hash of what a stage left, None where it is missing. Times in it do not count."""
        from gnndiff.search.winner import trials_digest
        from gnndiff.zoo.store import CheckpointStore

        if name == SHARED and self.storage is None:
            return UNSEEN
        if name in (TRIALS, SHARED):
            return trials_digest(self)
        if name == INDEX:
            return CheckpointStore(self.folder / "zoo", self.identity_hash).digest()
        return super().left(stage, name)

    def require(self, stage: str) -> None:
        """Raise `RunFolderError` unless a stage has finished."""
        if not self.finished(stage):
            raise RunFolderError(f"{self.folder} has no finished {stage} stage: run `gnndiff {stage}` first")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name!r} cannot be used: choose cpu or cuda")
    return device
