"""The contract of a target: one model, whose hyperparameters are searched and whose parameters are generated."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, cast

from torch import nn
from torch_geometric.transforms import ToUndirected

from dmdgnn.errors import FactorizationError, RankError
from gnndiff.errors import ConfigError, DamagedFileError
from gnndiff.names import by_name
from gnndiff.targets.ranges import Choices, has, is_range
from gnndiff.targets.units import Units
from graphtasks import Contender, DivergedError, FitConfig, GraphTask
from graphtasks.task import KINDS, Kind

Setting = Mapping[str, Any]
Space = Mapping[str, Choices]

TRAINING: Space = {
    "optimizer": ("sgd", "adam"),
    "lr": (0.005, 0.01, 0.05, 0.1, 0.5, 1.0),
    "weight_decay": (5e-4, 5e-3, 5e-2),
}
MODERN_TRAINING: Space = {
    "optimizer": ("adam",),
    "lr": (0.002, 0.005, 0.01, 0.02),
    "weight_decay": (0.0, 5e-4, 5e-3),
}
"""Trainings as they are in use today. Networks that were trained at higher rates cannot be averaged."""

IMPOSSIBLE = (RankError, FactorizationError)
"""Errors of `prepare` and `build` that say that a setting cannot be computed: it loses, as one that diverges does."""

FIT = frozenset(field.name for field in dataclasses.fields(FitConfig))


class Target(ABC):
    """Everything about one model: its hyperparameters, its module, what it needs of a graph, and its hidden units.

    Derive a class, give it a name and the kinds of tasks it is for, and pass an instance to :func:`gnndiff.run`. A
    class in a file of `gnndiff/targets`, or behind an entry point of the group `gnndiff.targets`, has its name on the
    command line, too.

    >>> from torch_geometric.nn.models import GCN
    >>> class Plain(Target):
    ...     name = "plain"
    ...     kinds = frozenset({"node"})
    ...
    ...     def space(self, task):
    ...         return {"hidden": (16, 32), "dropout": (0.1, 0.5)}
    ...
    ...     def build(self, task, *, hidden, dropout):
    ...         return GCN(task.num_features, hidden, 2, task.num_classes, dropout=dropout)
    """

    name: ClassVar[str] = ""
    kinds: ClassVar[frozenset[Kind]] = frozenset(KINDS)
    training_only: ClassVar[frozenset[str]] = frozenset({"dropout"})
    """Hyperparameters beside those of `FitConfig` that act in training alone: networks that differ in them may be
    averaged."""

    whole_graph: ClassVar[bool] = False
    """Whether the module needs all nodes of a graph at once, so that batches of nodes are refused."""

    @abstractmethod
    def space(self, task: GraphTask) -> Space:
        """Its own hyperparameters with their choices, or with ranges such as `gnndiff.Float(0.1, 0.9)`.

        `optimizer`, `lr` and `weight_decay` are added unless they are there; any other field of
        :class:`graphtasks.FitConfig` may be there, too.
        """

    def paper_space(self, task: GraphTask) -> Space:
        """The choices of the GNN-Diff paper (https://arxiv.org/abs/2410.05697), by default those of :meth:`space`."""
        return self.space(task)

    def modern_space(self, task: GraphTask) -> Space:
        """The choices that a search begins with, by default those of :meth:`space`."""
        return self.space(task)

    @abstractmethod
    def build(self, task: GraphTask, *args: Any, **setting: Any) -> nn.Module:
        """The module with its initial parameters, drawn from torch's global generator.

        Args:
            task: The prepared task.
            *args: None; they leave it to a derived class to name its hyperparameters.
            **setting: One choice of each hyperparameter that is no field of :class:`graphtasks.FitConfig`.
        """

    def prepare(self, task: GraphTask, *args: Any, **keys: Any) -> GraphTask:
        """The task with what the module needs of its graphs, such as modes or a normalised adjacency.

        Name the hyperparameters that it depends on as arguments: the prepared task is kept under their values.
        """
        return task

    def units(self, module: nn.Module) -> Sequence[Units] | None:
        """Hidden units of a built module that may change places without a change of its outputs; None where unknown.

        Networks are aligned by them before they are averaged. It is checked that outputs stay the same. For networks
        of PyG's form, :func:`gnndiff.targets.ends.units_of` gives them.
        """
        return None

    @property
    def version(self) -> str:
        """Text that changes with the target, so that results of another are not taken for its own."""
        return type(self).__qualname__

    def contender(self, name: str, task: GraphTask, space: Space | None = None, **fixed: Any) -> Contender:
        """The target as a model of :func:`graphtasks.compare`; arguments as of :func:`as_contender`."""
        return as_contender(self, name, task, space, **fixed)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"


def check_kind(target: Target, task: GraphTask) -> None:
    """Raise `ConfigError` where a target does not know tasks of this kind."""
    if task.kind not in target.kinds:
        kinds = " or ".join(repr(kind) for kind in KINDS if kind in target.kinds)
        raise ConfigError(
            f"{target.name!r} is for tasks of kind {kinds}, but {task.name!r} is of kind {task.kind!r}: choose another "
            "task, or another model"
        )


def check_loaders(target: Target, names: Mapping[str, Any]) -> None:
    """Raise `ConfigError` where a target that needs whole graphs is to be trained on batches of nodes.

    Args:
        target: The target.
        names: Fields of `FitConfig` with their values, or with choices of them.
    """
    given = next((name for name in ("neighbors", "clusters") if names.get(name) not in (None, (None,), [None])), None)
    if target.whole_graph and given is not None:
        raise ConfigError(
            f"{target.name!r} needs all nodes of a graph at once, but {given}={names[given]!r} trains on batches of "
            f"nodes: leave {given} out, or choose another model"
        )


def full_space(target: Target, task: GraphTask, which: str = "default") -> Space:
    """All hyperparameters of a target on a task, those of training first.

    Args:
        target: The target.
        task: The task.
        which: 'modern', 'paper' (https://arxiv.org/abs/2410.05697) or 'default': the target's own choices, with the
            trainings of the paper.

    Raises:
        ConfigError: There is no such space.
    """
    spaces = {"modern": target.modern_space, "paper": target.paper_space, "default": target.space}
    own = by_name("space", which, spaces)(task)
    return {**(MODERN_TRAINING if which == "modern" else TRAINING), **own}


def corner(space: Space, end: int) -> dict[str, Any]:
    """The setting of the first choices (0) or of the last ones (-1), of ranges of their ends."""
    return {name: choices[end] for name, choices in space.items()}


def preparation_keys(target: Target) -> tuple[str, ...]:
    """Names of the hyperparameters that a target's preparation depends on."""
    return _arguments(target.prepare)[0]


def preparation(target: Target, setting: Setting) -> dict[str, Any]:
    """The part of a setting that a target's preparation depends on."""
    return {name: setting[name] for name in preparation_keys(target) if name in setting}


def takes(target: Target, name: str) -> bool:
    """Whether a target's module has a hyperparameter, in its space or beside it."""
    names, open_ended = _arguments(target.build)
    return open_ended or name in names


def of_build(target: Target, setting: Setting) -> dict[str, Any]:
    """The part of a setting that goes to `build`: all but fields of `FitConfig`, and but what `prepare` alone takes."""
    names, open_ended = _arguments(target.build)
    dropped = set() if open_ended else set(preparation_keys(target)) - set(names)
    return {name: choice for name, choice in setting.items() if name not in FIT and name not in dropped}


def architecture(target: Target, setting: Setting) -> dict[str, Any]:
    """The hyperparameters that networks must share for their parameters to mean the same."""
    return {name: choice for name, choice in setting.items() if name not in FIT | target.training_only}


def check_space(target: Target, space: Space) -> None:
    """Raise `ConfigError` where a space does not fit what `build` and `prepare` take, or names no choices."""
    for name, choices in space.items():
        values = isinstance(choices, Sequence) and not isinstance(choices, str) and len(choices)
        if not values and not is_range(choices):
            raise ConfigError(f"the space of {target.name!r} has {name}={choices!r}, expected a list of values to try")
        if name == "seed":
            raise ConfigError(f"the space of {target.name!r} has 'seed', which is no hyperparameter: use seed=...")
    taken, open_ended = _arguments(target.build)
    known = {*taken, *preparation_keys(target), *FIT}
    unknown = [name for name in space if name not in known]
    if unknown and not open_ended:
        raise ConfigError(
            f"{target.name!r} does not take {unknown[0]!r}: it takes {', '.join(taken) or 'nothing'} and fields of "
            "FitConfig"
        )
    needed = [*_required(target.build), *_required(target.prepare)]
    missing = [name for name in needed if name not in space]
    if missing:
        raise ConfigError(f"the space of {target.name!r} lacks {missing[0]!r}: give a list of values to try for it")


def training_names(target: Target) -> frozenset[str]:
    """Hyperparameters that act in training alone, by which a zoo may leave the space."""
    return FIT | target.training_only


def check_setting(setting: Any, space: Space, source: Path, free: Container[str] = ()) -> None:
    """Raise `DamagedFileError` unless a file's setting is one of a space, so that nothing else is built.

    Args:
        setting: The setting.
        space: The space.
        source: The file.
        free: Names of hyperparameters that may have other values.
    """
    own = dict(setting) if isinstance(setting, Mapping) else {}
    if own.keys() != space.keys() or not all(
        has(space[name], json.loads(json.dumps(own[name]))) for name in space if name not in free
    ):
        raise DamagedFileError(f"{source} has the setting {setting!r}, which is none of the run's: delete it")


def as_contender(
    target: Target,
    name: str,
    task: GraphTask,
    space: Space | None = None,
    *,
    undirected: bool = False,
) -> Contender:
    """A target as a model of :func:`graphtasks.compare`, of which settings that cannot be computed lose.

    Args:
        target: The target.
        name: Name in the table.
        task: The task it is compared on.
        space: Hyperparameters with their choices, by default all of the target and those of training.
        undirected: Add the reverse of each edge first; if two edges differ in weight, both get the mean.

    Raises:
        ConfigError: The target does not take a hyperparameter, or lacks one, or is for tasks of another kind.
    """
    check_kind(target, task)
    space = full_space(target, task) if space is None else space
    check_space(target, space)
    check_loaders(target, space)
    ranges = [name for name, choices in space.items() if is_range(choices)]
    if ranges:
        raise ConfigError(f"the space of {target.name!r} has the range {ranges[0]}={space[ranges[0]]!r}: give choices")

    @functools.wraps(target.build)
    def build(task: GraphTask, **setting: Any) -> nn.Module:
        with _losing():
            return target.build(task, **setting)

    @functools.wraps(target.prepare)
    def prepare(task: GraphTask, **keys: Any) -> GraphTask:
        if undirected:
            task = task.transform(ToUndirected(reduce="mean")).replace(directed=False)
        with _losing():
            prepared = target.prepare(task, **keys)
            if task.kind == "link":
                prepared.graph()  # where a transform of messages fails, it does so here
            return prepared

    return Contender(name, build, cast(dict[str, Sequence[Any]], dict(space)), prepare)


@contextmanager
def _losing() -> Iterator[None]:
    try:
        yield
    except IMPOSSIBLE as error:
        raise DivergedError(str(error)) from error


def _arguments(function: Any) -> tuple[tuple[str, ...], bool]:
    """Names of the arguments after the task that can be given by name, and whether it takes any others."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = tuple(parameter.name for parameter in parameters if parameter.kind in named)
    return names, any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters)


def _required(function: Any) -> list[str]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in variable]
