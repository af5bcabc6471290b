"""Recurrent networks whose gates see the graph through DMD modes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.nn.checks import check_dense, check_features, graphs_of
from dmdgnn.nn.dmd_conv import DMDConv


class DMDGRUCell(torch.nn.Module):
    r"""A gated recurrent unit, as in the `"Learning Phrase Representations using RNN Encoder-Decoder"
    <https://arxiv.org/abs/1406.1078>`_ paper, whose linear maps are :class:`DMDConv`.

    .. math::
        \mathbf{R}_t &= \sigma(f_{xr}(\mathbf{X}_t) + f_{hr}(\mathbf{H}_{t-1})) \\
        \mathbf{Z}_t &= \sigma(f_{xz}(\mathbf{X}_t) + f_{hz}(\mathbf{H}_{t-1})) \\
        \mathbf{N}_t &= \tanh(f_{xn}(\mathbf{X}_t) + \mathbf{R}_t \odot f_{hn}(\mathbf{H}_{t-1})) \\
        \mathbf{H}_t &= (1 - \mathbf{Z}_t) \odot \mathbf{N}_t + \mathbf{Z}_t \odot \mathbf{H}_{t-1},

    where :math:`f_{x \cdot}` are parts of one convolution of the input, and :math:`f_{h \cdot}` of one of the state, in
    the order of :class:`torch.nn.GRUCell`, which this is where the term of the modes is zero. Modes alone tell nodes
    apart no further than their rank, so the skip terms are there by default.

    Args:
        in_channels (int): Size of each input sample.
        out_channels (int): Size of each hidden sample.
        rank (int): Number of modes :math:`r`.
        heads (int, optional): Number of filters in each convolution, a divisor of :obj:`3 * out_channels`.
            (default: :obj:`3`, one for each gate)
        skip (bool, optional): Add the linear skip terms. (default: :obj:`True`)
        bias (bool, optional): Add biases. (default: :obj:`True`)
        **kwargs (optional): Other arguments of :class:`DMDConv`.

    Shapes:
        - **inputs:**
          node features :math:`(N, F_{in})`,
          hidden state :math:`(N, F_{out})`, or :obj:`None` for zeros,
          and modes, eigenvalues, edges, batch vector and dual modes as in :class:`DMDConv`
        - **output:** hidden state :math:`(N, F_{out})`

    >>> cell = DMDGRUCell(2, 8, rank=4)
    >>> cell(torch.randn(10, 2), None, torch.randn(10, 4), torch.randn(4)).shape
    torch.Size([10, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rank: int,
        heads: int = 3,
        skip: bool = True,
        bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.rank = rank
        self.heads = heads
        self.skip = skip
        self.bias = bias
        kwargs |= {"heads": heads, "skip": skip, "bias": bias}
        self.conv_x = DMDConv(in_channels, 3 * out_channels, rank, **kwargs)
        self.conv_h = DMDConv(out_channels, 3 * out_channels, rank, **kwargs)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.conv_x.reset_parameters()
        self.conv_h.reset_parameters()

    def forward(
        self,
        x: Tensor,
        h: Tensor | None,
        modes: Tensor,
        eigs: Tensor,
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
        batch: Tensor | Ragged | None = None,
        duals: Tensor | None = None,
    ) -> Tensor:
        """The hidden state after `x`; see the class for shapes."""
        check_features(x, self.in_channels)
        if h is None:
            h = x.new_zeros(*x.shape[:-1], self.out_channels)
        graph = (modes, eigs, edge_index, edge_weight, batch, duals)
        xr, xz, xn = self.conv_x(x, *graph).chunk(3, dim=-1)
        hr, hz, hn = self.conv_h(h, *graph).chunk(3, dim=-1)
        reset, update = (xr + hr).sigmoid(), (xz + hz).sigmoid()
        candidate = (xn + reset * hn).tanh()
        return candidate + update * (h - candidate)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, rank={self.rank})"


class DMDGRU(torch.nn.Module):
    r"""Forecasts of a series on a graph: a :class:`DMDGRUCell` that reads the last steps of each node, oldest first,
    and a linear readout of its last state.

    .. math::
        \mathbf{H}_t = \mathrm{GRU}(\mathbf{X}_t, \mathbf{H}_{t-1}), \quad \mathbf{H}_0 = \mathbf{0}, \qquad
        \mathbf{\hat{Y}} = \mathrm{dropout}(\mathbf{H}_T) \mathbf{W} + \mathbf{b}

    Args:
        in_channels (int): Size :math:`F` of each input sample in one step.
        hidden_channels (int): Size of each hidden sample.
        out_channels (int): Size of each output sample.
        rank (int): Number of modes :math:`r`.
        dropout (float, optional): Dropout probability of the last state. (default: :obj:`0.0`)
        **kwargs (optional): Other arguments of :class:`DMDGRUCell`.

    Shapes:
        - **inputs:**
          node features of :math:`T` steps, :math:`(N, T F)`, the features of a step side by side, or :math:`(N, T, F)`,
          modes :math:`(N, r)`, real, as :class:`~dmdgnn.series.AddSeriesModes` and
          :class:`~dmdgnn.transforms.AddDMDModes` store them,
          eigenvalues :math:`(r)` or :math:`(1, r)`, or of a batch :math:`(B, r)`,
          edge indices :math:`(2, E)` and edge weights :math:`(E)` *(local term only)*,
          batch vector :math:`(N)` *(of a batch)*,
          dual modes :math:`(N, r)` *(optional)*
        - **output:** forecasts :math:`(N, F_{out})`

    Raises:
        InputError: The features do not make up steps of :obj:`in_channels`, or do not fit the modes.

    >>> model = DMDGRU(1, 16, 1, rank=4)
    >>> model(torch.randn(10, 6), torch.randn(10, 4), torch.randn(1, 4)).shape
    torch.Size([10, 1])
    """

    def __init__(
        self, in_channels: int, hidden_channels: int, out_channels: int, rank: int, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.out_channels = out_channels
        self.rank = rank
        self.cell = DMDGRUCell(in_channels, hidden_channels, rank, **kwargs)
        self.dropout = torch.nn.Dropout(dropout)
        self.lin = torch.nn.Linear(hidden_channels, out_channels)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.cell.reset_parameters()
        self.lin.reset_parameters()

    def forward(
        self,
        x: Tensor,
        dmd_modes: Tensor,
        dmd_eigs: Tensor,
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
        batch: Tensor | None = None,
        dmd_duals: Tensor | None = None,
    ) -> Tensor:
        """Forecasts of all nodes; see the class for shapes."""
        check_dense(x)
        steps = _steps(x, self.cell.in_channels)
        graphs = graphs_of(batch, dmd_eigs, x.size(0))  # once for all steps
        h: Tensor | None = None
        for step in steps:
            h = self.cell(step, h, dmd_modes, dmd_eigs, edge_index, edge_weight, graphs, dmd_duals)
        out: Tensor = self.lin(self.dropout(h))
        return out


def _steps(x: Tensor, channels: int) -> tuple[Tensor, ...]:
    """Features (N, channels) of each step."""
    if x.dim() == 2 and x.size(1) and x.size(1) % channels == 0:
        x = x.unflatten(1, (-1, channels))
    if x.dim() != 3 or x.size(1) == 0 or x.size(2) != channels:
        raise InputError(
            f"got features of shape {tuple(x.shape)}, expected (N, T * {channels}) or (N, T, {channels}) with T >= 1, "
            "the steps of each node, oldest first"
        )
    return x.unbind(dim=1)
