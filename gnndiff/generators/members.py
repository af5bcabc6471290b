"""Generators that combine checkpoints: a kernel density, and mixtures."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gnndiff.errors import ConfigError
from gnndiff.generators.base import Judge
from gnndiff.generators.data import Data, Fold
from gnndiff.generators.latent import LatentGenerator, check_count
from gnndiff.generators.trainings import pick
from gnndiff.progress import Advance


class _Members(LatentGenerator):
    """A generator that keeps the latents (n, k) of all checkpoints and the training (n,) of each."""

    latents: Tensor
    members: Tensor

    def _learn(
        self, data: Data, fold: Fold | None, judge: Judge | None, rng: torch.Generator, advance: Advance
    ) -> None:
        self.latents, self.members = data.latents.contiguous(), torch.tensor(data.members)

    def _own_tensors(self) -> dict[str, Tensor]:
        return {"latents": self.latents, "members": self.members}

    def _set_tensors(self, tensors: dict[str, Tensor]) -> None:
        self.latents, self.members = tensors["latents"], tensors["members"]

    @property
    def _trainings(self) -> int:
        return len(self.members.unique())


class KernelDensity(_Members):
    r"""A Gaussian kernel around each checkpoint, drawn towards the mean so that mean and covariance stay.

    .. math::
        z = \sqrt{1 - h^2}\, z_i + h\, \epsilon, \qquad h = \left(\frac{4}{T (k + 2)}\right)^{1 / (k + 4)}

    with Silverman's bandwidth for T trainings, at most 1, and a training i drawn with equal chances.
    """

    name = "kde"

    def sample_latents(self, n: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Draw latents (n, k) without regard to a condition."""
        check_count(n)
        size = self.latents.size(1)
        h = min(1.0, (4 / (self._trainings * (size + 2))) ** (1 / (size + 4)))
        centres = self.latents[pick(self.members.tolist(), n, rng)]
        return math.sqrt(1 - h * h) * centres + h * torch.randn(n, size, generator=rng)


class Mixture(_Members):
    """Averages of one snapshot of each training with weights of a Dirichlet law, hence within the zoo's hull."""

    name = "mixture"

    def sample_latents(
        self,
        n: int,
        *,
        condition: Tensor | None = None,
        rng: torch.Generator | None = None,
        concentration: float = 1.0,
    ) -> Tensor:
        """Draw latents (n, k).

        Args:
            n: How many.
            condition: Is not used.
            rng: Source of randomness, on the CPU.
            concentration: Large numbers give the mean of all trainings, small ones single trainings.

        Raises:
            ConfigError: A number is too small or not finite.
        """
        check_count(n)
        if not (math.isfinite(concentration) and concentration > 0):
            raise ConfigError(f"got concentration={concentration}, expected a finite number above 0")
        alone = torch.full((n, self._trainings), float(concentration))
        weights = torch._sample_dirichlet(alone, generator=rng)
        drawn = torch.zeros(n, self.latents.size(1))
        for training, weight in zip(self.members.unique(), weights.mT, strict=True):
            own = (self.members == training).nonzero().squeeze(1)
            drawn += weight.unsqueeze(1) * self.latents[own[torch.randint(len(own), (n,), generator=rng)]]
        return drawn
