"""Do gates on DMD modes forecast series on graphs better than gates on the graph, than none, and than linear models?

Linear models, fitted in closed form to the training part, with rank and ridge by validation as all hyperparameters:

- `persistence`: the last known value of the node; `mean`: the node's mean.
- `ar`: an autoregression of the last values of the node, with intercept, the same for all nodes.
- `dmd`: DMD of the delay-embedded states, `DMD(delays=lags)`, applied until the step to predict; nothing is centred or
  scaled.

Gated recurrent units of 16 hidden channels that read the snapshot's `x` step by step, with linear readout:

- `gru`: nodes alone; `gcn-gru`: GCN layers and a linear skip term in all gates.
- `dmd-gru`: the modes of the training states and a linear skip term; `dmd-gru-graph`: the same with the modes of the
  states' propagation on the graph.

Linear models read the last values of the target. Where these are not in `x`, as in twitter-tennis, units read features
and target of the last four snapshots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from scores import main
from torch import Tensor, nn
from torch.nn import Parameter
from torch_geometric.data import Data

from dmdgnn import DMD, RankError
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn.dmd_gru import DMDGRU
from dmdgnn.series import AddSeriesModes
from dmdgnn.transforms import AddDMDModes
from gnndiff.models.gcn_gru import GCNGRU
from graphtasks import Contender, DivergedError, FitConfig, GraphTask

TASKS = ("chickenpox", "pedalme", "twitter-tennis-rg17", "twitter-tennis-uo17", "advection")
HIDDEN = 16
STEPS = 4
TRAINING: dict[str, Sequence[Any]] = {"lr": [0.003, 0.01, 0.03], "weight_decay": [5e-4, 5e-3], "dropout": [0.0, 0.2]}
RANKS = (1, 2, 4, 16)
# Closed-form models are evaluated by the loop that trains the others.
FIXED: dict[str, Sequence[Any]] = {"lr": [0.0], "epochs": [1]}


def with_history(task: GraphTask) -> GraphTask:
    """The task with the last known values of the target as `history` (N, steps) of each snapshot.

    Where they are not the features, as in twitter-tennis, `x` becomes features and target of each of the last `STEPS`
    snapshots, oldest first, zeros before the first.
    """
    graphs = task.graphs
    if horizon(task) is not None:
        return task.transform(_each([{"history": graph.x} for graph in graphs]))
    targets = [torch.zeros_like(graphs[0].y), *(graph.y for graph in graphs[:-1])]
    steps = [torch.cat([graph.x, y.unsqueeze(1)], dim=1) for graph, y in zip(graphs, targets, strict=True)]
    steps = [torch.zeros_like(steps[0])] * (STEPS - 1) + steps
    width = steps[0].size(1)
    x = [torch.cat(steps[i : i + STEPS], dim=1) for i in range(len(graphs))]
    return task.transform(_each([{"x": row, "history": row[:, width - 1 :: width]} for row in x]))


def _each(values: Sequence[Mapping[str, Tensor]]) -> Callable[[Data], Data]:
    """A transform that sets attributes of the snapshots, one after the other."""
    remaining = iter(values)
    return lambda data: data.update(dict(next(remaining)))


def horizon(task: GraphTask) -> int | None:
    """How many snapshots after its own a target is the last column of `x`; None where it never is."""
    graphs = task.part(0, "train")
    for ahead in range(1, len(graphs)):
        if all(torch.equal(graphs[i].y, later.x[:, -1]) for i, later in enumerate(graphs[ahead:])):
            return ahead
    return None


def known_horizon(task: GraphTask) -> int:
    """The same of a task with `history`."""
    ahead = horizon(task)
    assert ahead is not None
    return ahead


def states(task: GraphTask) -> Tensor:
    """All values (N, T) of the target that the training part holds, as `history` and as `y`, oldest first."""
    graphs = task.part(0, "train")
    known = [graphs[0].history, *(graph.history[:, -1:] for graph in graphs[1:])]
    return torch.cat([*known, *(graph.y.unsqueeze(1) for graph in graphs[-known_horizon(task) :])], dim=1)


def with_series_modes(task: GraphTask, rank: int) -> GraphTask:
    """The task with history and the DMD modes of its training states, as many steps ahead as the target."""
    task = with_history(task)
    try:
        return task.transform(AddSeriesModes(states(task), rank, stride=known_horizon(task)))
    except RankError as error:
        raise DivergedError(str(error)) from error


def with_graph_modes(task: GraphTask, rank: int) -> GraphTask:
    """The task with history and the modes of the propagation of its training states on the graph of each snapshot."""
    task = with_history(task)
    dynamics = FeaturePropagation(burn_in=2, direction="forward" if task.directed else "undirected")
    add, x = AddDMDModes(rank, dynamics=dynamics), states(task)

    def transform(data: Data) -> Data:
        modes = add(Data(x=x, edge_index=data.edge_index, edge_weight=data.get("edge_weight")))
        return data.update({"dmd_modes": modes.dmd_modes, "dmd_eigs": modes.dmd_eigs})

    try:
        return task.transform(transform)
    except RankError as error:
        raise DivergedError(str(error)) from error


class Persistence(nn.Module):
    """The last known value, times a factor that stays 1."""

    def __init__(self, task: GraphTask) -> None:
        super().__init__()
        self.factor = Parameter(torch.ones(()))

    def forward(self, history: Tensor) -> Tensor:
        """Forecasts (N,)."""
        return self.factor * history[:, -1]


class NodeMean(nn.Module):
    """The mean of the node's training states."""

    def __init__(self, task: GraphTask) -> None:
        super().__init__()
        self.mean = Parameter(states(task).mean(dim=1))

    def forward(self, history: Tensor) -> Tensor:
        """Forecasts (N,)."""
        return self.mean.repeat(len(history) // len(self.mean))


class Autoregression(nn.Module):
    """Least squares on the last values of a node, with a penalty of `ridge` times the variance of the values."""

    def __init__(self, task: GraphTask, ridge: float) -> None:
        super().__init__()
        graphs = task.part(0, "train")
        x, y = (torch.cat([graph[key] for graph in graphs]).double() for key in ("history", "y"))
        centred = x - x.mean(dim=0)
        gram = centred.T @ centred + ridge * x.var() * torch.eye(x.size(1), dtype=x.dtype)
        weight = torch.linalg.solve(gram, centred.T @ y)
        self.weight = Parameter(weight.float())
        self.bias = Parameter((y.mean() - x.mean(dim=0) @ weight).float())

    def forward(self, history: Tensor) -> Tensor:
        """Forecasts (N,)."""
        return history @ self.weight + self.bias


class DMDForecast(nn.Module):
    """The newest states of a power of the operator on delay-embedded states, as its two factors."""

    def __init__(self, task: GraphTask, rank: int, ridge: float) -> None:
        super().__init__()
        series, lags = states(task), task.graphs[0].history.size(1)
        try:
            # The operator's entries do not depend on the unit of the states, nor should the penalty.
            dmd = DMD(rank, delays=lags, ridge=ridge * float(series.square().mean())).fit(series)
        except RankError as error:
            raise DivergedError(str(error)) from error
        operator = dmd.operator.power(known_horizon(task))
        core = operator.core if operator.core.dim() == 2 else operator.core.diag()
        self.left = Parameter((operator.left @ core)[-len(series) :])
        self.right = Parameter(operator.right.clone())

    def forward(self, history: Tensor) -> Tensor:
        """Forecasts (N,), of snapshots one after another."""
        lags = history.size(1)
        embedded = history.view(-1, len(self.left), lags).transpose(1, 2).flatten(1)
        return (embedded @ self.right @ self.left.T).flatten()


class GRU(nn.Module):
    """The unit of the others without a graph."""

    def __init__(self, in_channels: int, hidden_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        self.gru = nn.GRU(in_channels, hidden_channels, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.lin = nn.Linear(hidden_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Forecasts (N, out_channels)."""
        states, _ = self.gru(x.view(len(x), -1, self.gru.input_size))
        out: Tensor = self.lin(self.dropout(states[:, -1]))
        return out


def closed(model: Callable[..., nn.Module], **space: Sequence[Any]) -> Callable[[GraphTask], Contender]:
    """A contender that is fitted when it is built."""
    return lambda task: Contender("", partial(_built, model), {**FIXED, **space}, with_history)


def _built(model: Callable[..., nn.Module], task: GraphTask, **settings: Any) -> nn.Module:
    return model(task, **settings)


def gated(
    model: Callable[..., nn.Module], prepare: Callable[..., GraphTask] = with_history
) -> Callable[[GraphTask], Contender]:
    """A contender that is trained; one with modes has their rank as a hyperparameter more."""

    def build(task: GraphTask, **settings: Any) -> nn.Module:
        steps = task.graphs[0].history.size(1)
        return model(task.num_features // steps, HIDDEN, task.num_outputs, **settings)

    def contender(task: GraphTask) -> Contender:
        ranks = {} if prepare is with_history else {"rank": [rank for rank in RANKS if rank <= task.num_nodes]}
        return Contender("", build, {**TRAINING, **ranks}, prepare)

    return contender


RIDGES = [0.0, 10.0, 100.0, 1000.0]
MODELS = {
    "persistence": closed(Persistence),
    "mean": closed(NodeMean),
    "ar": closed(Autoregression, ridge=RIDGES),
    "dmd": closed(DMDForecast, rank=[1, 2, 4, 8, 16, 32], ridge=RIDGES),
    "gru": gated(GRU),
    "gcn-gru": gated(GCNGRU),
    "dmd-gru": gated(DMDGRU, with_series_modes),
    "dmd-gru-graph": gated(DMDGRU, with_graph_modes),
}

if __name__ == "__main__":
    config = FitConfig(epochs=100, patience=30, batch_size=32)
    main(__doc__, tasks=TASKS, models=MODELS, config=config, tuning_splits=(0,))
