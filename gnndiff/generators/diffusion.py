"""Training of a denoiser on latent vectors, and sampling from it, with the schedulers of diffusers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gnndiff.config import Method
from gnndiff.errors import ConfigError
from gnndiff.generators.data import Data, Fold
from gnndiff.generators.denoiser import STEPS, Denoiser
from gnndiff.generators.trainings import pick
from gnndiff.progress import Advance
from graphtasks.randomness import seeded

REPORTS = 20
"""Reports of a training, and checks of its held-out error."""

PATIENCE = 5
"""Checks without a better held-out error that end a training."""

CHECKED = 1024
"""Noisy latents, at least, of a held-out error."""


def noise_schedule() -> DDPMScheduler:
    """The noise schedule of training: 1000 steps, linear, and no clipping, which latents would not survive."""
    return DDPMScheduler(num_train_timesteps=STEPS, clip_sample=False)


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


@dataclass(frozen=True)
class HeldOut:
    """How well whole trainings that were left out are described.

    Args:
        steps: Optimisation steps with the least error, 0 where there was nothing to learn beyond the Gaussian.
        error: Mean squared error of the predicted noise after so many steps.
        gaussian: The same of the Gaussian.
    """

    steps: int
    error: float
    gaussian: float


def train_denoiser(
    data: Data,
    steps: int,
    generator: torch.Generator,
    method: Method,
    advance: Advance = lambda text: None,
    *,
    until: int | None = None,
) -> Denoiser:
    """Train a denoiser by predicting noise, with the condition hidden from some samples for guidance.

    Args:
        data: Data to learn from.
        steps: Optimisation steps.
        generator: Source of all randomness, on the CPU.
        method: Batch size, learning rate and the like.
        advance: Called at most `REPORTS` times with the loss.
        until: Step to stop at before the last, 0 for the Gaussian.

    Returns:
        The exponential moving average of the denoiser over training.
    """
    denoiser = _untrained(data, generator)
    found = denoiser
    for step, loss, average in islice(_training(denoiser, data, steps, generator, method), until):
        if (step * REPORTS) // steps > ((step - 1) * REPORTS) // steps:
            advance(f"loss {float(loss):.3f}")
        found = average
    return found.eval()


def held_out_steps(fold: Fold, steps: int, generator: torch.Generator, method: Method) -> HeldOut:
    """The number of optimisation steps with the least error on the latents of trainings that were left out.

    The error is on the same noise at each of `REPORTS` checks. Training ends after five without a better one.

    Args:
        fold: Latents to learn from and to predict noise in.
        steps: Optimisation steps at most.
        generator: Source of all randomness, on the CPU.
        method: Batch size, learning rate and the like.
    """
    schedule = noise_schedule()
    each = -(-CHECKED // len(fold.latents))
    latents, condition = fold.latents.repeat(each, 1), fold.condition.repeat(each, 1)
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    times = torch.linspace(0, STEPS - 1, len(latents)).long()[torch.randperm(len(latents), generator=generator)]
    times = times.to(latents.device)
    noisy = schedule.add_noise(latents, noise, times)  # type: ignore[attr-defined]
    known = torch.ones(len(latents), dtype=torch.bool, device=latents.device)

    @torch.no_grad()
    def error(denoiser: Denoiser) -> float:
        return float(nn.functional.mse_loss(denoiser(noisy, times, condition, known), noise))

    denoiser = _untrained(fold.seen, generator)
    gaussian = error(denoiser)
    found, checks = HeldOut(0, gaussian, gaussian), 0
    for step, _, average in _training(denoiser, fold.seen, steps, generator, method):
        if (step * REPORTS) // steps == ((step - 1) * REPORTS) // steps:
            continue
        checks, got = checks + 1, error(average)
        if got < found.error:
            found, checks = HeldOut(step, got, gaussian), 0
        if checks == PATIENCE:
            break
    return found


def _untrained(data: Data, generator: torch.Generator) -> Denoiser:
    """The denoiser of the Gaussian."""
    with seeded(int(torch.randint(2**31, (), generator=generator))):
        denoiser = Denoiser(data.latents.size(1), data.condition.size(1))
    denoiser.variances.copy_(data.variances)
    denoiser.levels.copy_(noise_schedule().alphas_cumprod)  # type: ignore[attr-defined]
    return denoiser.to(data.latents.device)


def _training(
    denoiser: Denoiser, data: Data, steps: int, generator: torch.Generator, method: Method
) -> Iterator[tuple[int, Tensor, Denoiser]]:
    """The number, the loss, and the moving average of the denoiser after each step."""
    schedule, size, latents = noise_schedule(), method.batch_size, data.latents
    average = AveragedModel(denoiser, multi_avg_fn=get_ema_multi_avg_fn(method.average_decay))
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=method.learning_rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        index = pick(data.members, size, generator).to(latents.device)
        noise = torch.randn(size, latents.size(1), generator=generator).to(latents)
        times = torch.randint(STEPS, (size,), generator=generator).to(latents.device)
        known = (torch.rand(size, generator=generator) >= method.condition_drop).to(latents.device)
        noisy = schedule.add_noise(latents[index], noise, times)  # type: ignore[attr-defined]
        loss = nn.functional.mse_loss(denoiser(noisy, times, data.condition[index], known), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        average.update_parameters(denoiser)
        yield step, loss.detach(), cast(Denoiser, average.module)


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
