"""Distances and barriers between the members of a zoo.

They say which members may be averaged, and whether there is anything to learn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gnndiff.scores import order
from graphtasks import Metric

PAIRS = 32
"""Pairs of members at most whose midpoints are scored."""

Score = Callable[[Tensor], Sequence[float]]


@dataclass(frozen=True)
class Geometry:
    """Facts about the best checkpoints of the trainings of a zoo, the best first.

    Barriers are differences of validation scores, and positive where the way between is worse than its ends. Barriers
    of metrics that are no shares are relative to the mean score.

    Args:
        barriers: Fall of each training's score at the worse of the mean of the good ones and the midpoint.
        midpoints: Mean barrier at midpoints of pairs of good trainings.
        good: Whether each training may be averaged.
        spread: Norm of what checkpoints differ in from their mean, relative to theirs.
        effective_rank: Exponential of the entropy of the variance over principal directions.
        outside: Share of the norm of a training, from the mean of the others, that lies outside of their span.
        unit: Name of the unit of barriers.
    """

    barriers: tuple[float, ...]
    midpoints: float
    good: tuple[bool, ...]
    spread: float
    effective_rank: float
    outside: float
    unit: str

    @property
    def barrier(self) -> float:
        """Mean barrier of the good trainings to their mean."""
        chosen = [barrier for barrier, good in zip(self.barriers, self.good, strict=True) if good]
        return sum(chosen) / len(chosen)

    def is_point(self, least: float) -> bool:
        """Whether all checkpoints are one point: their spread is below the least."""
        return self.spread < least

    def meaning(self, least: float) -> str:
        """One sentence of what this means for soups and generators."""
        left = len(self.good) - sum(self.good)
        if self.is_point(least):
            return (
                f"The zoo is one point (spread {self.spread:.1%}): a soup of it is any of its members, and a generator "
                "has nothing to learn."
            )
        if sum(self.good) == 1 < len(self.good):
            return (
                "The members are not connected: a soup is the best of them alone, an ensemble still helps, and a "
                "generator of all would draw what lies between; lower the learning rate or use branches."
            )
        rest = f"; {left} of {len(self.good)} trainings are left out of averages" if left else ""
        return (
            f"Members are connected (their scores fall by {100 * self.barrier:.1f} {self.unit} to the mean), so a soup "
            f"is safe and a generator may draw around the mean in {self.effective_rank:.1f} directions{rest}."
        )

    def __str__(self) -> str:
        rows = [
            f"barrier to the mean      {100 * self.barrier:.2f} {self.unit}, worst {100 * max(self.barriers):.2f}",
            f"barrier at midpoints     {100 * self.midpoints:.2f} {self.unit}",
            f"may be averaged          {sum(self.good)} of {len(self.good)} trainings",
            f"relative spread          {self.spread:.2%}",
            f"effective rank           {self.effective_rank:.1f}",
            f"outside of others' span  {self.outside:.0%}",
        ]
        return "\n".join(rows)


def geometry(best: Tensor, every: Tensor, score: Score, metric: Metric, threshold: float) -> Geometry:
    """The geometry of a zoo.

    Args:
        best: The best checkpoint (m, P) of each training.
        every: All checkpoints (n, P).
        score: Validation scores of vectors.
        metric: Their metric.
        threshold: Barrier beyond which a training may not be averaged.
    """
    scores = list(score(best))
    top = order(scores, metric)[0]
    scale = sum(map(abs, scores)) / len(scores)

    def falls(before: Sequence[float], after: Sequence[float]) -> list[float]:
        return [fall(a, b, metric, scale) for a, b in zip(before, after, strict=True)]

    ends = [(each + scores[top]) / 2 for each in scores]
    to_best = falls(ends, score((best + best[top]) / 2))
    good = [fall <= threshold for fall in to_best]
    barriers: list[float] = []
    for _ in range(2):
        mean = best[good].mean(dim=0)
        halves = falls(scores, score((best + mean) / 2))
        wholes = falls(scores, list(score(mean.unsqueeze(0))) * len(best))
        barriers = [max(pair) for pair in zip(halves, wholes, strict=True)]
        beyond = [barrier > threshold for barrier in barriers]
        good = [(kept and not far) or i == top for i, (kept, far) in enumerate(zip(good, beyond, strict=True))]
    return Geometry(
        tuple(barriers),
        _midpoints(best[good], [s for s, kept in zip(scores, good, strict=True) if kept], score, falls),
        tuple(good),
        float((every - every.mean(dim=0)).norm() / every.norm().clamp(min=1e-12)),
        effective_rank(every),
        outside(best),
        "points" if metric.is_share else "% of the score",
    )


def fall(before: float, after: float, metric: Metric, scale: float) -> float:
    """Fall of a score below one before; relative to a scale for metrics that are no shares."""
    difference = before - after if metric.direction == "maximize" else after - before
    return difference if metric.is_share else difference / (scale or 1.0)


def _midpoints(
    best: Tensor,
    scores: Sequence[float],
    score: Score,
    falls: Callable[[Sequence[float], Sequence[float]], list[float]],
) -> float:
    pairs = torch.combinations(torch.arange(len(best)))
    if not len(pairs):
        return 0.0
    pairs = pairs[torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0))[:PAIRS]]
    means = [(scores[a] + scores[b]) / 2 for a, b in pairs.tolist()]
    found = falls(means, score(best[pairs].mean(dim=1)))
    return sum(found) / len(found)


def effective_rank(vectors: Tensor) -> float:
    """Exponential of the entropy of the variance (of vectors (n, P)) over principal directions."""
    values = torch.linalg.svdvals(vectors - vectors.mean(dim=0)).square()
    share = values[values > 0] / values.sum()
    return float((-(share * share.log()).sum()).exp())


def outside(vectors: Tensor) -> float:
    """Mean share of the norm of a vector, from the mean of the others, outside of what the others (n, P) span.

    1 for one or two, whose others span nothing.

    >>> round(outside(torch.eye(4)), 6), round(outside(torch.tensor([[0.0], [1.0], [2.0]])), 6)
    (1.0, 0.0)
    """
    if len(vectors) < 3:
        return 1.0
    shares = []
    for i, vector in enumerate(vectors.double()):
        others = torch.cat([vectors[:i], vectors[i + 1 :]]).double()
        mean = others.mean(dim=0)
        basis = torch.linalg.svd(others[1:] - others[0], full_matrices=False)
        rank = int(torch.count_nonzero(basis.S / basis.S.max().clamp(min=1e-300) > 1e-9))
        kept = basis.Vh[:rank]
        rest = vector - mean
        shares.append(float((rest - kept.T @ (kept @ rest)).norm() / rest.norm().clamp(min=1e-300)))
    return sum(shares) / len(shares)
