"""Classes of nodes, of one graph or of many."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar, cast

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphtasks.batches import Batches, NodeBatches, WholeGraph
from graphtasks.checks import check_classes, check_graph
from graphtasks.errors import InvalidDataError
from graphtasks.kinds.base import Form, Kind, TaskKind
from graphtasks.splits import Part, Split

if TYPE_CHECKING:
    from graphtasks.config import FitConfig
    from graphtasks.task import GraphTask


class NodeKind(TaskKind):
    """Classes of nodes; a split is over the nodes of the one graph, or over graphs."""

    name: ClassVar[Kind] = "node"

    def check_graph(self, graph: Data, name: str) -> None:
        check_graph(graph, name)
        check_classes(graph.get("y"), int(graph.num_nodes), name)

    def check_labelled(self, task: GraphTask, index: int, labelled: Tensor) -> None:
        super().check_labelled(task, index, labelled if task.many else labelled.all().view(1))

    def form(self, task: GraphTask) -> Form:
        return "classes"

    def targets(self, task: GraphTask, split: int, part: Part) -> Tensor:
        rows = self.rows(task, split, part)
        return super().targets(task, split, part) if rows is None else cast(Data, task.data).y.cpu()[rows]

    def rows(self, task: GraphTask, split: int, part: Part) -> Tensor | None:
        return None if task.many else cast(Split, task.split(split))[part]

    def batches(self, task: GraphTask, split: int, config: FitConfig, device: torch.device) -> Batches:
        if task.many:
            return super().batches(task, split, config, device)
        loss = self.loss(task, split, class_weights=config.class_weights)
        if config.neighbors is None and config.clusters is None:
            if config.batch_size is not None:
                raise InvalidDataError(
                    f"got batch_size={config.batch_size} for nodes of one graph, expected neighbors or clusters with it"
                )
            return WholeGraph(task, split, loss, device)
        return NodeBatches(
            task,
            split,
            loss,
            device,
            batch_size=config.batch_size or (1024 if config.neighbors is not None else 1),
            neighbors=config.neighbors,
            clusters=config.clusters,
        )

    def predictor(self, task: GraphTask, split: int, part: Part, config: FitConfig, device: torch.device) -> Batches:
        if not task.many:  # whose batches of nodes predict on the whole graph
            config = dataclasses.replace(config, neighbors=None, clusters=None, batch_size=None)
        return super().predictor(task, split, part, config, device)

    def less_memory(self, task: GraphTask) -> str:
        if task.many:
            return super().less_memory(task)
        return "train in batches with FitConfig(neighbors=(10, 10)) or clusters, or give the model fewer hidden units"
