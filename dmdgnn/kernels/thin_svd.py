"""The thin singular value decomposition behind DMD, cut to the rank of the data."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from dmdgnn.errors import InputError, RankError
from dmdgnn.kernels.robust import check_finite, robust

Method = Literal["auto", "gram", "full"]


class ThinSVD(NamedTuple):
    """X = U diag(S) V^T with orthonormal columns: U (N, r), S (r,) descending, V (F, r)."""

    U: Tensor
    S: Tensor
    V: Tensor


def thin_svd(X: Tensor, *, rank: int | None = None, energy: float | None = None, method: Method = "auto") -> ThinSVD:
    r"""Leading singular triplets of a matrix, computed and returned in float64.

    Singular values at or under :math:`\max(\epsilon_X \max(N, F), \delta)\, \sigma_1` are rounding and never kept,
    where :math:`\epsilon_X` is the machine epsilon of the dtype of `X` and :math:`\delta` is the floor of the method.

    Args:
        X: Matrix (N, F), float32 or float64.
        rank: Number of triplets; by default all that are not rounding.
        energy: Instead of `rank`, the share in (0, 1] of :math:`\sum_i \sigma_i^2` to keep at least.
        method: 'gram' takes the eigenvectors of the smaller of :math:`X^T X` and :math:`X X^T`, which is fast and
            resolves values down to :math:`\delta = \sqrt{\epsilon \min(N, F)}` of the largest in float64; 'full' is
            LAPACK's SVD with :math:`\delta = 0`; 'auto' is 'gram' for float32, whose own rounding is coarser than
            what it loses, and 'full' for float64.

    Raises:
        InputError: Wrong shape, dtype or value, both `rank` and `energy`, or NaN or infinite entries.
        RankError: `rank` is above what `X` has.

    >>> svd = thin_svd(torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]], dtype=torch.float64))
    >>> svd.S
    tensor([4., 3.], dtype=torch.float64)
    """
    check_matrix("X", X)
    check_truncation(rank, energy)
    check_method(method)
    if method == "auto":
        method = "gram" if X.dtype == torch.float32 else "full"
    tolerance = torch.finfo(X.dtype).eps * max(X.shape)
    # Scaled to 1, squares neither overflow nor vanish.
    scale = X.abs().max().double()
    if scale == 0:
        raise RankError("X is zero: there is nothing to decompose")
    X = X.double() / scale
    if method == "gram":
        svd = _gram(X)
        tolerance = max(tolerance, math.sqrt(torch.finfo(torch.float64).eps * min(X.shape)))
    else:
        U, S, Vh = robust(lambda A: torch.linalg.svd(A, full_matrices=False), X)
        svd = ThinSVD(U.to(X.device), S.to(X.device), Vh.mT.to(X.device))

    kept = int((tolerance * svd.S[0] < svd.S).sum())
    if rank is not None:
        if rank > kept:
            raise RankError(
                f"got rank={rank}, but X of shape {tuple(X.shape)} has numerical rank {kept}: use rank <= {kept}, "
                "or `energy`"
            )
        kept = rank
    elif energy is not None:
        share = svd.S[:kept].square().cumsum(0)
        kept = min(kept, int((share < energy * share[-1]).sum()) + 1)
    return ThinSVD(svd.U[:, :kept], svd.S[:kept] * scale, svd.V[:, :kept])


def _gram(X: Tensor) -> ThinSVD:
    if X.size(0) < X.size(1):
        V, S, U = _gram(X.mT)
        return ThinSVD(U, S, V)
    _, V = robust(torch.linalg.eigh, X.mT @ X)
    # The norms of X v resolve small singular values better than roots of eigenvalues do.
    image = X @ V.to(X.device)
    S, order = image.norm(dim=0).sort(descending=True)
    return ThinSVD(image[:, order] / S.clamp(min=torch.finfo(S.dtype).tiny), S, V.to(X.device)[:, order])


def check_matrix(name: str, matrix: Tensor) -> None:
    """Raise `InputError` unless `matrix` is a finite, non-empty float32 or float64 matrix."""
    if not isinstance(matrix, Tensor):
        raise InputError(f"got {name} of type {type(matrix).__name__}, expected a torch.Tensor of shape (N, F)")
    if matrix.dim() != 2 or matrix.numel() == 0 or matrix.layout != torch.strided:
        raise InputError(
            f"got {name} of shape {tuple(matrix.shape)} and layout {matrix.layout}, "
            "expected a non-empty dense matrix (N, F)"
        )
    if matrix.dtype not in (torch.float32, torch.float64):
        raise InputError(f"got {name} of {matrix.dtype}, expected torch.float32 or torch.float64: convert it")
    check_finite(name, matrix)


def check_truncation(rank: int | None, energy: float | None) -> None:
    """Raise `InputError` unless at most one of `rank` and `energy` is given, and it is in range."""
    if rank is not None and energy is not None:
        raise InputError(f"got both rank={rank} and energy={energy}: give one of them")
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
        raise InputError(f"got rank={rank!r}, expected a positive integer or None for all")
    if energy is not None and not (isinstance(energy, int | float) and 0 < energy <= 1):
        raise InputError(f"got energy={energy!r}, expected a share in (0, 1]")


def check_method(method: str) -> None:
    """Raise `InputError` unless the kernel exists."""
    if method not in ("auto", "gram", "full"):
        raise InputError(f"got svd={method!r}, expected 'auto', 'gram' or 'full'")
