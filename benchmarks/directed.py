"""Does a model gain by keeping the direction of edges?

Each model stands beside one of its kind that keeps directions, with two layers, the same choices of learning rate,
weight decay, dropout and hidden units, and the same number of trials:

- `dmdgnn` has a global term on the modes of propagation by the undirected graph, a linear skip term and, where that
  validates better, a GCN layer on the undirected graph as local term; `dmdgnn-dir` has global and local terms along the
  edges and such against them, each with weights of its own. Rank, burn-in and the local term are tuned for both.
- `dmdgnn-dir-both` is `dmdgnn-dir` on the undirected graph: the same model and choices, and no direction.
- `gcn` is GCN on the undirected graph with a linear map beside each layer; `dir-gcn` is PyG's `DirGNNConv` around
  `GCNConv`, with its linear map of the node itself. It reads no edge weights.

On series, the modes are those of the propagation of the training states.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

from scores import main, own
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import DirGNNConv, GCNConv
from torch_geometric.nn.models.basic_gnn import BasicGNN
from torch_geometric.transforms import BaseTransform

from gnndiff.targets import Space, Target, find
from gnndiff.targets.dmdgnn import projected_modes
from gnndiff.targets.dmdgnn_dir import directed_modes
from gnndiff.targets.gcn import GCN
from gnndiff.targets.nodes import NodeTarget
from gnndiff.targets.series import training_states
from graphtasks import Contender, FitConfig, GraphTask

TASKS = ("chameleon-filtered-directed", "cora-ml-directed", "advection")
TRAINING: Space = {"lr": (0.01, 0.005), "weight_decay": (0.0, 5e-4, 5e-3), "dropout": (0.2, 0.5, 0.8), "hidden": (64,)}
# One feature has one mode, but the states of a series have many; and forecasts need less regularisation.
SERIES: Space = {"lr": (0.01, 0.005), "weight_decay": (0.0, 5e-4), "dropout": (0.0, 0.2), "hidden": (16,)}
SERIES_MODES: Space = {"rank": (32, 64, 128), "burn_in": (0, 2), "local": ("none", "gcn")}


class DirGCN(BasicGNN):
    """PyG's directed convolution around GCN's in its network of layers."""

    supports_edge_weight = False
    supports_edge_attr = False

    def init_conv(self, in_channels: int, out_channels: int, **kwargs: Any) -> nn.Module:
        """One layer."""
        return DirGNNConv(GCNConv(in_channels, out_channels, **kwargs))


class DirGCNTarget(NodeTarget):
    """The network of directed convolutions."""

    name = "dir-gcn"

    def build(self, task: GraphTask, *, hidden: int, dropout: float) -> nn.Module:
        """The module."""
        return DirGCN(task.num_features, hidden, 2, task.num_outputs, dropout=float(dropout))


class PlainGCN(GCN):
    """GCN on the edges as they are."""

    name = "gcn"

    def prepare(self, task: GraphTask) -> GraphTask:
        """The task as it is."""
        return task


class OfSeries(Target):
    """A model on the modes of the training states, propagated on the graph of each snapshot.

    Args:
        target: The model.
        modes: Transform that makes its modes, `modes(rank, burn_in)`; None where it has none.
    """

    kinds = frozenset({"temporal"})

    def __init__(self, target: Target, modes: Callable[[int, int], BaseTransform] | None) -> None:
        self.name = target.name  # type: ignore[misc]
        self.build = target.build  # type: ignore[method-assign]
        self.modes = modes
        if modes is not None:
            self.prepare = self._prepare  # type: ignore[method-assign]

    def space(self, task: GraphTask) -> Space:
        """Choices of modes, where it has some."""
        return {} if self.modes is None else SERIES_MODES

    def build(self, task: GraphTask, *args: Any, **setting: Any) -> nn.Module:
        """The module of a setting."""
        raise NotImplementedError  # each object has the one of its model

    def _prepare(self, task: GraphTask, *, rank: int, burn_in: int) -> GraphTask:
        assert self.modes is not None
        transform, states = self.modes(rank, burn_in), training_states(task)
        made: list[tuple[Data, Data]] = []

        def add(data: Data) -> Data:
            graph = Data(x=states, edge_index=data.edge_index, edge_weight=data.edge_weight)
            if not made or not _same(graph, made[0][0]):
                made[:] = [(graph, transform(copy.copy(graph)))]
            return data.update({key: value for key, value in made[0][1].items() if key.startswith("dmd_")})

        return task.transform(add)


def _same(a: Data, b: Data) -> bool:
    return all(a[key] is b[key] or a[key].equal(b[key]) for key in ("edge_index", "edge_weight"))


Modes = Callable[[int, int], BaseTransform]

# A model, its modes, whether it is trained on the undirected graph, and those of its hyperparameters that are fixed.
MODELS: dict[str, tuple[Target, Modes | None, bool, Space]] = {
    "dmdgnn": (find("dmdgnn"), projected_modes, True, {"local": ("none", "gcn")}),
    "dmdgnn-dir": (find("dmdgnn-dir"), directed_modes, False, {}),
    "gcn": (PlainGCN(), None, True, {"skip": (1,)}),
    "dir-gcn": (DirGCNTarget(), None, False, {}),
    "dmdgnn-dir-both": (find("dmdgnn-dir"), directed_modes, True, {}),
}


def contender(name: str, task: GraphTask) -> Contender:
    """A model with the choices that all have on this task."""
    model, modes, undirected, fixed = MODELS[name]
    training = TRAINING
    if task.kind == "temporal":
        training, model = SERIES, OfSeries(model, modes)
    return model.contender(name, task, {**training, **own(model, task), **fixed}, undirected=undirected)


if __name__ == "__main__":
    main(
        __doc__,
        tasks=TASKS,
        models={name: partial(contender, name) for name in MODELS},
        config=FitConfig(epochs=200, patience=40),
        kinds=("node", "node-regression", "temporal"),
        tuning_splits=range(3),
        seconds=6000,
        ours="dmdgnn-dir",
    )
