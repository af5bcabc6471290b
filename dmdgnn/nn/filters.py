"""Learnable gains of modes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import Parameter
from torch_geometric.nn.inits import zeros

from dmdgnn.errors import InputError
from dmdgnn.options import is_integer


class ModeFilter(torch.nn.Module):
    r"""A free gain for each mode, :math:`\lambda_k + \theta_k`, for the modes of one graph.

    The offset :math:`\theta` starts at zero, so that weight decay pulls to the estimated operator.

    Args:
        rank (int): Number of modes :math:`r`.
        heads (int, optional): Number of filters :math:`H`. (default: :obj:`1`)

    Shapes:
        - **input:** eigenvalues :math:`(\ldots, r)`, real or complex
        - **output:** gains :math:`(\ldots, r, H)`, of the same kind

    >>> ModeFilter(2)(torch.tensor([0.9, 0.5])).squeeze(-1)
    tensor([0.9000, 0.5000], grad_fn=<SqueezeBackward1>)
    """

    def __init__(self, rank: int, heads: int = 1) -> None:
        super().__init__()
        self.rank = rank
        self.heads = heads
        self.theta = Parameter(torch.empty(rank, heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the offsets to zero."""
        zeros(self.theta)

    def forward(self, eigs: Tensor) -> Tensor:
        """Gains of the modes."""
        if eigs.size(-1) != self.rank:
            raise InputError(f"got eigenvalues {tuple(eigs.shape)}, expected (..., {self.rank}): one for each mode")
        return eigs.unsqueeze(-1) + self.theta

    def of_blocks(self, blocks: Tensor, coefficients: Tensor) -> Tensor:
        """:math:`(B + \\mathrm{diag}(\\theta))\\, C`, for blocks (..., r, r) and coefficients (..., r, F)."""
        gains = self.theta.repeat_interleave(coefficients.size(-1) // self.theta.size(1), dim=-1)
        return blocks @ coefficients + gains.to(coefficients.dtype) * coefficients

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(rank={self.rank}, heads={self.heads})"


class PolynomialFilter(torch.nn.Module):
    r"""A polynomial of the eigenvalue, the same for all modes and graphs: several steps of the dynamics at once.

    .. math::
        g(\lambda) = \sum_{k=0}^{K} c_k\, T_k(\lambda).

    It depends on neither order, sign nor rotation of modes, and :math:`\mathbf{\Phi}\, g(\mathbf{\Lambda})\,
    \mathbf{\Phi}^{+}` is the polynomial of the operator on the span of the modes. Chebyshev polynomials
    :math:`T_k` are well conditioned on :math:`[-1, 1]`, where the eigenvalues of symmetrically normalised propagation
    are. They grow away from the real axis, to :math:`|T_k(\pm i)| \approx (1 + \sqrt 2)^k / 2` on the unit circle: take
    a low degree for complex eigenvalues. Coefficients start as those of :math:`g(\lambda) = \lambda`.

    Args:
        degree (int): Degree :math:`K \ge 1`: how many steps the filter reaches.
        heads (int, optional): Number of filters :math:`H`. (default: :obj:`1`)

    Shapes:
        - **input:** eigenvalues :math:`(\ldots, r)`, real or complex
        - **output:** gains :math:`(\ldots, r, H)`, of the same kind

    Raises:
        InputError: `degree` is not a positive integer.

    >>> PolynomialFilter(degree=3)(torch.tensor([0.9, 0.5])).squeeze(-1)
    tensor([0.9000, 0.5000], grad_fn=<SqueezeBackward1>)
    """

    def __init__(self, degree: int, heads: int = 1) -> None:
        super().__init__()
        if not is_integer(degree) or degree < 1:
            raise InputError(f"got degree={degree!r}, expected a positive integer")
        self.degree = degree
        self.heads = heads
        self.coefficients = Parameter(torch.empty(degree + 1, heads))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start as the identity."""
        with torch.no_grad():
            self.coefficients.zero_()
            self.coefficients[1] = 1

    def forward(self, eigs: Tensor) -> Tensor:
        """Gains of the modes."""
        terms = [torch.ones_like(eigs), eigs]
        for _ in range(len(self.coefficients) - 2):
            terms.append(2 * eigs * terms[-1] - terms[-2])
        return torch.stack(terms, dim=-1) @ self.coefficients.to(eigs.dtype)

    def of_blocks(self, blocks: Tensor, coefficients: Tensor) -> Tensor:
        """The polynomial of blocks B (..., r, r) times coefficients (..., r, F)."""
        weights = self.coefficients.repeat_interleave(coefficients.size(-1) // self.coefficients.size(1), dim=-1)
        weights = weights.to(coefficients.dtype)
        previous, term = coefficients, blocks @ coefficients
        total = weights[0] * previous + weights[1] * term
        for weight in weights[2:]:
            previous, term = term, 2 * (blocks @ term) - previous
            total = total + weight * term
        return total

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(degree={self.degree}, heads={self.heads})"
