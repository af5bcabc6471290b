"""The r x r problem that DMD solves in the coordinates of the kept subspace."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from dmdgnn.kernels.autograd import LeadingSubspace, Lyapunov, Polar
from dmdgnn.kernels.robust import robust

SubspaceConstraint = Literal["symmetric", "skew_symmetric", "orthogonal"]
SUBSPACE_CONSTRAINTS = get_args(SubspaceConstraint)


class Encoder(NamedTuple):
    r"""Maps from the columns of the snapshots to r coordinates, for snapshots in units of :math:`\sigma_1`.

    Args:
        whiten: E (*batch, F, r), with U = X E orthonormal.
        spread: :math:`D = X^H U` (*batch, F, r), with :math:`X X^H U = X D`, in the same units.
        gram: :math:`T = U^H X X^H U`, (*batch, r) where it is diagonal, else (*batch, r, r).
        scale: :math:`\sigma_1`, shape (*batch, 1, 1).
    """

    whiten: Tensor
    spread: Tensor
    gram: Tensor
    scale: Tensor

    @classmethod
    def of_svd(cls, S: Tensor, V: Tensor) -> Encoder:
        """From singular triplets; triplets of zero give columns of zeros."""
        if S.dim() == 1:  # of a single matrix, none is zero
            scale = S[:1].unsqueeze(-1)
            shares = S / scale
            return cls(V / S, V * shares, shares.squeeze(0).square(), scale)
        present = S > 0
        scale = torch.where(present[..., :1], S[..., :1], 1).unsqueeze(-1)
        whiten = V / torch.where(present, S, 1).unsqueeze(-2)
        shares = S.unsqueeze(-2) / scale
        return cls(whiten, V * shares, shares.squeeze(-2).square() + ~present, scale)

    @classmethod
    def differentiable(cls, X: Tensor, S: Tensor, V: Tensor) -> Encoder:
        """The same, with gradients to X: no step of it depends on how V lies in its span."""
        plain = cls.of_svd(S, V)
        V = LeadingSubspace.apply(X, V)
        image = X @ V / plain.scale
        root = torch.linalg.cholesky(image.mH @ image + torch.diag_embed((S == 0).to(X.dtype)))
        whiten = torch.linalg.solve_triangular(root.mH, V, upper=True, left=False) / plain.scale
        return cls(whiten, V @ root, root.mH @ root, plain.scale)

    def ridged(self, ridge: float) -> Encoder:
        r"""With :math:`T + \lambda I` in the place of T."""
        if ridge == 0:
            return self
        penalty = ridge / self.scale / self.scale
        if self.gram.dim() == self.whiten.dim():
            return self._replace(gram=self.gram + penalty * torch.eye(self.gram.size(-1), device=self.gram.device))
        return self._replace(gram=self.gram + penalty.squeeze(-1))

    def behind(self, columns: Tensor) -> Encoder:
        """The encoder of snapshots whose products with `columns` (*batch, F, F') this one takes."""
        return self._replace(whiten=columns @ self.whiten, spread=columns @ self.spread)

    def turned(self, M: Tensor) -> Encoder:
        """The encoder to coordinates :math:`M^H U^H x` in which the Gram matrix is the identity."""
        whiten = self.whiten @ M
        ones = torch.ones_like(whiten[..., 0, :], dtype=self.scale.dtype)
        return Encoder(whiten, self.spread @ M, ones, self.scale)

    @property
    def ridge_share(self) -> Tensor:
        """Matrix that turns images of U under `ridge` into images without it (*batch, r, r)."""
        plain = self.spread.mH @ self.spread
        plain = plain + torch.diag_embed((plain.diagonal(dim1=-2, dim2=-1) == 0).to(plain.dtype))
        gram = self.gram if self.gram.dim() == self.whiten.dim() else torch.diag_embed(self.gram).to(plain.dtype)
        return torch.linalg.solve(plain, gram, left=False)

    @property
    def root(self) -> Tensor:
        """The lower triangular factor :math:`L` (*batch, r, r) of :math:`T = L L^H`."""
        if self.gram.dim() < self.whiten.dim():
            return torch.diag_embed(self.gram.sqrt()).to(self.whiten.dtype)
        factor: Tensor = torch.linalg.cholesky(self.gram)
        return factor

    def truncate(self, rank: int) -> Encoder:
        """The leading coordinates."""
        diagonal = self.gram.dim() < self.whiten.dim()
        gram = self.gram[..., :rank] if diagonal else self.gram[..., :rank, :rank]
        return Encoder(self.whiten[..., :rank], self.spread[..., :rank], gram, self.scale)

    @property
    def forward(self) -> Tensor:
        """Maps Y to :math:`Y X^H U T^{-1}`, the images of U (*batch, F, r)."""
        return _right_divide(self.spread, self.gram) / self.scale


class Reduced(NamedTuple):
    r"""Products of snapshots that DMD needs, in units of :math:`\sigma_1`.

    Args:
        cross: :math:`N = U^H Y X^H U` (*batch, r, r).
        gram: :math:`T = U^H X X^H U + \lambda I`, (*batch, r) where it is diagonal, else (*batch, r, r).
        projected: :math:`U^H Y` (*batch, r, F).
        present: Which coordinates there are, bool (*batch, r); a matrix of a batch may lack some.
    """

    cross: Tensor
    gram: Tensor
    projected: Tensor
    present: Tensor

    @classmethod
    def of(cls, encoder: Encoder, projected: Tensor) -> Reduced:
        """From :math:`U^H Y` (*batch, r, F)."""
        projected = projected / encoder.scale
        whiten = encoder.whiten
        # A single matrix lacks none.
        present = (whiten != 0).any(dim=-2) if whiten.dim() > 2 else whiten.new_ones(whiten.size(1), dtype=torch.bool)
        return cls(projected @ encoder.spread, encoder.gram, projected, present)

    def truncate(self, rank: int) -> Reduced:
        """The problem on the leading coordinates."""
        diagonal = self.gram.dim() < self.cross.dim()
        gram = self.gram[..., :rank] if diagonal else self.gram[..., :rank, :rank]
        return Reduced(self.cross[..., :rank, :rank], gram, self.projected[..., :rank, :], self.present[..., :rank])

    def solve(self, constraint: SubspaceConstraint | None = None, forward_backward: bool = False) -> Tensor:
        r"""The reduced operator :math:`\tilde K` (*batch, r, r) that minimises :math:`\|\tilde K U^H X - U^H Y\|^2 +
        \lambda \|\tilde K\|^2` under the constraint.

        .. math::
            \tilde K T = N, \qquad \tilde K T + T \tilde K = N \pm N^H \text{ (symmetric, skew-symmetric)}, \qquad
            \tilde K = \mathrm{polar}(N) \text{ (orthogonal)},

        or the mean of the forward and the inverse backward one, :math:`M - M^{-1} E^2 / 2` with
        :math:`M = (\tilde K_f + \tilde K_b^{-1}) / 2` and :math:`E = (\tilde K_f - \tilde K_b^{-1}) / 2`.
        """
        if forward_backward:
            return self._forward_backward()
        if constraint == "orthogonal":
            K: Tensor = Polar.apply(self.cross + torch.diag_embed(~self.present))
            return K * self.present.unsqueeze(-1)
        if constraint is None:
            return _right_divide(self.cross, self.gram)
        Q = self.cross + self.cross.mH if constraint == "symmetric" else self.cross - self.cross.mH
        if self.gram.dim() < self.cross.dim():
            return Q / (self.gram.unsqueeze(-1) + self.gram.unsqueeze(-2))
        solution: Tensor = Lyapunov.apply(self.gram, Q)
        return solution

    def _forward_backward(self) -> Tensor:
        forward = self.solve()
        size = self.cross.detach().abs().amax(dim=(-2, -1), keepdim=True)
        size = torch.where(size > 0, size, 1)
        absent = torch.diag_embed((~self.present).to(self.cross))
        cross, projected = self.cross / size + absent, self.projected / size
        # Where a direction dies within a step, or nothing is left, nothing maps back.
        values = torch.linalg.svdvals(cross.detach())
        singular = values[..., -1:, None] <= torch.finfo(cross.dtype).eps * values.size(-1) * values[..., :1, None]
        if bool(singular.all()):
            return forward
        # K_b = N^H G^-1 maps back, with G = U^H Y Y^H U, so K_b^-1 = G N^-H.
        ones = torch.eye(cross.size(-1), dtype=cross.dtype, device=cross.device)
        cross = torch.where(singular, ones, cross)
        inverse = _solve_robustly(cross, projected @ projected.mH + absent).mH
        forward = forward / size
        mean, half = (forward + absent + inverse) / 2, (forward + absent - inverse) / 2
        K = mean - _solve_robustly(mean.mH, (half @ half).mH).mH / 2
        present = self.present.unsqueeze(-1) & self.present.unsqueeze(-2)
        return torch.where(singular, forward, torch.where(present, K, 0)) * size


def _right_divide(A: Tensor, T: Tensor) -> Tensor:
    """A T^-1 for T (*batch, r, r), or its diagonal (*batch, r)."""
    return A / T.unsqueeze(-2) if T.dim() < A.dim() else torch.linalg.solve(T, A, left=False)


def _solve_robustly(A: Tensor, B: Tensor) -> Tensor:
    size = A.size(-1)
    both = torch.cat([A, B], dim=-1)
    return robust(lambda matrix: (torch.linalg.solve(matrix[..., :size], matrix[..., size:]),), both)[0]
