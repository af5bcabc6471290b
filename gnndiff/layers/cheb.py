"""Chebyshev polynomials of the Laplacian."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch_geometric.nn import ChebConv
from torch_geometric.nn.models.basic_gnn import BasicGNN
from torch_geometric.typing import Adj

from dmdgnn.kernels.symmetric import symmetric_matmul


class SymmetricChebConv(ChebConv):
    r""":class:`~torch_geometric.nn.conv.ChebConv`, with the same parameters, of a symmetric adjacency
    :math:`\mathbf{\hat{A}}` that is normalised already, without self-loops.

    Its scaled Laplacian is :math:`\mathbf{\hat{L}} = -\mathbf{\hat{A}}`. Clenshaw's recursion

    .. math::
        \mathbf{B}_k = \mathbf{X} \mathbf{\Theta}_k + 2 \mathbf{\hat{L}} \mathbf{B}_{k+1} - \mathbf{B}_{k+2}, \qquad
        \mathbf{X}^{\prime} = \mathbf{X} \mathbf{\Theta}_0 + \mathbf{\hat{L}} \mathbf{B}_1 - \mathbf{B}_2

    propagates outputs, which are fewer than inputs in a first layer.
    """

    def forward(self, x: Tensor, edge_index: Adj, edge_weight: Tensor | None = None) -> Tensor:
        """Outputs (N, F_out) for features (N, F_in), and edges (2, E) with weights or a sparse adjacency (N, N)."""
        b1: Tensor | None = None
        b2: Tensor | None = None
        for k in reversed(range(len(self.lins))):
            b = self.lins[k](x)
            if b1 is not None:
                b = b - (2 if k else 1) * self.propagate(edge_index, x=b1, norm=edge_weight)
            if b2 is not None:
                b = b - b2
            b1, b2 = b, b1
        assert b1 is not None
        return b1 if self.bias is None else b1 + self.bias

    def message(self, x_j: Tensor, norm: Tensor | None) -> Tensor:
        """The weighted features of the neighbours."""
        return x_j if norm is None else norm.view(-1, 1) * x_j

    def message_and_aggregate(self, adj_t: Tensor, x: Tensor) -> Tensor:
        """The weighted sum over the neighbours of each node."""
        return symmetric_matmul(adj_t, x)


class ChebNet(BasicGNN):
    """The model of the `"Convolutional Neural Networks on Graphs with Fast Localized Spectral Filtering"
    <https://arxiv.org/abs/1606.09375>`_ paper: layers of :class:`~torch_geometric.nn.conv.ChebConv`.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        num_layers (int): Number of layers.
        out_channels (int): Size of each output sample.
        K (int): Number of Chebyshev polynomials.
        symmetric (bool, optional): Whether the adjacency is symmetric and normalised already, without self-loops.
            (default: :obj:`False`)
        **kwargs (optional): `dropout`, `norm` ... of :class:`~torch_geometric.nn.models.basic_gnn.BasicGNN`.
    """

    supports_edge_weight = True
    supports_edge_attr = False

    def init_conv(
        self, in_channels: int, out_channels: int, K: int, symmetric: bool = False, **kwargs: Any
    ) -> ChebConv:
        """One layer."""
        return (SymmetricChebConv if symmetric else ChebConv)(in_channels, out_channels, K, **kwargs)
