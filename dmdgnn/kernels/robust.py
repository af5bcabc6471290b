"""One policy for factorisations that may fail."""

import cmath
import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import cast

import torch
from torch import Tensor

from dmdgnn.errors import FactorizationError, InputError
from dmdgnn.precision import precise

Factorisation = Callable[[Tensor], tuple[Tensor, ...]]

# Entries of a batch from which shares of it in threads are faster than the whole in one (benchmarks/kernels.py).
PARALLEL_ENTRIES = 2**14


def all_finite(matrix: Tensor) -> bool:
    """Whether no entry is NaN or infinite."""
    # A sum is finite only if all its terms are, and needs no copy; if not, it may have overflowed.
    return cmath.isfinite(matrix.sum().item()) or bool(matrix.isfinite().all())


def check_finite(name: str, matrix: Tensor) -> None:
    """Raise `InputError` with the place of the first NaN or infinite entry."""
    if matrix.layout != torch.strided:
        stored = matrix.to_sparse_coo().coalesce()
        indices, matrix = stored.indices(), stored.values()
    else:
        indices = None
    if not all_finite(matrix):
        finite = torch.isfinite(matrix)
        first = (~finite).nonzero()[0]
        place = tuple((first if indices is None else indices[:, first[0]]).tolist())
        raise InputError(
            f"{name} has {int((~finite).sum())} NaN or infinite entries, the first at {place}: "
            "clean it, as with torch.nan_to_num"
        )


def robust(factorise: Factorisation, matrix: Tensor) -> tuple[Tensor, ...]:
    """Factorise finite matrices: as they are, then in float64 on the CPU, then with a jitter of their rounding error.

    Args:
        factorise: A function of `torch.linalg`, such as `eigh`.
        matrix: Shape (*batch, m, n).

    Raises:
        FactorizationError: No attempt converged.
    """
    with contextlib.suppress(torch.linalg.LinAlgError):
        return _parallel(factorise, matrix)
    double = precise(matrix).cpu()
    size = torch.finfo(double.dtype).eps * double.abs().amax(dim=(-2, -1), keepdim=True)
    jitter = 10 * size * torch.eye(*matrix.shape[-2:], dtype=double.dtype, device="cpu")
    for attempt in (double, double + jitter):
        with contextlib.suppress(torch.linalg.LinAlgError):
            return tuple(_like(matrix, factor) for factor in factorise(attempt))
    raise FactorizationError(
        f"the factorisation of a matrix of shape {tuple(matrix.shape)} did not converge: scale its entries, now up to "
        f"{float(double.detach().abs().max()):.3g}"
    )


@cache
def threads(workers: int) -> ThreadPoolExecutor:
    """The threads that share the work on a batch."""
    # A thread's first call into LAPACK takes as long as hundreds of small matrices, so threads are kept.
    return ThreadPoolExecutor(workers, thread_name_prefix="dmdgnn")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=threads.cache_clear)


def _like(matrix: Tensor, factor: Tensor) -> Tensor:
    return factor.to(matrix.device, matrix.dtype.to_complex() if factor.is_complex() else matrix.dtype.to_real())


def _parallel(factorise: Factorisation, matrix: Tensor) -> tuple[Tensor, ...]:
    """LAPACK takes the matrices of a batch one after another; threads take a share each."""
    workers = torch.get_num_threads()
    small = matrix.dim() < 3 or matrix.numel() < PARALLEL_ENTRIES
    if small or matrix.device.type != "cpu" or matrix.requires_grad or workers == 1:
        return factorise(matrix)
    batch = matrix.shape[:-2]
    shares = matrix.flatten(0, -3).chunk(workers)
    parts = list(threads(workers).map(factorise, shares))
    factors = cast(list[tuple[Tensor, ...]], [torch.cat(part) for part in zip(*parts, strict=True)])
    return tuple(cast(Tensor, factor).unflatten(0, batch) for factor in factors)
