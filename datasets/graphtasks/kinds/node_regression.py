"""Values of nodes, or several labels of 0 and 1 for each, of one graph or of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor
from torch_geometric.data import Data

from graphtasks.checks import check_graph, check_values
from graphtasks.kinds.base import Form, Kind, TaskKind, form_of_floats
from graphtasks.kinds.node import NodeKind

if TYPE_CHECKING:
    from graphtasks.task import GraphTask


class NodeRegressionKind(NodeKind):
    """Values or labels of nodes, NaN where unlabelled; splits and batches are those of classes."""

    name: ClassVar[Kind] = "node-regression"

    def check_graph(self, graph: Data, name: str) -> None:
        check_graph(graph, name)
        check_values(graph.get("y"), int(graph.num_nodes), name)

    def check_labelled(self, task: GraphTask, index: int, labelled: Tensor) -> None:
        TaskKind.check_labelled(self, task, index, labelled)

    def form(self, task: GraphTask) -> Form:
        return form_of_floats(task)
