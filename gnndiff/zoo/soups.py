"""Greedy choices by validation: weights to average, and answers to average."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    answers: Sequence[Tensor],
    average: Callable[[Sequence[Tensor]], Tensor],
    score: Callable[[Tensor], float],
    metric: Metric,
    *,
    rounds: int = 20,
) -> list[int]:
    """Numbers of answers, some more than once, whose average scores best: one more in each round.

    Source: Caruana et al., "Ensemble selection from libraries of models" (ICML 2004), with replacement. The first
    round of the best score is taken.

    Args:
        answers: Answers of n networks, such as stored predictions.
        average: The mean answer of several, such as :meth:`graphtasks.GraphTask.average`.
        score: The validation score of an answer.
        metric: The metric of the scores.
        rounds: Answers at most.
    """
    chosen: list[int] = []
    best: tuple[float, list[int]] = metric.worst, []
    for _ in range(rounds):
        found = [score(average([answers[i] for i in (*chosen, new)])) for new in range(len(answers))]
        chosen = [*chosen, order(found, metric)[0]]
        if not best[1] or metric.better(found[chosen[-1]], best[0]):
            best = found[chosen[-1]], chosen
    return best[1]
