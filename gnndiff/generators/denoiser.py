"""The network that tells the noise in a latent vector."""

from __future__ import annotations

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn


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
    r"""Residual network :math:`\epsilon(z_t, t, c)` with the time step and the condition in every block.

    Args:
        latent_dim: Size k of a latent vector.
        condition_dim: Size C of a condition.
        width: Hidden size.
        blocks: Number of residual blocks.
    """

    def __init__(self, latent_dim: int, condition_dim: int, width: int = 128, blocks: int = 3) -> None:
        super().__init__()
        self.config = {"latent_dim": latent_dim, "condition_dim": condition_dim, "width": width, "blocks": blocks}
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
            steps: Time step of each sample (B,).
            condition: Conditions (B, C).
            known: Whether each sample may see its condition (B,), bool.
        """
        seen = torch.where(known.unsqueeze(-1), self.condition(condition), self.unconditional)
        embedding = nn.functional.silu(self.time_embedding(self.time(steps)) + seen)
        h = self.first(latents)
        for block in self.blocks:
            h = block(h, embedding)
        return self.last(h)
