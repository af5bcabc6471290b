"""How a benchmark names tasks: by name with protocol and options, as a folder, or in a Python file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import graphtasks
from gnndiff.errors import ConfigError
from gnndiff.resolve import find_task, is_reference
from graphtasks import GraphTask
from graphtasks.registry import CATALOGUE, find
from graphtasks.task import Kind

Label = str | GraphTask


@dataclass(frozen=True)
class LabelledTask:
    """A task with what rows call it.

    Args:
        task: The task.
        name: Its name and options, such as `ring-transfer:hops=20`.
        protocol: Its split protocol.
    """

    task: GraphTask
    name: str
    protocol: str


@dataclass
class Loader:
    """Loads tasks by their labels, and keeps the last one.

    Args:
        root: Folder of raw data files.
    """

    root: Path | None = None
    _last: tuple[str, LabelledTask] | None = field(default=None, init=False, repr=False)

    def __call__(self, label: Label) -> LabelledTask:
        """The task of a label.

        Raises:
            ConfigError: The label is not understood.
            GraphTasksError: There is no such task, protocol or option, or its files are missing or damaged.
        """
        if isinstance(label, GraphTask):
            return LabelledTask(label, label.name, label.protocol)
        if self._last is None or self._last[0] != label:
            self._last = label, self._load(label)
        return self._last[1]

    def _load(self, label: str) -> LabelledTask:
        if is_own(label):
            task = find_task(label, root=self.root)
            return LabelledTask(task, task.name, task.protocol)
        name, protocol, options = named(label)
        given = options if self.root is None else {**options, "root": self.root}
        shown = ":".join([name, *(f"{option}={value}" for option, value in options.items())])
        return LabelledTask(graphtasks.load(name, split=protocol, **given), shown, protocol)

    def __reduce__(self) -> tuple[Any, ...]:
        return Loader, (self.root,)  # another process loads its tasks itself


def is_own(label: str) -> bool:
    """Whether a label is a folder or `FILE.py:NAME`."""
    return is_reference(label) or Path(label).is_dir()


def named(label: str) -> tuple[str, str, dict[str, Any]]:
    """Name, protocol and options of a task that is written `name`, for its first protocol, `name:protocol`, or either
    with `:option=number` behind it for each option.

    Raises:
        UnknownTaskError: There is no such task.
        ConfigError: An option is no number.
    """
    name, *parts = label.split(":")
    name = find(name)
    options = dict(part.split("=", 1) for part in parts if "=" in part)
    protocol = ":".join(part for part in parts if "=" not in part)
    try:
        numbers = {option: _number(value) for option, value in options.items()}
    except ValueError as error:
        raise ConfigError(f"{label!r}: {error}: options are numbers, such as {name}:seed=1") from error
    return name, protocol or CATALOGUE[name].protocols[0], numbers


def check_kind(label: Label, kinds: Sequence[Kind]) -> None:
    """Raise an error where a label names no task, or one of another kind; nothing is loaded."""
    if isinstance(label, GraphTask):
        return
    if not isinstance(label, str):
        raise ConfigError(f"got a task of type {type(label).__name__}, expected a GraphTask or its label")
    if is_own(label):
        return
    name = named(label)[0]
    _check(name, CATALOGUE[name].kind, kinds)


def check_loaded(task: GraphTask, kinds: Sequence[Kind]) -> None:
    """Raise `ConfigError` where a task is of another kind."""
    _check(task.name, task.kind, kinds)


def _check(name: str, kind: Kind, kinds: Sequence[Kind]) -> None:
    if kind not in kinds:
        raise ConfigError(f"{name!r} is of kind {kind!r}: this benchmark is one of {' and '.join(kinds)}")


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError as error:
        try:
            return float(text)
        except ValueError:
            raise error from None
