"""The r x r problem behind the spectral forms of a low-rank operator."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Form(NamedTuple):
    """V, B and D (*batch, r, r), float64, with :math:`L C R^T = (L V) B (R D^T)^T` if the form is exact."""

    basis: Tensor
    blocks: Tensor
    inverse: Tensor


class Spectral:
    r"""Spectral forms of :math:`K = L C R^T`, by the matrix :math:`M = C R^T L` on the coordinates of L.

    Args:
        core: C (*batch, r, r).
        overlap: :math:`R^T L` (*batch, r, r).
        grams: :math:`L^T L` and :math:`R^T R` (*batch, r, r), by which errors of forms are those of K.

    `eigs` (*batch, r) are the eigenvalues of M by descending modulus, complex.
    """

    def __init__(self, core: Tensor, overlap: Tensor, grams: tuple[Tensor, Tensor]) -> None:
        self.dtype = core.dtype
        self.core, overlap = core.double(), overlap.double()
        self.grams = tuple(gram.detach().double() for gram in grams)
        self.matrix = self.core @ overlap
        # Columns of zeros, as of a graph with fewer modes than others, have no inverse and need none.
        rounding = torch.finfo(self.dtype).eps * core.size(-1)
        self.overlap_inverse = torch.linalg.pinv(overlap, rtol=rounding)
        self.eigs, self.vectors = eigenpairs(self.matrix)

    def eigen(self) -> Form:
        """The form by eigenvectors, the two of a conjugate pair as sqrt(2) times their real and imaginary part."""
        basis = real_basis(self.eigs, self.vectors)
        inverse, _ = torch.linalg.inv_ex(basis)
        return Form(basis, blocks_of(self.eigs), inverse @ self.overlap_inverse)

    def schur(self) -> Form:
        """The form by an orthonormal basis of the spaces that the eigenvectors span one after another."""
        basis = orthonormal_basis(self.eigs, self.vectors)
        return Form(basis, basis.mT @ self.matrix @ basis, basis.mT @ self.overlap_inverse)

    @torch.no_grad()
    def error(self, form: Form) -> Tensor:
        """Bound on the error of a form whose factors are rounded to the operator's dtype, relative to K (*batch)."""
        left, right = self.grams
        basis, blocks, inverse = form
        loss = self.core - basis @ blocks @ inverse
        # Products of the lengths of modes and dual modes: the condition numbers of the eigenvalues.
        lengths = (basis * (left @ basis)).sum(dim=-2) * (inverse * (inverse @ right)).sum(dim=-1)
        condition = lengths.clamp(min=0).amax(dim=-1).sqrt()
        rounding = torch.finfo(self.dtype).eps * condition * torch.linalg.matrix_norm(blocks)
        absolute = _trace(loss.mT @ left, (loss @ right).mT).sqrt() + rounding
        relative = absolute / _trace(self.core.mT @ left, (self.core @ right).mT).sqrt().clamp(min=1e-300)
        return relative.nan_to_num(nan=torch.inf)

    def poor(self, form: Form) -> Tensor:
        """Which operators a form loses more than a third of the digits of, bool (*batch)."""
        return self.error(form) > tolerance(self.dtype)


def tolerance(dtype: torch.dtype) -> float:
    """Two thirds of the digits of a dtype."""
    return float(torch.finfo(dtype).eps ** (2 / 3))


def eigenpairs(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (*batch, r), complex, by descending modulus, and eigenvectors (*batch, r, r)."""
    eigs, vectors = torch.linalg.eig(matrix)
    order = eigs.detach().abs().sort(dim=-1, descending=True, stable=True).indices
    return eigs.gather(-1, order), vectors.take_along_dim(order.unsqueeze(-2), dim=-1)


def real_basis(eigs: Tensor, vectors: Tensor) -> Tensor:
    """Real columns (*batch, r, r) of eigenvectors whose conjugate pairs stand side by side, the first with positive
    imaginary part."""
    imag = eigs.imag.detach().unsqueeze(-2)
    first = torch.where(imag == 0, vectors.real, 2**0.5 * vectors.real)
    return torch.where(imag < 0, 2**0.5 * vectors.imag.roll(1, dims=-1), first)


def real_rows(eigs: Tensor, rows: Tensor) -> Tensor:
    """Real rows (*batch, r, r') that belong to the columns of :func:`real_basis`, by those of the complex inverse."""
    imag = eigs.imag.detach().unsqueeze(-1)
    first = torch.where(imag == 0, rows.real, 2**0.5 * rows.real)
    return torch.where(imag < 0, 2**0.5 * rows.imag, first)


@torch.no_grad()
def orthonormal_basis(eigs: Tensor, vectors: Tensor) -> Tensor:
    """Orthonormal columns Q, of which the leading ones span what the leading eigenvectors do: in them, the matrix is
    block upper triangular to rounding. It is a constant to gradients: any orthogonal Q gives the same operator."""
    return torch.linalg.qr(real_basis(eigs, vectors)).Q


def blocks_of(eigs: Tensor) -> Tensor:
    r"""The real matrix (*batch, r, r) of eigenvalues: these on the diagonal, and for a complex pair the block
    :math:`[[\Re\lambda, \Im\lambda], [-\Im\lambda, \Re\lambda]]`."""
    if not eigs.is_complex():
        return torch.diag_embed(eigs)
    first = eigs.imag[..., :-1].clamp(min=0)
    return torch.diag_embed(eigs.real) + torch.diag_embed(first, offset=1) - torch.diag_embed(first, offset=-1)


def _trace(A: Tensor, B: Tensor) -> Tensor:
    """The trace of A B^T, of rounding errors at least zero."""
    return (A * B).sum(dim=(-2, -1)).clamp(min=0)
