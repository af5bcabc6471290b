"""Predict, then propagate."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn import APPNP
from torch_geometric.typing import Adj

from dmdgnn.kernels.symmetric import symmetric_matmul
from gnndiff.layers.residual import perceptron


class _SymmetricAPPNP(APPNP):
    def message_and_aggregate(self, adj_t: Tensor, x: Tensor) -> Tensor:
        return symmetric_matmul(adj_t, x)


class APPNPNet(torch.nn.Module):
    r"""The model of the `"Predict then Propagate: Graph Neural Networks meet Personalized PageRank"
    <https://arxiv.org/abs/1810.05997>`_ paper: a :class:`~torch_geometric.nn.models.MLP` on each node, and
    :class:`~torch_geometric.nn.conv.APPNP` of what it gives.

    .. math::
        \mathbf{Z}^{(0)} = \mathrm{MLP}(\mathbf{X}), \qquad
        \mathbf{Z}^{(k)} = (1 - \alpha) \mathbf{\hat{A}} \mathbf{Z}^{(k-1)} + \alpha \mathbf{Z}^{(0)}

    The paper drops input features and edges, too; here only hidden units are dropped, as in the other models.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        num_layers (int): Number of linear layers.
        out_channels (int): Size of each output sample.
        K (int, optional): Number of propagations. (default: :obj:`10`)
        alpha (float, optional): Teleport probability :math:`\alpha`. (default: :obj:`0.1`)
        dropout (float, optional): Dropout probability of hidden units. (default: :obj:`0.0`)
        norm (str, optional): Normalisation of hidden units, as :obj:`"batch_norm"`. (default: :obj:`None`)
        norm_kwargs (dict, optional): Arguments of the normalisation. (default: :obj:`None`)
        normalize (bool, optional): Whether to add self-loops and normalise by both degrees; if :obj:`False`, the
            edges have weights that were. (default: :obj:`True`)
        symmetric (bool, optional): Whether the sparse adjacency is symmetric, which makes the backward pass cheaper.
            (default: :obj:`False`)
        residual (bool, optional): Whether the perceptron is a :class:`~gnndiff.layers.residual.Residual` of
            :obj:`num_layers` layers. (default: :obj:`False`)

    Shapes:
        - **inputs:** node features :math:`(N, F_{in})`, edge indices :math:`(2, E)` or a sparse adjacency
          :math:`(N, N)`, edge weights :math:`(E)` *(optional)*, batch vector :math:`(N)` *(of a batch)*
        - **output:** node features :math:`(N, F_{out})`

    >>> model = APPNPNet(16, 32, num_layers=2, out_channels=3)
    >>> model(torch.randn(4, 16), torch.tensor([[0, 1, 2], [1, 2, 3]])).shape
    torch.Size([4, 3])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        num_layers: int,
        out_channels: int,
        K: int = 10,
        alpha: float = 0.1,
        dropout: float = 0.0,
        norm: str | None = None,
        norm_kwargs: dict[str, Any] | None = None,
        normalize: bool = True,
        symmetric: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.mlp = perceptron(
            residual,
            in_channels=in_channels,
            hidden_channels=hidden_channels,
            num_layers=num_layers,
            out_channels=out_channels,
            dropout=float(dropout),
            norm=norm,
            norm_kwargs=norm_kwargs,
        )
        self.prop = (_SymmetricAPPNP if symmetric else APPNP)(K, alpha, normalize=normalize)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.mlp.reset_parameters()  # type: ignore[operator]
        self.prop.reset_parameters()

    def forward(
        self, x: Tensor, edge_index: Adj, edge_weight: Tensor | None = None, batch: Tensor | None = None
    ) -> Tensor:
        """Outputs of all nodes; see the class for shapes."""
        out: Tensor = self.prop(self.mlp(x, batch=batch), edge_index, edge_weight)
        return out
