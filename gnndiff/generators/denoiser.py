"""The network that tells the noise in a latent vector."""

from __future__ import annotations

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn

STEPS = 1000
"""Time steps of the noise schedule."""


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
    r"""The network's addition to the best prediction of the noise in a Gaussian.

    .. math::
        \epsilon(z_t, t, c) = \frac{\sqrt{1 - \bar\alpha_t}}{\bar\alpha_t v + 1 - \bar\alpha_t}\, z_t + f(z_t, t, c)

    The first term is the conditional mean of the noise where latents are Gaussian with variances v; the last layer of
    the residual network f starts at zero. Untrained, the denoiser is that of the Gaussian.

    Args:
        latent_dim: Size k of a latent vector.
        condition_dim: Size C of a condition.
        width: Hidden size.
        blocks: Number of residual blocks.
    """

    variances: Tensor
    levels: Tensor

    def __init__(self, latent_dim: int, condition_dim: int, width: int = 128, blocks: int = 3) -> None:
        super().__init__()
        self.config = {"latent_dim": latent_dim, "condition_dim": condition_dim, "width": width, "blocks": blocks}
        self.register_buffer("variances", torch.ones(latent_dim))
        self.register_buffer("levels", torch.ones(STEPS))
        self.time = Timesteps(width, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time_embedding = TimestepEmbedding(width, width)
        self.condition = nn.Linear(condition_dim, width)
        self.unconditional = nn.Parameter(torch.zeros(width))
        self.first = nn.Linear(latent_dim, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.last = nn.Linear(width, latent_dim)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, latents: Tensor, steps: Tensor, condition: Tensor, known: Tensor) -> Tensor:
        """Predicted noise (B, k).

        Args:
            latents: Noisy latents (B, k).
            steps: Time step of each sample (B,), from 0 to 999; some schedulers have steps between them.
            condition: Conditions (B, C).
            known: Whether each sample may see its condition (B,), bool.
        """
        seen = torch.where(known.unsqueeze(-1), self.condition(condition), self.unconditional)
        embedding = nn.functional.silu(self.time_embedding(self.time(steps)) + seen)
        h = self.first(latents)
        for block in self.blocks:
            h = block(h, embedding)
        return self.gaussian(latents, steps) + self.last(h)

    def gaussian(self, latents: Tensor, steps: Tensor) -> Tensor:
        """The conditional mean (B, k) of the noise of a Gaussian; arguments as of :meth:`forward`."""
        below = steps.floor().long().clamp(0, STEPS - 1)
        part = (steps - below).to(self.levels)
        left = torch.lerp(self.levels[below], self.levels[(below + 1).clamp(max=STEPS - 1)], part).unsqueeze(-1)
        return (1 - left).sqrt() / (left * self.variances + 1 - left) * latents
