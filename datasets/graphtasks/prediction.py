"""What a trained model answers, outside of its training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from graphtasks import kinds
from graphtasks.splits import Part
from graphtasks.task import GraphTask

if TYPE_CHECKING:
    from graphtasks.training import FitConfig


def predict(
    model: nn.Module, task: GraphTask, split: int = 0, part: Part = "test", config: FitConfig | None = None
) -> Tensor:
    """Predictions of a model for a part of a split, as :meth:`GraphTask.evaluate` takes them.

    They are those by which :func:`~graphtasks.fit` scores the part: of the whole graph where the task has one to
    predict nodes of, also where it was trained in batches; of the graphs or snapshots of the part in batches; of pairs
    of nodes by the messages of the part.

    Args:
        model: Any module; see :func:`forward` for how it is called. Its mode of training is restored afterwards.
        task: A task of any kind.
        split: Index of the split.
        part: 'train', 'val' or 'test'; links have no fixed pairs in 'train'.
        config: The config of the training, of which `batch_size` tells how many graphs are predicted at once.

    Returns:
        A row for each node (N, ...) of the one graph, or for each target of the part (M, ...), on the model's device.

    Raises:
        InvalidDataError: There is no such split or part, or what the model gives does not fit the task.

    >>> import graphtasks
    >>> task = graphtasks.load("karate")
    >>> predict(nn.Identity(), task).shape
    torch.Size([34, 34])
    """
    from graphtasks.training import FitConfig

    predictor = kinds.find(task.kind).predictor(task, split, part, config or FitConfig(), device_of(model))
    with evaluating(model):
        return predictor.predict(model, part)


def device_of(model: nn.Module) -> torch.device:
    """Where the parameters of a model are; the CPU where it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """A block without dropout and gradients, after which each module is in its mode again."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
