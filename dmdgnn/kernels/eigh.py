"""Leading eigenpairs of symmetric, or Hermitian, positive semidefinite matrices."""

import contextlib

import torch
from torch import Tensor

from dmdgnn.kernels.robust import robust

# From this size on, and for at most this share of the pairs, LAPACK's eigh of an index range is the faster one
# (benchmarks/kernels.py); torch has only the whole decomposition.
RANGE_SIZE, RANGE_SHARE = 384, 1 / 16


def top_eigh(matrix: Tensor, count: int | None = None) -> tuple[Tensor, Tensor]:
    """The `count` largest eigenvalues (*batch, count), descending, and eigenvectors (*batch, n, count).

    Args:
        matrix: Symmetric, or Hermitian, shape (*batch, n, n), finite. On the CPU, a single large matrix is given to
            `scipy.linalg.eigh` if scipy is installed, which computes only the pairs asked for.
        count: By default all n.

    Raises:
        FactorizationError: The decomposition did not converge.
    """
    size = matrix.size(-1)
    count = size if count is None else count
    if matrix.dim() == 2 and matrix.device.type == "cpu" and size >= RANGE_SIZE and count <= RANGE_SHARE * size:
        with contextlib.suppress(ImportError):
            return _range_eigh(matrix, count)
    values, vectors = robust(torch.linalg.eigh, matrix)
    return values.flip(-1)[..., :count], vectors.flip(-1)[..., :count]


def _range_eigh(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    import scipy.linalg

    size = matrix.size(0)

    def factorise(matrix: Tensor) -> tuple[Tensor, ...]:
        try:
            pairs = scipy.linalg.eigh(
                matrix.detach().numpy(), subset_by_index=(size - count, size - 1), driver="evr", check_finite=False
            )
        except scipy.linalg.LinAlgError as error:
            raise torch.linalg.LinAlgError(str(error)) from error
        return tuple(torch.from_numpy(part) for part in pairs)

    values, vectors = robust(factorise, matrix)
    return values.flip(-1), vectors.flip(-1)
