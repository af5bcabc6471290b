"""Metrics of classification, regression and link ranking, computed over a whole part of a split at once.

Labels `y` and predictions `pred` are NumPy arrays or torch tensors, of any device, with or without gradients; floats
are taken as float64. Entries without a label do not count, and predictions for them are not read. All metrics raise

- `InvalidDataError` where shapes or values are not those of the metric, or nothing is labelled;
- `DivergedError` where a prediction that counts is NaN, or infinite such that the metric has no value.
"""

import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax
from scipy.stats import rankdata
from sklearn import metrics as sk
from torch import Tensor

from graphtasks.errors import DivergedError, InvalidDataError, UnknownTaskError

Array = npt.NDArray[Any]
Values = Array | Tensor


@dataclass(frozen=True)
class Metric:
    """A named score of labels against predictions.

    Args:
        name: Name in `METRICS`, or 'hits@K'.
        direction: Whether more or less of it is better.
        score: The function of labels and predictions.
        task: The predictions it scores. 'classification': class scores (M, C), or labels (M,) for the metrics that only
            count; for 'roc_auc' and 'ap' also scores (M,) of the second of two classes, as links have them, or of many
            labels (M, T). 'regression': values of the targets' shape. 'ranking': scores (M,) of positives and
            negatives.
        is_share: Whether its values are between 0 and 1, so that they are printed in percent.

    >>> metric("accuracy").better(0.9, 0.8), metric("mse").better(0.9, 0.8), metric("mse").worst
    (True, False, inf)
    """

    name: str
    direction: Literal["maximize", "minimize"]
    score: Callable[[Values, Values], float]
    task: Literal["classification", "regression", "ranking"]
    is_share: bool = False

    @property
    def sign(self) -> float:
        """1 where more is better, else -1: the factor by which tables of scores are put in order."""
        return 1.0 if self.direction == "maximize" else -1.0

    @property
    def worst(self) -> float:
        """The score of a network that has none: 0 or 1 of a share, else infinity, where no score is worse."""
        if self.is_share:
            return 0.0 if self.direction == "maximize" else 1.0
        return -self.sign * math.inf

    def better(self, a: float, b: float) -> bool:
        """Whether the score `a` is better than `b`; equal ones are not, and NaN is worse than any."""
        if math.isnan(a) or math.isnan(b):
            return not math.isnan(a)
        return self.sign * a > self.sign * b

    def format(self, value: float, std: float | None = None) -> str:
        """Text of a score, or of the mean and deviation of several: shares in percent, others with four digits.

        >>> metric("accuracy").format(0.81234), metric("accuracy").format(0.81234, 0.004)
        ('81.23 %', '81.23 ± 0.40 %')
        >>> metric("mse").format(12.3456, 0.5), metric("mse").format(math.nan)
        ('12.35 ± 0.50', 'none')
        """
        if math.isnan(value):
            return "none"
        scale, unit = (100.0, " %") if self.is_share else (1.0, "")
        text = f"{scale * value:.2f}" if self.is_share else f"{value:.4g}"
        if std is None or math.isnan(std):
            return text + unit
        if "e" in text or "inf" in text:
            return f"{text} ± {std:.2g}"
        return f"{text} ± {scale * std:.{len(text.partition('.')[2])}f}{unit}"


def accuracy(y: Values, pred: Values) -> float:
    """Share of entries whose highest score is their class.

    Args:
        y: Classes (M,), -1 where unlabelled.
        pred: Class scores (M, C), of which the first highest counts, or integer labels (M,).

    >>> accuracy(np.array([0, 1, 1, -1]), np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0], [0.0, 1.0]]))
    0.6666666666666666
    """
    labels, predicted = _class_labels(y, pred)
    # Not `accuracy_score`, which is this but looks at its arguments for as long as an epoch of a small network takes.
    return float((labels == predicted).mean())


def balanced_accuracy(y: Values, pred: Values) -> float:
    """Share of each class that is predicted as it (recall), averaged over the classes that occur in the labels.

    Args:
        y: Classes (M,), -1 where unlabelled.
        pred: Class scores (M, C), of which the first highest counts, or integer labels (M,).

    >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    0.5
    """
    labels, predicted = _class_labels(y, pred)
    # Not `balanced_accuracy_score`, which is this but warns of predicted classes that no label has.
    return _counted(sk.recall_score, labels, predicted, labels=np.unique(labels), average="macro", zero_division=0.0)


