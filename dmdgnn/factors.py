"""The work on snapshots before the r x r problem of DMD: one factorisation for rows, graphs or moments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.kernels.autograd import LeadingSubspace
from dmdgnn.kernels.moments import Moments
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.kernels.robust import all_finite, check_finite
from dmdgnn.kernels.rows import apply, inner
from dmdgnn.kernels.thin_svd import Method, ThinSVD, right_svd, thin_svd
from dmdgnn.kernels.truncation import Truncation
from dmdgnn.precision import precise
from dmdgnn.reduced import Encoder, Reduced


class Shadows(NamedTuple):
    """The snapshots on the kept subspace: :math:`U^H X` and :math:`U^H Y` (*batch, r, F), in one unit."""

    X: Tensor
    Y: Tensor

    def truncate(self, rank: int) -> Shadows:
        """The leading coordinates."""
        return Shadows(self.X[..., :rank, :], self.Y[..., :rank, :])


class Factors(NamedTuple):
    r"""The kept subspace of snapshots X, Y (*batch, N, F), and what Y is on it.

    Args:
        S: Singular values (*batch, r), float64.
        U: Orthonormal basis (*batch, N, r), in the dtype of X; for reduced-rank regression, of coordinates in which
            the Gram matrix of X is the identity.
        forward: Its images a step later, :math:`Y X^H U T^{-1}` (*batch, N, r), if wanted.
        reduced: The r x r problem.
        encoder: The maps from columns to coordinates.
        shadows: Factors that residuals need.
    """

    S: Tensor
    U: Tensor
    forward: Tensor | None
    reduced: Reduced
    encoder: Encoder
    shadows: Shadows


class Factorisation(NamedTuple):
    """How to factorise; the options of :class:`dmdgnn.DMD`, with `exact` for whether to compute `Factors.forward`, and
    `reduced_rank` for whether to keep what predicts most of Y in the place of what makes up most of X."""

    truncation: Truncation
    svd: Method
    seed: int
    ridge: float
    total_least_squares: bool
    exact: bool
    reduced_rank: bool = False

    def of_rows(self, X: Tensor, Y: Tensor, control: Tensor | None = None) -> Factors:
        """Factors of snapshots (*batch, N, F), under inputs `control` (q, F) if any."""
        dtype, truncation, columns = X.dtype, self.truncation, None
        sources = (X, Y) if control is None else (X, Y, control)
        differentiable = torch.is_grad_enabled() and any(source.requires_grad for source in sources)
        if differentiable or X.dim() > 2:
            X, Y = precise(X), precise(Y)
        whole = X, Y
        if self.total_least_squares:
            check_finite("X", X)
            check_finite("Y", Y)
            columns = self._total_columns(X, Y, dtype, differentiable)
            X, Y = apply(X, columns), apply(Y, columns)
            truncation = Truncation(truncation.count)
        stacked = X if control is None else torch.cat([X, control])
        U, S, V = self._thin_svd(stacked, Truncation() if self.reduced_rank else truncation, dtype)
        if differentiable:
            encoder = Encoder.differentiable(stacked, S, V).ridged(self.ridge)
            U = X @ encoder.whiten
        else:
            encoder = Encoder.of_svd(S, V).ridged(self.ridge)
            U = U[..., : X.size(-2), :]
        if self.reduced_rank:
            check_finite("Y", Y)
            whitened = torch.linalg.solve_triangular(encoder.root.mH, encoder.spread, upper=True, left=False)
            fitted = apply(Y, whitened)
            _, S, Q = self._thin_svd(fitted, truncation, dtype)
            turn = self._turn(encoder, LeadingSubspace.apply(fitted, Q) if differentiable else Q)
            encoder, U = encoder.turned(turn), apply(U, turn)
        projected = inner(U, Y)
        if not all_finite(projected):
            check_finite("Y", Y)
            raise InputError("products of X and Y overflow: scale both down")
        forward = apply(Y, encoder.forward).to(dtype) if self.exact else None
        reduced = Reduced.of(encoder, projected)
        shadows = Shadows(encoder.spread.mH, reduced.projected)
        if columns is not None:
            shadows = Shadows(*(inner(U, side) / encoder.scale for side in whole))
            encoder = encoder.behind(columns)
        return Factors(S, U.to(dtype), forward, reduced, encoder, shadows)

    def of_graphs(self, X: Tensor, Y: Tensor, ragged: Ragged) -> Factors:
        """Factors of the rows of X and Y (N, F) of each graph, the small ones batched over graphs."""
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
            Shadows(*gathered(factors.shadows for factors in blocks)),
        )

    def of_moments(self, moments: Moments) -> tuple[Tensor, Reduced, Encoder, Shadows]:
        """Factors of sums over rows: all but the rows themselves."""
        if 0 < float(moments.XX.diagonal().real.max()) < 1e-280:
            raise InputError("the squares of X vanish in float64: scale both snapshots up")
        XX, XY, shape = moments.XX, moments.XY, (moments.rows, len(moments.XX))
        truncation, columns = self.truncation, None
        if self.total_least_squares:
            columns = self._total_columns_of_moments(moments)
            XX, XY = columns.mH @ XX @ columns, columns.mH @ XY @ columns
            truncation = Truncation(truncation.count)
        S, V = right_svd(XX, shape, moments.dtype, Truncation() if self.reduced_rank else truncation)
        encoder = Encoder.of_svd(S, V).ridged(self.ridge)
        if self.reduced_rank:
            whitened = torch.linalg.solve_triangular(encoder.root.mH, encoder.spread, upper=True, left=False)
            squares = whitened.mH @ moments.YY @ whitened
            S, Q = right_svd((squares + squares.mH) / 2, (moments.rows, len(squares)), moments.dtype, truncation)
            encoder = encoder.turned(self._turn(encoder, Q))
        reduced = Reduced.of(encoder, encoder.whiten.mH @ XY)
        encoder = encoder if columns is None else encoder.behind(columns)
        shadows = Shadows(*(encoder.whiten.mH @ side / encoder.scale for side in (moments.XX, moments.XY)))
        return S, reduced, encoder, shadows

    def _total_columns(self, X: Tensor, Y: Tensor, dtype: torch.dtype, differentiable: bool) -> Tensor:
        """The r leading right singular vectors of [X; Y] (*batch, F, r), with r the rank of X by the rule."""
        both, count = torch.cat([X, Y], dim=-2), self.truncation.count
        if count is not None:
            columns = self._thin_svd(both, self.truncation, dtype).V
        else:
            ranks = (self._thin_svd(X, self.truncation, dtype).S > 0).sum(dim=-1)
            _check_removes(int(ranks.max()), X.size(-1))
            columns = self._thin_svd(both, Truncation(), dtype).V[..., : int(ranks.max())]
            kept = torch.arange(columns.size(-1), device=X.device) < ranks.unsqueeze(-1)
            columns = columns * kept.unsqueeze(-2)
        return LeadingSubspace.apply(both, columns) if differentiable else columns

    def _total_columns_of_moments(self, moments: Moments) -> Tensor:
        XX, rows, dtype, rule = moments.XX, moments.rows, moments.dtype, self.truncation
        if (count := rule.count) is None:
            count = len(right_svd(XX, (rows, len(XX)), dtype, rule)[0])
            _check_removes(count, len(XX))
        given = Truncation(rule.count)
        return right_svd(XX + moments.YY, (2 * rows, len(XX)), dtype, given)[1][:, :count]

    @staticmethod
    def _turn(encoder: Encoder, Q: Tensor) -> Tensor:
        """To coordinates with a Gram matrix of one, of which Q are the directions kept."""
        return torch.linalg.solve_triangular(encoder.root.mH, Q, upper=True)

    def _thin_svd(self, X: Tensor, truncation: Truncation, rounding: torch.dtype) -> ThinSVD:
        rank, energy = truncation.rank, truncation.energy
        return thin_svd(X, rank=rank, energy=energy, method=self.svd, seed=self.seed, rounding=rounding)


def _check_removes(rank: int, columns: int) -> None:
    if rank >= columns:
        raise InputError(
            f"total_least_squares leaves {columns} snapshots of rank {rank} as they are, noise too: give a lower rank "
            "or more snapshots, or leave it out"
        )
