"""The graph attention network."""

from __future__ import annotations

from torch import nn
from torch_geometric.data import Data
from torch_geometric.transforms import AddSelfLoops, RemoveSelfLoops
from torch_geometric.utils import is_undirected

from gnndiff.layers import SkipGAT, SymmetricGAT
from gnndiff.targets.base import Space
from gnndiff.targets.nodes import NodeTarget, arguments, with_sparse
from graphtasks import GraphTask


class GAT(NodeTarget):
    """:class:`torch_geometric.nn.models.GAT`: heads side by side in hidden layers, and their mean in the last one.

    The width is the next multiple of the number of heads. `skip` adds a linear map beside each layer.
    """

    name = "gat"
    paper = frozenset({"small"})

    def space(self, task: GraphTask) -> Space:
        """Numbers of heads, too."""
        return {**super().space(task), "heads": (2, 4, 8)}

    def paper_own(self, task: GraphTask) -> Space:
        """The paper's numbers of heads."""
        return {"heads": (4, 8, 12)}

    def prepare(self, task: GraphTask) -> GraphTask:
        """The adjacency with self-loops and without weights, where all edges of all graphs have a reverse."""
        if task.kind != "link" and not all(map(_undirected, task.graphs)):
            return task
        return task.transform(_with_loops)

    def build(
        self,
        task: GraphTask,
        *,
        hidden: int,
        dropout: float,
        heads: int,
        num_layers: int = 2,
        norm: str = "none",
        skip: bool = False,
        decoder: str = "inner",
    ) -> nn.Module:
        """The module."""
        width = hidden + -hidden % heads
        given = arguments(task, hidden=width, dropout=dropout, num_layers=num_layers, norm=norm)
        network = (SkipGAT if skip else SymmetricGAT)(**given, heads=heads)
        return self.read_out(network, task, width, decoder)


def _undirected(data: Data) -> bool:
    return is_undirected(data.edge_index, num_nodes=data.num_nodes)


def _with_loops(data: Data) -> Data:
    return with_sparse(data, RemoveSelfLoops(), AddSelfLoops(), weight=None) if _undirected(data) else data
