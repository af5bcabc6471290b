"""Leading eigenpairs of symmetric, or Hermitian, positive semidefinite matrices."""

import contextlib

import torch
from torch import Tensor

from dmdgnn.kernels.lanczos import lanczos
from dmdgnn.kernels.robust import robust
from dmdgnn.kernels.rows import DOUBLE, apply

# From this size on, and for at most this share of the pairs, LAPACK's eigh of an index range is the faster one
# (benchmarks/kernels.py); torch has only the whole decomposition.
RANGE_SIZE, RANGE_SHARE = 384, 1 / 16
# The same for Lanczos' method.
LANCZOS_SIZE, LANCZOS_SHARE = 2048, 1 / 32


def top_eigh(matrix: Tensor, count: int | None = None) -> tuple[Tensor, Tensor]:
    """The `count` largest eigenvalues (*batch, count), descending, and eigenvectors (*batch, n, count).

    Args:
        matrix: Symmetric, or Hermitian, shape (*batch, n, n), finite. On the CPU, few pairs of a single large matrix
            are computed by :func:`~dmdgnn.kernels.lanczos.lanczos` or `scipy.linalg.eigh`, if scipy is installed,
            without the others.
        count: By default all n.

    Raises:
        FactorizationError: The decomposition did not converge.
    """
    size = matrix.size(-1)
    count = size if count is None else count
    single = matrix.dim() == 2 and matrix.device.type == "cpu"
    if single and matrix.dtype in DOUBLE and size >= LANCZOS_SIZE and count <= LANCZOS_SHARE * size:
        pairs = lanczos(lambda block: apply(matrix, block), size, count, dtype=matrix.dtype)
        if pairs is not None:
            return pairs
    if single and size >= RANGE_SIZE and count <= RANGE_SHARE * size:
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
                matrix.numpy(force=True), subset_by_index=(size - count, size - 1), driver="evr", check_finite=False
            )
        except scipy.linalg.LinAlgError as error:
            raise torch.linalg.LinAlgError(str(error)) from error
        return tuple(torch.from_numpy(part) for part in pairs)

    values, vectors = robust(factorise, matrix)
    return values.flip(-1), vectors.flip(-1)
