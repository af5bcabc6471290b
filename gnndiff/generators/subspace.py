"""Descent of the training loss in the subspace of the trainings."""

from __future__ import annotations

import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from gnndiff.errors import ConfigError
from gnndiff.generators.base import Judge
from gnndiff.generators.data import Data, Fold
from gnndiff.generators.latent import LatentGenerator, check_count
from gnndiff.progress import Advance
from gnndiff.scores import order

STARTS = 16
"""Draws of the Gaussian that descend."""

CHECKS = (0, 5, 10, 20)
"""Steps of descent to choose from by validation."""

RATE = 0.1
"""Learning rate of Adam, in standard deviations of the trainings."""


class Subspace(LatentGenerator):
    r"""The Gaussian of networks that descended on the training loss through the linear decoder, pulled to the mean.

    .. math::
        z \leftarrow \arg\min_z L(\mu + s\, V \Sigma z) + \tfrac12 \sum_i z_i^2 / v_i

    L is the training loss, summed over its targets, and v are the variances of the Gaussian of the trainings: with a
    loss that is a negative log-likelihood, each descent goes to the most probable network of the subspace. It starts
    from a draw of that Gaussian and ends early, after as many steps of Adam as give the best mean validation score.
    Where that number is 0, the generator is the Gaussian.
    Source: "Subspace Inference for Bayesian Deep Learning" (https://arxiv.org/abs/1907.07504), which samples there.

    Needs :class:`gnndiff.generators.base.Judge`, as which a zoo of a task may be passed. It knows of no condition.
    """

    name = "subspace"

    mean: Tensor
    factor: Tensor

    def sample_latents(self, n: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Draw latents (n, k) without regard to a condition."""
        check_count(n)
        return self.mean + torch.randn(n, len(self.mean), generator=rng) @ self.factor.mT

    def _learn(
        self, data: Data, fold: Fold | None, judge: Judge | None, rng: torch.Generator, advance: Advance
    ) -> None:
        if judge is None:
            raise ConfigError("the generator 'subspace' descends on the training loss: pass a zoo as `judge`")
        deviations = data.variances.sqrt()
        latents = deviations * torch.randn(STARTS, len(deviations), generator=rng)
        found = [latents.clone()]
        optimizer = torch.optim.Adam([latents], lr=RATE)
        for step in range(1, max(CHECKS) + 1):
            vectors = self.autoencoder.decode(latents)
            _, gradients = judge.gradients(vectors)
            latents.grad = (gradients * self.autoencoder.scale) @ self.autoencoder.basis + latents / data.variances
            optimizer.step()
            if step in CHECKS:
                found.append(latents.clone())
        scores = [sum(judge.score(self.autoencoder.decode(each))) / STARTS for each in found]
        best = order(scores, judge.metric)[0]
        self.mean, self.factor = torch.zeros_like(deviations), deviations.diag()
        if best:
            ends = found[best].double()
            covariance = torch.from_numpy(ledoit_wolf(ends.numpy())[0])
            factor = torch.linalg.cholesky(covariance).float()
            self.mean, self.factor = ends.mean(dim=0).float(), factor.contiguous()
        self.facts |= {
            "descent_steps": CHECKS[best],
            "mean_validation": scores[best],
            "mean_validation_of_gaussian": scores[0],
        }

    def _own_tensors(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "factor": self.factor}

    def _set_tensors(self, tensors: dict[str, Tensor]) -> None:
        self.mean, self.factor = tensors["mean"], tensors["factor"]
