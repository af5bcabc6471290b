"""The product with a symmetric sparse matrix, with a cheap backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dmdgnn.errors import InputError


def symmetric_matmul(A: Tensor, x: Tensor) -> Tensor:
    r"""The product :math:`A X` of a symmetric sparse matrix, which is its own transpose in the backward pass.

    .. math::
        \frac{\partial \ell}{\partial X} = A^{\top} \frac{\partial \ell}{\partial A X}
        = A \, \frac{\partial \ell}{\partial A X}

    Autograd would make a transposed copy of A in each backward pass, which takes longer than the product itself.

    Args:
        A: Symmetric matrix (N, N), sparse in CSR, COO or CSC form, such as a normalised adjacency of an undirected
            graph. It is constant: it gets no gradient. Its symmetry is not checked; the gradients of
            another matrix are wrong.
        x: Dense matrix (N, F) of the same dtype.

    Returns:
        Dense matrix (N, F).

    Raises:
        InputError: A is not square, requires a gradient, or does not fit x.

    >>> A = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).to_sparse_coo()
    >>> symmetric_matmul(A, torch.tensor([[1.0], [2.0]])).flatten()
    tensor([2., 1.])
    """
    if A.dim() != 2 or A.size(0) != A.size(1) or x.dim() != 2 or x.size(0) != A.size(1):
        raise InputError(f"got A {tuple(A.shape)} and x {tuple(x.shape)}, expected (N, N) and (N, F)")
    if A.requires_grad:
        raise InputError("A requires a gradient, which it gets none of here: pass A.detach(), or use A @ x")
    if not x.requires_grad:
        return A @ x
    product: Tensor = _SymmetricProduct.apply(A, x)
    return product


class _SymmetricProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, A: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(A)
        return A @ x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        (A,) = ctx.saved_tensors
        return None, symmetric_matmul(A, grads[0])
