"""Modules of a setting: preparation of the task, initial parameters and training settings."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

import graphtasks
from gnndiff.errors import ConfigError
from gnndiff.targets.base import FIT, Setting, Target, of_build, preparation
from graphtasks import FitConfig, GraphTask
from graphtasks.randomness import seeded

# Bytes of prepared tasks that are kept, those used last.
MAX_BYTES = 2**30


class Preparations:
    """Prepared tasks, each made once for the values that its preparation depends on.

    Args:
        target: The target.
        task: The task.
    """

    def __init__(self, target: Target, task: GraphTask) -> None:
        self.target, self.task = target, task
        self._kept: OrderedDict[str, tuple[GraphTask, int]] = OrderedDict()

    def __call__(self, setting: Setting, view: GraphTask | None = None) -> GraphTask:
        """The task, or a view of it, as the target needs it with a setting.

        Raises:
            RankError, FactorizationError: It cannot be prepared with these values.
        """
        keys = preparation(self.target, setting)
        if view is not None:
            return self.target.prepare(view, **keys)
        name = json.dumps(keys, sort_keys=True)
        if name not in self._kept:
            prepared = self.target.prepare(self.task, **keys)
            if prepared.kind == "link":
                prepared.graph()  # where a transform of messages fails, it does so here
            self._kept[name] = prepared, _bytes(prepared)
            while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > MAX_BYTES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(name)
        return self._kept[name][0]


def build(target: Target, task: GraphTask, setting: Setting, seed: int, device: torch.device) -> nn.Module:
    """A freshly initialised module of a target on a prepared task."""
    with seeded(seed):
        module = target.build(task, **of_build(target, setting))
        if not isinstance(module, nn.Module):
            raise ConfigError(f"{target.name!r} builds a {type(module).__name__}, expected a torch.nn.Module")
        if not any(True for _ in module.parameters()):
            raise ConfigError(f"{target.name!r} builds a module without parameters: there is nothing to train")
        if any(nn.parameter.is_lazy(tensor) for tensor in module.parameters()):
            with torch.no_grad():
                graphtasks.forward(module.eval(), task.graph() if not task.many else task.graphs[0])
    return module.to(device)


def fit_config(setting: Setting, seed: int, **shared: Any) -> FitConfig:
    """Training settings of a setting, with what all settings share."""
    own = {name: choice for name, choice in setting.items() if name in FIT}
    return FitConfig(**{**shared, **own, "seed": seed})


def _bytes(task: GraphTask) -> int:
    tensors = [value for graph in task.graphs for value in graph.to_dict().values() if isinstance(value, Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor.layout == torch.strided)
