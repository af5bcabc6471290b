"""Sparse snapshots, such as bags of words, in CSR form."""

import contextlib
import warnings

import torch
from torch import Tensor


def is_sparse(matrix: Tensor) -> bool:
    """Whether the matrix is in one of the sparse forms of torch."""
    return matrix.layout != torch.strided


def csr(matrix: Tensor) -> Tensor:
    """The matrix in CSR form."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return matrix.to_sparse_csr()


def transposed(matrix: Tensor) -> Tensor:
    """The transpose of a matrix in CSR form, in this form and in float64; its products are ten times as fast as those
    of `matrix.mT`. On the CPU scipy, if installed, counts where torch would sort."""
    matrix = matrix.double()
    if matrix.device.type == "cpu":
        with contextlib.suppress(ImportError):
            from scipy.sparse import csr_array

            parts = (part.detach().numpy() for part in (matrix.values(), matrix.col_indices(), matrix.crow_indices()))
            turned = csr_array(tuple(parts), shape=tuple(matrix.shape)).T.tocsr()
            values, columns, crow = (torch.from_numpy(part) for part in (turned.data, turned.indices, turned.indptr))
            return torch.sparse_csr_tensor(crow, columns, values, turned.shape, check_invariants=False)
    return csr(matrix.mT)


def entries(matrix: Tensor) -> Tensor:
    """The entries of a dense matrix, or those that a matrix in CSR form holds."""
    return matrix.values() if is_sparse(matrix) else matrix


def column(matrix: Tensor, index: int) -> Tensor:
    """A dense copy of one column (*batch, N, 1); of a sparse matrix in CSR form, too."""
    if not is_sparse(matrix):
        return matrix[..., index, None].clone()
    unit = matrix.new_zeros(matrix.size(1), 1, layout=torch.strided)
    unit[index] = 1
    return matrix @ unit


def with_entries(matrix: Tensor, values: Tensor) -> Tensor:
    """A matrix in CSR form with others in the places of its entries."""
    places = (matrix.crow_indices(), matrix.col_indices())
    return torch.sparse_csr_tensor(*places, values, matrix.shape, check_invariants=False)
