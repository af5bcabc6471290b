"""Modes of a fitted DMD, how far each is to be trusted, and the choice among them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.fitted import Fitted, real_blocks, real_columns, real_rows, times
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.kernels.rows import precise
from dmdgnn.operator import LowRankOperator
from dmdgnn.options import is_integer

if TYPE_CHECKING:
    from typing_extensions import Self

Order = Literal["residual", "contribution", "frequency"]
# Up to that residual, a pair is one of an operator that is so near, in units of |lambda| on the unit circle.
TRUSTED = 0.1


class Spectral(Fitted):
    """Eigenpairs of :class:`dmdgnn.DMD`."""

    @property
    def modes(self) -> Tensor:
        r"""Modes :math:`\Phi`, shape (*batch, N, r), or (N, r) for graphs by `ptr`; column i belongs to `eigs[i]`."""
        if self._modes is None:
            self._modes = times(self._basis, self._W, self._ragged)
        return self._modes

    @property
    def real_modes(self) -> Tensor:
        r"""A real basis of the span of the modes, of their shape; where these are eigenvectors of the operator,
        :math:`K \Phi = \Phi B` with B from `blocks`. Exact modes under a constraint, `ridge` aside, or with
        `forward_backward`, are not: they are what the data make of U W in a step.

        The columns of a complex pair :math:`a \pm i b` become :math:`\sqrt2 a, \sqrt2 b`. Real modes stay as they are.

        Raises:
            InputError: The snapshots were complex, so that modes come in no pairs.
        """
        self._check_real("real_modes")
        if not self.eigs.is_complex():
            return self.modes
        return times(self._basis, real_columns(self._W, self.eigs.imag), self._ragged)

    @property
    def blocks(self) -> Tensor:
        r"""The operator on its `real_modes`, (*batch, r, r): eigenvalues on the diagonal, and for a complex pair the
        block :math:`[[\Re\lambda, \Im\lambda], [-\Im\lambda, \Re\lambda]]`.

        Raises:
            InputError: The snapshots were complex, so that eigenvalues come in no pairs.
        """
        self._check_real("blocks")
        return real_blocks(self.eigs)

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

    @property
    def contributions(self) -> Tensor:
        """The size of each mode's part in the states over time, the Frobenius norm of mode times its dynamics, shape
        (*batch, r); it does not depend on how a mode is scaled."""
        raise NotImplementedError

    @property
    def frequency(self) -> Tensor:
        """Of each mode, shape (*batch, r)."""
        raise NotImplementedError

    @property
    def _has_dynamics(self) -> bool:
        return "operator" in vars(self) and self._ragged is None and not self._driven

    @property
    def _amplitudes(self) -> Tensor:
        raise NotImplementedError

    @property
    def _offset(self) -> Tensor:
        raise NotImplementedError

    @property
    def _drifts(self) -> Tensor:
        raise NotImplementedError

    def _moved(self, coefficients: Tensor) -> Tensor:
        """The states (*batch, N, 1), or of all graphs (N, 1), that coefficients (*batch, r) of the modes stand for."""
        basis = self._basis if self._maps_by_exact_modes else self._U
        W = self._W.to(torch.promote_types(self._W.dtype, coefficients.dtype))
        states = times(basis, W @ coefficients.to(W.dtype).unsqueeze(-1), self._ragged)
        return states.real if states.is_complex() and not self._dtype.is_complex else states

    def select(
        self,
        count: int | None = None,
        *,
        by: Order | None = None,
        residual: float | None = None,
        frequency: tuple[float, float] | None = None,
        where: Tensor | None = None,
    ) -> Self:
        r"""The estimate with some of its modes only: :math:`K = \sum_i \phi_i \lambda_i \psi_i^H` over those kept.

        Args:
            count: How many to keep at most, the first in the order `by`. A conjugate pair is not split.
            by: 'residual', the larger of both, ascending; 'contribution', descending; 'frequency', ascending. By
                default the order stays.
            residual: Keep those with residuals of at most that on both sides.
            frequency: Keep those whose frequency, its sign aside, is from the first to the second number, in cycles in
                the unit of `dt`.
            where: Keep those where this is true, bool (*batch, r).

        Returns:
            Another estimate, in which the modes have the amplitudes that they had. The members of a batch that keep
            fewer modes than others get modes and eigenvalues of zero at the end.

        Raises:
            InputError: No mode is left, `where` splits a pair, or an argument is out of range.

        >>> series = torch.tensor([[0.9], [0.5]], dtype=torch.float64) ** torch.arange(6)
        >>> DMD().fit(series).select(1, by="frequency").eigs.real
        tensor([0.9000], dtype=torch.float64)
        """
        if count is not None and (not is_integer(count) or count < 1):
            raise InputError(f"got count={count!r}, expected an integer of at least 1")
        if by is not None and by not in get_args(Order):
            raise InputError(f"got by={by!r}, expected one of {', '.join(map(repr, get_args(Order)))}")
        kept = torch.ones_like(self.eigs, dtype=torch.bool)
        if residual is not None:
            kept = kept & (self._of_pairs(self._worst_residuals) <= residual)
        if frequency is not None:
            try:
                low, high = map(float, frequency)
            except (TypeError, ValueError):
                raise InputError(f"got frequency={frequency!r}, expected the lowest and the highest to keep") from None
            size = self.frequency.abs()
            kept = kept & (low <= size) & (size <= high)
        if where is not None:
            if not isinstance(where, Tensor) or where.dtype != torch.bool or where.shape != self.eigs.shape:
                raise InputError(f"got where={where!r}, expected a bool tensor of shape {tuple(self.eigs.shape)}")
            if not torch.equal(self._of_pairs(where), where):
                raise InputError("`where` keeps one mode of a conjugate pair: keep both, or none")
            kept = kept & where
        return self._kept(self._order(by), kept, count)

    def _order(self, by: Order | None) -> Tensor:
        if by == "residual":
            keys = self._worst_residuals
        elif by == "contribution":
            keys = -self.contributions
        elif by == "frequency":
            keys = self.frequency.abs()
        else:
            keys = torch.zeros_like(self.eigs.real)
        return self._of_pairs(keys.detach()).argsort(dim=-1, stable=True)

    def _of_pairs(self, keys: Tensor) -> Tensor:
        """With what the first of a conjugate pair has for the second, too."""
        return torch.where(self._seconds, keys.roll(1, dims=-1), keys)

    @property
    def _seconds(self) -> Tensor:
        if not self.eigs.is_complex() or self._dtype.is_complex:
            return torch.zeros_like(self.eigs, dtype=torch.bool)
        return self.eigs.imag < 0

    def _kept(self, order: Tensor, kept: Tensor, count: int | None) -> Self:
        seconds = self._seconds.gather(-1, order)
        kept = kept.gather(-1, order)
        if count is not None:
            kept = kept & (kept.cumsum(dim=-1) <= count)
            # The second of a pair follows the first: without it, the first goes, too.
            followed = torch.cat([seconds[..., 1:] & ~kept[..., 1:], torch.zeros_like(kept[..., :1])], dim=-1)
            kept = kept & ~followed
        width = int(kept.sum(dim=-1).max())
        if width == 0:
            raise InputError("no mode is left: ask for less, or for both modes of a pair")
        first = (~kept).to(torch.uint8).argsort(dim=-1, stable=True)[..., :width]
        order, kept = order.gather(-1, first), kept.gather(-1, first)
        other = self._changed(
            torch.where(kept, self.eigs.gather(-1, order), 0),
            torch.where(kept.unsqueeze(-2), self._W.take_along_dim(order.unsqueeze(-2), dim=-1), 0),
            torch.where(kept.unsqueeze(-1), self._dual.take_along_dim(order.unsqueeze(-1), dim=-2), 0),
            None if self._gains is None else torch.where(kept, self._gains.gather(-1, order), 0),
        )
        if self._has_dynamics:
            amplitudes = self._amplitudes.take_along_dim(order.unsqueeze(-1), dim=-2)
            other._parts = torch.where(kept.unsqueeze(-1), amplitudes, 0)
        if self._means is not None:
            drifts = torch.where(kept, self._drifts.gather(-1, order), 0)
            other._means = self._offset, self._offset + other._moved(drifts)
        return other

    def stabilise(self, inner: float = 1.0, outer: float = float("inf")) -> Self:
        r"""The estimate with each eigenvalue of :math:`\text{inner} < |\lambda| < \text{outer}` moved to the unit
        circle, :math:`\lambda / |\lambda|`: by default, what grows is kept from growing.

        >>> series = torch.tensor([[1.1], [0.5]], dtype=torch.float64) ** torch.arange(6)
        >>> DMD().fit(series).stabilise().eigs.real
        tensor([1.0000, 0.5000], dtype=torch.float64)
        """
        if not 0 <= inner < outer:
            raise InputError(f"got inner={inner!r} and outer={outer!r}, expected 0 <= inner < outer")
        sizes = self.eigs.abs()
        moved = (inner < sizes) & (sizes < outer) & (sizes > 0)
        gains = torch.where(moved, 1 / torch.where(moved, sizes, 1), 1)
        old = 1 if self._gains is None else self._gains
        other = self._changed(self.eigs * gains, self._W, self._dual, precise(gains) * old)
        if self._means is not None:
            other._means = self._offset, self._offset + other._moved(self._drifts)
        return other

    def _changed(self, eigs: Tensor, W: Tensor, inverse: Tensor, gains: Tensor | None) -> Self:
        other = copy.copy(self)
        other.eigs, other._W, other._inverse, other._modes = eigs, W, inverse, None
        other._gains = torch.ones_like(eigs.real, dtype=torch.float64) if gains is None else gains
        other._reduced = other._parts = None
        other.reduced_operator = other._core
        if "operator" in vars(self):
            other.operator = other._operator(self._U, self._forward, self._ragged)
        return other

    @property
    def _core(self) -> Tensor:
        eigs = precise(self.eigs)
        return torch.diag_embed(eigs) if self._dtype.is_complex else real_blocks(eigs)

    def _operator(self, U: Tensor, forward: Tensor | None, ragged: Ragged | None) -> LowRankOperator:
        """From its rows; of chosen or changed eigenpairs, if they are."""
        exact = forward is not None and self._maps_by_exact_modes
        left = forward if forward is not None and exact else U
        right = U.conj().resolve_conj() if U.is_complex() else U
        if self._gains is None:
            core = torch.ones_like(self.eigs, dtype=U.dtype) if exact else self.reduced_operator.to(U.dtype)
            return LowRankOperator(left, core, right, ptr=ragged)
        columns, rows = self._W, self._inverse
        assert rows is not None  # set along with the gains
        if not self._dtype.is_complex and self.eigs.is_complex():
            columns, rows = real_columns(columns, self.eigs.imag), real_rows(rows, self.eigs.imag)
        core = self._gains if exact else self._core
        return LowRankOperator(
            times(left, columns, ragged), core.to(U.dtype), times(right, rows.mT, ragged), ptr=ragged
        )

    def _check_residuals(self) -> None:
        if self._shadows is None or self._driven:
            raise InputError("there are no residuals under control, nor under a constraint on all states")
        if self.estimator == "rrr":
            raise InputError("reduced-rank regression has residuals of its dual modes only: use dual_residuals")

    def _check_real(self, name: str) -> None:
        if self._dtype.is_complex:
            raise InputError(f"complex snapshots have no {name}: use modes and eigs, or fit real and imaginary parts")


def _residuals_of(XY: Tensor, YY: Tensor, W: Tensor, eigs: Tensor) -> Tensor:
    """From moments (r, r) in coordinates in which those of X are the identity."""
    W = W.to(torch.complex128)
    XY, YY = ((W.conj() * (moment.to(W.dtype) @ W)).sum(dim=-2) for moment in (XY, YY))
    squares = YY.real - 2 * (eigs.conj() * XY).real
    return (squares / W.abs().square().sum(dim=-2) + eigs.abs().square()).clamp(min=0).sqrt()


def _norms(columns: Tensor, ragged: Ragged | None) -> Tensor:
    """Of columns (*batch, N, r), or of those of each graph."""
    if ragged is None:
        return torch.linalg.vector_norm(columns, dim=-2)
    squares = columns.abs().square()
    graphs = torch.arange(len(ragged), device=columns.device).repeat_interleave(ragged.ptr.diff())
    return squares.new_zeros(len(ragged), columns.size(-1)).index_add(0, graphs, squares).sqrt()


def _ratio(missed: Tensor, size: Tensor) -> Tensor:
    """Infinite for a mode that is none."""
    return torch.where(size > 0, missed / torch.where(size > 0, size, 1), torch.inf)
