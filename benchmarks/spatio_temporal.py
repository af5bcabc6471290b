"""Do gates on DMD modes forecast series on graphs better than gates on the graph, than none, and than linear models?

Linear models, fitted in closed form to the training part, with rank and ridge by validation as all hyperparameters:

- `persistence`: the last known value of the node; `mean`: the node's mean.
- `ar`: an autoregression of the last values of the node, with intercept, the same for all nodes.
- `dmd`: DMD of the delay-embedded states, `DMD(delays=lags)`, applied until the step to predict; nothing is centred or
  scaled.

Gated recurrent units of 16 hidden channels that read the last values step by step, with linear readout, all with the
same choices of learning rate, weight decay and dropout:

- `gru`: nodes alone; `gcn-gru`: GCN layers and a linear skip term in all gates.
- `dmd-gru`: the modes of the states' propagation on the graph and a linear skip term; `dmd-gru-series`: the same with
  the modes of the training states as a series. Their ranks are tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from scores import grid, main, own
from torch import Tensor, nn
from torch.nn import Parameter
from torch_geometric.data import Data

from dmdgnn import DMD, RankError
from gnndiff.errors import ConfigError
from gnndiff.targets import Space, find
from gnndiff.targets.series import step_channels
from graphtasks import Contender, DivergedError, FitConfig, GraphTask

TASKS = ("pedalme", "chickenpox")
TRAINING: Space = {"lr": (0.003, 0.01), "weight_decay": (5e-4, 5e-3), "dropout": (0.0, 0.2)}
HIDDEN = 16
RIDGES = (0.0, 10.0, 100.0, 1000.0)
# Closed-form models are evaluated by the loop that trains the others.
FIXED: Space = {"lr": [0.0], "epochs": [1]}


def horizon(task: GraphTask) -> int:
    """How many snapshots after its own a target is the last column of `x`."""
    graphs = task.part(0, "train")
    for steps in range(1, len(graphs)):
        if all(map(_is_last, graphs, graphs[steps:])):
            return steps
    raise ConfigError(f"{task.name!r} predicts what is no later value of x: closed forms need values of one series")


def _is_last(graph: Data, later: Data) -> bool:
    return torch.equal(graph.y, later.x[:, -1])


def states(task: GraphTask) -> Tensor:
    """All values (N, T) of the target that the training part holds, as `x` and as `y`, oldest first."""
    graphs = task.part(0, "train")
    known = [graphs[0].x, *(graph.x[:, -1:] for graph in graphs[1:])]
    return torch.cat([*known, *(graph.y.unsqueeze(1) for graph in graphs[-horizon(task) :])], dim=1)


class Persistence(nn.Module):
    """The last known value, times a factor that stays 1."""

    def __init__(self, task: GraphTask) -> None:
        super().__init__()
        self.factor = Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Forecasts (N,)."""
        return self.factor * x[:, -1]


class NodeMean(nn.Module):
    """The mean of the node's training states."""

    def __init__(self, task: GraphTask) -> None:
        super().__init__()
        self.mean = Parameter(states(task).mean(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """Forecasts (N,)."""
        return self.mean.repeat(len(x) // len(self.mean))


class Autoregression(nn.Module):
    """Least squares on the last values of a node, with a penalty of `ridge` times the variance of the values."""

    def __init__(self, task: GraphTask, ridge: float) -> None:
        super().__init__()
        graphs = task.part(0, "train")
        x, y = (torch.cat([graph[key] for graph in graphs]).double() for key in ("x", "y"))
        centred = x - x.mean(dim=0)
        gram = centred.T @ centred + ridge * x.var() * torch.eye(x.size(1), dtype=x.dtype)
        weight = torch.linalg.solve(gram, centred.T @ y)
        self.weight = Parameter(weight.float())
        self.bias = Parameter((y.mean() - x.mean(dim=0) @ weight).float())

    def forward(self, x: Tensor) -> Tensor:
        """Forecasts (N,)."""
        return x @ self.weight + self.bias


class DMDForecast(nn.Module):
    """The newest states of a power of the operator on delay-embedded states, as its two factors."""

    def __init__(self, task: GraphTask, rank: int, ridge: float) -> None:
        super().__init__()
        series, lags = states(task), task.num_features
        try:
            # The operator's entries do not depend on the unit of the states, nor should the penalty.
            dmd = DMD(rank, delays=lags, ridge=ridge * float(series.square().mean())).fit(series)
        except RankError as error:
            raise DivergedError(str(error)) from error
        operator = dmd.operator.power(horizon(task))
        core = operator.core if operator.core.dim() == 2 else operator.core.diag()
        self.left = Parameter((operator.left @ core)[-len(series) :])
        self.right = Parameter(operator.right.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Forecasts (N,), of snapshots one after another."""
        lags = x.size(1)
        embedded = x.view(-1, len(self.left), lags).transpose(1, 2).flatten(1)
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
        hidden, _ = self.gru(x.view(len(x), -1, self.gru.input_size))
        out: Tensor = self.lin(self.dropout(hidden[:, -1]))
        return out


def closed(model: Callable[..., nn.Module], space: Space, task: GraphTask) -> Contender:
    """A contender that is fitted when it is built."""

    def build(task: GraphTask, **settings: Any) -> nn.Module:
        return model(task, **settings)

    return Contender("", build, grid({**FIXED, **space}))


def gru(task: GraphTask) -> Contender:
    """The unit without a graph."""

    def build(task: GraphTask, dropout: float) -> nn.Module:
        return GRU(step_channels(task), HIDDEN, task.num_outputs, dropout)

    return Contender("", build, grid(TRAINING))


def registered(name: str, task: GraphTask, modes: str | None = None) -> Contender:
    """A target."""
    model = find(name)
    fixed = {} if modes is None else {"modes": (modes,)}
    return model.contender(name, task, {**TRAINING, "hidden": (HIDDEN,), **own(model, task), **fixed})


MODELS: dict[str, Callable[[GraphTask], Contender]] = {
    "persistence": partial(closed, Persistence, {}),
    "mean": partial(closed, NodeMean, {}),
    "ar": partial(closed, Autoregression, {"ridge": RIDGES}),
    "dmd": partial(closed, DMDForecast, {"rank": (1, 2, 4, 8, 16, 32), "ridge": RIDGES}),
    "gru": gru,
    "gcn-gru": partial(registered, "gcn-gru"),
    "dmd-gru": partial(registered, "dmdgru", modes="graph"),
    "dmd-gru-series": partial(registered, "dmdgru", modes="series"),
}
# Upper limits of epochs, of epochs without a better validation score, and of snapshots in a batch.
CONFIG = FitConfig(epochs=100, patience=15, batch_size=32)

if __name__ == "__main__":
    main(
        __doc__,
        tasks=TASKS,
        models=MODELS,
        config=CONFIG,
        kinds=("temporal",),
        trials=8,
        tuning_splits=(0,),
        ours="dmd-gru",
    )
