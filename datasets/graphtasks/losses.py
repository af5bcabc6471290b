"""The training loss that belongs to the targets and the metric of a task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from graphtasks.errors import InvalidDataError

if TYPE_CHECKING:
    from graphtasks.task import GraphTask

Loss = Callable[[Tensor, Tensor], Tensor]


def training_loss(task: GraphTask, split: int, *, class_weights: bool = False) -> Loss:
    """The loss of predictions (M, ...) and targets (M, ...), averaged over those that are labelled.

    Cross entropy for classes, binary cross entropy for links and for several labels of 0 and 1, the absolute error
    where the metric is 'mae', else the squared error.

    Args:
        task: The task.
        split: Index of the split.
        class_weights: Weigh each class c by n / (C n_c), with n_c of the n training targets in it, so that all of the
            C classes count the same; with several labels, weigh the ones of each by its zeros.

    Raises:
        InvalidDataError: Weights are wanted for targets that are no classes.
    """
    form = task.form
    if class_weights and form not in ("classes", "labels"):
        raise InvalidDataError(f"class weights need classes, but {task.name!r} is of kind {task.kind!r}")
    if form == "classes":
        return cross_entropy(task.num_classes, _class_weight(task, split) if class_weights else None)
    if form == "values":
        return error(functional.l1_loss if task.metric.name == "mae" else functional.mse_loss)
    return binary_cross_entropy(_label_weight(task, split) if class_weights else None)


def cross_entropy(num_classes: int, weight: Tensor | None = None) -> Loss:
    """Cross entropy of class scores (M, C) and classes (M,), -1 where unlabelled."""

    def loss(pred: Tensor, target: Tensor) -> Tensor:
        if pred.dim() != 2 or pred.size(1) < num_classes:
            raise InvalidDataError(
                f"the model gave scores of shape {tuple(pred.shape)}, expected (rows, {num_classes} classes)"
            )
        if weight is None:
            return functional.cross_entropy(pred, target, ignore_index=-1)
        # Not the mean, in which the weights of a batch would be divided by their own sum.
        total = functional.cross_entropy(pred, target, weight.to(pred), ignore_index=-1, reduction="sum")
        return total / (target >= 0).sum()

    return loss


def binary_cross_entropy(weight: Tensor | None = None) -> Loss:
    """Binary cross entropy of scores before a sigmoid and labels of 0 and 1, NaN where unlabelled."""

    def loss(pred: Tensor, target: Tensor) -> Tensor:
        known = ~target.isnan()
        pos_weight = None if weight is None else weight.to(pred).expand_as(pred)[known]
        return functional.binary_cross_entropy_with_logits(pred[known], target[known], pos_weight=pos_weight)

    return loss


def error(distance: Loss) -> Loss:
    """A distance of predictions and values, NaN where unlabelled."""

    def loss(pred: Tensor, target: Tensor) -> Tensor:
        known = ~target.isnan()
        return distance(pred[known], target[known])

    return loss


def _class_weight(task: GraphTask, split: int) -> Tensor:
    y = task.targets(split, "train")
    counts = torch.bincount(y[y >= 0], minlength=task.num_classes)
    return counts.sum() / (int((counts > 0).sum()) * counts.clamp(min=1))


def _label_weight(task: GraphTask, split: int) -> Tensor:
    y = task.targets(split, "train")
    return (y == 0).sum(dim=0) / (y == 1).sum(dim=0).clamp(min=1)
