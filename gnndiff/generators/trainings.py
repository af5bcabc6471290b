"""Trainings as the unit of statistics: snapshots of one training are no independent draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.utils import scatter

LEAST = 3
"""Trainings below which none is held out."""

SHARE = 0.2
"""Share of the trainings that are held out."""


def weights(members: Sequence[int]) -> Tensor:
    """Weights (n,) that sum to 1, the same for each training and, within it, for each snapshot."""
    counts = Counter(members)
    return torch.tensor([1 / (len(counts) * counts[member]) for member in members])


def of_each_training(values: Tensor, members: Sequence[int]) -> Tensor:
    """Means (T, ...) over the snapshots of each training of values (n, ...)."""
    places = {member: place for place, member in enumerate(sorted(set(members)))}
    of = torch.tensor([places[member] for member in members], device=values.device)
    return scatter(values, of, dim_size=len(places), reduce="mean")


def pick(members: Sequence[int], n: int, rng: torch.Generator | None) -> Tensor:
    """Indices (n,) of checkpoints: a training with equal chances, then one of its snapshots."""
    return torch.multinomial(weights(members), n, replacement=True, generator=rng)


def chosen(members: Sequence[int], mask: Tensor) -> list[int]:
    """The trainings of those checkpoints that a mask (n,) has."""
    return [member for member, mine in zip(members, mask.tolist(), strict=True) if mine]


def held_out(members: Sequence[int], rng: torch.Generator) -> Tensor:
    """Mask (n,) of the checkpoints of whole trainings that are held out, of none where there are too few."""
    names = sorted(set(members))
    count = max(1, round(SHARE * len(names))) if len(names) >= LEAST else 0
    drawn = {names[i] for i in torch.randperm(len(names), generator=rng)[:count].tolist()}
    return torch.tensor([member in drawn for member in members])
