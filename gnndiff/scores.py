"""Order of scores, whichever direction of a metric is better."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cmp_to_key
from typing import TypeVar

from graphtasks import Metric

T = TypeVar("T")


def best_first(items: Iterable[T], score: Callable[[T], float], metric: Metric) -> list[T]:
    """Items by their scores, the best first; equal ones stay in their order."""

    def compare(a: T, b: T) -> int:
        return metric.better(score(b), score(a)) - metric.better(score(a), score(b))

    return sorted(items, key=cmp_to_key(compare))


def order(scores: Sequence[float], metric: Metric) -> list[int]:
    """Indices of scores, the best first; equal ones stay in their order."""
    return best_first(range(len(scores)), scores.__getitem__, metric)


def best(scores: Iterable[float], metric: Metric) -> float:
    """The best of some scores, and the worst that there is where there are none."""
    return min(best_first(scores, float, metric)[:1], default=metric.worst)


def floor(score: float, quality: float, metric: Metric) -> float:
    """The score that has only the share `quality` of another: 0.76 for an accuracy of 0.8, 2.0 for an error of 1.9."""
    shrinks = metric.better(1.0, 0.0) == (score > 0)
    return score * quality if shrinks else score / quality
