"""Uncertainty of predictions: whether probabilities are right, and whether a low one warns of a mistake."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from graphtasks import GraphTask
from graphtasks.splits import Part

BINS = 15
"""Bins of confidence of the calibration error."""


@dataclass(frozen=True)
class Calibration:
    """Uncertainty of predictions on labelled data. A value that does not exist is None.

    Args:
        nll: Mean negative logarithm of the probability of the right answer, of classes, labels or links.
        ece: Expected calibration error, see :func:`calibration_error`.
        auroc: Chance that a wrong prediction is less confident than a right one, ties counting half; None where all
            are right, or all wrong.
    """

    nll: float | None
    ece: float | None
    auroc: float | None


def calibration(task: GraphTask, answers: Tensor, split: int, part: Part) -> Calibration | None:
    """Uncertainty of the answers to a part, None where the task predicts values, which have no probability.

    Args:
        task: The task.
        answers: Answers (M, ...) to the targets of the part, in the order of `task.targets`, such as scores (M, C) of
            classes, those of an ensemble by `task.average`.
        split: Index of the split.
        part: 'val' or 'test'.
    """
    if task.form == "values":
        return None
    y, answers = task.targets(split, part), answers.detach().cpu().double()
    if task.form == "classes":
        labelled = y >= 0
        y, logs = y[labelled], functional.log_softmax(answers[labelled], dim=-1)
    else:
        answers = answers.reshape(y.shape)
        labelled = ~y.isnan() if y.is_floating_point() else y >= 0
        y, scores = y[labelled].long(), answers[labelled]
        logs = torch.stack([functional.logsigmoid(-scores), functional.logsigmoid(scores)], dim=-1)
    if not bool(logs.exp().isfinite().all()):
        return Calibration(None, None, None)
    confidence, predicted = logs.max(dim=-1)
    right = predicted == y
    nll = float(-logs.gather(1, y.unsqueeze(1)).mean())
    return Calibration(
        nll if nll < float("inf") else None,
        calibration_error(confidence.exp(), right),
        misclassification_auroc(confidence.exp(), right),
    )


def calibration_error(confidence: Tensor, right: Tensor, bins: int = BINS) -> float:
    r"""Expected calibration error: distance of confidence and accuracy, averaged over bins of equal width.

    .. math::
        \sum_b \frac{n_b}{M} \left| \mathrm{acc}_b - \mathrm{conf}_b \right|

    Source: Guo et al., "On calibration of modern neural networks" (https://arxiv.org/abs/1706.04599).

    Args:
        confidence: Probability (M,) of the predicted class.
        right: Whether each prediction is right (M,).
        bins: Number of bins between 0 and 1.

    >>> calibration_error(torch.full((4,), 0.75), torch.tensor([True, True, False, False]))
    0.25
    """
    of = (confidence.double() * bins).ceil().long().sub(1).clamp(0, bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64).index_add_(0, of, right.double() - confidence.double())
    return round(float(gaps.abs().sum()) / len(right), 12)


def misclassification_auroc(confidence: Tensor, right: Tensor) -> float | None:
    """Area under the ROC curve of finding wrong predictions by their low confidence, None where one kind is missing.

    Args:
        confidence: Probability (M,) of the predicted class.
        right: Whether each prediction is right (M,).

    >>> misclassification_auroc(torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([True, True, False, True]))
    0.6666666666666666
    """
    if bool(right.all()) or not bool(right.any()):
        return None
    good, bad = confidence[right], confidence[~right].sort().values
    below = torch.searchsorted(bad, good.contiguous())
    not_above = torch.searchsorted(bad, good.contiguous(), right=True)
    return float((below + not_above).double().sum()) / (2 * len(good) * len(bad))
