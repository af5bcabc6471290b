"""Matrices to test with, and how DMD of them compares with that of PyDMD."""

import warnings

import numpy as np
import torch
from torch import Tensor

F64 = torch.float64


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def orthonormal(n: int, r: int, seed: int = 0) -> Tensor:
    return torch.linalg.qr(randn(n, r, seed=seed)).Q


def matrix_with(values: list[float], n: int, f: int, seed: int = 0) -> Tensor:
    """An n x f matrix of given singular values."""
    return orthonormal(n, len(values), seed) * torch.tensor(values, dtype=F64) @ orthonormal(f, len(values), seed + 1).T


def pydmd_fit(model, *snapshots: Tensor):
    """PyDMD warns of the condition of its data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(*(snapshot.numpy() for snapshot in snapshots))


def eigenpairs(model) -> tuple[Tensor, Tensor]:
    """By modulus; where that is the same, by imaginary and then by real part."""
    eigs, modes = (torch.as_tensor(part).to(torch.complex128) for part in (model.eigs, model.modes))
    order = np.lexsort((-eigs.real.numpy().round(9), -eigs.imag.numpy().round(9), -eigs.abs().numpy().round(9)))
    return eigs[order], modes[:, order]


def assert_parallel(modes: Tensor, others: Tensor, atol: float = 1e-9) -> None:
    """Columns agree up to a complex factor."""
    modes, others = modes.to(torch.complex128), others.to(torch.complex128)
    cosines = (modes.conj() * others).sum(0).abs() / (modes.norm(dim=0) * others.norm(dim=0))
    torch.testing.assert_close(cosines, torch.ones_like(cosines), rtol=0, atol=atol)
