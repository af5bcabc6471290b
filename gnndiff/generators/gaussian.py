"""The Gaussian of the trainings."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gnndiff.errors import ConfigError
from gnndiff.generators.base import Judge
from gnndiff.generators.data import Data, Fold
from gnndiff.generators.latent import LatentGenerator, check_count
from gnndiff.progress import Advance


class Gaussian(LatentGenerator):
    """The Gaussian with the mean of the trainings and their shrunk covariance. It knows of no condition."""

    name = "gaussian"

    variances: Tensor

    def sample_latents(
        self, n: int, *, condition: Tensor | None = None, rng: torch.Generator | None = None, scale: float = 1.0
    ) -> Tensor:
        """Draw latents (n, k).

        Args:
            n: How many.
            condition: Is not used.
            rng: Source of randomness, on the CPU.
            scale: Deviation in units of the trainings': 0 gives their mean alone.

        Raises:
            ConfigError: A number is too small or not finite.
        """
        check_count(n)
        if not (math.isfinite(scale) and scale >= 0):
            raise ConfigError(f"got scale={scale}, expected a finite number of at least 0")
        return scale * self.variances.sqrt() * torch.randn(n, len(self.variances), generator=rng)

    def _learn(
        self, data: Data, fold: Fold | None, judge: Judge | None, rng: torch.Generator, advance: Advance
    ) -> None:
        self.variances = data.variances

    def _own_tensors(self) -> dict[str, Tensor]:
        return {"variances": self.variances}

    def _set_tensors(self, tensors: dict[str, Tensor]) -> None:
        self.variances = tensors["variances"]
