"""Scores by their definitions, and examples to score."""

import numpy as np
from hypothesis import settings

from graphtasks.metrics import metric

SETTINGS = settings(deadline=None, derandomize=True, max_examples=30)


COUNTING = ["accuracy", "balanced_accuracy", "macro_f1"]


AREAS = ["roc_auc", "ap"]


ERRORS = ["mse", "mae"]


RANKINGS = ["hits@20", "hits@50", "hits@100", "mrr"]


NAN, INF = np.nan, np.inf


def auc_by_definition(positive, score):
    """Chance that a positive scores above a negative, ties counting half."""
    difference = score[positive][:, None] - score[~positive][None, :]
    return np.mean((difference > 0) + 0.5 * (difference == 0))


def ap_by_definition(positive, score):
    """Mean over positives of the share of positives among all that score at least as much."""
    return np.mean([positive[score >= threshold].mean() for threshold in score[positive]])


def hits_by_definition(positive, score, k):
    """Share of positives with fewer than k negatives that score at least as much."""
    return np.mean([(score[~positive] >= own).sum() < k for own in score[positive]])


def mrr_by_definition(positive, score):
    """Mean reciprocal of the rank in the middle of those that tie."""
    others = score[~positive]
    return np.mean([1 / (1 + (others > own).sum() + (others == own).sum() / 2) for own in score[positive]])


def example(name, size=240, seed=0):
    """Labels of 0 and 1, half of each, and predictions with ties, of a shape that the metric scores."""
    rng = np.random.default_rng(seed)
    y, pred = rng.permutation(np.arange(size) % 2), rng.normal(size=size).round(1)
    if metric(name).task == "classification":
        pred = rng.normal(size=(size, 2)).round(1)
    return (y.astype(float) if metric(name).task == "regression" else y), pred


def links(positives=30, negatives=80, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(positives + negatives) < positives).astype(int)
    return y, (rng.normal(size=len(y)) + 0.5 * y).round(1)
