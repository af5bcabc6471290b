"""Answers of a trained model, outside of its training."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from graphtasks import kinds
from graphtasks.calling import forward
from graphtasks.checks import check_edges
from graphtasks.config import FitConfig
from graphtasks.errors import InvalidDataError
from graphtasks.kinds.link import pair_scores
from graphtasks.memory import memory_errors
from graphtasks.messages import bounded_messages
from graphtasks.randomness import seeded
from graphtasks.sparse import sparse_features
from graphtasks.splits import Part
from graphtasks.task import GraphTask

# Pairs that are scored at once.
MAX_PAIRS = 2**20


def predict(
    model: nn.Module, task: GraphTask, split: int = 0, part: Part = "test", config: FitConfig | None = None
) -> Tensor:
    """Predictions of a model for a part of a split, as :meth:`GraphTask.evaluate` takes them.

    They are those by which :func:`~graphtasks.fit` scores the part: on the whole graph where the task has one
    to predict nodes of, also where it was trained in batches; on the graphs or snapshots of the part in batches; for
    pairs of nodes by the messages of the part.

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
        OutOfMemoryError: The memory does not hold the prediction.

    >>> from torch_geometric.nn.models import GCN
    >>> import graphtasks
    >>> task = graphtasks.load("karate")
    >>> predict(GCN(34, 4, 2, 2), task).shape
    torch.Size([34, 2])
    """
    kind, config, device = kinds.find(task.kind), config or FitConfig(), device_of(model)
    # PyG's loaders draw from torch's generator even where they shuffle nothing.
    with evaluating(model), seeded(config.seed, device), memory_errors(task.name, kind.less_memory(task)):
        return kind.predictor(task, split, part, config, device).predict(model, part)


def score_pairs(model: nn.Module, task: GraphTask, pairs: Tensor, split: int = 0, *, part: Part = "test") -> Tensor:
    """Scores of pairs of nodes of your own, by a model that was trained on a link task.

    Args:
        model: The trained model.
        task: A link task.
        pairs: Pairs of nodes (2, M) of int64.
        split: Index of the split that the model was trained on.
        part: The part whose messages the model gets; 'test' has all that a split allows.

    Returns:
        Scores (M,) before a sigmoid, on the model's device: the higher, the likelier is a link.

    Raises:
        InvalidDataError: The task has no links, the pairs are none of its nodes, or what the model gives does not fit.
        OutOfMemoryError: The memory does not hold the prediction.
    """
    if task.kind != "link":
        raise InvalidDataError(f"only link tasks have pairs to score, but {task.name!r} is of kind {task.kind!r}")
    check_edges(pairs, task.num_nodes, f"the pairs for {task.name}")
    device = device_of(model)
    with evaluating(model), memory_errors(task.name, kinds.find(task.kind).less_memory(task)):
        data = copy.copy(task.graph(split, part)).to(device)
        data.x = sparse_features(data.x)
        with bounded_messages(model, data.num_edges):
            z = forward(model, data)
        blocks = pairs.to(device).split(MAX_PAIRS, dim=1)
        return torch.cat([pair_scores(model, z, data, block) for block in blocks])


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
