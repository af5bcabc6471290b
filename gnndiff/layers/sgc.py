"""Propagation without hidden units."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import linear
from torch_geometric.nn import SGConv
from torch_geometric.typing import Adj

from dmdgnn.kernels.symmetric import symmetric_matmul


class NormalizedSGConv(SGConv):
    """:class:`~torch_geometric.nn.conv.SGConv`, with the same parameters, of an adjacency that is normalised already.

    The linear map comes first where that leaves fewer columns to propagate.

    Args:
        in_channels (int): Size of each input sample.
        out_channels (int): Size of each output sample.
        K (int, optional): Number of hops. (default: :obj:`1`)
        symmetric (bool, optional): Whether the sparse adjacency is symmetric, which makes the backward pass cheaper.
            (default: :obj:`False`)
        **kwargs (optional): Other arguments of `SGConv`.
    """

    def __init__(self, in_channels: int, out_channels: int, K: int = 1, symmetric: bool = False, **kwargs: Any) -> None:
        self.symmetric = symmetric
        super().__init__(in_channels, out_channels, K, **kwargs)

    def forward(self, x: Tensor, edge_index: Adj, edge_weight: Tensor | None = None) -> Tensor:
        """Outputs (N, F_out) for features (N, F_in), and edges (2, E) with weights or a sparse adjacency (N, N)."""
        first = self.out_channels < self.in_channels
        x = linear(x, self.lin.weight) if first else x
        for _ in range(self.K):
            x = self.propagate(edge_index, x=x, edge_weight=edge_weight)
        out = x if first else linear(x, self.lin.weight)
        return out if self.lin.bias is None else out + self.lin.bias

    def message_and_aggregate(self, adj_t: Tensor, x: Tensor) -> Tensor:
        """The weighted sum over the neighbours of each node."""
        if self.symmetric:
            return symmetric_matmul(adj_t, x)
        out: Tensor = super().message_and_aggregate(adj_t, x)
        return out


class SGC(NormalizedSGConv):
    r"""The model of the `"Simplifying Graph Convolutional Networks" <https://arxiv.org/abs/1902.07153>`_ paper, a
    linear map of propagated features, :math:`\mathbf{Z} = \mathbf{\hat{A}}^K \mathbf{X} \mathbf{W} + \mathbf{b}`."""

    def forward(
        self, x: Tensor, edge_index: Adj, edge_weight: Tensor | None = None, batch: Tensor | None = None
    ) -> Tensor:
        """Outputs (N, F_out), as of the layer; they do not depend on the batch vector (N,) of several graphs."""
        return super().forward(x, edge_index, edge_weight)
