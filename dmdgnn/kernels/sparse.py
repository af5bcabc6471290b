"""Sparse snapshots, such as bags of words, in CSR form."""

import contextlib
import warnings

import torch
from torch import Tensor

from dmdgnn.precision import precise


def is_sparse(matrix: Tensor) -> bool:
    """Whether the matrix is in one of the sparse forms of torch."""
    return matrix.layout != torch.strided


def csr(matrix: Tensor) -> Tensor:
    """The matrix in CSR form."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return matrix.to_sparse_csr()


def adjoint(matrix: Tensor) -> Tensor:
    """The conjugate transpose of a matrix in CSR form, in this form and in double precision; its products are ten times
    as fast as those of `matrix.mH`. On the CPU scipy, if installed, counts where torch would sort."""
    matrix = precise(matrix)
    if matrix.device.type == "cpu":
        with contextlib.suppress(ImportError):
            from scipy.sparse import csr_array

            places = (part.numpy() for part in (matrix.col_indices(), matrix.crow_indices()))
            conjugates = matrix.values().detach().conj().resolve_conj().numpy()
            turned = csr_array((conjugates, *places), shape=tuple(matrix.shape)).T.tocsr()
            values, columns, crow = (torch.from_numpy(part) for part in (turned.data, turned.indices, turned.indptr))
            return torch.sparse_csr_tensor(crow, columns, values, turned.shape, check_invariants=False)
    turned = csr(matrix.mT)
    return with_entries(turned, turned.values().conj().resolve_conj())


def entries(matrix: Tensor) -> Tensor:
    """The entries of a dense matrix, or those that a matrix in CSR form holds."""
    return matrix.values() if is_sparse(matrix) else matrix


def column(matrix: Tensor, index: int) -> Tensor:
    """A dense copy of one column (*batch, N, 1), also from a sparse matrix in CSR form."""
    if not is_sparse(matrix):
        return matrix[..., index, None].clone()
    unit = matrix.new_zeros(matrix.size(1), 1, layout=torch.strided)
    unit[index] = 1
    return matrix @ unit


def with_entries(matrix: Tensor, values: Tensor) -> Tensor:
    """A matrix in CSR form with others in the places of its entries."""
    places = (matrix.crow_indices(), matrix.col_indices())
    return torch.sparse_csr_tensor(*places, values, matrix.shape, check_invariants=False)
