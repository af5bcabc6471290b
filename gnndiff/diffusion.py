"""Training of a denoiser on latent vectors, and sampling from it, with the schedulers of diffusers."""

from __future__ import annotations

from typing import cast

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gnndiff.nets.denoiser import Denoiser
from gnndiff.progress import Advance
from graphtasks.randomness import seeded

BATCH = 64
CONDITION_DROP = 0.15
EMA_DECAY = 0.99
REPORTS = 20


def scheduler() -> DDPMScheduler:
    """The noise schedule of training: 1000 steps, linear, and no clipping, which latents would not survive."""
    return DDPMScheduler(num_train_timesteps=1000, clip_sample=False)


def train_denoiser(
    latents: Tensor, condition: Tensor, steps: int, generator: torch.Generator, advance: Advance = lambda text: None
) -> Denoiser:
    """Train a denoiser by predicting noise, with the condition hidden from some samples for guidance.

    Args:
        latents: Standardised latents (n, k).
        condition: Standardised conditions (n, C).
        steps: Optimisation steps.
        generator: Source of all randomness, on the CPU.
        advance: Called `REPORTS` times with the loss.

    Returns:
        The exponential moving average of the denoiser over training.
    """
    noise_scheduler = scheduler()
    with seeded(int(torch.randint(2**31, (), generator=generator))):
        denoiser = Denoiser(latents.size(1), condition.size(1)).to(latents.device)
    average = AveragedModel(denoiser, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY))
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=1e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        index = torch.randint(len(latents), (BATCH,), generator=generator)
        noise = torch.randn(BATCH, latents.size(1), generator=generator).to(latents)
        times = torch.randint(1000, (BATCH,), generator=generator).to(latents.device)
        known = (torch.rand(BATCH, generator=generator) >= CONDITION_DROP).to(latents.device)
        noisy = noise_scheduler.add_noise(latents[index], noise, times)  # type: ignore[attr-defined]
        loss = nn.functional.mse_loss(denoiser(noisy, times, condition[index], known), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        average.update_parameters(denoiser)
        if (step + 1) * REPORTS // steps > step * REPORTS // steps:
            advance(f"loss {loss.item():.3f}")
    return cast(Denoiser, average.module).eval()


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    noise_scheduler: DDPMScheduler,
    condition: Tensor,
    *,
    guidance: float = 1.0,
    steps: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Latents (n, k) for conditions (n, C), by DDIM.

    With guidance g the predicted noise is :math:`\epsilon_\emptyset + g\,(\epsilon_c - \epsilon_\emptyset)`: 0 ignores
    the condition, 1 follows it, more exaggerates it. Source: https://arxiv.org/abs/2207.12598.

    Args:
        denoiser: A trained denoiser.
        noise_scheduler: The schedule that it was trained with.
        condition: Standardised conditions (n, C).
        guidance: Guidance g.
        steps: Denoising steps.
        generator: Source of the initial noise, on the CPU.
    """
    config = noise_scheduler.config  # type: ignore[attr-defined]
    sampler = DDIMScheduler.from_config(config, timestep_spacing="trailing")
    sampler.set_timesteps(steps)
    shape = (len(condition), denoiser.config["latent_dim"])
    latents = torch.randn(shape, generator=generator).to(condition)
    hidden = torch.zeros(len(condition), dtype=torch.bool, device=condition.device)
    for time in sampler.timesteps:
        times = time.expand(len(condition)).to(condition.device)
        noise = denoiser(latents, times, condition, ~hidden)
        if guidance != 1.0:
            blind = denoiser(latents, times, condition, hidden)
            noise = blind + guidance * (noise - blind)
        latents = sampler.step(noise, time, latents).prev_sample
    return latents