def macro_f1(y: Values, pred: Values) -> float:
    """F1 = 2 hits / (labels + predictions) of each class, averaged over those that occur in labels or predictions.

    Args:
        y: Classes (M,), -1 where unlabelled.
        pred: Class scores (M, C), of which the first highest counts, or integer labels (M,).

    >>> macro_f1(np.array([0, 0, 1]), np.array([0, 2, 1]))  # 2 / 3, 1 and, for class 2, 0
    0.5555555555555555
    """
    return _counted(sk.f1_score, *_class_labels(y, pred), average="macro", zero_division=0.0)


def roc_auc(y: Values, pred: Values) -> float:
    """Chance that a positive scores above a negative, ties counting half: the area under the ROC curve.

    With more than two classes it is each class against the rest by the softmax of the scores, averaged over classes.
    With many labels it is the mean over the labels that have both values, as in
    `ogb.graphproppred.Evaluator('ogbg-molhiv')`.

    Args:
        y: Classes (M,), -1 where unlabelled, each class at least once; or labels (M, T) of 0 and 1, NaN where missing.
        pred: Class scores (M, C), or scores (M,) of the second of two classes; or scores (M, T) of the labels. Scores
            may be infinite, as long as the difference of two classes, or the softmax of more, exists.

    >>> roc_auc(np.array([0, 1, 1]), np.array([0.3, 0.3, 0.9]))
    0.75
    """
    return _area(sk.roc_auc_score, "ROC-AUC", y, pred)


def average_precision(y: Values, pred: Values) -> float:
    r"""Mean over the positives of the precision among all that score at least as much.

    With thresholds at each distinct score it is :math:`\sum_n (R_n - R_{n-1}) P_n` of recall and precision. With more
    than two classes it is each class against the rest by the softmax of the scores, averaged over classes. With many
    labels it is the mean over the labels that have both values, as in `ogb.graphproppred.Evaluator('ogbg-molpcba')`.

    Args:
        y: Classes (M,), -1 where unlabelled, each class at least once; or labels (M, T) of 0 and 1, NaN where missing.
        pred: Class scores (M, C), or scores (M,) of the second of two classes; or scores (M, T) of the labels. Scores
            may be infinite, as long as the difference of two classes, or the softmax of more, exists.

    >>> average_precision(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]))  # (1 / 1 + 2 / 3) / 2
    0.8333333333333333
    """
    return _area(sk.average_precision_score, "average precision", y, pred)


def mse(y: Values, pred: Values) -> float:
    """Mean of (y - pred)² over all targets.

    Args:
        y: Targets (M,) or (M, T), NaN where missing; -1 is a target like any other.
        pred: Predictions of the same shape, finite.

    >>> mse(np.array([1.0, -1.0, np.nan]), np.array([1.0, 2.0, 0.0]))
    4.5
    """
    return _error(sk.mean_squared_error, y, pred)


def mae(y: Values, pred: Values) -> float:
    """Mean of |y - pred| over all targets.

    Args:
        y: Targets (M,) or (M, T), NaN where missing; -1 is a target like any other.
        pred: Predictions of the same shape, finite.

    >>> mae(np.array([1.0, -1.0, np.nan]), np.array([1.0, 2.0, 0.0]))
    1.5
    """
    return _error(sk.mean_absolute_error, y, pred)


def hits(y: Values, pred: Values, k: int) -> float:
    """Share of positives that score above the `k`-th best negative: `ogb.linkproppred.Evaluator('ogbl-collab')`.

    Args:
        y: 1 for positives and 0 for negatives (M,); there is no -1 and no NaN.
        pred: Scores (M,), which may be infinite. A tie is no hit.
        k: Number of the negative. With fewer negatives than that, everything is a hit.

    >>> hits(np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.5, 0.4]), k=1), hits(np.array([1, 0]), np.array([0, 1]), k=2)
    (0.5, 1.0)
    """
    if k < 1:
        raise InvalidDataError(f"got hits@{k}, expected hits@K with K of at least 1")
    positives, negatives = _candidates(y, pred)
    result = _evaluator("ogbl-collab", k).eval({"y_pred_pos": positives, "y_pred_neg": negatives})
    return float(result[f"hits@{k}"])


def mrr(y: Values, pred: Values) -> float:
    """Mean of 1 / rank, of each positive among all negatives: `ogb.linkproppred.Evaluator('ogbl-citation2')`.

    The rank is 1 + the number of negatives above the positive + half of those that tie with it; ogb rounds each
    1 / rank to float32. Negatives are sorted once, so that time grows with (positives + negatives) log negatives, where
    ogb compares each positive with each negative.

    Args:
        y: 1 for positives and 0 for negatives (M,); there is no -1 and no NaN.
        pred: Scores (M,), which may be infinite.

    >>> round(mrr(np.array([1, 1, 0, 0]), np.array([0.9, 0.2, 0.5, 0.2])), 6)  # ranks 1 and 2.5
    0.7
    """
    positives, negatives = _candidates(y, pred)
    ascending = negatives.sort().values
    not_above = torch.searchsorted(ascending, positives, right=True)
    below = torch.searchsorted(ascending, positives)
    ranks = 1 + len(negatives) - 0.5 * (not_above + below)
    return float((1 / ranks.float()).double().mean())


