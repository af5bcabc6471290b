"""Models built from `DMDConv`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.models.basic_gnn import BasicGNN

from dmdgnn.nn.dmd_conv import DMDConv


class GraphDMD(torch.nn.Module):
    r"""The one-layer model of the `"When Graph Neural Networks Meet Dynamic Mode Decomposition"
    <https://arxiv.org/abs/2410.05593>`_ paper: a linear map, the filter on the modes, a linear map, no activation.

    .. math::
        \mathbf{Z} = \mathrm{dropout}\big( (\mathbf{\Phi} (\mathbf{\Lambda} + \mathrm{diag}(\theta))
        \mathbf{\Phi}^{\top} \mathbf{X} \mathbf{W}_{in} + \mathbf{b}_{in}) \mathbf{W}_{out} + \mathbf{b}_{out} \big)

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        out_channels (int): Size of each output sample.
        rank (int): Number of modes.
        dropout (float, optional): Dropout probability of the outputs. (default: :obj:`0.8`)

    The forward pass takes node features (N, F_in), `dmd_modes` (N, r) and `dmd_eigs` (1, r), as
    :class:`~dmdgnn.transforms.AddDMDModes` stores them, and returns (N, F_out).
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, rank: int, dropout: float = 0.8
    ) -> None:
        super().__init__()
        self.conv = DMDConv(in_channels, hidden_channels, rank)
        self.lin = torch.nn.Linear(hidden_channels, out_channels)
        self.dropout = torch.nn.Dropout(dropout)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.conv.reset_parameters()
        self.lin.reset_parameters()

    def forward(self, x: Tensor, dmd_modes: Tensor, dmd_eigs: Tensor) -> Tensor:
        """Class scores of all nodes."""
        logits: Tensor = self.dropout(self.lin(self.conv(x, dmd_modes, dmd_eigs)))
        return logits


class _BasicDMDConv(DMDConv):
    """A `DMDConv` behind the call that `BasicGNN` makes: `edge_attr` carries modes and eigenvalues."""

    def forward(  # type: ignore[override]
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None, edge_attr: tuple[Tensor, Tensor]
    ) -> Tensor:
        modes, eigs = edge_attr
        return super().forward(x, modes, eigs, edge_index, edge_weight)


class DMDGNN(BasicGNN):
    r"""A deep network of :class:`DMDConv` layers on PyG's :class:`~torch_geometric.nn.models.basic_gnn.BasicGNN`,
    from which activation, normalisation, dropout and jumping knowledge come.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        num_layers (int): Number of layers.
        out_channels (int, optional): Size of each output sample. (default: :obj:`None`)
        rank (int): Number of modes.
        skip (bool, optional): Linear skip term in each layer. (default: :obj:`False`)
        local (bool, optional): Local :class:`~torch_geometric.nn.conv.GCNConv` term in each layer.
            (default: :obj:`False`)
        **kwargs (optional): `dropout`, `act`, `norm`, `jk` ... of `BasicGNN`.

    >>> model = DMDGNN(16, 32, num_layers=2, out_channels=3, rank=4, skip=True)
    >>> edge_index = torch.tensor([[0, 1], [1, 0]])
    >>> model(torch.randn(10, 16), edge_index, torch.randn(10, 4), torch.randn(1, 4)).shape
    torch.Size([10, 3])
    """

    supports_edge_weight = True
    supports_edge_attr = True

    def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> DMDConv:
        """One layer."""
        return _BasicDMDConv(in_channels, out_channels, **kwargs)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        dmd_modes: Tensor,
        dmd_eigs: Tensor,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
    ) -> Tensor:
        """Outputs (N, F_out) for features (N, F_in), edges (2, E), modes (N, r) and eigenvalues (1, r)."""
        output: Tensor = super().forward(x, edge_index, edge_weight, (dmd_modes, dmd_eigs), batch)
        return output
