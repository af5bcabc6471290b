"""Eigenvalues of real blocks, as transforms store them in the place of complex eigenvalues."""

from __future__ import annotations

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.spectral import tolerance


def sizes(blocks: Tensor) -> list[int]:
    """1 for each real eigenvalue on the diagonal of blocks (r, r), 2 for each pair.

    Raises:
        InputError: They are not block upper triangular.
    """
    least = tolerance(blocks.dtype) * float(torch.linalg.matrix_norm(blocks))
    below = [abs(value) > least for value in blocks.diagonal(-1).tolist()]
    found: list[int] = []
    while sum(found) < len(blocks):
        place = sum(found)
        found.append(2 if place < len(below) and below[place] else 1)
    own = torch.block_diag(*(torch.ones(size, size) for size in found)).bool()
    if bool((blocks.tril(-1)[~own].abs() > least).any()):
        raise InputError(
            "got blocks with entries below those on the diagonal, expected real blocks as transforms store them by "
            "blocks=True, or eigenvalues"
        )
    return found


def eigenvalues(blocks: Tensor, sizes: list[int]) -> Tensor:
    """Eigenvalues (r,) of the blocks on the diagonal, in their order; complex only if one of them is."""
    ends = torch.tensor(sizes).cumsum(0).tolist()
    parts = (blocks[end - size : end, end - size : end] for end, size in zip(ends, sizes, strict=True))
    eigs = torch.cat([torch.linalg.eigvals(part.double()) for part in parts]).to(blocks.dtype.to_complex())
    return eigs if bool(eigs.imag.any()) else eigs.real
