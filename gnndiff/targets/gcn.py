"""The graph convolutional network."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch_geometric.nn import GCNConv
from torch_geometric.nn.models import GCN as PyGGCN

from gnndiff.layers import Residual, SkipGCN, SkipSymmetricGCN, SymmetricGCN, SymmetricGCNConv
from gnndiff.targets.base import Space
from gnndiff.targets.nodes import NodeTarget, arguments, is_symmetric, normalized
from gnndiff.targets.paper import LAYERS, experiment
from graphtasks import GraphTask


class GCN(NodeTarget):
    """:class:`torch_geometric.nn.models.GCN`, on a normalised adjacency.

    `skip` adds a linear map beside each layer, `residual` makes it a :class:`~gnndiff.layers.Residual` of its layers.
    """

    name = "gcn"
    paper = frozenset({"small", "link", "large", "long-range"})

    def paper_own(self, task: GraphTask) -> Space:
        """The depth of long-range tasks."""
        return LAYERS if experiment(task) == "long-range" else {}

    def prepare(self, task: GraphTask) -> GraphTask:
        """The normalised adjacency."""
        return normalized(task)

    def build(
        self,
        task: GraphTask,
        *,
        hidden: int,
        dropout: float,
        num_layers: int = 2,
        norm: str = "none",
        skip: bool = False,
        residual: bool = False,
        decoder: str = "inner",
    ) -> nn.Module:
        """The module."""
        given = arguments(task, hidden=hidden, dropout=dropout, num_layers=num_layers, norm=norm)
        symmetric = is_symmetric(task)
        network: nn.Module
        if residual:
            layer = partial(SymmetricGCNConv if symmetric else GCNConv, normalize=False)
            network = Residual(**given, layer=layer)
        elif skip:
            network = (SkipSymmetricGCN if symmetric else SkipGCN)(**given, normalize=False)
        else:
            network = (SymmetricGCN if symmetric else PyGGCN)(**given, normalize=False)
        return self.read_out(network, task, hidden, decoder)
