"""GraphSAGE, whose layers see a node beside the mean of its neighbours."""

from __future__ import annotations

from torch import nn
from torch_geometric.nn import SAGEConv
from torch_geometric.nn.models import GraphSAGE

from gnndiff.layers import Residual, SymmetricGraphSAGE, SymmetricSAGEConv
from gnndiff.targets.base import Space
from gnndiff.targets.nodes import NodeTarget, arguments, unweighted
from gnndiff.targets.paper import LAYERS, experiment
from graphtasks import GraphTask


class SAGE(NodeTarget):
    """:class:`torch_geometric.nn.models.GraphSAGE`; `residual` makes it a :class:`~gnndiff.layers.Residual`."""

    name = "sage"
    paper = frozenset({"small", "link", "large", "long-range"})

    def paper_own(self, task: GraphTask) -> Space:
        """The depth of long-range tasks."""
        return LAYERS if experiment(task) == "long-range" else {}

    def prepare(self, task: GraphTask) -> GraphTask:
        """The adjacency without weights, since means over neighbours know none."""
        return unweighted(task)

    def build(
        self,
        task: GraphTask,
        *,
        hidden: int,
        dropout: float,
        num_layers: int = 2,
        norm: str = "none",
        residual: bool = False,
        decoder: str = "inner",
    ) -> nn.Module:
        """The module."""
        given = arguments(task, hidden=hidden, dropout=dropout, num_layers=num_layers, norm=norm)
        # Without weights only edges without a reverse matter.
        if residual:
            network: nn.Module = Residual(**given, layer=SAGEConv if task.directed else SymmetricSAGEConv)
        else:
            network = (GraphSAGE if task.directed else SymmetricGraphSAGE)(**given)
        return self.read_out(network, task, hidden, decoder)
