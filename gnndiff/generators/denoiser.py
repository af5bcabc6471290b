"""The network that tells what lies between a latent vector and noise."""

from __future__ import annotations

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

from gnndiff.generators.paths import PATHS


class Block(nn.Module):
    """A residual layer whose shift, scale and gate come from the embedding (adaLN-Zero, arXiv:2212.09748)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 3 * width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """Hidden states (B, width) for hidden states and embeddings of that shape."""
        shift, scale, gate = self.modulation(embedding).chunk(3, dim=-1)
        return h + gate * self.mlp(self.norm(h) * (1 + scale) + shift)


class Denoiser(nn.Module):
    r"""The network's addition to the best prediction of a Gaussian.

    .. math::
        u(z_t, t, c) = E[u \mid z_t] + f(z_t, t, c)

    The first term is the conditional mean of what the path learns, noise or velocity, where latents are Gaussian with
    variances v (:class:`gnndiff.generators.paths.NoisePath`). The last layer of the residual network f starts at zero.
    Untrained, the denoiser is that of the Gaussian.

    Args:
        path: Name of the path.
        latent_dim: Size k of a latent vector.
        condition_dim: Size C of a condition.
        width: Hidden size.
        blocks: Number of residual blocks.
    """

    variances: Tensor

    def __init__(self, path: str, latent_dim: int, condition_dim: int, width: int = 128, blocks: int = 3) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        sizes = {"latent_dim": latent_dim, "condition_dim": condition_dim, "width": width, "blocks": blocks}
        self.config = {"path": path, **sizes}
        self.path = PATHS[path]
        self.register_buffer("variances", torch.ones(latent_dim))
        self.time = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(width, width)
        self.condition = nn.Linear(condition_dim, width)
        self.unconditional = nn.Parameter(torch.zeros(width))
        self.first = nn.Linear(latent_dim, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.last = nn.Linear(width, latent_dim)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, points: Tensor, times: Tensor, condition: Tensor, known: Tensor) -> Tensor:
        """The prediction (B, k).

        Args:
            points: Points of the path (B, k).
            times: Time of each (B,), from 0 to 1000.
            condition: Conditions (B, C).
            known: Whether each sample may see its condition (B,), bool.
        """
        seen = torch.where(known.unsqueeze(-1), self.condition(condition), self.unconditional)
        embedding = nn.functional.silu(self.time_embedding(self.time(times)) + seen)
        h = self.first(points)
        for block in self.blocks:
            h = block(h, embedding)
        return self.path.gaussian(points, times, self.variances) + self.last(h)
