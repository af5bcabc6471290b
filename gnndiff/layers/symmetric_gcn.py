"""PyG's GCN for undirected graphs, with a cheap backward pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric.nn import GCNConv
from torch_geometric.nn.models import GCN

from dmdgnn.kernels.symmetric import symmetric_matmul


class SymmetricGCNConv(GCNConv):
    """:class:`~torch_geometric.nn.conv.GCNConv` whose sparse adjacency must be symmetric."""

    def message_and_aggregate(self, adj_t: Tensor, x: Tensor) -> Tensor:
        """The weighted sum over the neighbours of each node."""
        return symmetric_matmul(adj_t, x)


class SymmetricGCN(GCN):
    """:class:`~torch_geometric.nn.models.GCN`, with the same parameters and outputs, whose sparse adjacency must be
    symmetric."""

    def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> GCNConv:
        """One layer."""
        return SymmetricGCNConv(in_channels, out_channels, **kwargs)
