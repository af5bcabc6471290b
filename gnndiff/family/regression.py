"""Ridge regression of latents on conditions, with kernel and penalty chosen on held-out members."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CHOICES = [
    *((width, ridge) for width in (0.5, 1.0, 2.0) for ridge in (0.03, 0.3, 3.0)),
    *((None, ridge) for ridge in (1.0, 10.0, 100.0)),
]
"""Widths of the Gaussian kernel in units of the median distance, None for the linear one, and penalties."""


@dataclass(frozen=True)
class Regression:
    r"""Kernel ridge regression :math:`z(c) = \bar z + k(c)^\top (K + \lambda I)^{-1} (Z - \bar z)`.

    Args:
        points: Standardised conditions (n, C).
        mean: Mean of the targets (k,).
        weights: :math:`(K + \lambda I)^{-1} (Z - \bar z)`, (n, k).
        scale: Length of the kernel; 0 for the linear kernel.
        residuals: Error at each target of the regression that is fitted to the others, (n, k).
    """

    points: Tensor
    mean: Tensor
    weights: Tensor
    scale: float
    residuals: Tensor

    @classmethod
    def fit(cls, points: Tensor, targets: Tensor, width: float | None, ridge: float) -> Regression:
        """Fit to conditions (n, C) and targets (n, k)."""
        distances = torch.pdist(points)
        scale = 0.0 if width is None else width * max(float(distances.median()), 1e-6)
        K = _kernel(points, points, scale)
        inverse = torch.linalg.inv(K + ridge * torch.eye(len(K), dtype=K.dtype))
        mean = targets.mean(dim=0)
        weights = inverse @ (targets - mean).double()
        return cls(points, mean, weights.float(), scale, (weights / inverse.diagonal()[:, None]).float())

    def __call__(self, points: Tensor) -> Tensor:
        """Targets (m, k) at conditions (m, C)."""
        return self.mean + _kernel(points, self.points, self.scale).float() @ self.weights


def _kernel(a: Tensor, b: Tensor, scale: float) -> Tensor:
    a, b = a.double(), b.double()
    if scale == 0:
        return a @ b.mT
    return torch.exp(-torch.cdist(a, b).square() / (2 * scale**2))
