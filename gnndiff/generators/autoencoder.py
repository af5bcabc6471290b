"""The autoencoder that makes parameter vectors small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dmdgnn.kernels import thin_svd
from gnndiff.errors import ZooError
from gnndiff.generators.trainings import weights
from gnndiff.zoo.vectors import ParameterLayout


@dataclass(frozen=True)
class ParameterAutoencoder:
    r"""The linear autoencoder of least squared error, whose latents have zero mean and unit variance.

    .. math::
        z = \Sigma^{-1} V^T \frac{v - \mu}{s}, \qquad \hat v = \mu + s\, V \Sigma z

    from the thin SVD :math:`U \Sigma V^T` of the centred vectors over their scales s, each times the root of its
    weight: all trainings weigh the same, however many snapshots they have. Such an autoencoder is the principal
    subspace (Baldi and Hornik 1989, https://doi.org/10.1016/0893-6080(89)90014-2): with fewer checkpoints than
    coordinates there is nothing that a deeper one could learn and check.
    The scale is one number for each tensor, because a scale for each coordinate would blow up weights that training
    never moved.

    Args:
        mean: :math:`\mu`, shape (P,).
        scale: s, shape (P,).
        basis: :math:`V \Sigma`, shape (P, k).
    """

    mean: Tensor
    scale: Tensor
    basis: Tensor

    @classmethod
    def fit(
        cls, vectors: Tensor, layout: ParameterLayout, energy: float = 0.99, members: Sequence[int] | None = None
    ) -> ParameterAutoencoder:
        """Fit to vectors (n, P), with as many latents as explain the share `energy` of their variance.

        Args:
            vectors: Parameter vectors (n, P).
            layout: Where each tensor lies in a vector.
            energy: Share of the variance.
            members: The training of each vector, by default one each.

        Raises:
            ZooError: The vectors are one point.
        """
        share = weights(range(len(vectors)) if members is None else members).unsqueeze(1)
        mean = (share * vectors).sum(dim=0)
        centred = vectors - mean
        spread = centred.norm() / vectors.norm()
        if not spread > 1e-4:
            raise ZooError(
                f"the {len(vectors)} checkpoints are one point (relative spread {float(spread):.1e}): "
                "collect from more initialisations"
            )
        scale = layout.tensor_scales(centred)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        _, S, V = thin_svd((centred / scale * share.sqrt()).contiguous(), energy=energy)
        return cls(mean, scale, (V * S).float().contiguous())

    @property
    def latent_dim(self) -> int:
        """Number of latents k."""
        return self.basis.size(1)

    def encode(self, vectors: Tensor) -> Tensor:
        """Latents (n, k) of vectors (n, P)."""
        return ((vectors - self.mean) / self.scale) @ (self.basis / self.basis.square().sum(dim=0))

    def decode(self, latents: Tensor) -> Tensor:
        """Vectors (n, P) of latents (n, k)."""
        return self.mean + self.scale * (latents @ self.basis.mT)

    def error(self, vectors: Tensor) -> float:
        """Root mean square error of vectors (n, P) that come back, over their root mean square spread, both scaled."""
        lost, whole = ((vectors - each) / self.scale for each in (self.decode(self.encode(vectors)), self.mean))
        return float(lost.norm() / whole.norm())
