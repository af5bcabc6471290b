"""The training loop: early stopping, schedules, and the test score at the best validation epoch."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from graphtasks import kinds
from graphtasks.batches import Batches
from graphtasks.config import OPTIMIZERS, FitConfig
from graphtasks.errors import DivergedError, InvalidDataError
from graphtasks.memory import memory_errors, peak_memory
from graphtasks.metrics import Metric
from graphtasks.metrics import metric as find_metric
from graphtasks.prediction import device_of
from graphtasks.randomness import seeded
from graphtasks.task import GraphTask
from graphtasks.values import texts


@dataclass(frozen=True, repr=False)
class FitResult:
    """Result of a training: scores at the best validation epoch, the weights there, and the curves.

    Args:
        val: Best validation score.
        test: Test score at that epoch, computed once, after training.
        best_epoch: That epoch, counted from 0.
        seconds: Wall clock of the whole training.
        split_hash: Hash of the split's content.
        state_dict: The model's state at the best epoch.
        loss_curve: Training loss of each epoch, the mean over its targets.
        val_curve: Validation score of each epoch.
        epoch_seconds: Wall clock of each epoch, with its validation.
        peak_memory: Peak memory of the training in bytes, as :func:`~graphtasks.memory.peak_memory` counts it.
        threads: Threads of torch that it was computed with, see :func:`graphtasks.threads`.
        others: Test scores of further metrics at the best epoch, by their names.
    """

    val: float
    test: float
    best_epoch: int
    seconds: float
    split_hash: str
    state_dict: dict[str, Tensor]
    loss_curve: list[float]
    val_curve: list[float]
    epoch_seconds: list[float]
    peak_memory: int
    threads: int
    others: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"FitResult(val={self.val:.4g}, test={self.test:.4g}, best_epoch={self.best_epoch} of "
            f"{len(self.val_curve)}, {self.seconds:.3g} s, {self.peak_memory / 2**20:.0f} MiB, threads={self.threads})"
        )

    @property
    def seconds_per_epoch(self) -> float:
        """Median wall clock of an epoch."""
        return statistics.median(self.epoch_seconds)


def fit(
    model: nn.Module,
    task: GraphTask,
    split: int = 0,
    config: FitConfig | None = None,
    *,
    callback: Callable[[int, float, nn.Module], None] | None = None,
    metrics: Sequence[str] = (),
) -> FitResult:
    """Train a model on the train part and leave it in the state of its best validation epoch.

    Nodes of one graph are trained all at once, unless the config asks for batches; tasks of several graphs and series
    in batches of graphs; links by the messages of the train part, with as many negatives drawn anew in each step. The
    loss is :func:`~graphtasks.losses.training_loss`.

    Args:
        model: Any module; see :func:`forward` for how it is called. It is trained where its parameters are. For links
            it makes a row for each node, and pairs are scored by their inner product or by the model's
            `decode(z, pairs)` or `decode(z, pairs, messages)`, before a sigmoid.
        task: A task of any kind.
        split: Index of the split.
        config: Training settings, by default those of :class:`FitConfig`.
        callback: Called after each epoch as `callback(epoch, validation score, model)`.
        metrics: Names of further metrics that score the test predictions. The best epoch is that of the task's metric.

    Raises:
        InvalidDataError: The config or a metric does not fit the task, or what the model gives does not.
        DivergedError: The loss or a prediction is no longer finite.
        OutOfMemoryError: The memory does not hold the training.
    """
    config = FitConfig() if config is None else config
    if not isinstance(config, FitConfig):
        raise InvalidDataError(f"got a config of type {type(config).__name__}, expected FitConfig(...)")
    start = time.perf_counter()
    if next(model.parameters(), None) is None:
        raise InvalidDataError(f"{type(model).__name__} has no parameters: there is nothing to train")
    device, kind = device_of(model), kinds.find(task.kind)
    others = {name: task.replace(metric=find_metric(name)) for name in texts("metrics", metrics)}
    best_val, best_epoch, best_state = math.nan, 0, copy.deepcopy(model.state_dict())
    losses: list[float] = []
    vals: list[float] = []
    seconds: list[float] = []
    with seeded(config.seed, device), peak_memory(device) as peak, memory_errors(task.name, kind.less_memory(task)):
        batches = kind.batches(task, split, config, device)
        optimizer = _optimizer(model, config)
        scheduler = _scheduler(optimizer, config, task.metric)
        for epoch in range(config.epochs):
            epoch_start = time.perf_counter()
            losses.append(_train_epoch(model, batches, optimizer, epoch))
            model.eval()
            with torch.no_grad():
                val = task.evaluate(batches.predict(model, "val"), split, "val")
            vals.append(val)
            seconds.append(time.perf_counter() - epoch_start)
            if task.metric.better(val, best_val):
                best_val, best_epoch, best_state = val, epoch, copy.deepcopy(model.state_dict())
            if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
                scheduler.step(val)
            elif scheduler is not None:
                scheduler.step()
            if callback is not None:
                callback(epoch, val, model)
            if config.patience is not None and epoch - best_epoch >= config.patience:
                break
        model.load_state_dict(best_state)
        model.eval()
        with torch.no_grad():
            pred = batches.predict(model, "test")
            test = task.evaluate(pred, split, "test")
            other_scores = {name: scored.evaluate(pred, split, "test") for name, scored in others.items()}
    return FitResult(
        val=best_val,
        test=test,
        best_epoch=best_epoch,
        seconds=time.perf_counter() - start,
        split_hash=task.split(split).hash,
        state_dict=best_state,
        loss_curve=losses,
        val_curve=vals,
        epoch_seconds=seconds,
        peak_memory=peak.bytes,
        threads=torch.get_num_threads(),
        others=other_scores,
    )


def _train_epoch(model: nn.Module, batches: Batches, optimizer: torch.optim.Optimizer, epoch: int) -> float:
    """One pass over the train part; the mean loss of its targets."""
    model.train()
    total, count = 0.0, 0
    optimizer.zero_grad()
    for loss, size in batches.losses(model):
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        total, count = total + size * loss.item(), count + size
    if not count:
        raise InvalidDataError("no batch of the train part has a labelled target")
    mean = total / count
    if not math.isfinite(mean):
        raise DivergedError(f"the training loss is {mean} in epoch {epoch}: lower the learning rate")
    return mean


def _optimizer(model: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    momentum: dict[str, Any] = {"momentum": 0.9} if config.optimizer == "sgd" else {}
    return OPTIMIZERS[config.optimizer](
        model.parameters(),
        lr=config.lr,  # type: ignore[call-arg]
        weight_decay=config.weight_decay,
        **momentum,
    )


def _scheduler(
    optimizer: torch.optim.Optimizer, config: FitConfig, metric: Metric
) -> lr_scheduler.LRScheduler | lr_scheduler.ReduceLROnPlateau | None:
    if config.schedule == "linear":
        return lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=config.epochs)
    if config.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
    if config.schedule == "plateau":
        mode: Literal["min", "max"] = "max" if metric.direction == "maximize" else "min"
        return lr_scheduler.ReduceLROnPlateau(optimizer, mode=mode, factor=0.5, patience=9, threshold=0.0)
    return None
