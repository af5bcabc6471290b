"""Leading eigenpairs of a symmetric, or Hermitian, operator of which only products are at hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from dmdgnn.kernels.robust import robust
from dmdgnn.kernels.rows import apply, inner

# Columns of a block: products with as many cost little more than with one.
BLOCK = 8
# Largest residual of a pair in units of the first eigenvalue: that of a dense decomposition of some thousand rows.
TOLERANCE = 1e-14
# The basis may have this share of the columns that there are. Beyond it, a dense decomposition is the faster one.
SHARE = 1 / 3
# Blocks for which fresh directions are followed before pairs count as the leading ones.
PROBED_BLOCKS = 2
TINY = torch.finfo(torch.float64).tiny


def lanczos(
    product: Callable[[Tensor], Tensor],
    size: int,
    count: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor] | None:
    r"""The `count` largest eigenvalues (count,), descending, and eigenvectors (size, count) of a matrix A.

    Block Lanczos with full orthogonalisation (Golub and Underwood, "The block Lanczos method for computing
    eigenvalues", 1977). Each pair is checked: it is returned only with
    :math:`\|A v - \theta v\| \le 10^{-14} \theta_1`, so that an eigenvalue of A is as near to :math:`\theta`. A Krylov
    space holds no more copies of an eigenvalue than its block has columns. So when all pairs have converged, random
    directions join the block, and the pairs count only if they stay what they were.

    Args:
        product: A times a matrix (size, k) of `dtype`, for a symmetric or Hermitian, positive semidefinite A.
        size: Rows of A.
        count: Number of pairs.
        seed: Seed of the random directions.
        device: Where the products are.
        dtype: Their type, float64 or complex128.

    Returns:
        None where the pairs have not converged in a basis of a third of `size` columns.

    >>> values, vectors = lanczos(lambda x: x * 2.0 ** -torch.arange(300).unsqueeze(1), 300, count=3)
    >>> values
    tensor([1.0000, 0.5000, 0.2500], dtype=torch.float64)
    """
    generator = torch.Generator("cpu").manual_seed(seed)

    def noise(columns: int) -> Tensor:
        return torch.randn(size, columns, dtype=dtype, device="cpu", generator=generator).to(device)

    limit, filled, due, found = int(SHARE * size), 0, count + 2 * BLOCK, None
    if limit < due:
        return None
    basis = torch.empty(4 * due, size, dtype=dtype, device=device)
    projected = basis.new_zeros(4 * due, 4 * due)
    block = torch.linalg.qr(noise(BLOCK)).Q
    while filled + block.size(1) <= limit:
        new = slice(filled, filled + block.size(1))
        if new.stop > len(basis):
            basis, projected = torch.cat([basis, torch.empty_like(basis)]), pad(projected, 2 * [0, len(basis)])
        basis[new], filled = block.mH, new.stop
        span = basis[:filled]
        rest = product(block)
        coefficients = apply(span, rest)
        rest -= inner(span, coefficients)
        projected[:filled, new], projected[new, :filled] = coefficients, coefficients.mH
        scale = projected.diagonal().real.max()
        if filled >= due:
            pairs = robust(torch.linalg.eigh, projected[:filled, :filled])
            values, vectors = (part.flip(-1)[..., :count] for part in pairs)
            residual = float(torch.linalg.vector_norm(rest @ vectors[new], dim=0).max() / values[0].clamp(min=TINY))
            if residual <= TOLERANCE:
                if found is not None and bool(((values - found).abs() <= 10 * TOLERANCE * values[0]).all()):
                    return values, inner(span, vectors)
                found = values
                rest = torch.cat([rest, scale * noise(BLOCK) / size**0.5], dim=1)
                due = filled + PROBED_BLOCKS * rest.size(1)
            else:
                due = filled + _columns_to_go(filled, residual, rest.size(1))
        # Noise in the last digit stands in for directions that run out.
        block = torch.linalg.qr(rest + torch.finfo(torch.float64).eps * scale * noise(rest.size(1))).Q
        block = torch.linalg.qr(block - inner(span, apply(span, block))).Q
    return None


def _columns_to_go(filled: int, residual: float, width: int) -> int:
    """Columns until the residual is small enough, if it falls as it did from one on; decompositions between are few."""
    rate = -math.log(residual) / filled if residual < 1 else 0.0
    expected = math.log(residual / TOLERANCE) / rate if rate > 0 else filled
    return max(width, min(filled // 4, int(expected)))
