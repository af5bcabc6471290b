"""The contract of a kind of task."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, cast

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphtasks.averages import average
from graphtasks.batches import Batches, GraphBatches
from graphtasks.errors import InvalidDataError
from graphtasks.losses import Loss, training_loss
from graphtasks.metrics import Metric
from graphtasks.splits import PARTS, Part, Split

if TYPE_CHECKING:
    from graphtasks.config import FitConfig
    from graphtasks.task import GraphTask

Kind = Literal["node", "node-regression", "link", "graph", "temporal"]

# Forms of targets: classes (M,), labels of 0 and 1 (M, T), values (M,) or (M, T), or whether pairs are links (M,).
Form = Literal["classes", "labels", "values", "links"]


class TaskKind(ABC):
    """The checks, targets, loss, batches and predictions of one kind of task.

    There is one object of each kind, which knows no task; :func:`graphtasks.kinds.find` gives it by its name. The
    methods here are those of tasks of many graphs, of which each is in one part.
    """

    name: ClassVar[Kind]
    # Whether a task has several graphs; None where it may have either.
    many: ClassVar[bool | None] = None

    def check_count(self, task: GraphTask) -> None:
        """Raise `InvalidDataError` where one graph is given for several, or the reverse."""
        if self.many is True and not task.many:
            raise InvalidDataError(f"{task.name!r} of kind {self.name!r} has one graph, expected a sequence of graphs")
        if self.many is False and task.many:
            raise InvalidDataError(f"{task.name!r} of kind {self.name!r} has several graphs, expected one")
        if not len(task.graphs):
            raise InvalidDataError(f"{task.name!r} has no graphs: give it at least one")

    @abstractmethod
    def check_graph(self, graph: Data, name: str) -> None:
        """Raise `InvalidDataError` unless a model can learn from the graph of a task with this name."""

    def check_metric(self, task: GraphTask) -> None:
        """Raise `InvalidDataError` unless the metric scores what is predicted."""
        if not isinstance(task.metric, Metric):
            raise InvalidDataError(f"got metric={task.metric!r}, expected one that graphtasks.metric(name) gives")
        form = self.form(task)
        area = task.metric.name in ("roc_auc", "ap")
        if form == "links":
            fits = area or task.metric.task == "ranking"
        elif form == "labels":
            fits = area and task.graphs[0].y.dim() == 2
        else:
            fits = task.metric.task == ("classification" if form == "classes" else "regression")
        if not fits:
            what = "values" if form == "labels" else form
            raise InvalidDataError(f"{task.name!r} predicts {what}, which {task.metric.name!r} does not score")

    def check_split(self, task: GraphTask, index: int) -> None:
        """Raise `InvalidDataError` unless a split is one of this task and has targets to learn from."""
        split = task.splits[index]
        if not isinstance(split, Split):
            raise self.wrong_split(task, index)
        last = max(int(split[part].max()) for part in PARTS)
        count, what = (len(task.graphs), "graph") if task.many else (task.num_nodes, "node")
        if split.mask_length not in (None, count):
            raise InvalidDataError(
                f"split {index} of {task.name!r} was made of masks for {split.mask_length} {what}s, but there are "
                f"{count}: make masks with an entry for each"
            )
        self.check_last(task, index, last, count, what)
        self.check_labelled(task, index, ~unlabelled(self.targets(task, index, "train")))

    def check_labelled(self, task: GraphTask, index: int, labelled: Tensor) -> None:
        """Raise `InvalidDataError` where the train part of a split has not enough labels (M,) to learn from."""
        if not bool(labelled.any()):
            raise InvalidDataError(f"split {index} of {task.name!r} has unlabelled nodes (-1) in its train part")

    @staticmethod
    def wrong_split(task: GraphTask, index: int) -> InvalidDataError:
        """The error of a split of nodes in a task of links, or the reverse."""
        got = type(task.splits[index]).__name__
        return InvalidDataError(f"split {index} of {task.name!r} is a {got}, which does not fit kind {task.kind!r}")

    @staticmethod
    def check_last(task: GraphTask, index: int, last: int, count: int, what: str) -> None:
        """Raise `InvalidDataError` where a split names a node or graph beyond the last."""
        if last >= count:
            owner = "task" if task.many else "graph"
            raise InvalidDataError(
                f"split {index} of {task.name!r} names {what} {last}, but the {owner} has {count} {what}s"
            )

    @abstractmethod
    def form(self, task: GraphTask) -> Form:
        """The form of the targets."""

    def num_nodes(self, task: GraphTask) -> int:
        """Number of nodes, see :attr:`GraphTask.num_nodes`."""
        return sum(int(graph.num_nodes) for graph in task.graphs)

    def num_edges(self, task: GraphTask) -> int:
        """Number of edges, see :attr:`GraphTask.num_edges`."""
        return sum(int(graph.num_edges) for graph in task.graphs)

    def num_outputs(self, task: GraphTask) -> int:
        """Number of columns that a model gives."""
        if self.form(task) == "classes":
            return task.num_classes
        y = task.graphs[0].y
        return int(y.size(1)) if y.dim() == 2 else 1

    def graph(self, task: GraphTask, split: int, part: Part) -> Data:
        """The one graph, see :meth:`GraphTask.graph`."""
        return cast(Data, task.data)

    def targets(self, task: GraphTask, split: int, part: Part) -> Tensor:
        """Targets of a part, see :meth:`GraphTask.targets`."""
        return torch.cat([graph.y for graph in task.part(split, part)]).cpu()

    def rows(self, task: GraphTask, split: int, part: Part) -> Tensor | None:
        """Which rows of a prediction are those of a part, or None where it has rows for the part alone."""
        return None

    def loss(self, task: GraphTask, split: int, *, class_weights: bool = False) -> Loss:
        """The loss that a model is trained by."""
        return training_loss(task, split, class_weights=class_weights)

    def batches(self, task: GraphTask, split: int, config: FitConfig, device: torch.device) -> Batches:
        """Batches that a training takes from the task.

        Raises:
            InvalidDataError: The config asks for batches that this kind of task has not.
        """
        loss = self.loss(task, split, class_weights=config.class_weights)
        self.refuse_samplers(task, config, "has several graphs")
        return GraphBatches(task, split, loss, device, batch_size=config.batch_size or 32)

    @staticmethod
    def refuse_samplers(task: GraphTask, config: FitConfig, why: str) -> None:
        """Raise `InvalidDataError` where the config asks for batches of nodes."""
        if config.neighbors is not None or config.clusters is not None:
            raise InvalidDataError(
                f"neighbors and clusters are for nodes of one graph, but {task.name!r} {why}: leave them out"
            )

    def predictor(self, task: GraphTask, split: int, part: Part, config: FitConfig, device: torch.device) -> Batches:
        """Batches of which only `inputs`, `read` and `predict` of one part are used.

        Many networks can be scored on the same ones, also by :func:`torch.func.functional_call`.
        """
        return self.batches(task, split, dataclasses.replace(config, class_weights=False), device)

    def less_memory(self, task: GraphTask) -> str:
        """Which settings of a training need less memory."""
        return "lower `batch_size`, or give the model fewer hidden units"

    def average(
        self, task: GraphTask, outputs: Sequence[Tensor] | Tensor, weights: Sequence[float] | None = None
    ) -> Tensor:
        """The prediction of an ensemble, see :func:`graphtasks.averages.average`."""
        return average(outputs, self.form(task), weights)


def form_of_floats(task: GraphTask) -> Form:
    """Labels or values, by the metric."""
    return "labels" if task.metric.task == "classification" else "values"


def unlabelled(y: Tensor) -> Tensor:
    """Which rows (M,) have no label at all."""
    return y.isnan().view(len(y), -1).all(dim=1) if y.is_floating_point() else y < 0
