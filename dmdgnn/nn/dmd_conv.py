"""The graph convolution on DMD modes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn import GCNConv
from torch_geometric.nn.dense.linear import Linear
from torch_geometric.nn.inits import zeros

from dmdgnn.errors import InputError


class DMDConv(torch.nn.Module):
    r"""The spectral convolution on the modes of a low-rank operator from the `"When Graph Neural Networks Meet
    Dynamic Mode Decomposition" <https://arxiv.org/abs/2410.05593>`_ paper.

    .. math::
        \mathbf{X}^{\prime} = \mathbf{\Phi}\, (\mathbf{\Lambda} + \mathrm{diag}(\theta))\, \mathbf{\Phi}^{\top}
        \mathbf{X} \mathbf{W} \;+\; \mathbf{X} \mathbf{W}_{\mathrm{skip}} \;+\;
        \mathbf{\hat{A}} \mathbf{X} \mathbf{W}_{\mathrm{local}} \;+\; \mathbf{b},

    where :math:`\mathbf{\Phi}` are the modes and :math:`\mathbf{\Lambda}` their eigenvalues, both fixed, and the
    filter offset :math:`\theta` starts at zero, so that training starts from the estimated operator. The skip and the
    local term, the latter a :class:`~torch_geometric.nn.conv.GCNConv`, are optional. Node by node,

    .. math::
        \mathbf{x}^{\prime}_i = \sum_{k} \phi_{ik} (\lambda_k + \theta_k) \mathbf{W}^{\top}
        \sum_j \phi_{jk} \mathbf{x}_j + \dots

    For complex eigenvalues, :math:`\mathbf{\Lambda}` has a real 2 x 2 block for each conjugate pair. The two stand side
    by side, the positive imaginary part first, as :attr:`dmdgnn.DMD.eigs` and :attr:`dmdgnn.DMD.real_modes` have them.

    Args:
        in_channels (int): Size of each input sample.
        out_channels (int): Size of each output sample.
        rank (int): Number of modes :math:`r`.
        skip (bool, optional): Add the linear skip term. (default: :obj:`False`)
        local (bool, optional): Add the local term, which needs :obj:`edge_index`. (default: :obj:`False`)
        bias (bool, optional): Add the bias. (default: :obj:`True`)

    Shapes:
        - **inputs:**
          node features :math:`(N, F_{in})`,
          modes :math:`(N, r)`, real,
          eigenvalues :math:`(r)` or :math:`(1, r)`, real or complex,
          edge indices :math:`(2, E)` and edge weights :math:`(E)` *(local term only)*
        - **output:** node features :math:`(N, F_{out})`

    >>> conv = DMDConv(16, 8, rank=4)
    >>> conv(torch.randn(10, 16), torch.randn(10, 4), torch.randn(4)).shape
    torch.Size([10, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        rank: int,
        skip: bool = False,
        local: bool = False,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
            raise InputError(f"got rank={rank!r}, expected a positive integer: the number of modes")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.rank = rank
        self.lin = Linear(in_channels, out_channels, bias=False, weight_initializer="glorot")
        self.theta = Parameter(torch.empty(rank))
        self.skip = Linear(in_channels, out_channels, bias=False, weight_initializer="glorot") if skip else None
        self.local = GCNConv(in_channels, out_channels, bias=False) if local else None
        if bias:
            self.bias = Parameter(torch.empty(out_channels))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset all learnable parameters."""
        self.lin.reset_parameters()
        zeros(self.theta)
        if self.skip is not None:
            self.skip.reset_parameters()
        if self.local is not None:
            self.local.reset_parameters()
        zeros(self.bias)

    def forward(
        self,
        x: Tensor,
        modes: Tensor,
        eigs: Tensor,
        edge_index: Tensor | None = None,
        edge_weight: Tensor | None = None,
    ) -> Tensor:
        """Convolve `x`; see the class for shapes."""
        if modes.shape != (x.size(-2), self.rank) or eigs.numel() != self.rank:
            raise InputError(
                f"got modes {tuple(modes.shape)} and eigenvalues {tuple(eigs.shape)} for x {tuple(x.shape)}, expected "
                f"({x.size(-2)}, {self.rank}) and ({self.rank},): compute the modes of this graph with this rank"
            )
        if modes.dtype != x.dtype:
            raise InputError(
                f"got modes of {modes.dtype} for x of {x.dtype}, expected the same real type: convert them; of complex "
                "modes pass DMD.real_modes"
            )
        # Phi^T (X W) = (Phi^T X) W: take the cheaper side first.
        num_nodes = x.size(-2)
        modes_first = num_nodes * self.rank * self.in_channels + self.rank * self.in_channels * self.out_channels
        lin_first = num_nodes * self.in_channels * self.out_channels + num_nodes * self.rank * self.out_channels
        if modes_first < lin_first:
            summary = self.lin(modes.mT @ x)
        else:
            summary = modes.mT @ self.lin(x)
        out = modes @ self._filter(summary, eigs.view(-1))

        if self.skip is not None:
            out = out + self.skip(x)
        if self.local is not None:
            if edge_index is None:
                raise InputError("this layer has a local term: pass edge_index")
            out = out + self.local(x, edge_index, edge_weight)
        if self.bias is not None:
            out = out + self.bias
        return out

    def _filter(self, summary: Tensor, eigs: Tensor) -> Tensor:
        """(Lambda + diag(theta)) applied to the mode coefficients (r, F)."""
        if not eigs.is_complex():
            return (eigs + self.theta).unsqueeze(-1) * summary
        # Each column of a pair takes its partner with the imaginary part of its own eigenvalue.
        position = torch.arange(self.rank, device=eigs.device)
        partner = position + eigs.imag.sign().long()
        return (eigs.real + self.theta).unsqueeze(-1) * summary + eigs.imag.unsqueeze(-1) * summary[..., partner, :]

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, rank={self.rank})"
