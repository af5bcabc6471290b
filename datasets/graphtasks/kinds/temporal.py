"""Values of nodes in the next steps of a series of snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from torch_geometric.data import Data

from graphtasks.checks import check_graph, check_values
from graphtasks.errors import InvalidDataError
from graphtasks.kinds.base import Form, Kind
from graphtasks.kinds.graph import GraphKind
from graphtasks.splits import Split

if TYPE_CHECKING:
    from graphtasks.task import GraphTask


class TemporalKind(GraphKind):
    """Snapshots in their order, each with the values to come; a split is by time."""

    name: ClassVar[Kind] = "temporal"

    def check_graph(self, graph: Data, name: str) -> None:
        check_graph(graph, name)
        check_values(graph.get("y"), int(graph.num_nodes), name)

    def check_split(self, task: GraphTask, index: int) -> None:
        super().check_split(task, index)
        split = cast(Split, task.splits[index])
        if split.train[-1] >= split.val[0] or split.val[-1] >= split.test[0]:
            raise InvalidDataError(
                f"split {index} of the series {task.name!r} is not by time, train before val before test: "
                "use `time_splits`"
            )

    def form(self, task: GraphTask) -> Form:
        return "values"

    def num_nodes(self, task: GraphTask) -> int:
        return max(int(graph.num_nodes) for graph in task.graphs)

    def num_edges(self, task: GraphTask) -> int:
        return max(int(graph.num_edges) for graph in task.graphs)
