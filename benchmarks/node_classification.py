"""Does the DMD model classify nodes better than known models that are tuned with the same effort?

All models see the same choices of learning rate, weight decay, dropout and hidden units, beside those of their own:
attention heads of GAT, the teleport probability of APPNP and GPRGNN, normalisation of GPS, rank and dynamics of the DMD
model. On tasks with many labels they also see the same choices of depth and, but for those that have them anyway, of
normalisation and of a linear map beside each layer. Directed graphs are made undirected for models that do not use
directions.
"""

from __future__ import annotations

from functools import partial
from typing import cast

from scores import main

from gnndiff.space import Space, target_model
from graphtasks import Contender, FitConfig, GraphTask, Split

TASKS = (
    "cora",
    "citeseer",
    "cora:geom-gcn",
    "citeseer:geom-gcn",
    "cora-ml-directed",
    "texas",
    "wisconsin",
    "cornell",
    "actor",
    "chameleon-filtered",
    "minesweeper",
    "amazon-photo",
    "amazon-computers",
    "coauthor-cs",
)
MODELS = ("mlp", "gcn", "sage", "gat", "appnp", "gprgnn", "gps", "dmdgnn")
# Models that use the direction of edges.
DIRECTED: frozenset[str] = frozenset()

TRAINING: Space = {
    "lr": (0.01, 0.005),
    "weight_decay": (0.0, 5e-4, 5e-3),
    "dropout": (0.2, 0.5, 0.8),
    "hidden": (64,),
}
# With few labels two layers are enough for all models, and more choices would only make their tuning worse.
MANY_LABELS = 1000
DEEP: Space = {"num_layers": (2, 4, 8), "norm": ("none", "batch_norm"), "skip": (0, 1)}


def space(name: str, task: GraphTask) -> Space:
    """The hyperparameters of a model on a task."""
    model = target_model(name)
    deep = len(cast(Split, task.split(0)).train) >= MANY_LABELS
    shape = {key: choices for key, choices in DEEP.items() if deep and key in model.optional}
    return {**TRAINING, **shape, **model.own(task)}


def contender(name: str, task: GraphTask) -> Contender:
    """A model of the registry."""
    undirected = task.directed and name not in DIRECTED
    return target_model(name).contender(name, task, space(name, task), undirected=undirected)


if __name__ == "__main__":
    main(
        __doc__,
        tasks=TASKS,
        models={name: partial(contender, name) for name in MODELS},
        config=FitConfig(epochs=200, patience=40),
        tuning_splits=range(5),
        seconds=300,
    )
