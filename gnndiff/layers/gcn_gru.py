"""A recurrent network whose gates see the graph through GCN layers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.nn import GCNConv
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.typing import Adj

from gnndiff.layers.skip import Skip


class GCNGRUCell(torch.nn.Module):
    r"""A gated recurrent unit whose linear maps are :class:`~torch_geometric.nn.conv.GCNConv`, as in the `"Structured
    Sequence Modeling with Graph Convolutional Recurrent Networks" <https://arxiv.org/abs/1612.07659>`_ and
    `"T-GCN" <https://arxiv.org/abs/1811.05320>`_ papers, each with an optional linear map of the node itself beside it.

    .. math::
        \mathbf{R}_t &= \sigma(f_{xr}(\mathbf{X}_t) + f_{hr}(\mathbf{H}_{t-1})) \\
        \mathbf{Z}_t &= \sigma(f_{xz}(\mathbf{X}_t) + f_{hz}(\mathbf{H}_{t-1})) \\
        \mathbf{N}_t &= \tanh(f_{xn}(\mathbf{X}_t) + \mathbf{R}_t \odot f_{hn}(\mathbf{H}_{t-1})) \\
        \mathbf{H}_t &= (1 - \mathbf{Z}_t) \odot \mathbf{N}_t + \mathbf{Z}_t \odot \mathbf{H}_{t-1}, \qquad
        f(\mathbf{X}) = \mathbf{\hat{A}} \mathbf{X} \mathbf{W} + \mathbf{X} \mathbf{W}_{\mathrm{skip}} + \mathbf{b}

    It has the form and the parameters of :class:`~dmdgnn.nn.dmd_gru.DMDGRUCell`, but for the filters of the modes.

    Args:
        in_channels (int): Size of each input sample.
        out_channels (int): Size of each hidden sample.
        skip (bool, optional): Add the linear skip terms. (default: :obj:`True`)
        normalize (bool, optional): Whether to add self-loops and normalise by both degrees; if :obj:`False`, the
            edges have weights that were. (default: :obj:`True`)

    Shapes:
        - **inputs:**
          node features :math:`(N, F_{in})`,
          hidden state :math:`(N, F_{out})`, or :obj:`None` for zeros,
          edge indices :math:`(2, E)` or a sparse adjacency :math:`(N, N)`, edge weights :math:`(E)` *(optional)*
        - **output:** hidden state :math:`(N, F_{out})`
    """

    def __init__(self, in_channels: int, out_channels: int, skip: bool = True, normalize: bool = True) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.conv_x: torch.nn.Module = GCNConv(in_channels, 3 * out_channels, normalize=normalize)
        self.conv_h: torch.nn.Module = GCNConv(out_channels, 3 * out_channels, normalize=normalize)
        if skip:
            self.conv_x = Skip(self.conv_x, in_channels, 3 * out_channels)
            self.conv_h = Skip(self.conv_h, out_channels, 3 * out_channels)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.conv_x.reset_parameters()  # type: ignore[operator]
        self.conv_h.reset_parameters()  # type: ignore[operator]

    def forward(self, x: Tensor, h: Tensor | None, edge_index: Adj, edge_weight: Tensor | None = None) -> Tensor:
        """The hidden state after `x`; see the class for shapes."""
        if h is None:
            h = x.new_zeros(*x.shape[:-1], self.out_channels)
        xr, xz, xn = self.conv_x(x, edge_index, edge_weight).chunk(3, dim=-1)
        hr, hz, hn = self.conv_h(h, edge_index, edge_weight).chunk(3, dim=-1)
        reset, update = (xr + hr).sigmoid(), (xz + hz).sigmoid()
        candidate: Tensor = (xn + reset * hn).tanh()
        return candidate + update * (h - candidate)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels})"


class GCNGRU(torch.nn.Module):
    r"""Forecasts of a series on a graph: a :class:`GCNGRUCell` that reads the last steps of each node, oldest first,
    and a linear readout of its last state, as :class:`~dmdgnn.nn.dmd_gru.DMDGRU`.

    Args:
        in_channels (int): Size :math:`F` of each input sample in one step.
        hidden_channels (int): Size of each hidden sample.
        out_channels (int): Size of each output sample.
        dropout (float, optional): Dropout probability of the last state. (default: :obj:`0.0`)
        skip (bool, optional): Add the linear skip terms. (default: :obj:`True`)

    Shapes:
        - **inputs:**
          node features of :math:`T` steps, :math:`(N, T F)`, the features of a step side by side, or :math:`(N, T, F)`,
          edge indices :math:`(2, E)`, edge weights :math:`(E)` *(optional)*
        - **output:** forecasts :math:`(N, F_{out})`

    >>> model = GCNGRU(1, 16, 1)
    >>> model(torch.randn(4, 6), torch.tensor([[0, 1, 2], [1, 2, 3]])).shape
    torch.Size([4, 1])
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float = 0.0, skip: bool = True
    ) -> None:
        super().__init__()
        # The graph is that of all steps: it is normalised once.
        self.cell = GCNGRUCell(in_channels, hidden_channels, skip, normalize=False)
        self.dropout = torch.nn.Dropout(dropout)
        self.lin = torch.nn.Linear(hidden_channels, out_channels)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.cell.reset_parameters()
        self.lin.reset_parameters()

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Forecasts of all nodes; see the class for shapes."""
        edges, weights = gcn_norm(edge_index, edge_weight, len(x), dtype=x.dtype)
        h: Tensor | None = None
        for step in x.reshape(len(x), -1, self.cell.in_channels).unbind(dim=1):
            h = self.cell(step, h, edges, weights)
        out: Tensor = self.lin(self.dropout(h))
        return out
