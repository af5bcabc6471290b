"""Metrics of node classification, computed by scikit-learn over a whole part of a split."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy.typing as npt
from scipy.special import softmax
from sklearn import metrics as sk

from graphtasks.errors import InvalidDataError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Metric:
    """A named score of labels (M,) against predictions, with the direction in which it is better.

    Predictions are class scores (M, C), or labels (M,) for the metrics that only count, or for
    ROC-AUC of two classes the score (M,) of the second class.
    """

    name: str
    direction: Literal["maximize", "minimize"]
    score: Callable[[Array, Array], float]


def _labels(pred: Array) -> Array:
    return pred.argmax(axis=1) if pred.ndim == 2 else pred


def accuracy(y: Array, pred: Array) -> float:
    """Share of nodes whose highest score is their class.

    >>> import numpy as np
    >>> accuracy(np.array([0, 1, 1]), np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0]]))  # doctest: +ELLIPSIS
    0.666...
    """
    return float(sk.accuracy_score(y, _labels(pred)))


def macro_f1(y: Array, pred: Array) -> float:
    """F1 averaged over the classes that occur in labels or predictions, each counting the same."""
    return float(sk.f1_score(y, _labels(pred), average="macro", zero_division=0.0))


def roc_auc(y: Array, pred: Array) -> float:
    """Area under the ROC curve; with more than two classes, one against the rest, averaged over classes."""
    classes = pred.shape[1] if pred.ndim == 2 else 2
    missing = sorted(set(range(classes)) - set(y.tolist()))
    if missing:
        raise InvalidDataError(
            f"ROC-AUC needs every class in the part, got none of {missing}: use another split or metric"
        )
    if pred.ndim == 1:
        return float(sk.roc_auc_score(y, pred))
    if classes == 2:
        return float(sk.roc_auc_score(y, pred[:, 1] - pred[:, 0]))
    return float(sk.roc_auc_score(y, softmax(pred, axis=1), multi_class="ovr"))


METRICS = {
    name: Metric(name, "maximize", score)
    for name, score in {"accuracy": accuracy, "macro_f1": macro_f1, "roc_auc": roc_auc}.items()
}
