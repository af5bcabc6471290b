"""The thin singular value decomposition behind DMD, cut to the rank of the data."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from dmdgnn.errors import InputError, RankError
from dmdgnn.kernels.eigh import top_eigh
from dmdgnn.kernels.lanczos import lanczos
from dmdgnn.kernels.robust import check_finite, robust
from dmdgnn.kernels.rows import apply, gram_operator, inner
from dmdgnn.kernels.sparse import adjoint, csr, entries, is_sparse, with_entries
from dmdgnn.kernels.truncation import Rank, Truncation, rounding_level
from dmdgnn.precision import double_of, precise

Method = Literal["auto", "gram", "randomized", "full"]

# Squaring costs the relative accuracy eps (sigma_1 / sigma_r)^2; 'auto' takes up to 2.5e-9.
GRAM_CONDITION = 3e-4
# Between these bounds for the largest square sum of a column, neither squares nor products overflow or vanish.
SAFE_SQUARES = {torch.float32: (1e-50, 1e60), torch.float64: (1e-280, 1e280)}
# From these columns on, and as many for each triplet, products with X cost less than its Gram matrix does.
PRODUCTS_SIZE, PRODUCTS_SHARE = 2048, 1 / 48
OVERSAMPLING = 10
POWER_ITERATIONS = 4


class ThinSVD(NamedTuple):
    """X = U diag(S) V^H with orthonormal columns: U (*batch, N, r), S (*batch, r) descending, V (*batch, F, r)."""

    U: Tensor
    S: Tensor
    V: Tensor

    def truncate(self, rank: int) -> ThinSVD:
        """The leading `rank` triplets."""
        return ThinSVD(self.U[..., :rank], self.S[..., :rank], self.V[..., :rank])


@torch.no_grad()
def thin_svd(
    X: Tensor,
    *,
    rank: Rank = None,
    energy: float | None = None,
    method: Method = "auto",
    seed: int = 0,
    rounding: torch.dtype | None = None,
) -> ThinSVD:
    r"""Leading singular triplets of tall matrices; U in the dtype of X, S in float64, V in double
    precision, without gradients.

    Singular values at or under :math:`\max(\epsilon_X \min(N, F), \epsilon \max(N, F), \delta)\, \sigma_1` are rounding
    and never kept, where :math:`\epsilon_X` is the machine epsilon of `rounding`, :math:`\epsilon` that of float64, and
    :math:`\delta` the floor of the method.
    The matrices of a batch share the largest r among them; triplets that one lacks are zeros.

    Args:
        X: Matrices (*batch, N, F), float32, float64, complex64 or complex128. A single one may be sparse, in CSR, COO
            or CSC form; it is never made dense, and its kernel is 'gram' or 'randomized'.
        rank: Number of triplets, 'optimal', or by default all, see :class:`dmdgnn.kernels.Truncation`.
        energy: Instead of `rank`, the share in (0, 1] of :math:`\sum_i \sigma_i^2` to keep at least.
        method: Kernel.

            - 'gram': eigenvectors of the smaller of :math:`X^T X` and :math:`X X^T`, summed in float64, or, for few of
              many or a sparse X, by products with X (:func:`dmdgnn.kernels.lanczos.lanczos`). Fast; resolves
              values down to :math:`\delta = \sqrt{\epsilon \min(N, F)}`, and the r-th triplet to about
              :math:`\epsilon (\sigma_1 / \sigma_r)^2`, with :math:`\epsilon` that of float64.
            - 'full': LAPACK's thin SVD, :math:`\delta = 0`.
            - 'randomized': the range finder of Halko et al. (https://arxiv.org/abs/0909.4061), algorithm 4.4, with
              p = 10 columns more than `rank`, q = 4 power iterations and QR after each product. It approximates:

              .. math::
                  \mathbb E \|X - U S V^T\|_2 \le \sigma_{r+1} + \left[1 + \sqrt{\tfrac{r}{p - 1}}
                  + \tfrac{e \sqrt{r + p}}{p} \sqrt{\min(N, F) - r}\right]^{1 / (2 q + 1)} \sigma_{r+1} .

            - 'auto': 'gram' for float32, whose own rounding is coarser than what it loses; for float64 'gram' as long
              as :math:`\sigma_r \ge 3 \cdot 10^{-4} \sigma_1`, else 'full'. Never 'randomized', which costs accuracy
              that only the caller knows whether to spend.
        seed: Seed of the range finder.
        rounding: Type whose rounding the entries carry, float32 for instance if X was converted from it; by default
            the dtype of X.

    Raises:
        InputError: Wrong shape, dtype or value, both `rank` and `energy`, or NaN or infinite entries.
        RankError: `rank` is above what a single X has.

    >>> svd = thin_svd(torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]], dtype=torch.float64))
    >>> svd.S
    tensor([4., 3.], dtype=torch.float64)
    """
    check_matrix("X", X, sparse=True)
    truncation = Truncation(rank, energy)
    check_method(method)
    if is_sparse(X):
        if method == "full":
            raise InputError("the full kernel needs a dense X: take 'auto' for a sparse one, or X.to_dense()")
        X, method = csr(X), "gram" if method == "auto" else method
        if not len(X.values()):
            check_rank(0, (X.size(0), X.size(1)), truncation)
    if method == "randomized" and truncation.count is None:
        raise InputError("the randomized kernel needs a number as rank: give one, or take another kernel")

    for kernel in _candidates(method, rounding or X.dtype, truncation):
        svd, floor = _KERNELS[kernel](X, truncation.count, seed)
        tolerance = max(rounding_level(X.shape[-2:], rounding or X.dtype), floor)
        kept = truncation.kept(svd.S, (X.size(-2), X.size(-1)), tolerance)
        wanted = min(truncation.count or 1, *X.shape[-2:])
        if kernel != "gram" or not _is_poor(svd.S, kept, wanted):
            break

    if X.dim() == 2:
        check_rank(int(kept), (X.size(0), X.size(1)), truncation)
    width = truncation.count or max(1, int(kept.max()))
    U, S, V = svd.truncate(width)
    U = U.to(X.dtype).contiguous()
    if X.dim() > 2 and bool((kept < width).any()):
        missing = width - S.size(-1)
        present = torch.arange(width, device=X.device) < kept.unsqueeze(-1)
        U, S, V = (pad(factor, (0, missing)) for factor in (U, S, V))
        U, S, V = U * present.unsqueeze(-2), S * present, V * present.unsqueeze(-2)
    return ThinSVD(U, S, V)


def _is_poor(S: Tensor, kept: Tensor, wanted: int) -> bool:
    """Whether the last value kept is below the condition of the Gram matrix, or too few are."""
    if S.dim() == 1:
        count = int(kept)
        return count < wanted or float(S[count - 1]) < GRAM_CONDITION * float(S[0])
    last = S.gather(-1, (kept - 1).clamp(min=0).unsqueeze(-1))
    return bool(((last < GRAM_CONDITION * S[..., :1]).squeeze(-1) | (kept < wanted)).any())


def _descends(S: Tensor) -> bool:
    if S.dim() == 1:
        return all(one >= next_one for one, next_one in pairwise(S.tolist()))
    return not bool((S.diff(dim=-1) > 0).any())


def _candidates(method: Method, dtype: torch.dtype, truncation: Truncation) -> tuple[Method, ...]:
    """Kernels in the order in which to try them; all but the last must meet the condition of the Gram matrix."""
    if method != "auto":
        return (method,)
    if dtype in (torch.float32, torch.complex64):
        return ("gram",)
    if truncation.count is None and truncation.energy is None:
        return ("full",)
    return ("gram", "full")


def _gram(X: Tensor, count: int | None, seed: int) -> tuple[ThinSVD, float]:
    if X.size(-2) < X.size(-1):
        check_finite("X", X)  # The transpose has the value at another place.
        (V, S, U), floor = _gram(adjoint(X) if is_sparse(X) else precise(X).mH, count, seed)
        return ThinSVD(U.to(X.dtype), S, V), floor
    X, scale, (_, V) = _gram_pairs(X, count, seed)
    # The norms of X v resolve small singular values better than roots of eigenvalues do.
    image = apply(X, V)
    S = torch.linalg.vector_norm(image, dim=-2, dtype=double_of(X.dtype))
    if not _descends(S):
        S, order = S.sort(dim=-1, descending=True)
        V, image = (factor.take_along_dim(order.unsqueeze(-2), dim=-1) for factor in (V, image))
    U = image.div_(S.clamp(min=torch.finfo(X.dtype).tiny).unsqueeze(-2).to(X.dtype.to_real()))
    return ThinSVD(U, S * scale.squeeze(-1), V), math.sqrt(torch.finfo(torch.float64).eps * X.size(-1))


def _gram_pairs(X: Tensor, count: int | None, seed: int) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """X and one, or, where squares would overflow or vanish, X over its largest entry, and that; and the eigenpairs of
    the Gram matrix, by products with X if these cost less."""
    if count is not None and _by_products(X, count):
        scaled, scale = _scaled(X, torch.linalg.vector_norm(entries(X), dtype=double_of(X.dtype)).square())
        pairs = lanczos(gram_operator(scaled), X.size(-1), count, seed, X.device, double_of(X.dtype))
        if pairs is not None:
            return scaled, scale, pairs
    gram = inner(X, X)
    squares = gram.diagonal(dim1=-2, dim2=-1).real.amax(dim=-1)
    scaled, scale = _scaled(X, squares)
    gram = gram if scaled is X else inner(scaled, scaled)
    return scaled, scale, top_eigh(gram, _limited(count, X))


def _by_products(X: Tensor, count: int) -> bool:
    if is_sparse(X):
        return True
    size = X.size(-1)
    return X.dim() == 2 and X.device.type == "cpu" and size >= PRODUCTS_SIZE and count <= PRODUCTS_SHARE * size


def _scaled(X: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    low, high = SAFE_SQUARES[X.dtype.to_real()]
    # One number is compared at less cost than a tensor.
    if (low < float(squares) < high) if squares.dim() == 0 else bool(((squares > low) & (squares < high)).all()):
        return X, torch.ones_like(squares)[..., None, None]
    check_finite("X", X)
    return _in_units_of_the_largest(X)


def _in_units_of_the_largest(X: Tensor) -> tuple[Tensor, Tensor]:
    if is_sparse(X):
        peak = X.values().abs().amax().double()
        scale = torch.where(peak > 0, peak, 1)
        return with_entries(X, precise(X.values()) / scale), scale[None, None]
    peak = X.abs().amax(dim=(-2, -1), keepdim=True).double()
    scale = torch.where(peak > 0, peak, 1)
    return precise(X) / scale, scale


def _full(X: Tensor, count: int | None, seed: int) -> tuple[ThinSVD, float]:
    check_finite("X", X)
    U, S, Vh = robust(lambda A: tuple(torch.linalg.svd(A, full_matrices=False)), precise(X))
    return ThinSVD(U.to(X.dtype), S, Vh.mH).truncate(_limited(count, X)), 0.0


def _randomized(X: Tensor, count: int | None, seed: int) -> tuple[ThinSVD, float]:
    check_finite("X", X)
    low, high = SAFE_SQUARES[X.dtype.to_real()]
    scale = torch.ones(*X.shape[:-2], 1, 1, dtype=torch.float64, device=X.device)
    if not low**0.5 < float(entries(X).abs().max()) < high**0.5:
        X, scale = _in_units_of_the_largest(X)
    columns = _limited(count and count + OVERSAMPLING, X)
    generator = torch.Generator("cpu").manual_seed(seed)
    # Drawn on the CPU, the numbers are the same on every device.
    sketch = torch.randn(X.size(-1), columns, dtype=torch.float64, device="cpu", generator=generator)
    sketch = sketch.to(X.device, double_of(X.dtype))
    Q = torch.linalg.qr(apply(X, sketch)).Q
    for _ in range(POWER_ITERATIONS):
        Q = torch.linalg.qr(inner(X, Q)).Q
        Q = torch.linalg.qr(apply(X, Q)).Q
    (V, S, U), _ = _full(inner(X, Q), count, seed)
    return ThinSVD(apply(Q, U), S * scale.squeeze(-1), V), 0.0


def _limited(count: int | None, X: Tensor) -> int:
    limit = min(X.shape[-2:])
    return limit if count is None else min(count, limit)


_KERNELS = {"gram": _gram, "full": _full, "randomized": _randomized}


def right_svd(
    gram: Tensor, shape: tuple[int, int], dtype: torch.dtype, truncation: Truncation
) -> tuple[Tensor, Tensor]:
    """S (r,) and V (F, r) of a matrix of this shape and dtype, of which only the float64 `gram` (F, F) is at hand."""
    values, V = top_eigh(gram, truncation.count and min(truncation.count, *shape))
    S = values.clamp(min=0).sqrt()
    floor = math.sqrt(torch.finfo(torch.float64).eps * len(gram))
    kept = int(truncation.kept(S[: min(shape)], shape, max(rounding_level(shape, dtype), floor)))
    check_rank(kept, shape, truncation)
    return S[:kept], V[:, :kept]


def check_rank(kept: int, shape: tuple[int, int], truncation: Truncation) -> None:
    """Raise `RankError` if a matrix X of which `kept` triplets are more than rounding lacks the rank asked for."""
    if kept == 0:
        raise RankError("X is zero, or so small that its squares vanish: there is nothing to decompose")
    if truncation.count is not None and truncation.count > kept:
        raise RankError(
            f"got rank={truncation.count}, but X of shape {shape} has numerical rank {kept}: use rank <= {kept}, "
            "or `energy`"
        )


def check_matrix(name: str, matrix: Tensor, sparse: bool = False) -> None:
    """Raise `InputError` unless `matrix` is a non-empty, dense tensor (*batch, N, F) of float32, float64,
    complex64 or complex128, or, if `sparse` is allowed, a sparse one (N, F)."""
    if not isinstance(matrix, Tensor):
        raise InputError(f"got {name} of type {type(matrix).__name__}, expected a torch.Tensor of shape (*batch, N, F)")
    sparse = sparse and matrix.layout in (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc) and matrix.dim() == 2
    if matrix.dim() < 2 or 0 in matrix.shape or not (sparse or matrix.layout == torch.strided):
        raise InputError(
            f"got {name} of shape {tuple(matrix.shape)} and layout {matrix.layout}, "
            "expected a non-empty dense tensor (*batch, N, F)"
        )
    if matrix.dtype not in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        raise InputError(
            f"got {name} of {matrix.dtype}, expected torch.float32 or torch.float64, or torch.complex64 or "
            "torch.complex128: convert it"
        )


def check_method(method: str) -> None:
    """Raise `InputError` unless the kernel exists."""
    if method not in ("auto", *_KERNELS):
        raise InputError(f"got svd={method!r}, expected 'auto', 'gram', 'randomized' or 'full'")
