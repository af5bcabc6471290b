"""Training of a denoiser on latent vectors, until it describes trainings best that it has not seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast

import torch
from scipy import stats
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gnndiff.config import Method
from gnndiff.generators.data import Data, Fold
from gnndiff.generators.denoiser import Denoiser
from gnndiff.generators.paths import NoisePath
from gnndiff.generators.trainings import of_each_training, pick
from gnndiff.progress import Advance
from graphtasks.randomness import seeded

REPORTS = 20
"""Reports of a training, and checks of its held-out error."""

PATIENCE = 5
"""Checks without a better held-out error that end a training."""

LEVEL = 0.05
"""Level of the test that the held-out error is below the Gaussian's."""

SCALES = (0.06, 0.12, 0.25, 0.5, 2.0, 4.0)
"""Scales of the Gaussian's variances that must be beaten, too: a better one is no shape that was learned."""

CHECKED = 1024
"""Points of the path, at least, of a held-out error."""


@dataclass(frozen=True)
class HeldOut:
    """How well whole trainings that were left out are described.

    Args:
        steps: Optimisation steps with the least error, 0 where there was nothing to learn beyond the Gaussian.
        error: Mean squared error of the predicted noise or velocity after so many steps, over these trainings.
        gaussian: The same of the Gaussian.
    """

    steps: int
    error: float
    gaussian: float


def train_denoiser(
    path: NoisePath,
    data: Data,
    steps: int,
    generator: torch.Generator,
    method: Method,
    advance: Advance = lambda text: None,
    *,
    until: int | None = None,
) -> Denoiser:
    """Train a denoiser, with the condition hidden from some samples for guidance.

    Args:
        path: The path to learn.
        data: Data to learn from.
        steps: Optimisation steps.
        generator: Source of all randomness, on the CPU.
        method: Batch size, learning rate and the like.
        advance: Called at most `REPORTS` times with the loss.
        until: Step to stop at before the last, 0 for the Gaussian.

    Returns:
        The exponential moving average of the denoiser over training.
    """
    denoiser = _untrained(path, data, generator)
    found = denoiser
    for step, loss, average in islice(_training(denoiser, data, steps, generator, method), until):
        if (step * REPORTS) // steps > ((step - 1) * REPORTS) // steps:
            advance(f"loss {float(loss):.3f}")
        found = average
    return found.eval()


def held_out_steps(path: NoisePath, fold: Fold, steps: int, generator: torch.Generator, method: Method) -> HeldOut:
    """The number of optimisation steps with the least error on the latents of trainings that were left out.

    The error is the mean over these trainings, on the same noise at each of `REPORTS` checks. Training ends after
    `PATIENCE` of them without a better one. The number is 0 where the gain over the Gaussian, with its variances or the
    best of `SCALES` of them, may be chance by a one-sided t test over the trainings: on two or three of them, the best
    of many checks is nearly always a gain.

    Args:
        path: The path to learn.
        fold: Latents to learn from and to check by.
        steps: Optimisation steps at most.
        generator: Source of all randomness, on the CPU.
        method: Batch size, learning rate and the like.
    """
    each = -(-CHECKED // len(fold.latents))
    latents, condition = fold.latents.repeat(each, 1), fold.condition.repeat(each, 1)
    noise = torch.randn(latents.shape, generator=generator).to(latents)
    times = path.even(len(latents))[torch.randperm(len(latents), generator=generator)].to(latents.device)
    points, target = path.between(latents, noise, times), path.target(latents, noise)
    known = torch.ones(len(latents), dtype=torch.bool, device=latents.device)

    members = list(fold.members) * each

    @torch.no_grad()
    def errors(denoiser: Denoiser) -> Tensor:
        predicted = denoiser(points, times, condition, known)
        return of_each_training((predicted - target).square().mean(dim=1), members).cpu()

    denoiser = _untrained(path, fold.seen, generator)
    own = denoiser.variances.clone()
    gaussian = rival = errors(denoiser)
    for scale in SCALES:
        denoiser.variances.copy_(scale * own)
        rival = min(rival, errors(denoiser), key=lambda each: float(each.mean()))
    denoiser.variances.copy_(own)
    least, steps_of_least, checks = gaussian, 0, 0
    for step, _, average in _training(denoiser, fold.seen, steps, generator, method):
        if (step * REPORTS) // steps == ((step - 1) * REPORTS) // steps:
            continue
        checks, got = checks + 1, errors(average)
        if got.mean() < least.mean():
            least, steps_of_least, checks = got, step, 0
        if checks == PATIENCE:
            break
    if not _gains(rival - least):
        least, steps_of_least = gaussian, 0
    return HeldOut(steps_of_least, float(least.mean()), float(gaussian.mean()))


def _gains(differences: Tensor) -> bool:
    """Whether the mean of differences (m,) is above zero by a one-sided t test."""
    count = len(differences)
    if count < 2:
        return False
    return bool(differences.mean() > stats.t.ppf(1 - LEVEL, count - 1) * differences.std() / count**0.5)


def _untrained(path: NoisePath, data: Data, generator: torch.Generator) -> Denoiser:
    """The denoiser of the Gaussian."""
    with seeded(int(torch.randint(2**31, (), generator=generator))):
        denoiser = Denoiser(path.name, data.latents.size(1), data.condition.size(1))
    denoiser.variances.copy_(data.variances)
    return denoiser.to(data.latents.device)


def _training(
    denoiser: Denoiser, data: Data, steps: int, generator: torch.Generator, method: Method
) -> Iterator[tuple[int, Tensor, Denoiser]]:
    """The number, the loss, and the moving average of the denoiser after each step."""
    path, size, latents = denoiser.path, method.batch_size, data.latents
    average = AveragedModel(denoiser, multi_avg_fn=get_ema_multi_avg_fn(method.average_decay))
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=method.learning_rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        index = pick(data.members, size, generator).to(latents.device)
        noise = torch.randn(size, latents.size(1), generator=generator).to(latents)
        times = path.draw(size, generator).to(latents.device)
        known = (torch.rand(size, generator=generator) >= method.condition_drop).to(latents.device)
        points, target = path.between(latents[index], noise, times), path.target(latents[index], noise)
        loss = nn.functional.mse_loss(denoiser(points, times, data.condition[index], known), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        average.update_parameters(denoiser)
        yield step, loss.detach(), cast(Denoiser, average.module)
