"""The training loss that belongs to the targets and the metric of a task."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from graphtasks.errors import InvalidDataError
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
            C classes count the same; of several labels weigh the ones by the zeros for each.

    Raises:
        InvalidDataError: Weights are wanted for targets that are no classes.
    """
    y = None if task.kind == "link" else task.targets(split, "train")
    classes = y is not None and not y.is_floating_point()
    labels = y is not None and y.is_floating_point() and task.metric.task == "classification"
    if class_weights and not (classes or labels):
        raise InvalidDataError(f"class weights need classes, but {task.name!r} is of kind {task.kind!r}")
    weight = None
    if classes and class_weights:
        assert y is not None
        counts = torch.bincount(y[y >= 0], minlength=task.num_classes)
        weight = counts.sum() / (int((counts > 0).sum()) * counts.clamp(min=1))
    elif labels and class_weights:
        assert y is not None
        weight = (y == 0).sum(dim=0) / (y == 1).sum(dim=0).clamp(min=1)

    def cross_entropy(pred: Tensor, target: Tensor) -> Tensor:
        if pred.dim() != 2 or pred.size(1) < task.num_classes:
            raise InvalidDataError(
                f"the model gave scores of shape {tuple(pred.shape)}, expected (rows, {task.num_classes} classes)"
            )
        if weight is None:
            return functional.cross_entropy(pred, target, ignore_index=-1)
        # Not the mean, in which the weights of a batch would be divided by their own sum.
        total = functional.cross_entropy(pred, target, weight.to(pred), ignore_index=-1, reduction="sum")
        return total / (target >= 0).sum()

    def binary_cross_entropy(pred: Tensor, target: Tensor) -> Tensor:
        known = ~target.isnan()
        pos_weight = None if weight is None else weight.to(pred).expand_as(pred)[known]
        return functional.binary_cross_entropy_with_logits(pred[known], target[known], pos_weight=pos_weight)

    def error(pred: Tensor, target: Tensor) -> Tensor:
        known = ~target.isnan()
        distance = functional.l1_loss if task.metric.name == "mae" else functional.mse_loss
        return distance(pred[known], target[known])

    if classes:
        return cross_entropy
    return binary_cross_entropy if labels or task.kind == "link" else error
