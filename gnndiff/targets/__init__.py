"""The targets by name: one file each in this folder, and those of other packages by entry points."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any, cast

from torch import nn

from gnndiff.errors import ConfigError
from gnndiff.names import by_name
from gnndiff.targets.base import Space, Target, takes
from gnndiff.targets.function import FunctionTarget
from graphtasks.task import Kind

ENTRY_POINTS = "gnndiff.targets"

_registered: dict[str, Target] = {}


def register(target: Target | type[Target]) -> Target | type[Target]:
    """Give a target its name on the command line and in :func:`find`, for this process; may stand above a class.

    Raises:
        ConfigError: It has no name, or one that is taken.
    """
    instance = target() if isinstance(target, type) else target
    if not instance.name:
        raise ConfigError(f"{type(instance).__name__} has no name: set `name` in the class")
    if instance.name in _all():
        raise ConfigError(f"a target is called {instance.name!r} already: choose another name")
    _registered[instance.name] = instance
    return target


def available(kind: Kind | None = None) -> list[str]:
    """Names of all targets, or of those for one kind of task."""
    return [name for name, target in sorted(_all().items()) if kind is None or kind in target.kinds]


def find(name: str) -> Target:
    """The target with this name.

    Raises:
        ConfigError: There is none.
    """
    return by_name("target", name.lower() if isinstance(name, str) else name, dict(sorted(_all().items())))


def is_registered(target: Target) -> bool:
    """Whether a target can be found by its name."""
    return _all().get(target.name) is target


def as_target(target: str | Target | type[Target] | Callable[..., nn.Module], space: Space | None = None) -> Target:
    """A target of whatever :func:`gnndiff.run` takes: a name, a target or a function with a space."""
    if isinstance(target, str):
        return find(target)
    if isinstance(target, Target):
        return target
    if isinstance(target, type) and issubclass(target, Target):
        return target()
    return FunctionTarget(cast(Callable[..., nn.Module], target), space)


def _all() -> dict[str, Target]:
    return {**_own(), **_installed(), **_registered}


@cache
def _own() -> dict[str, Target]:
    """The targets of the modules in this folder."""
    found: dict[str, Target] = {}
    for module in iter_modules(__path__):
        for target in targets_of(import_module(f"{__name__}.{module.name}")):
            found[target.name] = target
    return found


@cache
def _installed() -> dict[str, Target]:
    """The targets that other packages declare as entry points."""
    found: dict[str, Target] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        loaded = entry.load()
        target = loaded() if isinstance(loaded, type) else loaded
        found[target.name] = target
    return found


def targets_of(module: Any) -> list[Target]:
    """An instance of each concrete target with a name that a module defines."""
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Target)]
    own = [cls for cls in classes if cls.__module__ == module.__name__ and not inspect.isabstract(cls)]
    return [cls() for cls in own if isinstance(cls.name, str) and cls.name]


__all__ = [
    "FunctionTarget",
    "Space",
    "Target",
    "as_target",
    "available",
    "find",
    "is_registered",
    "register",
    "takes",
    "targets_of",
]
