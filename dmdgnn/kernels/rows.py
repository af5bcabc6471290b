"""Products of tall matrices, with sums in float64 and copies of a few rows at a time."""

from collections.abc import Iterator
from functools import reduce

import torch
from torch import Tensor

# Entries of a block of rows: its float64 copy, 8 MiB, stays in the cache of a processor.
BLOCK_ENTRIES = 2**20


def _block_rows(*matrices: Tensor) -> int:
    columns = max(matrix[..., 0, :].numel() for matrix in matrices)
    return max(1, BLOCK_ENTRIES // max(1, columns))


def _blocks(matrix: Tensor, rows: int) -> Iterator[Tensor]:
    return (block.double() for block in matrix.split(rows, dim=-2))


def sum_of(products: Iterator[Tensor]) -> Tensor:
    """The sum of at least one tensor."""
    return reduce(torch.add, products)


def inner(A: Tensor, B: Tensor) -> Tensor:
    r""":math:`A^T B` in float64 for A (*batch, N, m) and B (*batch, N, n); shape (*batch, m, n)."""
    if A.dtype == B.dtype == torch.float64:
        return A.mT @ B
    rows = _block_rows(A, B)
    if A is B:
        return sum_of(a.mT @ a for a in _blocks(A, rows))
    return sum_of(a.mT @ b for a, b in zip(_blocks(A, rows), _blocks(B, rows), strict=True))


def apply(A: Tensor, M: Tensor) -> Tensor:
    """A M, computed in float64 and returned in the dtype of A, for A (*batch, N, m) and float64 M (*batch, m, n)."""
    if A.dtype == torch.float64:
        return A @ M
    rows = _block_rows(A)
    products = ((block @ M).to(A.dtype) for block in _blocks(A, rows))
    if torch.is_grad_enabled() and (A.requires_grad or M.requires_grad):
        return torch.cat(list(products), dim=-2)
    out = A.new_empty(*A.shape[:-1], M.size(-1))
    for part, product in zip(out.split(rows, dim=-2), products, strict=True):
        part.copy_(product)
    return out
