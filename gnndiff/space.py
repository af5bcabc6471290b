"""Search spaces and the configurations in them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping

from gnndiff.config import Budget
from graphtasks import FitConfig

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
