"""Latents that a generator learns from, and those of trainings that it is checked by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor
from typing_extensions import Self

from gnndiff.generators.autoencoder import ParameterAutoencoder
from gnndiff.generators.trainings import of_each_training


@dataclass(frozen=True)
class Data:
    """Latents to learn from.

    Args:
        latents: Standardised latents (n, k).
        condition: Standardised conditions (n, C).
        members: The training of each.
        variances: Variances (k,) of the Gaussian to begin with.
    """

    latents: Tensor
    condition: Tensor
    members: Sequence[int]
    variances: Tensor

    @classmethod
    def of(cls, autoencoder: ParameterAutoencoder, vectors: Tensor, condition: Tensor, members: Sequence[int]) -> Self:
        """The latents of the vectors (n, P) that an autoencoder was fitted to."""
        latents = autoencoder.encode(vectors)
        return cls(latents, condition, members, shrunk_variances(autoencoder, latents, members))

    def to(self, device: str) -> Data:
        """The same with latents and conditions on a device."""
        return Data(self.latents.to(device), self.condition.to(device), self.members, self.variances)


@dataclass(frozen=True)
class Fold:
    """A part of the trainings to learn from, and the others to check by.

    Args:
        seen: The former, in latents of an autoencoder that knows of no other.
        latents: Latents (m, k) of the latter.
        condition: Their standardised conditions (m, C).
        members: The training of each.
    """

    seen: Data
    latents: Tensor
    condition: Tensor
    members: Sequence[int]

    def to(self, device: str) -> Fold:
        """The same on a device."""
        return Fold(self.seen.to(device), self.latents.to(device), self.condition.to(device), self.members)


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
    means = of_each_training(latents, members)
    alpha = float(ledoit_wolf_shrinkage((means * eigenvalues.sqrt()).double().numpy())) if len(means) > 1 else 1.0
    return (1 - alpha) + alpha * eigenvalues.mean() / eigenvalues
