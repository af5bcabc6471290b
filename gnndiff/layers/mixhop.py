"""Powers of the adjacency side by side."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear
from torch_geometric.nn import MixHopConv
from torch_geometric.nn.models.basic_gnn import BasicGNN
from torch_geometric.typing import Adj

from dmdgnn.kernels.symmetric import symmetric_matmul


class NormalizedMixHopConv(MixHopConv):
    """:class:`~torch_geometric.nn.conv.MixHopConv`, with the same parameters, of an adjacency that is normalised
    already. Linear maps come first, so that only what they give is propagated.

    Args:
        in_channels (int): Size of each input sample.
        out_channels (int): Size of each output sample of each power.
        powers (list, optional): Powers of the adjacency. (default: :obj:`[0, 1, 2]`)
        symmetric (bool, optional): Whether the sparse adjacency is symmetric, which makes the backward pass cheaper.
            (default: :obj:`False`)
        **kwargs (optional): Other arguments of `MixHopConv`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        powers: list[int] | None = None,
        symmetric: bool = False,
        **kwargs: Any,
    ) -> None:
        self.symmetric = symmetric
        super().__init__(in_channels, out_channels, powers, **kwargs)

    def forward(self, x: Tensor, edge_index: Adj, edge_weight: Tensor | None = None) -> Tensor:
        """Outputs (N, P F_out) for features (N, F_in), and edges (2, E) with weights or a sparse adjacency (N, N)."""
        outs = []
        for power in self.powers:
            out = self.lins[power](x)
            for _ in range(power):
                out = self.propagate(edge_index, x=out, edge_weight=edge_weight)
            outs.append(out)
        joined = torch.cat(outs, dim=-1)
        return joined if self.bias is None else joined + self.bias

    def message_and_aggregate(self, adj_t: Tensor, x: Tensor) -> Tensor:
        """The weighted sum over the neighbours of each node."""
        if self.symmetric:
            return symmetric_matmul(adj_t, x)
        out: Tensor = super().message_and_aggregate(adj_t, x)
        return out


class MixHop(BasicGNN):
    """The model of the `"MixHop: Higher-Order Graph Convolutional Architectures via Sparsified Neighborhood Mixing"
    <https://arxiv.org/abs/1905.00067>`_ paper: layers of :class:`NormalizedMixHopConv` and a last linear map.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample, of each of the powers 0, 1 and 2.
        num_layers (int): Number of convolutions.
        out_channels (int): Size of each output sample.
        **kwargs (optional): `dropout`, `norm` ... of :class:`~torch_geometric.nn.models.basic_gnn.BasicGNN`, and
            `symmetric` of the convolution.
    """

    supports_edge_weight = True
    supports_edge_attr = False

    def __init__(
        self, in_channels: int, hidden_channels: int, num_layers: int, out_channels: int, **kwargs: Any
    ) -> None:
        super().__init__(in_channels, 3 * hidden_channels, num_layers, out_channels, jk="last", **kwargs)

    def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> NormalizedMixHopConv:
        """One layer, whose three powers make the output channels together."""
        return NormalizedMixHopConv(in_channels, out_channels // 3, **kwargs)


class MixHopBlock(torch.nn.Module):
    """A :class:`NormalizedMixHopConv` and a linear map of its powers to as many channels as one of them has."""

    def __init__(self, in_channels: int, out_channels: int, symmetric: bool = False) -> None:
        super().__init__()
        self.conv = NormalizedMixHopConv(in_channels, out_channels, symmetric=symmetric)
        self.lin = Linear(3 * out_channels, out_channels)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.conv.reset_parameters()
        self.lin.reset_parameters()

    def forward(self, x: Tensor, edge_index: Adj, edge_weight: Tensor | None = None) -> Tensor:
        """Outputs (N, F_out) for features (N, F_in)."""
        out: Tensor = self.lin(self.conv(x, edge_index, edge_weight))
        return out