def metric(name: str) -> Metric:
    """The metric of this name, in any case of letters: one of `METRICS`, or 'hits@K' for any K of at least 1.

    Raises:
        UnknownTaskError: There is no such metric.

    >>> metric("Hits@10").name
    'hits@10'
    """
    if not isinstance(name, str):
        raise UnknownTaskError(f"got metric {name!r}, expected one of {', '.join(METRICS)}, or hits@K")
    known = METRICS.get(name.lower())
    if known is not None:
        return known
    match = re.fullmatch("hits@([1-9][0-9]*)", name.lower())
    if match is None:
        raise UnknownTaskError(f"got metric {name!r}, expected one of {', '.join(METRICS)}, or hits@K for another K")
    return _hits_metric(int(match[1]))


@cache
def _hits_metric(k: int) -> Metric:
    return Metric(f"hits@{k}", "maximize", partial(hits, k=k), "ranking", is_share=True)


def _array(values: Values) -> Array:
    """Floats as float64, integers and booleans as int64."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    if values.dtype.kind not in "fbiu":
        raise InvalidDataError(f"got values of dtype {values.dtype}, expected real numbers or integers")
    return values.astype(np.float64 if values.dtype.kind == "f" else np.int64, copy=False)


def _shape_error(y: Array, pred: Array, expected: str) -> InvalidDataError:
    return InvalidDataError(
        f"got labels of shape {y.shape} and predictions of shape {pred.shape} and {pred.dtype}, expected {expected}"
    )


def _check_counted(pred: Array) -> None:
    """Raise unless there are predictions, none of them NaN."""
    if pred.size == 0:
        raise InvalidDataError("there is no labelled entry to score")
    if np.isnan(pred).any():
        raise DivergedError("the predictions hold NaN: the model diverged; lower its learning rate")


def _labelled(y: Array, pred: Array) -> tuple[Array, Array]:
    """Classes (M,) and class scores (M, C), or whatever (M,), of the labelled entries."""
    if y.ndim != 1 or pred.ndim not in (1, 2) or len(y) != len(pred) or (pred.ndim == 2 and pred.shape[1] < 2):
        raise _shape_error(y, pred, "classes (M,) and predictions (M,), or (M, C) of C > 1 classes")
    given = ~np.isnan(y)
    with np.errstate(invalid="ignore"):
        labels = y[given].astype(np.int64)
    if (labels != y[given]).any() or (labels < -1).any():
        raise InvalidDataError("got labels that are no classes: expected 0, 1, ..., and -1 where unlabelled")
    labelled = labels >= 0
    labels, pred = labels[labelled], pred[given][labelled]
    _check_counted(pred)
    if pred.ndim == 2 and labels.max() >= pred.shape[1]:
        raise InvalidDataError(f"got the label {labels.max()}, but scores of {pred.shape[1]} classes, 0 and up")
    return labels, pred


def _class_labels(y: Values, pred: Values) -> tuple[Array, Array]:
    """Classes of the labelled entries and those predicted for them, both (M,)."""
    labels, scores = _labelled(_array(y), _array(pred))
    if scores.ndim == 1:
        if scores.dtype != np.int64:
            raise _shape_error(labels, scores, "class scores (M, C) or integer labels (M,)")
        return labels, scores
    best = scores.max(axis=1, keepdims=True)
    if (np.isinf(best[:, 0]) & ((scores == best).sum(axis=1) > 1)).any():
        raise DivergedError("several classes share an infinite highest score: the model diverged")
    return labels, scores.argmax(axis=1)


def _counted(score: Callable[..., float], y: Array, pred: Array, **options: Any) -> float:
    with warnings.catch_warnings():
        # scikit-learn 1.6 and 1.7 ask whether small parts with many classes are regression.
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%", UserWarning)
        return float(score(y, pred, **options))


def _area(score: Callable[..., float], title: str, y: Values, pred: Values) -> float:
    """A score of y (M,) of 0 and 1 against pred (M,), averaged over labels or classes."""
    y, pred = _array(y), _array(pred)
    if y.ndim == 2:
        columns = _label_columns(title, y, pred)
    else:
        columns = _class_columns(title, *_labelled(y, pred))
    # Only the order counts, and unlike the scores their ranks are finite.
    return float(np.mean([score(positive, rankdata(scores, method="dense")) for positive, scores in columns]))


def _label_columns(title: str, y: Array, pred: Array) -> list[tuple[Array, Array]]:
    if y.shape != pred.shape:
        raise _shape_error(y, pred, "both (M, T)")
    labelled = ~np.isnan(y)
    _check_counted(pred[labelled])
    if not np.isin(y[labelled], (0, 1)).all():
        raise InvalidDataError("got labels (M, T) other than 0 and 1: expected these, and NaN where missing")
    columns = [
        (y[rows, column], pred[rows, column])
        for column, rows in enumerate(labelled.T)
        if len(np.unique(y[rows, column])) == 2
    ]
    if not columns:
        raise InvalidDataError(f"{title} needs a label with both values in the part: use another split or metric")
    return columns


def _class_columns(title: str, y: Array, pred: Array) -> list[tuple[Array, Array]]:
    classes = pred.shape[1] if pred.ndim == 2 else 2
    missing = sorted(set(range(classes)) - set(y.tolist()))
    if missing:
        raise InvalidDataError(
            f"{title} needs every class in the part, got none of {missing}: use another split or metric"
        )
    if y.max() >= classes:
        raise InvalidDataError(f"got the label {y.max()}, but scores (M,): of more than two classes give (M, C)")
    if pred.ndim == 1:
        return [(y, pred)]
    with np.errstate(invalid="ignore", over="ignore"):
        scores = pred[:, 1:] - pred[:, :1] if classes == 2 else softmax(pred, axis=1)
    if np.isnan(scores).any():
        raise DivergedError("infinite scores of several classes cannot be compared: the model diverged")
    if classes == 2:
        return [(y, scores[:, 0])]
    return [(y == label, scores[:, label]) for label in range(classes)]


def _error(score: Callable[..., float], y: Values, pred: Values) -> float:
    y, pred = _array(y), _array(pred)
    if y.shape != pred.shape or y.ndim not in (1, 2):
        raise _shape_error(y, pred, "both (M,), or both (M, T)")
    given = ~np.isnan(y)
    y, pred = y[given].astype(np.float64), pred[given].astype(np.float64)
    _check_counted(pred)
    if np.isinf(y).any():
        raise InvalidDataError("the targets are infinite: expected finite ones, and NaN where missing")
    if np.isinf(pred).any():
        raise DivergedError("the predictions are infinite: the model diverged; lower its learning rate")
    with np.errstate(over="ignore"):
        value = float(score(y, pred))
    if not np.isfinite(value):
        raise DivergedError("the error of the predictions is beyond float64: the model diverged")
    return value


def _candidates(y: Values, pred: Values) -> tuple[Tensor, Tensor]:
    """Scores of the positives and of the negatives."""
    y, pred = _array(y), _array(pred)
    if y.ndim != 1 or y.shape != pred.shape:
        raise _shape_error(y, pred, "both (M,)")
    _check_counted(pred)
    if not np.isin(y, (0, 1)).all():
        raise InvalidDataError("got labels other than 0 and 1: expected 1 for each positive and 0 for each negative")
    if not y.any():
        raise InvalidDataError("there is no positive (1) to rank")
    # Tensors, since the ranks of arrays fail in ogb, and its sort of them is slower than `topk`.
    return torch.from_numpy(pred[y == 1]), torch.from_numpy(pred[y == 0])


@cache
def _evaluator(name: str, k: int | None = None) -> Any:
    # Here, since the import takes seconds and asks a server for the newest version of ogb.
    from ogb.linkproppred import Evaluator

    evaluator = Evaluator(name)
    if k is not None:
        evaluator.K = k
    return evaluator


METRICS: dict[str, Metric] = {
    entry.name: entry
    for entry in (
        Metric("accuracy", "maximize", accuracy, "classification", is_share=True),
        Metric("balanced_accuracy", "maximize", balanced_accuracy, "classification", is_share=True),
        Metric("macro_f1", "maximize", macro_f1, "classification", is_share=True),
        Metric("roc_auc", "maximize", roc_auc, "classification", is_share=True),
        Metric("ap", "maximize", average_precision, "classification", is_share=True),
        Metric("mse", "minimize", mse, "regression"),
        Metric("mae", "minimize", mae, "regression"),
        _hits_metric(20),
        _hits_metric(50),
        _hits_metric(100),
        Metric("mrr", "maximize", mrr, "ranking", is_share=True),
    )
}
