"""Propagation with a learnable weight for each number of steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.functional import dropout
from torch_geometric.nn import MessagePassing
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.typing import Adj
from torch_geometric.utils import spmm

from dmdgnn.kernels.symmetric import symmetric_matmul
from gnndiff.layers.residual import perceptron


class GPRProp(MessagePassing):
    r"""The generalised PageRank propagation from the `"Adaptive Universal Generalized PageRank Graph Neural Network"
    <https://arxiv.org/abs/2006.07988>`_ paper.

    .. math::
        \mathbf{X}^{\prime} = \sum_{k=0}^{K} \gamma_k \mathbf{\hat{A}}^k \mathbf{X}

    with the normalised adjacency with self-loops :math:`\mathbf{\hat{A}}`. The weights start as those of personalised
    PageRank, :math:`\gamma_k = \alpha (1 - \alpha)^k` and :math:`\gamma_K = (1 - \alpha)^K`, and are learned.

    Args:
        K (int): Number of propagations.
        alpha (float): Teleport probability :math:`\alpha` of the first weights.
        normalize (bool, optional): Whether to add self-loops and normalise by both degrees. (default: :obj:`True`)
        symmetric (bool, optional): Whether the sparse adjacency is symmetric, which makes the backward pass cheaper.
            (default: :obj:`False`)
        **kwargs (optional): Arguments of :class:`~torch_geometric.nn.conv.MessagePassing`.

    Shapes:
        - **inputs:** node features :math:`(N, F)`, edge indices :math:`(2, E)` or a sparse adjacency
          :math:`(N, N)`, edge weights :math:`(E)` *(optional)*
        - **output:** node features :math:`(N, F)`
    """

    def __init__(self, K: int, alpha: float, normalize: bool = True, symmetric: bool = False, **kwargs: object) -> None:
        kwargs.setdefault("aggr", "add")
        super().__init__(**kwargs)
        self.K = K
        self.alpha = alpha
        self.normalize = normalize
        self.symmetric = symmetric
        self.gamma = Parameter(torch.empty(K + 1))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        super().reset_parameters()
        steps = torch.arange(self.K + 1.0)
        weights = self.alpha * (1 - self.alpha) ** steps
        weights[-1] = (1 - self.alpha) ** self.K
        with torch.no_grad():
            self.gamma.copy_(weights)

    def forward(self, x: Tensor, edge_index: Adj, edge_weight: Tensor | None = None) -> Tensor:
        """Propagate `x`; see the class for shapes."""
        if self.normalize:
            edge_index, edge_weight = gcn_norm(
                edge_index, edge_weight, x.size(self.node_dim), False, True, self.flow, dtype=x.dtype
            )
        out = self.gamma[0] * x
        for weight in self.gamma[1:]:
            # propagate_type: (x: Tensor, edge_weight: OptTensor)
            x = self.propagate(edge_index, x=x, edge_weight=edge_weight)
            out = out + weight * x
        return out

    def message(self, x_j: Tensor, edge_weight: Tensor | None) -> Tensor:
        """The weighted features of the neighbours."""
        return x_j if edge_weight is None else edge_weight.view(-1, 1) * x_j

    def message_and_aggregate(self, adj_t: Tensor, x: Tensor) -> Tensor:
        """The weighted sum over the neighbours of each node."""
        if self.symmetric:
            return symmetric_matmul(adj_t, x)
        product: Tensor = spmm(adj_t, x, reduce="sum")
        return product

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(K={self.K}, alpha={self.alpha})"


class GPRGNN(torch.nn.Module):
    r"""The model of the `"Adaptive Universal Generalized PageRank Graph Neural Network"
    <https://arxiv.org/abs/2006.07988>`_ paper: a :class:`~torch_geometric.nn.models.MLP` on each node, dropout, and
    :class:`GPRProp` of what it gives.

    The paper drops input features, too, with a probability of its own, and leaves weight decay out for the weights of
    the propagation.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        num_layers (int): Number of linear layers.
        out_channels (int): Size of each output sample.
        K (int, optional): Number of propagations. (default: :obj:`10`)
        alpha (float, optional): Teleport probability of the first weights. (default: :obj:`0.1`)
        dropout (float, optional): Dropout probability of hidden units and before the propagation.
            (default: :obj:`0.0`)
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

    >>> model = GPRGNN(16, 32, num_layers=2, out_channels=3)
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
        self.dropout = float(dropout)
        self.mlp = perceptron(
            residual,
            in_channels=in_channels,
            hidden_channels=hidden_channels,
            num_layers=num_layers,
            out_channels=out_channels,
            dropout=self.dropout,
            norm=norm,
            norm_kwargs=norm_kwargs,
        )
        self.prop = GPRProp(K, alpha, normalize=normalize, symmetric=symmetric)

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.mlp.reset_parameters()  # type: ignore[operator]
        self.prop.reset_parameters()

    def forward(
        self, x: Tensor, edge_index: Adj, edge_weight: Tensor | None = None, batch: Tensor | None = None
    ) -> Tensor:
        """Outputs of all nodes; see the class for shapes."""
        x = dropout(self.mlp(x, batch=batch), self.dropout, self.training)
        out: Tensor = self.prop(x, edge_index, edge_weight)
        return out
