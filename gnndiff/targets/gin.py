"""The graph isomorphism network."""

from __future__ import annotations

from torch import nn
from torch_geometric.nn.models import GIN as PyGGIN

from gnndiff.layers import SymmetricGIN
from gnndiff.targets.nodes import NodeTarget, arguments, unweighted
from graphtasks import GraphTask


class GIN(NodeTarget):
    """:class:`torch_geometric.nn.models.GIN`, whose layers are perceptrons of sums over neighbours."""

    name = "gin"

    def prepare(self, task: GraphTask) -> GraphTask:
        """The adjacency without weights, since sums over neighbours know none."""
        return unweighted(task)

    def build(
        self,
        task: GraphTask,
        *,
        hidden: int,
        dropout: float,
        num_layers: int = 2,
        norm: str = "none",
        decoder: str = "inner",
    ) -> nn.Module:
        """The module."""
        given = arguments(task, hidden=hidden, dropout=dropout, num_layers=num_layers, norm=norm)
        return self.read_out((PyGGIN if task.directed else SymmetricGIN)(**given), task, hidden, decoder)
