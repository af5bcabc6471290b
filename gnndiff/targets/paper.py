"""The hyperparameters that the models of the GNN-Diff paper (https://arxiv.org/abs/2410.05697) have in common."""

from __future__ import annotations

from typing import Literal

from gnndiff.targets.base import Space
from graphtasks import GraphTask

Experiment = Literal["small", "link", "large", "long-range"]

LARGE_GRAPH = 50_000
"""Number of nodes from which on a graph is a large one: the paper's have 89,250 (Flickr) and more."""

_SMALL: Space = {
    "optimizer": ("sgd", "adam"),
    "lr": (0.005, 0.01, 0.05, 0.1, 0.5, 1.0),
    "weight_decay": (5e-4, 5e-3, 5e-2),
    "dropout": (0.1, 0.3, 0.5, 0.7, 0.9),
    "hidden": (16, 32, 64),
}

PAPER: dict[Experiment, Space] = {
    "small": _SMALL,
    "link": _SMALL,
    "large": {
        "optimizer": ("adam",),
        "lr": (0.0005, 0.005, 0.05),
        "weight_decay": (5e-4, 5e-3),
        "dropout": (0.1, 0.3, 0.7),
        "hidden": (64, 128, 256),
    },
    "long-range": {
        "optimizer": ("adamw",),
        "lr": (0.0005, 0.001, 0.005),
        "weight_decay": (5e-4, 5e-3),
        "dropout": (0.1, 0.3),
        "hidden": (192, 256),
        "residual": (True,),
        "norm": ("batch_norm",),
    },
}

LAYERS: Space = {"num_layers": (8, 10)}
HOPS: Space = {"K": (8, 10)}


def experiment(task: GraphTask) -> Experiment:
    """The experiment of the paper that a task is nearest to: many graphs stand for long range."""
    if task.kind == "link":
        return "link"
    if task.many and task.kind != "temporal":
        return "long-range"
    return "large" if task.num_nodes >= LARGE_GRAPH else "small"
