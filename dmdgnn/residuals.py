"""How far each eigenpair of a fitted DMD is to be trusted."""

from __future__ import annotations

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.fitted import times
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.modes import Modes
from dmdgnn.precision import precise

# Up to that residual, a pair is one of an operator that is so near, in units of |lambda| on the unit circle.
TRUSTED = 0.1


class Residuals(Modes):
    """Residuals of :class:`dmdgnn.DMD`."""

    @property
    def residuals(self) -> Tensor:
        r"""How far each mode is from an eigenvector of what the data do in a step, shape (*batch, r).

        .. math::
            \rho_i = \frac{\|Y c_i - \lambda_i X c_i\|}{\|X c_i\|}, \qquad
            \rho_i^2 = \frac{c_i^H (Y^H Y - \lambda_i Y^H X - \bar\lambda_i X^H Y + |\lambda_i|^2 X^H X) c_i}
            {c_i^H X^H X c_i}

        with :math:`X c_i = U w_i`, the projected mode, and :math:`Y c_i` the exact one: residual DMD, from Colbrook and
        Townsend (https://arxiv.org/abs/2111.14889) for rows as samples, and from Colbrook
        (https://arxiv.org/abs/2403.05891) for columns. After :meth:`fit_moments` they come of the second form, which
        resolves :math:`10^{-8}`. With at least as many snapshots as states, a complete basis U makes all of them zero:
        then :attr:`dual_residuals` tell.

        Raises:
            InputError: The images of U are not at hand, as of projected modes, whose eigenvalues exact ones have, too,
                or there are no such: under control, in reduced-rank regression, or under a constraint on all states.
        """
        self._check_residuals()
        W, eigs = precise(self._W), precise(self.eigs)
        if self._image_moments is not None:
            return _residuals_of(*self._image_moments, W, eigs).to(self._dtype.to_real())
        if self._forward is None:
            raise InputError("projected modes are without residuals: fit with modes='exact', of the same eigenvalues")
        assert self._encoder is not None  # without one there are no exact modes
        image = times(self._forward, self._encoder.ridge_share, self._ragged) if self.ridge else self._forward
        base = times(self._U, W, self._ragged)
        missed = times(image, W, self._ragged) - times(self._U, W * eigs.unsqueeze(-2), self._ragged)
        return _ratio(_norms(missed, self._ragged), _norms(base, self._ragged)).to(self._dtype.to_real())

    @property
    def dual_residuals(self) -> Tensor:
        r"""How far each dual mode :math:`\psi_i`, the row i of :math:`W^{-1} U^H`, is from a quantity that obeys
        :math:`\psi_i Y = \lambda_i \psi_i X` in all snapshots, shape (*batch, r).

        .. math:: \rho_i' = \frac{\|\psi_i Y - \lambda_i \psi_i X\|}{\|\psi_i X\|}

        This is the residual of Koopman eigenfunctions where columns are the samples, as those of a series, from
        Colbrook and Townsend (https://arxiv.org/abs/2111.14889). Noise shows in it. With more independent states than
        snapshots, U complete, it is zero: then :attr:`residuals` tell.

        Raises:
            InputError: There are none, under control or a constraint on all states.
        """
        shadows = self._shadows
        if shadows is None or self._driven:
            raise InputError("there are no residuals under control, nor under a constraint on all states")
        rows = precise(self._dual)
        X, Y = (rows @ shadow.to(rows.dtype) for shadow in shadows)
        missed = Y - precise(self.eigs).to(rows.dtype).unsqueeze(-1) * X
        norms = (torch.linalg.vector_norm(side, dim=-1) for side in (missed, X))
        return _ratio(*norms).to(self._dtype.to_real())

    @property
    def trustworthy(self) -> Tensor:
        """Which eigenpairs have residuals of at most 0.1 on both sides, bool (*batch, r)."""
        return self._worst_residuals <= TRUSTED

    @property
    def _worst_residuals(self) -> Tensor:
        if self.estimator == "rrr":
            return self.dual_residuals
        return torch.maximum(self.residuals, self.dual_residuals)

    def _check_residuals(self) -> None:
        if self._shadows is None or self._driven:
            raise InputError("there are no residuals under control, nor under a constraint on all states")
        if self.estimator == "rrr":
            raise InputError("reduced-rank regression has residuals of its dual modes only: use dual_residuals")


def _residuals_of(XY: Tensor, YY: Tensor, W: Tensor, eigs: Tensor) -> Tensor:
    """From moments (r, r) in coordinates in which those of X are the identity."""
    W = W.to(torch.complex128)
    XY, YY = ((W.conj() * (moment.to(W.dtype) @ W)).sum(dim=-2) for moment in (XY, YY))
    squares = YY.real - 2 * (eigs.conj() * XY).real
    return (squares / W.abs().square().sum(dim=-2) + eigs.abs().square()).clamp(min=0).sqrt()


def _norms(columns: Tensor, ragged: Ragged | None) -> Tensor:
    """Norms of columns (*batch, N, r), or of those of each graph."""
    if ragged is None:
        return torch.linalg.vector_norm(columns, dim=-2)
    squares = columns.abs().square()
    graphs = torch.arange(len(ragged), device=columns.device).repeat_interleave(ragged.ptr.diff())
    return squares.new_zeros(len(ragged), columns.size(-1)).index_add(0, graphs, squares).sqrt()


def _ratio(missed: Tensor, size: Tensor) -> Tensor:
    """Infinite for a mode that is none."""
    return torch.where(size > 0, missed / torch.where(size > 0, size, 1), torch.inf)
