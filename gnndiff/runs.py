"""The folder of a run: its configuration, its task and where each stage leaves its results."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import nn

import graphtasks
from gnndiff.config import Budget, RunConfig
from gnndiff.errors import ConfigError, DamagedFileError, RunFolderError
from gnndiff.registry import target_model
from gnndiff.space import Params, Space
from gnndiff.target import TargetModel
from graphtasks import GraphTask
from graphtasks.randomness import seeded

# What may differ between two calls that go on with the same run.
_NOT_IDENTITY = ("out", "root", "quiet")

# What a stage leaves; without it the stage has not finished.
_LEFT_BY = {
    "collect": "zoo/index.jsonl",
    "train": "generator",
    "generate": "generated",
    "compare": "results.json",
}


class Run:
    """One run of search, collection, training, generation and comparison, in a folder of its own.

    Opening a folder that holds the same configuration goes on with it. Nothing is written before the configuration
    is known to be valid.

    Args:
        config: The settings.

    Raises:
        ConfigError: Unknown model, budget or device.
        RunFolderError: The folder holds a run of another configuration.
    """

    def __init__(self, config: RunConfig) -> None:
        config = dataclasses.replace(config, task=config.task.lower(), model=config.model.lower())
        self.config = config
        self.folder: Path = config.folder
        self.limits: Budget = config.limits
        self.model: TargetModel = target_model(config.model)
        try:
            self.device = torch.device(config.device)
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"device {config.device!r} cannot be used: {str(error).splitlines()[0]}") from error
        if self.device.type not in ("cpu", "cuda"):
            raise ConfigError(f"device {config.device!r} cannot be used: choose cpu or cuda")
        self._check_folder()
        self.task.split(config.split)
        self.space: Space = self.model.space(self.task)

    @cached_property
    def task(self) -> GraphTask:
        """The task of the run."""
        task = graphtasks.load(self.config.task, root=self.config.root)
        if task.kind != "node" or task.many:
            raise ConfigError(
                f"task {task.name!r} is of kind {task.kind!r}{' with several graphs' if task.many else ''}: "
                "choose one of kind 'node' with one graph"
            )
        return task

    @property
    def split_hash(self) -> str:
        """Hash of the split's content."""
        return self.task.split(self.config.split).hash

    def identity(self) -> dict[str, Any]:
        """What makes two runs the same, as stored in config.json."""
        settings = {k: v for k, v in dataclasses.asdict(self.config).items() if k not in _NOT_IDENTITY}
        if self.config.storage is not None:
            settings["storage"] = re.sub("//.*@", "//", self.config.storage)  # no password in a file
        return {**settings, "limits": dataclasses.asdict(self.limits), "split_hash": self.split_hash}

    def _check_folder(self) -> None:
        path = self.folder / "config.json"
        if not path.exists():
            others = self.folder.is_dir() and any(file.suffix != ".partial" for file in self.folder.iterdir())
            if others or (self.folder.exists() and not self.folder.is_dir()):
                raise RunFolderError(f"{self.folder} is not empty and holds no run: choose another folder with --out")
            return
        try:
            stored = read_json(path)
        except DamagedFileError as error:
            raise DamagedFileError(f"{path} is damaged: choose another folder with --out, or restore it") from error
        wanted = json.loads(json.dumps(self.identity()))
        differing = [key for key in wanted if stored.get(key) != wanted[key]]
        if differing:
            changes = ", ".join(f"{key} {stored.get(key)!r}, now {wanted[key]!r}" for key in differing)
            raise RunFolderError(
                f"{self.folder} holds a run of another configuration ({changes}): "
                "choose another folder with --out, or the same settings"
            )

    def create(self) -> None:
        """Make the folder and write config.json, unless they are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "config.json").exists():
            write_json(self.folder / "config.json", self.identity())

    @property
    def storage(self) -> str:
        """URL of the Optuna storage."""
        return self.config.storage or f"sqlite:///{self.folder / 'search.db'}"

    def study_name(self, name: str) -> str:
        """Name of an Optuna study; in a storage that several runs share, each run has its own."""
        if self.config.storage is None:
            return name
        identity = hashlib.sha256(json.dumps(self.identity()).encode()).hexdigest()[:16]
        return f"{self.folder.name}-{identity}/{name}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes away from the folder; the lock ends with this process, however that ends."""
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise RunFolderError(f"another process works in {self.folder}: wait for it, or stop it") from error
        try:
            yield
        finally:
            lock.release()

    def seed(self, *names: str | int) -> int:
        """A seed for one purpose, fixed by the run's seed and the purpose's name."""
        text = "/".join(str(name) for name in (self.config.seed, *names))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")

    def generator(self, *names: str | int) -> torch.Generator:
        """A CPU generator with the seed of a purpose."""
        return torch.Generator().manual_seed(self.seed(*names))

    def prepared_task(self, params: Params, task: GraphTask | None = None) -> GraphTask:
        """The run's task, or a variant of it, with what the model needs on its graph."""
        transform = self.model.prepare(params)
        task = task or self.task
        return task if transform is None else task.transform(transform)

    def build(self, params: Params, seed: int) -> nn.Module:
        """A freshly initialised target model."""
        with seeded(seed):
            return self.model.build(self.task, params).to(self.device)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Store the seconds of a stage that ends well."""
        start = perf_counter()
        yield
        self.set_seconds(stage, perf_counter() - start)

    def set_seconds(self, stage: str, seconds: float) -> None:
        """Store the seconds that a stage took."""
        write_json(self.folder / "stages.json", {**self.seconds(), stage: round(seconds, 3)})

    def seconds(self) -> dict[str, float]:
        """Seconds of the finished stages."""
        path = self.folder / "stages.json"
        return read_json(path) if path.exists() else {}

    def finished(self, stage: str) -> bool:
        """Whether a stage has finished and what it left is there."""
        left = self.folder / _LEFT_BY[stage] if stage in _LEFT_BY else None
        if stage == "search" and self.config.storage is None:
            left = self.folder / "search.db"
        return stage in self.seconds() and (left is None or left.exists())

    def require(self, stage: str) -> None:
        """Raise `RunFolderError` unless a stage has finished."""
        if not self.finished(stage):
            raise RunFolderError(f"{self.folder} has no finished {stage} stage: run `gnndiff {stage}` first")


def write_text(path: Path, text: str) -> None:
    """Write a file as a whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, as a whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file of a run."""
    try:
        return json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}): delete it and run its stage again") from error


def sha256(path: Path) -> str:
    """Hash of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
