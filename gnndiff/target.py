"""Models whose hyperparameters are searched and whose parameters are generated."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import global_mean_pool
from torch_geometric.transforms import ToUndirected
from torch_geometric.utils import coalesce

from dmdgnn.errors import FactorizationError, RankError
from gnndiff.errors import ConfigError
from gnndiff.space import TRAINING, Choice, Params, Space
from graphtasks import Contender, DivergedError, FitConfig, GraphTask

# Hyperparameters of architecture that a model may be given, and that are otherwise: two layers, no normalisation of
# hidden units ("none", else a name of PyG's such as "batch_norm"), no linear map beside each layer.
OPTIONAL = ("num_layers", "norm", "skip")


@dataclass(frozen=True)
class TargetModel:
    """A model whose hyperparameters are searched and whose parameters are generated.

    Args:
        build: `build(task, params)` makes the module.
        own: `own(task)` gives the hyperparameters it has beside those of training.
        prepare: `prepare(params)` gives the transform of the graph that it needs, if any.
        prepare_series: `prepare_series(task, params)` gives the task with what it needs of the whole series.
        prepared_by: Names of the hyperparameters that `prepare` or `prepare_series` reads.
        temporal: Whether it is for series, and for these alone.
        optional: Those of `OPTIONAL` that `build` takes.
    """

    build: Callable[[GraphTask, Params], nn.Module]
    own: Callable[[GraphTask], Space] = lambda task: {}
    prepare: Callable[[Params], Callable[[Data], Data] | None] = lambda params: None
    prepare_series: Callable[[GraphTask, Params], GraphTask] = lambda task, params: task
    prepared_by: tuple[str, ...] = ()
    temporal: bool = False
    optional: tuple[str, ...] = ("num_layers", "norm")

    def space(self, task: GraphTask) -> Space:
        """All hyperparameters with their choices.

        Raises:
            ConfigError: The model is for series, and the task is of another kind.
        """
        if self.temporal and task.kind != "temporal":
            raise ConfigError(
                f"this model forecasts series, but {task.name!r} is of kind {task.kind!r}: choose a task of kind "
                "'temporal', or another model"
            )
        return TRAINING | self.own(task)

    def contender(
        self,
        name: str,
        task: GraphTask,
        space: Mapping[str, Sequence[Choice]] | None = None,
        *,
        undirected: bool = False,
    ) -> Contender:
        """The model as one of :func:`graphtasks.compare`.

        Settings whose modes cannot be computed lose, as those that diverge do. The answer for a graph, where a task
        asks for one, is the mean of its nodes'.

        Args:
            name: Name in the table.
            task: The task it is compared on.
            space: Hyperparameters with their choices, by default those of :meth:`space`. Fields of
                :class:`~graphtasks.FitConfig` and names in `optional` may be added, or fields left out.
            undirected: Add the reverse of each edge first; of two that differ in weight both get the mean.

        Raises:
            ConfigError: The model does not take a hyperparameter, or lacks one, or is for tasks of another kind.
        """
        needed = {name: choices for name, choices in self.space(task).items() if name not in _FIT}
        space = self.space(task) if space is None else space
        unknown = [key for key in space if key not in {*needed, *self.optional, *_FIT}]
        if unknown:
            raise ConfigError(
                f"{name!r} does not take {unknown[0]!r}: it takes {', '.join([*needed, *self.optional])} and fields of "
                "FitConfig"
            )
        missing = [key for key in needed if key not in space]
        if missing:
            raise ConfigError(f"the space of {name!r} lacks {missing[0]!r}: give its choices, as {needed[missing[0]]}")

        def build(task: GraphTask, **params: Choice) -> nn.Module:
            module = self.build(task, params)
            if task.kind == "graph":
                module.register_forward_hook(_mean_over_nodes, with_kwargs=True)
            return module

        def prepare(task: GraphTask, **params: Choice) -> GraphTask:
            if undirected:
                task = task.transform(ToUndirected(reduce="mean")).replace(directed=False)
            try:
                task = self.prepare_series(task, params)
                transform = self.prepare(params)
                prepared = task if transform is None else task.transform(transform)
                if task.kind == "link":
                    prepared.graph()  # where a transform of messages fails, it does so here
                return prepared
            except (RankError, FactorizationError) as error:
                raise DivergedError(str(error)) from error

        # `compare` reads there which hyperparameters a preparation depends on.
        first = inspect.Parameter("task", inspect.Parameter.POSITIONAL_ONLY)
        others = [inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY) for key in self.prepared_by]
        prepare.__signature__ = inspect.Signature([first, *others])  # type: ignore[attr-defined]
        return Contender(name, build, dict(space), prepare)


def _mean_over_nodes(model: nn.Module, args: Any, inputs: Mapping[str, Any], out: Tensor) -> Tensor:
    return global_mean_pool(out, inputs.get("batch"))


_FIT = frozenset(field.name for field in dataclasses.fields(FitConfig))


def is_symmetric(task: GraphTask) -> bool:
    """Whether each edge has a reverse of the same weight, to rounding."""
    return not task.directed and all(map(_symmetric_weights, task.graphs))


def _symmetric_weights(data: Data) -> bool:
    weight = data.get("edge_weight")
    if weight is None or data.get("edge_index") is None:
        return True
    (edges, forth), (reverse, back) = (coalesce(e, weight) for e in (data.edge_index, data.edge_index.flip(0)))
    return torch.equal(edges, reverse) and torch.allclose(forth, back)
