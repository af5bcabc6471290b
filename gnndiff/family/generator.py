"""The generator of a family: changes of a shared start, by regression on the condition and by diffusion around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gnndiff.family.regression import CHOICES, Regression
from gnndiff.family.shared import Start
from gnndiff.generators.conditions import ZooConditions
from gnndiff.generators.latent_diffusion import LatentDiffusion
from graphtasks import Metric

STEPS = 50
"""Denoising steps of a sample."""


@dataclass(frozen=True)
class FamilyGenerator:
    r"""Draws parameter vectors :math:`s(c) + \mu + B z(c)` for a condition c.

    Args:
        start: The vector s(c) from which the training on a member went on.
        mean: Mean of the changes :math:`\mu` (P,) that these trainings made.
        basis: Principal components B (P, k) of the changes, each of the length of its deviation.
        regression: Latents z by the condition.
        diffusion: Diffusion of latents, or of what the regression leaves of them.
        residual: Whether it is of the latter.
    """

    start: Start
    mean: Tensor
    basis: Tensor
    regression: Regression
    diffusion: LatentDiffusion
    residual: bool

    @classmethod
    def fit(
        cls,
        start: Start,
        vectors: Tensor,
        conditions: Tensor,
        score: Callable[[Callable[[Tensor], Tensor]], float],
        metric: Metric,
        *,
        latents: int,
        steps: int,
        seed: int,
    ) -> FamilyGenerator:
        """Fit to vectors (n, P) and standardised conditions (n, C).

        Args:
            start: Start of the trainings that ended in the vectors.
            vectors: The zoo.
            conditions: Known facts of its members.
            score: Mean validation score of held-out members, of what makes vectors (m, P) of a condition (C,).
            metric: Compares such scores.
            latents: Principal components at most.
            steps: Steps of the denoiser.
            seed: Seed of all randomness.
        """
        changes = vectors - start(conditions)
        mean = changes.mean(dim=0)
        U, S, Vh = torch.linalg.svd((changes - mean).double(), full_matrices=False)
        kept = max(1, min(latents, int((1e-6 * S[0] < S).sum())))
        size = len(vectors) ** 0.5
        basis, targets = (Vh[:kept].mT * S[:kept] / size).float(), (U[:, :kept] * size).float()

        fits = [Regression.fit(conditions, targets, *choice) for choice in CHOICES]
        scores = [score(partial(_expected, start, mean, basis, fit)) for fit in fits]
        regression = fits[_best(scores, metric)]

        found = []
        for residual in (True, False):
            rng = torch.Generator().manual_seed(seed)
            wanted = regression.residuals if residual else targets
            known = ZooConditions(_scored(conditions), _scored(conditions.mean(dim=0)))
            diffusion = LatentDiffusion(steps).fit(wanted, known, rng=rng)
            found.append(cls(start, mean, basis, regression, diffusion, residual))
        scores = [score(partial(each._seeded, 8, seed)) for each in found]
        return found[_best(scores, metric)]

    def expected(self, condition: Tensor) -> Tensor:
        """The vector (1, P) that the regression gives for a standardised condition (C,)."""
        return _expected(self.start, self.mean, self.basis, self.regression, condition)

    def sample(self, n: int, condition: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Vectors (n, P) drawn for a standardised condition (C,)."""
        latents = self.diffusion.sample(n, condition=_scored(condition), rng=rng, steps=STEPS)
        if self.residual:
            latents = latents + self.regression(condition[None])
        return self.start(condition[None]) + self.mean + latents @ self.basis.mT

    def _seeded(self, n: int, seed: int, condition: Tensor) -> Tensor:
        return self.sample(n, condition, torch.Generator().manual_seed(seed))

    def tensors(self) -> dict[str, Tensor]:
        """All tensors but those of the diffusion."""
        parts = {name: getattr(self.regression, name) for name in ("points", "mean", "weights", "residuals")}
        own = {"start": self.start.weights, "mean": self.mean, "basis": self.basis}
        return {**own, **{f"regression.{k}": v for k, v in parts.items()}}

    @classmethod
    def read(cls, folder: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> FamilyGenerator:
        """The generator of :meth:`tensors`, the scale of its kernel, and the folder of the diffusion."""
        own = {name: tensors[f"regression.{name}"] for name in ("points", "mean", "weights", "residuals")}
        regression = Regression(**own, scale=facts["scale"])
        start, diffusion = Start(tensors["start"]), LatentDiffusion.from_pretrained(folder)
        return cls(start, tensors["mean"], tensors["basis"], regression, diffusion, facts["residual"])


def _expected(start: Start, mean: Tensor, basis: Tensor, regression: Regression, condition: Tensor) -> Tensor:
    return start(condition[None]) + mean + regression(condition[None]) @ basis.mT


def _scored(conditions: Tensor) -> Tensor:
    """Conditions (..., C) with a last column for the score, which is the same for all members."""
    return torch.nn.functional.pad(conditions, (0, 1))


def _best(scores: Sequence[float], metric: Metric) -> int:
    place = 0
    for index, score in enumerate(scores):
        if metric.better(score, scores[place]):
            place = index
    return place
