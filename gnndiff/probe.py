"""A trial of a target on a task before anything expensive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gnndiff.errors import ConfigError, GNNDiffError
from gnndiff.evaluation import Evaluator, stack
from gnndiff.targets.base import IMPOSSIBLE, Setting, Space, Target, architecture, corner
from gnndiff.targets.build import Preparations, build, fit_config
from gnndiff.targets.ranges import Choices, Float, Int
from gnndiff.targets.units import Units
from gnndiff.zoo.alignment import usable_units
from gnndiff.zoo.selection import ALL, selected
from graphtasks import DivergedError, FitConfig, GraphTask, GraphTasksError


@dataclass(frozen=True)
class Probe:
    """Facts about a target that a run relies on.

    Args:
        parameters: Number of parameters of the first setting that can be built.
        units: Hidden units by which networks are aligned; none where they are not.
        alignment: Why networks are aligned, or are not, for the reader.
    """

    parameters: int
    units: Sequence[Units]
    alignment: str


def probe(preparations: Preparations, space: Space, split: int, device: torch.device, **shared: Any) -> Probe:
    """Build a target at two corners of its space and run it on the validation part.

    Raises:
        ConfigError: It cannot be built or run, or its parameters change with what acts in training alone.
    """
    target, first = preparations.target, None
    for setting in _corners(space):
        try:
            task = preparations(setting)
            module = build(target, task, setting, 0, device)
        except (*IMPOSSIBLE, DivergedError):
            continue
        except (GNNDiffError, GraphTasksError):
            raise
        except Exception as error:  # whatever a user's code raises
            raise ConfigError(
                f"{target.name!r} cannot be built with {dict(setting)} ({_line(error)}): mend it"
            ) from error
        other = {**setting, **{name: space[name][-1] for name in target.training_only if name in space}}
        _check_same(target.name, module, build(target, task, other, 1, device), setting, other)
        first = first or (setting, task, module)
    if first is None:
        raise ConfigError(
            f"{target.name!r} can be computed on {preparations.task.name!r} neither with the first nor with the last "
            "choices of its space: give it other choices"
        )
    return _run(target, *first, split, fit_config(first[0], 0, **shared))


def check_selection(preparations: Preparations, space: Space, device: torch.device, which: str) -> None:
    """Raise `ConfigError` unless a choice of tensors names some in the networks of all architectures of a space.

    Each choice of each hyperparameter is built once, beside the first choices of the others.
    """
    if which == ALL:
        return
    target, first = preparations.target, corner(space, 0)
    others = [{**first, name: choice} for name in architecture(target, first) for choice in _choices(space[name])]
    for setting in (*others, corner(space, -1)):
        try:
            module = build(target, preparations(setting), setting, 0, device)
        except (*IMPOSSIBLE, DivergedError):
            continue
        selected(module, which, f" of the network with {architecture(target, setting)}")


def _choices(choices: Choices) -> Sequence[Any]:
    return [choices[0], choices[-1]] if isinstance(choices, Float | Int) else choices


def _run(target: Target, setting: Setting, task: GraphTask, module: nn.Module, split: int, config: FitConfig) -> Probe:
    evaluator = Evaluator(module, task, split, config)
    try:
        evaluator.scores(stack([module.state_dict()]), "val")
        units, alignment = usable_units(target.units(evaluator.module), evaluator)
    except GNNDiffError:
        raise
    except Exception as error:  # whatever a user's code raises
        raise ConfigError(f"{target.name!r} fails on {task.name!r} ({_line(error)}): mend it") from error
    return Probe(sum(parameter.numel() for parameter in module.parameters()), units, alignment)


def _corners(space: Space) -> Iterator[Setting]:
    yield corner(space, 0)
    yield corner(space, -1)


def _check_same(name: str, module: nn.Module, again: nn.Module, setting: Setting, other: Setting) -> None:
    shapes, others = ({key: tuple(p.shape) for key, p in each.named_parameters()} for each in (module, again))
    if shapes != others:
        changed = next(key for key in {**shapes, **others} if shapes.get(key) != others.get(key))
        raise ConfigError(
            f"{name!r} has the parameter {changed} of shape {shapes.get(changed)} with {dict(setting)}, and of shape "
            f"{others.get(changed)} with {dict(other)}: hyperparameters that act in training alone must not change "
            "parameters; leave this one out of `training_only`"
        )


def _line(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}"
