"""What DMD makes of snapshots before it solves its r x r problem: one factorisation for rows, graphs or moments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.kernels.autograd import LeadingSubspace
from dmdgnn.kernels.moments import Moments
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.kernels.robust import check_finite
from dmdgnn.kernels.rows import apply, inner
from dmdgnn.kernels.thin_svd import Method, ThinSVD, right_svd, thin_svd
from dmdgnn.kernels.truncation import Truncation
from dmdgnn.reduced import Encoder, Reduced


class Factors(NamedTuple):
    r"""The kept subspace of snapshots X, Y (*batch, N, F), and what Y is on it.

    Args:
        S: Singular values (*batch, r), float64.
        U: Orthonormal basis (*batch, N, r), in the dtype of X.
        forward: Its images a step later, :math:`Y X^T U T^{-1}` (*batch, N, r), if wanted.
        reduced: The r x r problem.
        encoder: The maps from columns to coordinates.
    """

    S: Tensor
    U: Tensor
    forward: Tensor | None
    reduced: Reduced
    encoder: Encoder


class Factorisation(NamedTuple):
    """How to factorise; the options of :class:`dmdgnn.DMD`, with `exact` for whether to compute `Factors.forward`."""

    truncation: Truncation
    svd: Method
    seed: int
    ridge: float
    total_least_squares: bool
    exact: bool

    def of_rows(self, X: Tensor, Y: Tensor, control: Tensor | None = None) -> Factors:
        """Of snapshots (*batch, N, F), under inputs `control` (q, F) if any."""
        dtype, truncation, columns = X.dtype, self.truncation, None
        sources = (X, Y) if control is None else (X, Y, control)
        differentiable = torch.is_grad_enabled() and any(source.requires_grad for source in sources)
        if differentiable or X.dim() > 2:
            X, Y = X.double(), Y.double()
        if self.total_least_squares:
            check_finite("X", X)
            check_finite("Y", Y)
            both = torch.cat([X, Y], dim=-2)
            columns = self._thin_svd(both, truncation, dtype).V
            if differentiable:
                columns = LeadingSubspace.apply(both, columns)
            X, Y = apply(X, columns), apply(Y, columns)
            truncation = Truncation(truncation.count)
        stacked = X if control is None else torch.cat([X, control])
        U, S, V = self._thin_svd(stacked, truncation, dtype)
        if differentiable:
            encoder = Encoder.differentiable(stacked, S, V).ridged(self.ridge)
            U = X @ encoder.whiten
        else:
            encoder = Encoder.of_svd(S, V).ridged(self.ridge)
            U = U[..., : X.size(-2), :]
        projected = inner(U, Y)
        if not bool(projected.isfinite().all()):
            check_finite("Y", Y)
            raise InputError("products of X and Y overflow: scale both down")
        forward = apply(Y, encoder.forward).to(dtype) if self.exact else None
        reduced = Reduced.of(encoder, projected)
        return Factors(S, U.to(dtype), forward, reduced, encoder if columns is None else encoder.behind(columns))

    def of_graphs(self, X: Tensor, Y: Tensor, ragged: Ragged) -> Factors:
        """Of each graph's rows of X and Y (N, F), with `reduced` and `encoder` a batch over the graphs."""
        check_finite("X", X)
        check_finite("Y", Y)
        blocks = [self.of_rows(ragged.pad(X, block), ragged.pad(Y, block)) for block in ragged.blocks]

        def gathered(parts: Iterable[Sequence[Tensor]]) -> list[Tensor]:
            return [ragged.gather(part) for part in zip(*parts, strict=True)]

        forward = [factors.forward for factors in blocks if factors.forward is not None]
        return Factors(
            ragged.gather([factors.S for factors in blocks]),
            ragged.unpad([factors.U for factors in blocks]),
            ragged.unpad(forward) if forward else None,
            Reduced(*gathered(factors.reduced for factors in blocks)),
            Encoder(*gathered(factors.encoder for factors in blocks)),
        )

    def of_moments(self, moments: Moments) -> tuple[Tensor, Reduced, Encoder]:
        """Of sums over rows: all but the rows themselves."""
        if 0 < float(moments.XX.diagonal().max()) < 1e-280:
            raise InputError("the squares of X vanish in float64: scale both snapshots up")
        XX, XY, shape = moments.XX, moments.XY, (moments.rows, len(moments.XX))
        truncation, columns = self.truncation, None
        if self.total_least_squares:
            _, columns = right_svd(XX + moments.YY, (2 * moments.rows, len(XX)), moments.dtype, truncation)
            XX, XY = columns.mT @ XX @ columns, columns.mT @ XY @ columns
            truncation = Truncation(truncation.count)
        S, V = right_svd(XX, shape, moments.dtype, truncation)
        encoder = Encoder.of_svd(S, V).ridged(self.ridge)
        reduced = Reduced.of(encoder, encoder.whiten.mT @ XY)
        return S, reduced, encoder if columns is None else encoder.behind(columns)

    def _thin_svd(self, X: Tensor, truncation: Truncation, rounding: torch.dtype) -> ThinSVD:
        rank, energy = truncation.rank, truncation.energy
        return thin_svd(X, rank=rank, energy=energy, method=self.svd, seed=self.seed, rounding=rounding)
