"""The autoencoder that makes parameter vectors small."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dmdgnn.kernels import thin_svd
from gnndiff.errors import ZooError
from gnndiff.zoo.vectors import ParameterLayout


@dataclass(frozen=True)
class ParameterAutoencoder:
    r"""The linear autoencoder of least squared error, whose latents have zero mean and unit variance.

    .. math::
        z = \sqrt{n}\, \Sigma^{-1} V^T \frac{v - \mu}{s}, \qquad \hat v = \mu + s\, V \frac{\Sigma z}{\sqrt n}

    from the thin SVD :math:`U \Sigma V^T` of the n centred vectors over their scales s. Such an autoencoder is the
    principal subspace (Baldi and Hornik 1989, https://doi.org/10.1016/0893-6080(89)90014-2): with fewer checkpoints
    than coordinates there is nothing that a deeper one could learn and check.
    The scale is one number for each tensor, because a scale for each coordinate would blow up weights that training
    never moved.

    Args:
        mean: :math:`\mu`, shape (P,).
        scale: s, shape (P,).
        basis: :math:`V \Sigma / \sqrt n`, shape (P, k).
        reconstruction_error: Root mean square error of the training vectors over their root mean square spread.
    """

    mean: Tensor
    scale: Tensor
    basis: Tensor
    reconstruction_error: float

    @classmethod
    def fit(cls, vectors: Tensor, layout: ParameterLayout, energy: float = 0.99) -> ParameterAutoencoder:
        """Fit to vectors (n, P), with as many latents as explain the share `energy` of their variance.

        Raises:
            ZooError: The vectors are one point.
        """
        mean = vectors.mean(dim=0)
        centred = vectors - mean
        spread = centred.norm() / vectors.norm()
        if not spread > 1e-4:
            raise ZooError(
                f"the {len(vectors)} checkpoints are one point (relative spread {float(spread):.1e}): "
                "collect from more initialisations"
            )
        scale = layout.tensor_scales(centred)
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        scaled = centred / scale
        _, S, V = thin_svd(scaled.contiguous(), energy=energy)
        basis = (V * (S / math.sqrt(len(vectors)))).float()
        coefficients = scaled @ V.float()
        error = (scaled - coefficients @ V.float().mT).norm() / scaled.norm()
        return cls(mean, scale, basis, float(error))

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
