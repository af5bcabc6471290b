"""Models of `DMDConv` as encoders of graph autoencoders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dmdgnn.nn.checks import check_features
from dmdgnn.nn.models import DMDGNN


class DMDEncoder(torch.nn.Module):
    r"""A :class:`DMDGNN` as the encoder of PyG's graph autoencoders :class:`~torch_geometric.nn.models.GAE` and
    :class:`~torch_geometric.nn.models.VGAE` from the `"Variational Graph Auto-Encoders"
    <https://arxiv.org/abs/1611.07308>`_ paper.

    .. math::
        \mathbf{Z} = \mathrm{DMDGNN}(\mathbf{X}), \qquad \text{or} \qquad
        [\boldsymbol{\mu}, \log \boldsymbol{\sigma}] = \mathrm{DMDGNN}(\mathbf{X}),

    of which the variational form has the two halves of one last layer of twice the width: as the two convolutions of
    Kipf and Welling share their adjacency, the two halves share modes and filter. The modes are to come from those
    edges alone that messages pass along, never from edges to predict.

    Args:
        in_channels (int): Size of each input sample.
        hidden_channels (int): Size of each hidden sample.
        out_channels (int): Size :math:`d` of each embedding.
        rank (int): Number of modes.
        num_layers (int, optional): Number of layers. (default: :obj:`2`)
        variational (bool, optional): Give mean and logarithm of the standard deviation. (default: :obj:`False`)
        local (bool or callable, optional): The local term of :class:`DMDConv`; without it only what the modes and the
            skip term see of a node tells it from others. (default: :obj:`True`)
        **kwargs (optional): Other arguments of :class:`DMDGNN`, such as `skip`, `gate` and `dropout`.

    Shapes:
        - **inputs:** those of :class:`DMDGNN`
        - **output:** embeddings :math:`(N, d)`, or a pair of them, :math:`\boldsymbol{\mu}` and
          :math:`\log \boldsymbol{\sigma}`

    >>> from torch_geometric.nn import GAE
    >>> model = GAE(DMDEncoder(16, 32, 8, rank=4))
    >>> edge_index = torch.tensor([[0, 1], [1, 0]])
    >>> z = model.encode(torch.randn(10, 16), edge_index, torch.randn(10, 4), torch.randn(1, 4))
    >>> model.decode(z, edge_index).shape
    torch.Size([2])
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        out_channels: int,
        rank: int,
        *,
        num_layers: int = 2,
        variational: bool = False,
        local: bool | Callable[[int, int], torch.nn.Module] = True,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.hidden_channels = hidden_channels
        self.out_channels = out_channels
        self.rank = rank
        self.num_layers = num_layers
        self.variational = variational
        width = 2 * out_channels if variational else out_channels
        self.gnn = DMDGNN(in_channels, hidden_channels, num_layers, width, rank=rank, local=local, **kwargs)

    @property
    def local(self) -> torch.nn.Module | None:
        """The local layer of the first convolution, if there is one."""
        part: torch.nn.Module | None = self.gnn.local
        return part

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.gnn.reset_parameters()

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        dmd_modes: Tensor,
        dmd_eigs: Tensor,
        edge_weight: Tensor | None = None,
        dmd_duals: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Embeddings of all nodes; see the class for shapes."""
        check_features(x, self.in_channels)
        z: Tensor = self.gnn(x, edge_index, dmd_modes, dmd_eigs, edge_weight, dmd_duals=dmd_duals)
        if not self.variational:
            return z
        mean, log_deviation = z.chunk(2, dim=-1)
        return mean, log_deviation
