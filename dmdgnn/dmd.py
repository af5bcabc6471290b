"""Dynamic Mode Decomposition."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.kernels.robust import robust
from dmdgnn.kernels.thin_svd import Method, check_matrix, check_method, check_truncation, thin_svd
from dmdgnn.operator import LowRankOperator


class DMD:
    r"""Low-rank linear operator that best maps each snapshot to the one a step later.

    With :math:`X \approx U S V^T` cut to rank r, the reduced operator, its eigendecomposition and the modes are

    .. math::
        \tilde K = U^T Y V S^{-1} = W \Lambda W^{-1}, \qquad
        \Phi = U W \text{ (projected)} \quad\text{or}\quad \Phi = Y V S^{-1} W \text{ (exact)}.

    Sources: Tu et al., "On Dynamic Mode Decomposition: Theory and Applications" (https://arxiv.org/abs/1312.0041);
    Baddoo et al., "Physics-informed dynamic mode decomposition" (https://arxiv.org/abs/2112.04307).

    Args:
        rank: Rank r; by default the numerical rank of X.
        energy: Instead of `rank`, the share in (0, 1] of the squared singular values to keep at least.
        svd: Kernel: 'auto', 'gram' or 'full', see :func:`dmdgnn.kernels.thin_svd`.
        modes: 'exact' or 'projected'.
        constraint: None, or 'symmetric' for the symmetric operator on the range of U that fits best; its
            eigenvalues and modes are real. For symmetric linear dynamics both give the same operator.

    Attributes:
        singular_values: S, float64, shape (r,), descending.
        eigs: Eigenvalues, shape (r,), by descending modulus; real under the constraint, else complex with conjugate
            pairs side by side, the positive imaginary part first.
        modes: Modes :math:`\Phi`, shape (N, r), column i belonging to `eigs[i]`.
        operator: The :class:`LowRankOperator` :math:`U \tilde K U^T`, or :math:`Y V S^{-1} U^T` for exact modes
            without constraint.

    >>> A = torch.tensor([[0.9, 0.2], [0.0, 0.5]], dtype=torch.float64)
    >>> X = torch.eye(2, dtype=torch.float64)
    >>> DMD(rank=2).fit(X, A @ X).eigs.real
    tensor([0.9000, 0.5000], dtype=torch.float64)
    """

    singular_values: Tensor
    eigs: Tensor
    modes: Tensor
    operator: LowRankOperator

    def __init__(
        self,
        rank: int | None = None,
        energy: float | None = None,
        svd: Method = "auto",
        modes: Literal["exact", "projected"] = "exact",
        constraint: Literal["symmetric"] | None = None,
    ) -> None:
        check_truncation(rank, energy)
        check_method(svd)
        if modes not in ("exact", "projected"):
            raise InputError(f"got modes={modes!r}, expected 'exact' or 'projected'")
        if constraint not in (None, "symmetric"):
            raise InputError(f"got constraint={constraint!r}, expected None or 'symmetric'")
        self.rank = rank
        self.energy = energy
        self.svd: Method = svd
        self.mode_type = modes
        self.constraint = constraint

    def fit(self, X: Tensor, Y: Tensor | None = None) -> DMD:
        """Estimate the operator from snapshots; arithmetic is in float64, results are in the dtype of X.

        Args:
            X: Snapshots (N, F), float32 or float64.
            Y: The same snapshots a step later, (N, F). Without it, X is one series of F states in order, and its
                columns 1 to F - 1 follow its columns 0 to F - 2.

        Raises:
            InputError: Wrong shape, dtype or device, NaN or infinite entries.
            RankError: `rank` is above what X has.
        """
        check_matrix("X", X)
        if Y is None:
            if X.size(1) < 2:
                raise InputError("got one snapshot and no Y, expected at least two snapshots in the columns of X")
            X, Y = X[:, :-1], X[:, 1:]
        check_matrix("Y", Y)
        if (X.shape, X.dtype, X.device) != (Y.shape, Y.dtype, Y.device):
            raise InputError(
                f"X is {tuple(X.shape)}, {X.dtype}, {X.device}, but Y is {tuple(Y.shape)}, {Y.dtype}, {Y.device}: "
                "they must agree"
            )
        U, S, V = thin_svd(X, rank=self.rank, energy=self.energy, method=self.svd)
        forward = Y.double() @ V  # Y V, shape (N, r)
        if self.constraint == "symmetric":
            reduced = _symmetric(U.mT @ forward, S)
            eigs, vectors = robust(torch.linalg.eigh, reduced)
        else:
            reduced = U.mT @ forward / S
            # LAPACK returns conjugate pairs side by side; small problems are fastest on the CPU.
            eigs, vectors = robust(torch.linalg.eig, reduced.cpu())
        order = eigs.abs().sort(descending=True, stable=True).indices
        eigs, vectors = eigs[order].to(X.device), vectors[:, order].to(X.device)
        basis = forward / S if self.mode_type == "exact" else U

        complex_dtype = torch.complex64 if X.dtype == torch.float32 else torch.complex128
        dtype = complex_dtype if eigs.is_complex() else X.dtype
        self.singular_values = S
        self.eigs = eigs.to(dtype)
        self.modes = (basis.to(vectors.dtype) @ vectors).to(dtype)
        if self.mode_type == "exact" and self.constraint is None:
            left, core = basis, torch.ones_like(S)
        else:
            left, core = U, reduced
        self.operator = LowRankOperator(left.to(X.dtype), core.to(X.dtype), U.to(X.dtype))
        return self

    def predict(self, X: Tensor) -> Tensor:
        """The states one step after X, shape (N, F)."""
        if not hasattr(self, "operator"):
            raise InputError("this DMD has no operator yet: call fit(X, Y) first")
        return self.operator @ X

    @property
    def real_modes(self) -> Tensor:
        r"""A real basis (N, r) of the span of the modes.

        The columns of a complex pair :math:`a \pm i b` become :math:`\sqrt2 a, \sqrt2 b`, on which the operator acts
        as the block :math:`[[\Re\lambda, \Im\lambda], [-\Im\lambda, \Re\lambda]]`. Real modes stay as they are.
        """
        if not self.modes.is_complex():
            return self.modes
        first, second = self.eigs.imag > 0, self.eigs.imag < 0
        basis = self.modes.real.clone()
        basis[:, first] *= 2**0.5
        basis[:, second] = 2**0.5 * self.modes[:, first].imag
        return basis

    def __repr__(self) -> str:
        truncation = f"energy={self.energy}" if self.energy is not None else f"rank={self.rank}"
        return f"{type(self).__name__}({truncation}, modes={self.mode_type!r}, constraint={self.constraint!r})"


def _symmetric(projected: Tensor, S: Tensor) -> Tensor:
    r"""The symmetric :math:`\tilde K` that minimises :math:`\|\tilde K S V^T - U^T Y\|_F`, from :math:`M = U^T Y V`.

    .. math:: \tilde K_{ij} = \frac{s_i M_{ji} + s_j M_{ij}}{s_i^2 + s_j^2}
    """
    weighted = projected * S
    return (weighted + weighted.mT) / (S.square().unsqueeze(0) + S.square().unsqueeze(1))
