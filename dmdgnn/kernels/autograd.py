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

from dmdgnn.errors import GradientError
from dmdgnn.kernels.robust import robust


class Once(Function):
    """Passes a gradient on, and refuses to be differentiated along with what it was computed from."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, *sources: Tensor) -> Tensor:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        raise GradientError("DMD has no second derivatives: do not differentiate its gradient")


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
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        X, V = ctx.saved_tensors
        return Once.apply(_turned(X.detach(), V, grad.detach()), X, grad), None


def _turned(X: Tensor, V: Tensor, grad: Tensor) -> Tensor:
    peak = X.abs().amax(dim=(-2, -1), keepdim=True)
    scale = torch.where(peak > 0, peak, 1)
    X = X / scale
    triangle = torch.linalg.qr(X, mode="r").R
    _, S, Wh = robust(lambda A: tuple(torch.linalg.svd(A, full_matrices=False)), triangle)
    own = torch.linalg.vector_norm(X @ V, dim=-2).unsqueeze(-2)
    kept = (V != 0).any(dim=-2).unsqueeze(-2)
    dropped = torch.arange(S.size(-1), device=X.device).unsqueeze(-1) >= kept.sum(dim=-1, keepdim=True)
    gaps = own - S.unsqueeze(-1)  # shape (*batch, min(N, F), r)
    defined = dropped & kept & (gaps > torch.finfo(X.dtype).eps * max(X.shape[-2:]) * S[..., :1, None])
    seen = Wh @ grad
    turned = Wh.mH @ torch.where(defined, seen / (gaps * (own + S.unsqueeze(-1))), 0)
    turned = turned + torch.where(kept, (grad - Wh.mH @ seen) / own.square(), 0)
    turned = turned @ V.mH
    return X @ (turned + turned.mH) / scale


class Lyapunov(Function):
    """The solution K of K T + T K = Q for symmetric positive definite T; all of shape (*batch, r, r)."""

    @staticmethod
    def forward(ctx: Any, T: Tensor, Q: Tensor) -> Tensor:
        values, vectors = robust(torch.linalg.eigh, T)
        K = _solve(values, vectors, Q)
        ctx.save_for_backward(T, Q, values, vectors, K)
        return K

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        T, Q, values, vectors, K = ctx.saved_tensors
        with torch.no_grad():
            grad_Q = _solve(values, vectors, grad)
            grad_T = -(K.mH @ grad_Q + grad_Q @ K.mH)
        return Once.apply(grad_T, T, Q, grad), Once.apply(grad_Q, T, Q, grad)


def _solve(values: Tensor, vectors: Tensor, Q: Tensor) -> Tensor:
    sums = values.unsqueeze(-1) + values.unsqueeze(-2)
    return vectors @ (vectors.mH @ Q @ vectors / sums) @ vectors.mH


class Polar(Function):
    """The orthogonal factor of A (*batch, r, r): the orthogonal matrix nearest to A."""

    @staticmethod
    def forward(ctx: Any, A: Tensor) -> Tensor:
        U, S, Vh = robust(torch.linalg.svd, A)
        ctx.save_for_backward(A, U, S, Vh)
        return U @ Vh

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        A, U, S, Vh = ctx.saved_tensors
        with torch.no_grad():
            turned = U.mH @ grad @ Vh.mH
            sums = S.unsqueeze(-1) + S.unsqueeze(-2)
            defined = sums > torch.finfo(S.dtype).eps * S.size(-1) * S[..., :1, None]
            grad_A = U @ torch.where(defined, (turned - turned.mH) / sums, 0) @ Vh
        return Once.apply(grad_A, A, grad)
