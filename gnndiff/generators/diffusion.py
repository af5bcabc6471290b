"""Training of a denoiser on latent vectors, and sampling from it, with the schedulers of diffusers."""

from __future__ import annotations

import inspect
from typing import Any, cast

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gnndiff.config import Method
from gnndiff.errors import ConfigError
from gnndiff.generators.denoiser import Denoiser
from gnndiff.progress import Advance
from graphtasks.randomness import seeded

REPORTS = 20


def noise_schedule() -> DDPMScheduler:
    """The noise schedule of training: 1000 steps, linear, and no clipping, which latents would not survive."""
    return DDPMScheduler(num_train_timesteps=1000, clip_sample=False)


def sampler(name: str, schedule: Any) -> Any:
    """The scheduler of diffusers with this name, on a noise schedule.

    Raises:
        ConfigError: There is none.
    """
    import diffusers
    from diffusers import SchedulerMixin

    cls = getattr(diffusers, name, None)
    if not (isinstance(cls, type) and issubclass(cls, SchedulerMixin)):
        raise ConfigError(f"diffusers has no scheduler {name!r}: use one such as DDIMScheduler or DDPMScheduler")
    return cast(Any, cls).from_config(schedule.config, timestep_spacing="trailing")


def train_denoiser(
    latents: Tensor,
    condition: Tensor,
    steps: int,
    generator: torch.Generator,
    method: Method,
    advance: Advance = lambda text: None,
) -> Denoiser:
    """Train a denoiser by predicting noise, with the condition hidden from some samples for guidance.

    Args:
        latents: Standardised latents (n, k).
        condition: Standardised conditions (n, C).
        steps: Optimisation steps.
        generator: Source of all randomness, on the CPU.
        method: Batch size, learning rate and the like.
        advance: Called `REPORTS` times with the loss.

    Returns:
        The exponential moving average of the denoiser over training.
    """
    schedule, size = noise_schedule(), method.batch_size
    with seeded(int(torch.randint(2**31, (), generator=generator))):
        denoiser = Denoiser(latents.size(1), condition.size(1)).to(latents.device)
    average = AveragedModel(denoiser, multi_avg_fn=get_ema_multi_avg_fn(method.average_decay))
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=method.learning_rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        index = torch.randint(len(latents), (size,), generator=generator)
        noise = torch.randn(size, latents.size(1), generator=generator).to(latents)
        times = torch.randint(1000, (size,), generator=generator).to(latents.device)
        known = (torch.rand(size, generator=generator) >= method.condition_drop).to(latents.device)
        noisy = schedule.add_noise(latents[index], noise, times)  # type: ignore[attr-defined]
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
    scheduler: Any,
    condition: Tensor,
    *,
    guidance: float = 1.0,
    steps: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Latents (n, k) for conditions (n, C).

    With guidance g the predicted noise is :math:`\epsilon_\emptyset + g\,(\epsilon_c - \epsilon_\emptyset)`: 0 ignores
    the condition, 1 follows it, more exaggerates it. Source: https://arxiv.org/abs/2207.12598.

    Args:
        denoiser: A trained denoiser.
        scheduler: A scheduler of diffusers on the schedule that it was trained with.
        condition: Standardised conditions (n, C).
        guidance: Guidance g.
        steps: Denoising steps.
        generator: Source of the initial noise, on the CPU.
    """
    scheduler.set_timesteps(steps)
    shape = (len(condition), denoiser.config["latent_dim"])
    latents = torch.randn(shape, generator=generator).to(condition) * scheduler.init_noise_sigma
    hidden = torch.zeros(len(condition), dtype=torch.bool, device=condition.device)
    random = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for time in scheduler.timesteps:
        times = time.expand(len(condition)).to(condition.device)
        inputs = scheduler.scale_model_input(latents, time)
        noise = denoiser(inputs, times, condition, ~hidden)
        if guidance != 1.0:
            blind = denoiser(inputs, times, condition, hidden)
            noise = blind + guidance * (noise - blind)
        latents = scheduler.step(noise, time, latents, **random).prev_sample
    return latents
