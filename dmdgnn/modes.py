"""Modes of a fitted DMD, and the operator that they make up."""

from __future__ import annotations

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.fitted import Fitted, times
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.operator import LowRankOperator
from dmdgnn.precision import precise
from dmdgnn.spectral import blocks_of, real_basis, real_rows


class Modes(Fitted):
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
        return times(self._basis, real_basis(self.eigs, self._W), self._ragged)

    @property
    def blocks(self) -> Tensor:
        r"""The operator on its `real_modes`, (*batch, r, r): eigenvalues on the diagonal, and for a complex pair the
        block :math:`[[\Re\lambda, \Im\lambda], [-\Im\lambda, \Re\lambda]]`.

        Raises:
            InputError: The snapshots were complex, so that eigenvalues come in no pairs.
        """
        self._check_real("blocks")
        return blocks_of(self.eigs)

    @property
    def _core(self) -> Tensor:
        eigs = precise(self.eigs)
        return torch.diag_embed(eigs) if self._dtype.is_complex else blocks_of(eigs)

    def _operator(self, U: Tensor, forward: Tensor | None, ragged: Ragged | None) -> LowRankOperator:
        """The operator from its rows, with chosen or changed eigenpairs if there are any."""
        exact = forward is not None and self._maps_by_exact_modes
        left = forward if forward is not None and exact else U
        right = U.conj().resolve_conj() if U.is_complex() else U
        if self._gains is None:
            core = torch.ones_like(self.eigs, dtype=U.dtype) if exact else self.reduced_operator.to(U.dtype)
            return LowRankOperator(left, core, right, ptr=ragged)
        columns, rows = self._W, self._inverse
        assert rows is not None  # set along with the gains
        if not self._dtype.is_complex and self.eigs.is_complex():
            columns, rows = real_basis(self.eigs, columns), real_rows(self.eigs, rows)
        core = self._gains if exact else self._core
        return LowRankOperator(
            times(left, columns, ragged), core.to(U.dtype), times(right, rows.mT, ragged), ptr=ragged
        )

    def _moved(self, coefficients: Tensor) -> Tensor:
        """The states (*batch, N, 1), or of all graphs (N, 1), that coefficients (*batch, r) of the modes stand for."""
        basis = self._basis if self._maps_by_exact_modes else self._U
        W = self._W.to(torch.promote_types(self._W.dtype, coefficients.dtype))
        states = times(basis, W @ coefficients.to(W.dtype).unsqueeze(-1), self._ragged)
        return states.real if states.is_complex() and not self._dtype.is_complex else states

    def _check_real(self, name: str) -> None:
        if self._dtype.is_complex:
            raise InputError(f"complex snapshots have no {name}: use modes and eigs, or fit real and imaginary parts")
