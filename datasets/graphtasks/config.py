"""How a model is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from graphtasks.errors import InvalidDataError
from graphtasks.values import check_fields

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}

SCHEDULES = ("constant", "linear", "cosine", "plateau")


@dataclass(frozen=True)
class FitConfig:
    """How a model is trained.

    Args:
        epochs: Upper limit of epochs.
        lr: Learning rate.
        weight_decay: Weight decay of the optimizer.
        optimizer: 'adam', 'adamw' or 'sgd' (with momentum 0.9).
        patience: Stop after this many epochs without a better validation score; None never stops early.
        seed: Seed of what is random in training, as dropout, batches and negatives. The model's initialisation is the
            caller's.
        schedule: Learning rate over the epochs: 'constant'; 'linear' or 'cosine' down to 0; or 'plateau', halved when
            the validation score has not risen for 10 epochs.
        class_weights: Whether all classes count the same in the loss, however many nodes they have.
        batch_size: Graphs or snapshots in a batch (by default 32); training edges in a batch (by default all); with
            `neighbors`, nodes in a batch (by default 1,024); with `clusters`, clusters in a batch (by default 1).
        neighbors: Train nodes of one graph in batches with this many sampled neighbours in each hop, -1 for all.
        clusters: Train nodes of one graph in batches of clusters, of which there are this many.
    """

    epochs: int = 200
    lr: float = 0.01
    weight_decay: float = 5e-4
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    patience: int | None = None
    seed: int = 0
    schedule: Literal["constant", "linear", "cosine", "plateau"] = "constant"
    class_weights: bool = False
    batch_size: int | None = None
    neighbors: tuple[int, ...] | None = None
    clusters: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.epochs < 1:
            raise InvalidDataError(f"got epochs={self.epochs}, expected at least 1")
        if self.lr < 0 or self.weight_decay < 0:
            raise InvalidDataError(
                f"got lr={self.lr} and weight_decay={self.weight_decay}, expected at least 0 for both"
            )
        if self.patience is not None and self.patience < 1:
            raise InvalidDataError(f"got patience={self.patience}, expected at least 1, or None to never stop early")
        if self.optimizer not in OPTIMIZERS:
            raise InvalidDataError(f"got optimizer {self.optimizer!r}, expected one of {', '.join(OPTIMIZERS)}")
        if self.schedule not in SCHEDULES:
            raise InvalidDataError(f"got schedule {self.schedule!r}, expected one of {', '.join(SCHEDULES)}")
        for name in ("batch_size", "clusters"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidDataError(f"got {name}={value}, expected at least 1, or None")
        if self.neighbors is not None and self.clusters is not None:
            raise InvalidDataError("got both neighbors and clusters, expected one of them")
        if self.neighbors is not None and (not self.neighbors or min(self.neighbors) < -1 or 0 in self.neighbors):
            raise InvalidDataError(f"got neighbors={self.neighbors}, expected a positive number or -1 for each hop")
