"""One policy for factorisations that may fail."""

import contextlib
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from dmdgnn.errors import FactorizationError, InputError

T = TypeVar("T")


def check_finite(name: str, matrix: Tensor) -> None:
    """Raise `InputError` with the place of the first NaN or infinite entry."""
    finite = torch.isfinite(matrix)
    if not bool(finite.all()):
        row, column = (~finite).nonzero()[0].tolist()
        raise InputError(
            f"{name} has {int((~finite).sum())} NaN or infinite entries, the first at ({row}, {column}): "
            "clean it, as with torch.nan_to_num"
        )


def robust(factorise: Callable[[Tensor], T], matrix: Tensor) -> T:
    """Factorise a finite matrix: as it is, then in float64 on the CPU, then with a jitter of its rounding error.

    Args:
        factorise: A function of `torch.linalg`, as `eigh`.
        matrix: Shape (m, n).

    Raises:
        FactorizationError: No attempt converged.
    """
    precise = matrix.double().cpu()
    jitter = 10 * torch.finfo(precise.dtype).eps * precise.abs().max() * torch.eye(*matrix.shape, dtype=precise.dtype)
    for attempt in (matrix, precise, precise + jitter):
        with contextlib.suppress(torch.linalg.LinAlgError):
            return factorise(attempt)
    raise FactorizationError(
        f"the factorisation of a matrix of shape {tuple(matrix.shape)} did not converge: scale its entries, now up to "
        f"{float(precise.abs().max()):.3g}"
    )
