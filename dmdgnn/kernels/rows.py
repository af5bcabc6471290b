"""Products of tall matrices, with sums in double precision and copies of a few rows at a time.

On the CPU they are NumPy's. Its BLAS takes half the products for a matrix times its own transpose, and is ahead of
torch's on processors for which that one has no kernel of its own. The number of its threads is not that of
:func:`torch.set_num_threads` but that of the environment, as `OMP_NUM_THREADS`.
"""

from collections.abc import Callable, Iterator
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from dmdgnn.kernels.robust import PARALLEL_ENTRIES, threads
from dmdgnn.kernels.sparse import adjoint, is_sparse
from dmdgnn.precision import precise

# Entries of a block of rows: its float64 copy, 8 MiB, stays in the cache of a processor.
BLOCK_ENTRIES = 2**20
DOUBLE = (torch.float64, torch.complex128)
# Products of fewer numbers take less time than the step to NumPy and back.
SMALL_PRODUCT = 2**17
# Entries of a matrix from which BLAS itself uses all threads.
THREADED_ENTRIES = 2**16


def _block_rows(*matrices: Tensor) -> int:
    columns = max(matrix[..., 0, :].numel() for matrix in matrices)
    return max(1, BLOCK_ENTRIES // max(1, columns))


def _blocks(matrix: Tensor, rows: int) -> Iterator[Tensor]:
    return (precise(block) for block in matrix.split(rows, dim=-2))


def sum_of(products: Iterator[Tensor]) -> Tensor:
    """The sum of at least one tensor."""
    return reduce(torch.add, products)


def inner(A: Tensor, B: Tensor) -> Tensor:
    r""":math:`A^H B` in double precision for A (*batch, N, m) and B (*batch, N, n); shape (*batch, m, n), dense.

    One of them may be sparse in CSR form, or both if they are the same.
    """
    if is_sparse(A):
        product = adjoint(A) @ precise(B)
        return product.to_dense() if A is B else product
    if is_sparse(B):
        return inner(B, A).mH
    if A.dtype == B.dtype and A.dtype in DOUBLE:
        return _product(A.mH, B)
    rows = _block_rows(A, B)
    if A is B:
        return sum_of(_product(a.mH, a) for a in _blocks(A, rows))
    return sum_of(_product(a.mH, b) for a, b in zip(_blocks(A, rows), _blocks(B, rows), strict=True))


def apply(A: Tensor, M: Tensor) -> Tensor:
    """A M, computed in double precision and returned in the dtype of A, for A (*batch, N, m), which may be sparse in
    CSR form, and M (*batch, m, n), in float64, or complex128 for complex A."""
    if is_sparse(A):
        return (precise(A) @ M).to(A.dtype)
    if A.dtype in DOUBLE:
        return _product(A, M)
    rows = _block_rows(A)
    products = (_product(block, M).to(A.dtype) for block in _blocks(A, rows))
    if torch.is_grad_enabled() and (A.requires_grad or M.requires_grad):
        return torch.cat(list(products), dim=-2)
    out = A.new_empty(*A.shape[:-1], M.size(-1))
    for part, product in zip(out.split(rows, dim=-2), products, strict=True):
        part.copy_(product)
    return out


def gram_operator(A: Tensor) -> Callable[[Tensor], Tensor]:
    r"""The map from M (m, n) to :math:`A^H A M`, in double precision, for A (N, m), dense or sparse in CSR form."""
    if is_sparse(A):
        there, back = precise(A), adjoint(A)
        return lambda M: back @ (there @ M)
    # Each row is read once.
    return lambda M: sum_of(_product(a.mH, _product(a, M)) for a in _blocks(A, _block_rows(A)))


def _product(A: Tensor, B: Tensor) -> Tensor:
    """A B, where A may be the transpose of B itself; torch takes conjugates of complex ones without a copy."""
    differentiable = torch.is_grad_enabled() and (A.requires_grad or B.requires_grad)
    if (
        differentiable
        or A.is_complex()
        or A.numel() * B.size(-1) < SMALL_PRODUCT
        or A.shape[:-2] != B.shape[:-2]
        or not A.device.type == B.device.type == "cpu"
    ):
        return A @ B
    left, right = A.numpy(force=True), B.numpy(force=True)
    workers = torch.get_num_threads()
    if A.dim() == 2 or workers == 1 or A.numel() < PARALLEL_ENTRIES or A.shape[-2:].numel() > THREADED_ENTRIES:
        return torch.from_numpy(_matmul(left, right))
    shape = A.shape[:-2]
    left, right = (part.reshape(-1, *part.shape[-2:]) for part in (left, right))
    shares = (np.array_split(part, workers) for part in (left, right))
    return torch.from_numpy(np.concatenate(list(threads(workers).map(_matmul, *shares)))).unflatten(0, shape)


def _matmul(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):  # Values that are not finite are an error later, or were one before.
        return A @ B
