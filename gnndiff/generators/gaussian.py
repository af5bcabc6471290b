"""The Gaussian of the trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor
from torch_geometric.utils import scatter

from gnndiff.errors import ConfigError
from gnndiff.generators.autoencoder import ParameterAutoencoder
from gnndiff.generators.latent import LatentGenerator, check_count
from gnndiff.progress import Advance
from gnndiff.zoo.zoo import Zoo


def shrunk_variances(autoencoder: ParameterAutoencoder, latents: Tensor, members: Sequence[int]) -> Tensor:
    r"""Variances (k,) of the latents after Ledoit and Wolf's shrinkage in the span of the trainings.

    .. math::
        v_i = (1 - \alpha) + \alpha\, \bar\lambda / \lambda_i

    with the variances :math:`\lambda` of the principal directions and :math:`\alpha` from the means of the trainings
    (https://doi.org/10.1016/S0047-259X(03)00096-4): few trainings overstate large variances and understate small ones.

    Args:
        autoencoder: The autoencoder.
        latents: Latents (n, k) that it was fitted to.
        members: The training of each.
    """
    eigenvalues = autoencoder.basis.square().sum(dim=0)
    of = torch.tensor([sorted(set(members)).index(member) for member in members])
    count = int(of.max()) + 1
    means = scatter(latents, of, dim_size=count, reduce="mean")
    alpha = float(ledoit_wolf_shrinkage((means * eigenvalues.sqrt()).double().numpy())) if count > 1 else 1.0
    return (1 - alpha) + alpha * eigenvalues.mean() / eigenvalues


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

    def _learn(self, zoo: Zoo, values: Tensor, unseen: Tensor, rng: torch.Generator, advance: Advance) -> None:
        self.variances = shrunk_variances(self.autoencoder, self.autoencoder.encode(zoo.vectors), zoo.members)

    def _own_tensors(self) -> dict[str, Tensor]:
        return {"variances": self.variances}

    def _set_tensors(self, tensors: dict[str, Tensor]) -> None:
        self.variances = tensors["variances"]
