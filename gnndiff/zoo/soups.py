"""Greedy choices by validation: weights to average, and answers to average."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gnndiff.scores import order
from graphtasks import Metric


def greedy_soup(vectors: Tensor, score: Callable[[Tensor], Sequence[float]], metric: Metric) -> Tensor:
    """The average (P,) of those vectors (n, P) that, from the best one on, do not make the average worse.

    Source: Wortsman et al., "Model soups" (https://arxiv.org/abs/2203.05482), algorithm 1.

    Args:
        vectors: Networks as vectors.
        score: Their validation scores.
        metric: The metric of the scores.
    """
    scores = list(score(vectors))
    first, *others = order(scores, metric)
    chosen, best = [first], scores[first]
    for other in others:
        found = score(vectors[[*chosen, other]].mean(dim=0, keepdim=True))[0]
        if not metric.better(best, found):
            chosen, best = [*chosen, other], found
    return vectors[chosen].mean(dim=0)


def greedy_ensemble(
    answers: Sequence[Tensor] | Tensor,
    average: Callable[[Tensor, Sequence[float]], Tensor],
    score: Callable[[Tensor], Sequence[float]],
    metric: Metric,
    *,
    rounds: int = 20,
) -> list[int]:
    """Numbers of answers, some more than once, whose average scores best: one more in each round.

    Source: Caruana et al., "Ensemble selection from libraries of models" (ICML 2004), with replacement. The first
    round of the best score is taken.

    Args:
        answers: Answers (n, ...) of n networks, such as stored predictions.
        average: The mean of answers (2, n, ...) with two weights, such as :meth:`graphtasks.GraphTask.average`.
        score: The validation scores of answers (n, ...).
        metric: The metric of the scores.
        rounds: Answers at most.
    """
    stacked = answers if isinstance(answers, Tensor) else torch.stack(list(answers))
    chosen: list[int] = []
    mean, best = stacked[:1], (metric.worst, chosen)
    for size in range(rounds):
        means = stacked if not size else average(torch.stack([mean.expand_as(stacked), stacked]), [size, 1])
        found = score(means)
        new = order(found, metric)[0]
        chosen, mean = [*chosen, new], means[new : new + 1]
        if not best[1] or metric.better(found[new], best[0]):
            best = found[new], chosen
    return best[1]
