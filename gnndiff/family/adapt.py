"""Adaptation of a generated network to a few labels of a graph, which must speak for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import graphtasks
from gnndiff.errors import ConfigError
from gnndiff.family.networks import Networks
from graphtasks import GraphTask, Split
from graphtasks.randomness import seeded
from graphtasks.values import whole

FOLDS = 4
RATE = 0.005


def adapted(networks: Networks, task: GraphTask, start: Tensor, *, epochs: int, split: int = 0) -> Tensor:
    """A vector (P,) after as many epochs on the labels of the train part as cross-validation over them finds.

    Each of four folds of the labels is held out in turn. The number of epochs is that with the least loss of held-out
    labels, if it is smaller than without adaptation by more than its standard error over the labels; else none.

    Args:
        networks: Makes modules of vectors.
        task: A task of nodes of one graph; its train part alone is read.
        start: The generated vector.
        epochs: Epochs at most.
        split: Index of the split.

    Raises:
        ConfigError: The task is of another kind, has fewer labels than folds, or epochs is below 1.
    """
    if task.many or task.kind not in ("node", "node-regression"):
        raise ConfigError(f"got a task of kind {task.kind!r}, expected nodes of one graph to adapt to")
    epochs = whole("epochs", epochs, 1, error=ConfigError)
    nodes = task.split(split).train
    assert isinstance(nodes, Tensor)
    if len(nodes) < FOLDS:
        raise ConfigError(f"got {len(nodes)} labels, expected at least {FOLDS}")
    prepared = networks.prepare(task)
    place = torch.arange(len(nodes)) % FOLDS
    held = torch.empty(epochs + 1, len(nodes))
    for fold in range(FOLDS):
        out = nodes[place == fold]
        for epoch, vector in enumerate(_path(networks, prepared, start, nodes[place != fold], epochs)):
            held[epoch, place == fold] = _losses(networks.load(vector).eval(), prepared, out).detach()
    best = int(held.mean(dim=1).argmin())
    gain = held[0] - held[best]
    if best == 0 or not gain.mean() > gain.std() / len(nodes) ** 0.5:
        return start
    return _path(networks, prepared, start, nodes, best)[-1]


def few_labels(task: GraphTask, count: int, seed: int) -> GraphTask:
    """A task of nodes with `count` labels of its train part, of which half train and half validate."""
    full = task.split(0)
    assert isinstance(full, Split)
    order = torch.randperm(len(full.train), generator=torch.Generator().manual_seed(seed))[:count]
    chosen = full.train[order]
    half = count // 2
    return task.replace(splits=[Split(chosen[:half], chosen[half:], full.test), Split(chosen, full.val, full.test)])


def _path(networks: Networks, prepared: GraphTask, start: Tensor, nodes: Tensor, epochs: int) -> list[Tensor]:
    """Vectors after 0 to `epochs` epochs on some labels."""
    module = networks.load(start)
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
    vectors = [start]
    with seeded(networks.seed):
        for _ in range(epochs):
            module.train()
            optimizer.zero_grad()
            _losses(module, prepared, nodes).mean().backward()
            optimizer.step()
            vectors.append(networks.layout.flatten(module.state_dict()))
    return vectors


def _losses(module: nn.Module, prepared: GraphTask, nodes: Tensor) -> Tensor:
    data = prepared.graph()
    outputs, y = graphtasks.forward(module, data)[nodes], data.y[nodes]
    if prepared.form == "classes":
        return nn.functional.cross_entropy(outputs, y, reduction="none")
    return (outputs.view(len(nodes), -1) - y.view(len(nodes), -1)).square().mean(dim=1)
