"""The estimate of a DMD from its snapshots, as factors, eigenpairs and operator."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from dmdgnn.choice import Choice
from dmdgnn.constraints import fit_constrained
from dmdgnn.errors import InputError
from dmdgnn.factors import Factorisation
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.kernels.robust import all_finite, check_finite, robust
from dmdgnn.kernels.rows import apply, inner
from dmdgnn.options import is_state_constraint
from dmdgnn.precision import precise
from dmdgnn.reduced import Reduced, SubspaceConstraint


class Estimate(Choice):
    """The computation of :class:`dmdgnn.DMD` on snapshots that were checked."""

    def _estimate(self, X: Tensor, Y: Tensor, control: Tensor | None, ragged: Ragged | None) -> None:
        self._controls = self._image_moments = None
        if is_state_constraint(self.constraint):
            check_finite("X", X)
            check_finite("Y", Y)
            S, U, core = fit_constrained(X, Y, self.constraint, self.truncation, self.ridge)
            self.singular_values, self._encoder, self._reduced, self._shadows = S, None, None, None
            self._assemble(U.to(X.dtype), None, core, ragged)
            return

        factorisation = self._factorisation()
        if ragged is None:
            factors = factorisation.of_rows(X, Y, control)
        else:
            factors = factorisation.of_graphs(X, Y, ragged)
        self.singular_values, self._encoder, self._reduced = factors.S, factors.encoder, factors.reduced
        self._shadows = factors.shadows
        if control is not None:
            self._controls = precise(control) @ factors.encoder.whiten
        self._assemble(factors.U, factors.forward, self._solve(factors.reduced), ragged)

    @property
    def _exact(self) -> bool:
        return self.mode_type == "exact" or self.estimator == "rrr"

    def _factorisation(self) -> Factorisation:
        reduced_rank = self.estimator == "rrr"
        options = (self.truncation, self.svd, self.seed, self.ridge, self.total_least_squares)
        return Factorisation(*options, self._exact, reduced_rank)

    def _solve(self, reduced: Reduced) -> Tensor:
        return reduced.solve(cast("SubspaceConstraint | None", self.constraint), self.forward_backward)

    def _decompose(self, K: Tensor) -> None:
        """Sets the eigenpairs of the reduced operator."""
        self.reduced_operator = K
        if self.constraint == "symmetric":
            eigs, W = robust(torch.linalg.eigh, K)
        else:
            # LAPACK returns conjugate pairs side by side; small problems are fastest on the CPU.
            eigs, W = robust(torch.linalg.eig, K.cpu())
        order = eigs.detach().abs().sort(dim=-1, descending=True, stable=True).indices
        eigs, W = eigs.gather(-1, order), W.take_along_dim(order.unsqueeze(-2), dim=-1)
        dtype = self._dtype.to_complex() if eigs.is_complex() else self._dtype.to_real()
        self.eigs, self._W = eigs.to(K.device, dtype), W.to(K.device)
        if not all_finite(self.eigs):
            raise InputError(f"eigenvalues overflow {self._dtype}: scale Y down, or fit in torch.float64")

    def _assemble(self, U: Tensor, forward: Tensor | None, K: Tensor, ragged: Ragged | None) -> None:
        """Sets what follows from the factors: the rows U, those of the exact modes, and the reduced operator."""
        self._turns = self._whole = None
        if self._controls is not None and forward is not None:
            self.B = apply(forward, self._controls.mH)
            self._whole = U, forward
            U, forward, K = self._without_inputs(U, forward)
        self._U, self._forward, self._ragged = U, forward, ragged
        self._modes = self._inverse = self._gains = self._parts = None
        self._dtype = U.dtype
        self._decompose(K if K.dim() > 1 else K.diag())
        self.operator = self._operator(U, forward, ragged)

    def _without_inputs(self, U: Tensor, forward: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same operator on an orthonormal basis of the rows of U that states have: coordinates that inputs alone
        have make no modes of it."""
        squares, Q = robust(torch.linalg.eigh, inner(U, U))
        kept = squares > torch.finfo(U.dtype).eps ** 0.5
        sizes, Q = squares[kept].sqrt(), Q[:, kept]
        self._turns = Q / sizes, Q * sizes
        U, forward = apply(U, self._turns[0]), apply(forward, self._turns[1])
        return U, forward, inner(U, forward)
