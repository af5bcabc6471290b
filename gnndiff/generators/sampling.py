"""Sampling from a denoiser with the schedulers of diffusers."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from gnndiff.errors import ConfigError
from gnndiff.generators.denoiser import Denoiser
from graphtasks.values import whole


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    scheduler: Any,
    condition: Tensor,
    *,
    guidance: float = 1.0,
    steps: int = 50,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Latents (n, k) for conditions (n, C).

    With guidance g the prediction is :math:`u_\emptyset + g\,(u_c - u_\emptyset)`: 0 ignores the condition, 1 follows
    it, more exaggerates it. Source: https://arxiv.org/abs/2207.12598.

    Args:
        denoiser: A trained denoiser.
        scheduler: A scheduler of diffusers on the denoiser's path.
        condition: Standardised conditions (n, C).
        guidance: Guidance g.
        steps: Denoising steps.
        generator: Source of all noise, on the CPU.

    Raises:
        ConfigError: The scheduler cannot go so many steps.
    """
    shape = (len(condition), denoiser.latent_dim)
    latents = torch.randn(shape, generator=generator).to(condition)
    _set_steps(scheduler, steps)
    latents = latents * getattr(scheduler, "init_noise_sigma", 1.0)
    scaled = getattr(scheduler, "scale_model_input", lambda latents, time: latents)
    hidden = torch.zeros(len(condition), dtype=torch.bool, device=condition.device)
    random = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for time in scheduler.timesteps:
        times = time.expand(len(condition)).to(condition.device)
        points = scaled(latents, time)
        prediction = denoiser(points, times, condition, ~hidden)
        if guidance != 1.0:
            blind = denoiser(points, times, condition, hidden)
            prediction = blind + guidance * (prediction - blind)
        latents = scheduler.step(prediction, time, latents, **random).prev_sample
    return latents


def _set_steps(scheduler: Any, steps: int) -> None:
    name = type(scheduler).__name__
    most = scheduler.config.num_train_timesteps
    if not 1 <= whole("steps", steps, error=ConfigError) <= most:
        raise ConfigError(f"got steps={steps}, expected 1 to {most}")
    try:
        scheduler.set_timesteps(steps)
    except ValueError as error:
        raise ConfigError(f"got steps={steps}, which {name} cannot go: use more, or another scheduler") from error
