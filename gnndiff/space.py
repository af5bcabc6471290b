"""Target models and their search spaces."""

from __future__ import annotations

import difflib
import itertools
import random
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn.models import GAT, GCN, MLP, GraphSAGE
from torch_geometric.transforms import BaseTransform, Compose, GCNNorm, ToSparseTensor

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DMDGNN
from dmdgnn.transforms import AddDMDModes
from gnndiff.config import Budget
from gnndiff.errors import ConfigError
from gnndiff.nets.symmetric_gcn import SymmetricGCN
from graphtasks import FitConfig, GraphTask

Choice = str | int | float
Params = Mapping[str, Choice]
Space = dict[str, tuple[Choice, ...]]

TRAINING: Space = {
    "optimizer": ("sgd", "adam"),
    "lr": (0.005, 0.01, 0.05, 0.1, 0.5, 1.0),
    "weight_decay": (5e-4, 5e-3, 5e-2),
    "dropout": (0.1, 0.3, 0.5, 0.7, 0.9),
    "hidden": (16, 32, 64),
}
DMD_RANKS = (16, 32, 64, 128)


@dataclass(frozen=True)
class TargetModel:
    """A model whose hyperparameters are searched and whose parameters are generated.

    Args:
        build: `build(task, params)` makes the module.
        own: `own(task)` gives the hyperparameters it has beside those of training.
        prepare: `prepare(params)` gives the transform of the graph that it needs, if any.
    """

    build: Callable[[GraphTask, Params], nn.Module]
    own: Callable[[GraphTask], Space] = lambda task: {}
    prepare: Callable[[Params], Callable[[Data], Data] | None] = lambda params: None

    def space(self, task: GraphTask) -> Space:
        """All hyperparameters with their choices."""
        return TRAINING | self.own(task)


def _pyg(cls: Callable[..., nn.Module], *own: str, **fixed: Any) -> Callable[[GraphTask, Params], nn.Module]:
    def build(task: GraphTask, params: Params) -> nn.Module:
        return cls(
            in_channels=task.num_features,
            hidden_channels=params["hidden"],
            out_channels=task.num_classes,
            num_layers=2,
            dropout=params["dropout"],
            **fixed,
            **{name: params[name] for name in own},
        )

    return build


def _dmd_space(task: GraphTask) -> Space:
    limit = int(torch.linalg.matrix_rank(task.graph().x))
    ranks = tuple(rank for rank in DMD_RANKS if rank <= limit // 2) or (max(1, limit // 2),)
    return {"rank": ranks, "burn_in": (0, 2), "local": (0, 1)}


def _dmd_transform(params: Params) -> AddDMDModes:
    return AddDMDModes(rank=int(params["rank"]), dynamics=FeaturePropagation(burn_in=int(params["burn_in"])))


def _sparse(*transforms: BaseTransform) -> Callable[[Params], Callable[[Data], Data]]:
    """One sparse product for each propagation instead of a gather and a scatter: the same numbers in half the time."""
    transform = Compose([*transforms, ToSparseTensor("edge_weight", remove_edge_index=False, layout=torch.sparse_csr)])

    def prepare(data: Data) -> Data:
        with warnings.catch_warnings():
            # torch warns once a process that CSR is in beta and that its invariants are not checked.
            warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
            prepared: Data = transform(data)
        return prepared

    return lambda params: prepare


def _gcn(task: GraphTask, params: Params) -> nn.Module:
    # The adjacency is normalised once, by the transform; the parameters are those of a GCN that does it itself.
    return _pyg(GCN if task.directed else SymmetricGCN, normalize=False)(task, params)


MODELS = {
    "mlp": TargetModel(_pyg(MLP, norm=None)),
    "gcn": TargetModel(_gcn, prepare=_sparse(GCNNorm())),
    "sage": TargetModel(_pyg(GraphSAGE), prepare=_sparse()),
    "gat": TargetModel(_pyg(GAT, "heads"), own=lambda task: {"heads": (2, 4, 8)}),
    "dmdgnn": TargetModel(_pyg(DMDGNN, "rank", "local", skip=True), own=_dmd_space, prepare=_dmd_transform),
}


def target_model(name: str) -> TargetModel:
    """The target model with this name."""
    if name.lower() not in MODELS:
        close = difflib.get_close_matches(name.lower(), MODELS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ConfigError(f"no target model is called {name!r}: {hint}Use one of {', '.join(MODELS)}")
    return MODELS[name.lower()]


def architecture(params: Params) -> dict[str, Choice]:
    """The hyperparameters that networks must share for their parameters to mean the same."""
    return {name: choice for name, choice in params.items() if name == "hidden" or name not in TRAINING}


def sample_grid(space: Space, count: int | None, seed: int) -> list[Params]:
    """The first `count` configurations of the grid in an order fixed by the seed; None gives the whole grid."""
    grid: list[Params] = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    random.Random(seed).shuffle(grid)
    return grid[:count]


def fit_config(params: Params, limits: Budget, seed: int) -> FitConfig:
    """Training settings of a configuration."""
    return FitConfig(
        epochs=limits.epochs,
        patience=limits.patience,
        lr=float(params["lr"]),
        weight_decay=float(params["weight_decay"]),
        optimizer=params["optimizer"],  # type: ignore[arg-type]
        seed=seed,
    )
