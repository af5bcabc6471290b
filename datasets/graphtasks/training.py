"""The training loop: full-batch node classification with early stopping, scored at the best validation epoch."""

from __future__ import annotations

import copy
import inspect
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphtasks.errors import DivergedError, InvalidDataError
from graphtasks.randomness import seeded
from graphtasks.task import GraphTask

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
}


@dataclass(frozen=True)
class FitConfig:
    """How a model is trained.

    Args:
        epochs: Upper limit of epochs.
        lr: Learning rate.
        weight_decay: Weight decay of the optimizer.
        optimizer: 'adam', 'adamw' or 'sgd' (with momentum 0.9).
        patience: Stop after this many epochs without a better validation score; None never stops early.
        seed: Seed of what is random in training, as dropout. The model's initialisation is the caller's.
    """

    epochs: int = 200
    lr: float = 0.01
    weight_decay: float = 5e-4
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InvalidDataError(f"got epochs={self.epochs}, expected at least 1")
        if self.patience is not None and self.patience < 1:
            raise InvalidDataError(f"got patience={self.patience}, expected at least 1, or None to never stop early")
        if self.optimizer not in OPTIMIZERS:
            raise InvalidDataError(f"got optimizer {self.optimizer!r}, expected one of {', '.join(OPTIMIZERS)}")


@dataclass(frozen=True)
class FitResult:
    """What a training left: scores at the best validation epoch, the weights there, and the curves.

    Args:
        val: Best validation score.
        test: Test score at that epoch, computed once, after training.
        best_epoch: That epoch, counted from 0.
        seconds: Wall clock of the whole training.
        split_hash: Hash of the split's content.
        state_dict: The model's state at the best epoch.
        loss_curve: Training loss of each epoch.
        val_curve: Validation score of each epoch.
    """

    val: float
    test: float
    best_epoch: int
    seconds: float
    split_hash: str
    state_dict: dict[str, Tensor] = field(repr=False)
    loss_curve: list[float] = field(repr=False)
    val_curve: list[float] = field(repr=False)


def forward(model: nn.Module, data: Data) -> Tensor:
    """Call a model with those attributes of a graph that its `forward` names.

    A model with `forward(x, edge_index, edge_weight=None)` gets `data.x`, `data.edge_index` and, where the graph has
    it, `data.edge_weight`; one that asks for `dmd_modes` gets what the transform of that name stored. Where the graph
    has a sparse matrix `adj_t`, as :class:`~torch_geometric.transforms.ToSparseTensor` makes it, it takes the place of
    `edge_index` and `edge_weight`, as in PyG's own examples.

    Raises:
        InvalidDataError: The graph lacks an attribute that has no default.
    """
    arguments = {}
    sparse = data.get("adj_t") is not None
    for parameter in inspect.signature(model.forward).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if sparse and parameter.name in ("edge_index", "edge_weight"):
            if parameter.name == "edge_index":
                arguments["edge_index"] = data.adj_t
        elif data.get(parameter.name) is not None:
            arguments[parameter.name] = data[parameter.name]
        elif parameter.default is parameter.empty:
            raise InvalidDataError(
                f"{type(model).__name__}.forward needs `{parameter.name}`, which the graph lacks: "
                f"set data.{parameter.name}, or apply the transform that makes it"
            )
    output: Tensor = model(**arguments)
    return output


def fit(
    model: nn.Module,
    task: GraphTask,
    split: int = 0,
    config: FitConfig | None = None,
    *,
    callback: Callable[[int, float, nn.Module], None] | None = None,
) -> FitResult:
    """Train a model by cross entropy on the train part and leave it in the state of its best validation epoch.

    Args:
        model: Any module; see :func:`forward` for how it is called. It is trained where its parameters are.
        task: A node classification task.
        split: Index of the split.
        config: Training settings, by default those of :class:`FitConfig`.
        callback: Called after each epoch as `callback(epoch, validation score, model)`.

    Raises:
        InvalidDataError: The task is of another kind.
        DivergedError: The loss or a prediction is no longer finite.
    """
    if task.kind != "node":
        raise InvalidDataError(f"fit trains tasks of kind 'node', got {task.name!r} of kind {task.kind!r}")
    config = config or FitConfig()
    start = time.perf_counter()
    device = next((parameter.device for parameter in model.parameters()), None)
    if device is None:
        raise InvalidDataError(f"{type(model).__name__} has no parameters: there is nothing to train")
    data = copy.copy(task.data).to(device)
    train = task.split(split).train.to(device)
    sign = 1.0 if task.metric.direction == "maximize" else -1.0
    momentum: dict[str, Any] = {"momentum": 0.9} if config.optimizer == "sgd" else {}
    optimizer = OPTIMIZERS[config.optimizer](
        model.parameters(),
        lr=config.lr,  # type: ignore[call-arg]
        weight_decay=config.weight_decay,
        **momentum,
    )

    best_val, best_epoch, best_state = -math.inf, 0, copy.deepcopy(model.state_dict())
    losses: list[float] = []
    vals: list[float] = []
    with seeded(config.seed, device):
        for epoch in range(config.epochs):
            model.train()
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(forward(model, data)[train], data.y[train])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if not math.isfinite(losses[-1]):
                raise DivergedError(f"the training loss is {losses[-1]} in epoch {epoch}: lower the learning rate")

            model.eval()
            with torch.no_grad():
                val = task.evaluate(forward(model, data), split, "val")
            vals.append(val)
            if sign * val > best_val:
                best_val, best_epoch, best_state = sign * val, epoch, copy.deepcopy(model.state_dict())
            if callback is not None:
                callback(epoch, val, model)
            if config.patience is not None and epoch - best_epoch >= config.patience:
                break

    model.load_state_dict(best_state)
    model.eval()
    with torch.no_grad():
        test = task.evaluate(forward(model, data), split, "test")
    return FitResult(
        val=sign * best_val,
        test=test,
        best_epoch=best_epoch,
        seconds=time.perf_counter() - start,
        split_hash=task.split(split).hash,
        state_dict=best_state,
        loss_curve=losses,
        val_curve=vals,
    )
