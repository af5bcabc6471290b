"""PyG's GCN for undirected graphs, with a cheap backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import GCNConv
from torch_geometric.nn.models import GCN


class _SymmetricProduct(torch.autograd.Function):
    """A @ x for a symmetric sparse A, which is its own transpose: autograd would transpose it in each backward pass."""

    @staticmethod
    def forward(ctx: Any, adjacency: Tensor, x: Tensor) -> Tensor:
        ctx.adjacency = adjacency
        return adjacency @ x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, ctx.adjacency @ grads[0]


class _SymmetricGCNConv(GCNConv):
    def message_and_aggregate(self, adj_t: Tensor, x: Tensor) -> Tensor:
        product: Tensor = _SymmetricProduct.apply(adj_t, x)
        return product


class SymmetricGCN(GCN):
    """:class:`~torch_geometric.nn.models.GCN`, with the same parameters and outputs, whose sparse adjacency must be
    symmetric."""

    def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> GCNConv:
        """One layer."""
        return _SymmetricGCNConv(in_channels, out_channels, **kwargs)
