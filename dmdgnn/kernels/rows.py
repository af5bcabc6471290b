"""Products of tall matrices, with sums in double precision and copies of a few rows at a time."""

from collections.abc import Iterator
from functools import reduce

import torch
from torch import Tensor

# Entries of a block of rows: its float64 copy, 8 MiB, stays in the cache of a processor.
BLOCK_ENTRIES = 2**20
DOUBLE = (torch.float64, torch.complex128)


def _block_rows(*matrices: Tensor) -> int:
    columns = max(matrix[..., 0, :].numel() for matrix in matrices)
    return max(1, BLOCK_ENTRIES // max(1, columns))


def precise(matrix: Tensor) -> Tensor:
    """In float64, or in complex128 if it is complex."""
    return matrix.to(torch.complex128 if matrix.is_complex() else torch.float64)


def _blocks(matrix: Tensor, rows: int) -> Iterator[Tensor]:
    return (precise(block) for block in matrix.split(rows, dim=-2))


def sum_of(products: Iterator[Tensor]) -> Tensor:
    """The sum of at least one tensor."""
    return reduce(torch.add, products)


def inner(A: Tensor, B: Tensor) -> Tensor:
    r""":math:`A^H B` in double precision for A (*batch, N, m) and B (*batch, N, n); shape (*batch, m, n)."""
    if A.dtype == B.dtype and A.dtype in DOUBLE:
        return A.mH @ B
    rows = _block_rows(A, B)
    if A is B:
        return sum_of(a.mH @ a for a in _blocks(A, rows))
    return sum_of(a.mH @ b for a, b in zip(_blocks(A, rows), _blocks(B, rows), strict=True))


def apply(A: Tensor, M: Tensor) -> Tensor:
    """A M, computed in double precision and returned in the dtype of A, for A (*batch, N, m) and M (*batch, m, n), in
    float64, or complex128 for complex A."""
    if A.dtype in DOUBLE:
        return A @ M
    rows = _block_rows(A)
    products = ((block @ M).to(A.dtype) for block in _blocks(A, rows))
    if torch.is_grad_enabled() and (A.requires_grad or M.requires_grad):
        return torch.cat(list(products), dim=-2)
    out = A.new_empty(*A.shape[:-1], M.size(-1))
    for part, product in zip(out.split(rows, dim=-2), products, strict=True):
        part.copy_(product)
    return out
