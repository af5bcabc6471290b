"""The network of local convolutions and global terms of DMD modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Linear, ModuleList, functional
from torch_geometric.nn import GCNConv
from torch_geometric.typing import Adj

from dmdgnn.kernels.ragged import Ragged
from dmdgnn.nn.dmd_gps_conv import DMDGPSConv


class DMDGPS(torch.nn.Module):
    r"""A linear layer with ReLU and dropout, blocks of :class:`DMDGPSConv`, and a linear layer: the graph transformer
    of the `"Recipe for a General, Powerful, Scalable Graph Transformer" <https://arxiv.org/abs/2205.12454>`_ paper
    with modes in the place of attention, for answers that lie many hops away.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        num_layers (int): Number of blocks.
        out_channels (int): Size of each output sample.
        rank (int): Number of modes.
        degree (int, optional): Degree of polynomial filters, which graphs share: a block reaches that many steps of the
            dynamics. (default: :obj:`None`, a gain for each mode, for one graph)
        heads (int, optional): Number of filters in each block, a divisor of :obj:`hidden_channels`.
            (default: :obj:`None`, one for each channel)
        dropout (float, optional): Dropout probability. (default: :obj:`0.0`)
        norm (str, optional): Normalisation in the blocks, or :obj:`None`. (default: :obj:`"batch_norm"`)
        local (callable, optional): What makes the local layer of a block of two numbers of channels; :obj:`None` for
            none. (default: :class:`~torch_geometric.nn.conv.GCNConv`)
        **kwargs (optional): `act`, `act_kwargs`, `norm_kwargs` and `gate` of :class:`DMDGPSConv`.

    Shapes:
        - **inputs:** node features :math:`(N, F_{in})`, and edges, modes, eigenvalues, batch vector, dual modes and
          edge weights as in :class:`DMDGNN`
        - **output:** node features :math:`(N, F_{out})`

    >>> model = DMDGPS(16, 32, num_layers=2, out_channels=3, rank=4, degree=8)
    >>> edge_index = torch.tensor([[0, 1], [1, 0]])
    >>> model(torch.randn(10, 16), edge_index, torch.randn(10, 4), torch.rand(1, 4)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int,
        rank: int,
        degree: int | None = None,
        heads: int | None = None,
        dropout: float = 0.0,
        norm: str | None = "batch_norm",
        local: Callable[[int, int], torch.nn.Module] | None = GCNConv,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.dropout = float(dropout)
        self.lin_in = Linear(in_channels, hidden_channels)
        self.blocks = ModuleList(
            DMDGPSConv(
                hidden_channels,
                None if local is None else local(hidden_channels, hidden_channels),
                rank,
                heads=hidden_channels if heads is None else heads,
                degree=degree,
                dropout=self.dropout,
                norm=norm,
                **kwargs,
            )
            for _ in range(num_layers)
        )
        self.lin_out = Linear(hidden_channels, out_channels)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        for part in (self.lin_in, *self.blocks, self.lin_out):
            part.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Adj,
        dmd_modes: Tensor,
        dmd_eigs: Tensor,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        dmd_duals: Tensor | None = None,
    ) -> Tensor:
        """Outputs of all nodes; see the class for shapes."""
        graphs = None if batch is None else Ragged.from_batch(batch, dmd_eigs.size(0))  # once for all blocks
        weight = {} if edge_weight is None else {"edge_weight": edge_weight}
        x = functional.dropout(self.lin_in(x).relu(), self.dropout, self.training)
        for block in self.blocks:
            x = block(x, edge_index, dmd_modes, dmd_eigs, graphs, dmd_duals, **weight)
        out: Tensor = self.lin_out(x)
        return out
