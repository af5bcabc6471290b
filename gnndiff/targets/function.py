"""A plain function as a target."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from gnndiff.errors import ConfigError
from gnndiff.targets.base import Space, Target
from gnndiff.targets.ends import units_of
from gnndiff.targets.units import Units
from graphtasks import GraphTask


class FunctionTarget(Target):
    """A function that builds a module, with a space, as a target for every kind of task.

    Args:
        function: Makes a module as `function(task, **setting)`.
        space: Its own hyperparameters with their choices, such as `{"hidden": [16, 32]}`.
        name: Name of the target, by default that of the function.

    Raises:
        ConfigError: There is no space, or the function is none.
    """

    def __init__(self, function: Callable[..., nn.Module], space: Space | None, *, name: str | None = None) -> None:
        if not callable(function):
            raise ConfigError(
                f"got a target of type {type(function).__name__}, expected a name, a gnndiff.Target or a function "
                "build(task, **setting) that makes a module"
            )
        if isinstance(function, nn.Module):
            raise ConfigError(
                f"got the module {type(function).__name__}, expected a function that makes one: wrap it as "
                "`lambda task, hidden: ...`, with space={'hidden': [16, 32]}"
            )
        given = name or str(getattr(function, "__name__", type(function).__name__))
        self.name = "own" if given == "<lambda>" else given  # type: ignore[misc]
        if space is None:
            raise ConfigError(
                f"the target {self.name!r} has no space: pass its hyperparameters with their choices, such as "
                "space={'hidden': [16, 32]}, or space={} where it has none"
            )
        self.function = function
        self.choices = dict(space)
        self.build = function  # type: ignore[method-assign] # its own signature says what it takes

    def space(self, task: GraphTask) -> Space:
        """The space it was given."""
        return self.choices

    def build(self, task: GraphTask, *args: Any, **setting: Any) -> nn.Module:
        """The module that the function makes."""
        return self.function(task, **setting)

    def units(self, module: nn.Module) -> Sequence[Units] | None:
        """Units of a network of PyG's form; None for any other."""
        return units_of(module)

    @property
    def version(self) -> str:
        """Hash of the function's source, where there is one, so that results of another are not taken for its own."""
        try:
            source = inspect.getsource(self.function)
        except (OSError, TypeError):
            return ""
        return hashlib.sha256(source.encode()).hexdigest()[:16]
