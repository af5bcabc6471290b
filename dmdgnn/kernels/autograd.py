r"""Matrix functions whose gradients stay finite where those of SVD and eigendecomposition do not.

A singular vector turns arbitrarily fast where its value meets another, but what DMD makes of the kept vectors depends
only on the space they span, and that moves smoothly as long as :math:`\sigma_r > \sigma_{r+1}`. So each gradient here
divides by gaps between kept and dropped values, or by sums, and never by gaps between kept ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from dmdgnn.kernels.robust import robust


class LeadingSubspace(Function):
    r"""An orthonormal basis V (*batch, F, r) of the leading right singular space of X (*batch, N, F).

    The gradient is that of the space: in the gauge :math:`V^T dV = 0`, with :math:`\lambda = \sigma^2`,

    .. math:: dV = \sum_{j > r \ge i} \frac{w_j w_j^T\, d(X^T X)\, v_i e_i^T}{\lambda_i - \lambda_j}.

    It is that of a function of V only if the function does not change as V turns within its span. Columns of zeros in
    V, which fill up a rank that X does not have, stay zeros.
    """

    @staticmethod
    def forward(ctx: Any, X: Tensor, V: Tensor) -> Tensor:
        ctx.save_for_backward(X, V)
        return V.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        X, V = ctx.saved_tensors
        kept = (V != 0).any(dim=-2)
        values, vectors = robust(torch.linalg.eigh, X.mT @ X)
        dropped = torch.arange(values.size(-1), device=X.device) < values.size(-1) - kept.sum(dim=-1, keepdim=True)
        own = (X @ V).square().sum(dim=-2)
        gaps = own.unsqueeze(-2) - values.unsqueeze(-1)  # shape (*batch, F, r)
        defined = (
            dropped.unsqueeze(-1) & kept.unsqueeze(-2) & (gaps > torch.finfo(X.dtype).eps * values[..., -1:, None])
        )
        turned = vectors @ torch.where(defined, vectors.mT @ grad / gaps, 0) @ V.mT
        return X @ (turned + turned.mT), None


class Lyapunov(Function):
    """The solution K of K T + T K = Q for symmetric positive definite T; all of shape (*batch, r, r)."""

    @staticmethod
    def forward(ctx: Any, T: Tensor, Q: Tensor) -> Tensor:
        values, vectors = robust(torch.linalg.eigh, T)
        K = _solve(values, vectors, Q)
        ctx.save_for_backward(values, vectors, K)
        return K

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors, K = ctx.saved_tensors
        grad_Q = _solve(values, vectors, grad)
        return -(K.mT @ grad_Q + grad_Q @ K.mT), grad_Q


def _solve(values: Tensor, vectors: Tensor, Q: Tensor) -> Tensor:
    sums = values.unsqueeze(-1) + values.unsqueeze(-2)
    return vectors @ (vectors.mT @ Q @ vectors / sums) @ vectors.mT


class Polar(Function):
    """The orthogonal factor of A (*batch, r, r): of all orthogonal matrices the one nearest to A."""

    @staticmethod
    def forward(ctx: Any, A: Tensor) -> Tensor:
        U, S, Vh = robust(torch.linalg.svd, A)
        ctx.save_for_backward(U, S, Vh)
        return U @ Vh

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        U, S, Vh = ctx.saved_tensors
        turned = U.mT @ grad @ Vh.mT
        sums = S.unsqueeze(-1) + S.unsqueeze(-2)
        return U @ torch.where(sums > 0, (turned - turned.mT) / sums, 0) @ Vh
