"""Parameters as vectors: flattening, and the autoencoder that makes them small."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dmdgnn.kernels import thin_svd
from gnndiff.errors import ZooError

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class ParameterLayout:
    """Which tensors of a state dict are generated, and where they lie in the vector.

    Args:
        shapes: Names and shapes, in the order of the vector.
    """

    shapes: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, state: State) -> ParameterLayout:
        """All floating point tensors of a state dict."""
        return cls({name: tuple(tensor.shape) for name, tensor in state.items() if tensor.is_floating_point()})

    @property
    def size(self) -> int:
        """Length P of the vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def flatten(self, state: State) -> Tensor:
        """The vector (P,) of a state dict, float32 on the CPU."""
        got = {name: tuple(state[name].shape) for name in self.shapes if name in state}
        if got != self.shapes:
            raise ZooError(f"a checkpoint has tensors {got}, expected {self.shapes}: collect with one architecture")
        return torch.cat([state[name].detach().reshape(-1).float().cpu() for name in self.shapes])

    def unflatten(self, vectors: Tensor) -> dict[str, Tensor]:
        """Stacked tensors (..., *shape) of vectors (..., P)."""
        parts = vectors.split([math.prod(shape) for shape in self.shapes.values()], dim=-1)
        return {
            name: part.reshape((*vectors.shape[:-1], *shape))
            for part, (name, shape) in zip(parts, self.shapes.items(), strict=True)
        }

    def tensor_scales(self, vectors: Tensor) -> Tensor:
        """For each coordinate (P,) the root mean square of its whole tensor over vectors (n, P)."""
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        scales = [part.square().mean().sqrt() for part in vectors.split(sizes, dim=-1)]
        return torch.cat([scale.expand(size) for scale, size in zip(scales, sizes, strict=True)])


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
