"""Models built from `DMDConv`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.models.basic_gnn import BasicGNN

from dmdgnn.kernels.ragged import Ragged
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
    """A `DMDConv` behind the call that `BasicGNN` makes: `edge_attr` carries all that is about modes."""

    def forward(  # type: ignore[override]
        self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None, edge_attr: tuple[Any, ...]
    ) -> Tensor:
        modes, eigs, graphs, duals = edge_attr
        return super().forward(x, modes, eigs, edge_index, edge_weight, graphs, duals)


class DMDGNN(BasicGNN):
    r"""A deep network of :class:`DMDConv` layers on PyG's :class:`~torch_geometric.nn.models.basic_gnn.BasicGNN`,
    from which activation, normalisation, dropout and jumping knowledge come.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        num_layers (int): Number of layers.
        out_channels (int, optional): Size of each output sample. (default: :obj:`None`)
        dropout (float, optional): Dropout probability. (default: :obj:`0.0`)
        rank (int): Number of modes.
        heads (int, optional): Filters in each layer; :obj:`1` in a layer whose output channels it does not divide.
            (default: :obj:`1`)
        **kwargs (optional): `degree`, `skip`, `local`, `gate` of :class:`DMDConv`, and `act`, `norm`, `jk` ... of
            `BasicGNN`.

    Shapes:
        - **inputs:**
          node features :math:`(N, F_{in})`,
          edge indices :math:`(2, E)`, which only the local term reads,
          modes :math:`(N, r)` and eigenvalues :math:`(1, r)`, as :class:`~dmdgnn.transforms.AddDMDModes` stores them,
          or of a batch :math:`(B, r)`,
          edge weights :math:`(E)` *(optional)*,
          batch vector :math:`(N)` *(of a batch)*,
          dual modes :math:`(N, r)` *(optional)*
        - **output:** node features :math:`(N, F_{out})`

    >>> model = DMDGNN(16, 32, num_layers=2, out_channels=3, rank=4, skip=True)
    >>> edge_index = torch.tensor([[0, 1], [1, 0]])
    >>> model(torch.randn(10, 16), edge_index, torch.randn(10, 4), torch.randn(1, 4)).shape
    torch.Size([10, 3])
    """

    supports_edge_weight = True
    supports_edge_attr = True

    def init_conv(self, in_channels: int, out_channels: int, heads: int = 1, **kwargs: Any) -> DMDConv:
        """One layer."""
        heads = heads if out_channels % heads == 0 else 1
        return _BasicDMDConv(in_channels, out_channels, heads=heads, **kwargs)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        dmd_modes: Tensor,
        dmd_eigs: Tensor,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        dmd_duals: Tensor | None = None,
    ) -> Tensor:
        """Outputs of all nodes; see the class for shapes."""
        graphs = None if batch is None else Ragged.from_batch(batch, dmd_eigs.size(0))  # once for all layers
        edge_attr = (dmd_modes, dmd_eigs, graphs, dmd_duals)
        output: Tensor = super().forward(x, edge_index, edge_weight, edge_attr, batch)
        return output
