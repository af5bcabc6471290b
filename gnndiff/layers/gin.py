"""PyG's GIN for undirected graphs, with a cheap backward pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric.nn import GINConv
from torch_geometric.nn.models import GIN

from dmdgnn.kernels.symmetric import symmetric_matmul


class SymmetricGINConv(GINConv):
    """:class:`~torch_geometric.nn.conv.GINConv` whose sparse adjacency must be symmetric and of ones."""

    def message_and_aggregate(self, adj_t: Tensor, x: tuple[Tensor, Tensor | None]) -> Tensor:
        """The sum over the neighbours of each node."""
        return symmetric_matmul(adj_t, x[0])


class SymmetricGIN(GIN):
    """:class:`~torch_geometric.nn.models.GIN`, with the same parameters and outputs, whose sparse adjacency must be
    symmetric and of ones."""

    def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> GINConv:
        """One layer."""
        return SymmetricGINConv(super().init_conv(in_channels, out_channels).nn, **kwargs)
