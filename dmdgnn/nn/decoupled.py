"""Predict, then propagate with a low-rank operator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch_geometric.nn import APPNP
from torch_geometric.nn.models import MLP
from torch_geometric.typing import Adj

from dmdgnn.nn.checks import check_features
from dmdgnn.nn.dmd_conv import DMDConv


def _appnp(in_channels: int, out_channels: int) -> APPNP:
    return APPNP(K=10, alpha=0.1)


class DecoupledDMD(torch.nn.Module):
    r"""A perceptron on each node, whose outputs are propagated along edges and by the modes: the separation of the
    `"Predict then Propagate: Graph Neural Networks meet Personalized PageRank" <https://arxiv.org/abs/1810.05997>`_
    paper, with a low-rank operator beside its steps.

    .. math::
        \mathbf{H} = \mathrm{MLP}(\mathbf{X}), \qquad
        \mathbf{Z} = \mathrm{local}(\mathbf{H}) + \gamma\, \mathbf{\Phi}\, g(\mathbf{\Lambda})\,
        \mathbf{\Psi}^{\top} \mathbf{H}

    The second equation is a :class:`DMDConv` without weight. In training, dropout is on hidden samples and on
    :math:`\mathbf{H}`.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        out_channels (int): Size of each output sample.
        rank (int): Number of modes.
        num_layers (int, optional): Number of linear layers. (default: :obj:`2`)
        dropout (float, optional): Dropout probability. (default: :obj:`0.0`)
        norm (str, optional): Normalisation of hidden samples, by PyG's names. (default: :obj:`None`)
        local (callable, optional): Makes the propagation along edges of the two numbers of channels, which are equal;
            :obj:`None` for none. (default: 10 steps of :class:`~torch_geometric.nn.conv.APPNP`, teleport probability
            0.1)
        gate (float, optional): Start of the scalar :math:`\gamma`; from :obj:`0` on, training starts without the modes.
            (default: :obj:`0.0`)
        heads (int, optional): Number of filters, a divisor of :obj:`out_channels`. (default: :obj:`1`)
        degree (int, optional): Degree of a polynomial filter. (default: :obj:`None`, a gain for each mode)

    Shapes:
        - **inputs:** those of :class:`DMDGNN`
        - **output:** node features :math:`(N, F_{out})`

    >>> model = DecoupledDMD(16, 32, 3, rank=4)
    >>> edge_index = torch.tensor([[0, 1], [1, 0]])
    >>> model(torch.randn(10, 16), edge_index, torch.randn(10, 4), torch.randn(1, 4)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        rank: int,
        num_layers: int = 2,
        dropout: float = 0.0,
        *,
        norm: str | None = None,
        local: Callable[[int, int], torch.nn.Module] | None = _appnp,
        gate: float = 0.0,
        heads: int = 1,
        degree: int | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.out_channels = out_channels
        self.rank = rank
        self.num_layers = num_layers
        self.norm = norm
        self.gate = gate
        self.heads = heads
        self.degree = degree
        self.mlp = MLP(
            in_channels=in_channels,
            hidden_channels=hidden_channels,
            out_channels=out_channels,
            num_layers=num_layers,
            dropout=dropout,
            norm=norm,
        )
        self.dropout = torch.nn.Dropout(dropout)
        self.prop = DMDConv(
            out_channels,
            out_channels,
            rank,
            heads=heads,
            degree=degree,
            local=local or False,
            gate=gate,
            bias=False,
            weight=False,
        )

    @property
    def local(self) -> torch.nn.Module | None:
        """The local layer, if there is one."""
        part: torch.nn.Module | None = self.prop.local
        return part

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.mlp.reset_parameters()
        self.prop.reset_parameters()

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
        check_features(x, self.in_channels)
        h = self.dropout(self.mlp(x, batch))
        out: Tensor = self.prop(h, dmd_modes, dmd_eigs, edge_index, edge_weight, batch, dmd_duals)
        return out
