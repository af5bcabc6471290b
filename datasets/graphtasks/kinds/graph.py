"""Classes, labels or values of graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch_geometric.data import Data

from graphtasks.checks import check_classes, check_graph, check_values
from graphtasks.kinds.base import Form, Kind, TaskKind, form_of_floats

if TYPE_CHECKING:
    from graphtasks.task import GraphTask


class GraphKind(TaskKind):
    """One row of targets for each graph: a class, labels of 0 and 1, or values."""

    name: ClassVar[Kind] = "graph"
    many = True

    def check_graph(self, graph: Data, name: str) -> None:
        check_graph(graph, name)
        y = graph.get("y")
        classes = y is not None and not y.is_floating_point()
        (check_classes if classes else check_values)(y, 1, name)

    def form(self, task: GraphTask) -> Form:
        return form_of_floats(task) if task.graphs[0].y.is_floating_point() else "classes"
