"""Trainings as the unit of statistics: snapshots of one training are no independent draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

LEAST = 3
"""Trainings below which none is held out."""

SHARE = 0.2
"""Share of the trainings that are held out."""


def weights(members: Sequence[int]) -> Tensor:
    """Weights (n,) that sum to 1, the same for each training and, within it, for each snapshot."""
    counts = Counter(members)
    return torch.tensor([1 / (len(counts) * counts[member]) for member in members])


def pick(members: Sequence[int], n: int, rng: torch.Generator | None) -> Tensor:
    """Indices (n,) of checkpoints: a training with equal chances, then one of its snapshots."""
    return torch.multinomial(weights(members), n, replacement=True, generator=rng)


def held_out(members: Sequence[int], rng: torch.Generator) -> Tensor:
    """Mask (n,) of the checkpoints of whole trainings that are held out, of none where there are too few."""
    names = sorted(set(members))
    count = max(1, round(SHARE * len(names))) if len(names) >= LEAST else 0
    chosen = {names[i] for i in torch.randperm(len(names), generator=rng)[:count].tolist()}
    return torch.tensor([member in chosen for member in members])
