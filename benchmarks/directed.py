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

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

from scores import main
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import DirGNNConv, GCNConv
from torch_geometric.nn.models.basic_gnn import BasicGNN

from gnndiff.registry import target_model
from gnndiff.space import Params, Space
from gnndiff.target import TargetModel
from gnndiff.temporal import training_states
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


def _dir_gcn(task: GraphTask, params: Params) -> nn.Module:
    size = task.num_features, int(params["hidden"]), 2, task.num_outputs
    return DirGCN(*size, dropout=float(params["dropout"]))


# A model, whether it is trained on the undirected graph, and those of its hyperparameters that are fixed.
MODELS: dict[str, tuple[TargetModel, bool, Space]] = {
    "dmdgnn": (target_model("dmdgnn"), True, {"local": ("none", "gcn")}),
    "dmdgnn-dir": (target_model("dmdgnn-dir"), False, {}),
    "gcn": (dataclasses.replace(target_model("gcn"), prepare=lambda params: None), True, {"skip": (1,)}),
    "dir-gcn": (TargetModel(_dir_gcn), False, {}),
    "dmdgnn-dir-both": (target_model("dmdgnn-dir"), True, {}),
}


def contender(name: str, task: GraphTask) -> Contender:
    """A model with the choices that all have on this task."""
    model, undirected, fixed = MODELS[name]
    training = TRAINING
    if task.kind == "temporal":
        training, states = SERIES, training_states(task)
        own = SERIES_MODES if model.prepared_by else {}
        prepare = partial(_of_states, states, model.prepare)
        model = dataclasses.replace(model, own=lambda task: own, prepare=prepare)
    return model.contender(name, task, {**training, **model.own(task), **fixed}, undirected=undirected)


def _of_states(
    states: Tensor, prepare: Callable[[Params], Callable[[Data], Data] | None], params: Params
) -> Callable[[Data], Data] | None:
    """The transform that adds to each snapshot the modes of the propagation of the states on its graph."""
    transform = prepare(params)
    if transform is None:
        return None
    made: list[tuple[Data, Data]] = []

    def add(data: Data) -> Data:
        graph = Data(x=states, edge_index=data.edge_index, edge_weight=data.edge_weight)
        if not made or not _same(graph, made[0][0]):
            made[:] = [(graph, transform(graph))]
        return data.update({key: value for key, value in made[0][1].items() if key.startswith("dmd_")})

    return add


def _same(a: Data, b: Data) -> bool:
    return all(a[key] is b[key] or a[key].equal(b[key]) for key in ("edge_index", "edge_weight"))


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
