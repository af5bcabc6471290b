"""The graph convolutional network."""

from __future__ import annotations

from torch import nn
from torch_geometric.nn.models import GCN as PyGGCN

from gnndiff.layers import SkipGCN, SkipSymmetricGCN, SymmetricGCN
from gnndiff.targets.nodes import NodeTarget, channels, is_symmetric, normalisation, normalized
from graphtasks import GraphTask


class GCN(NodeTarget):
    """:class:`torch_geometric.nn.models.GCN`, on a normalised adjacency."""

    name = "gcn"

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
        decoder: str = "inner",
    ) -> nn.Module:
        """The module; `skip` adds a linear map beside each layer."""
        plain, symmetric = (SkipGCN, SkipSymmetricGCN) if skip else (PyGGCN, SymmetricGCN)
        network = (symmetric if is_symmetric(task) else plain)(
            **channels(task, hidden),
            num_layers=num_layers,
            dropout=float(dropout),
            normalize=False,
            **normalisation(task, norm),
        )
        return self.read_out(network, task, decoder)
