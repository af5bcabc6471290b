"""Forecasts of many steps, each from the ones before it."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from graphtasks.batches import fitting
from graphtasks.calling import forward
from graphtasks.errors import DivergedError, InvalidDataError
from graphtasks.prediction import device_of, evaluating
from graphtasks.splits import Split
from graphtasks.task import GraphTask


def forecast(model: nn.Module, task: GraphTask, steps: int, split: int = 0, *, start: int | None = None) -> Tensor:
    """Forecast a series for many steps, with what was forecast in the place of values that are not known yet.

    Snapshots have as `x` (N, L) the last L values of each node, oldest first, and as `y` the next value (N,) or the
    next values (N, H). The window moves on by the H values of each answer. The graph and all other attributes stay
    those of the first snapshot, since later ones are not known either.

    Args:
        model: A model that was trained on the task.
        task: A series whose features are lags of its targets.
        steps: Number of steps to forecast.
        split: Index of the split whose test part the forecast begins with, so that the targets of that part are what
            it should be.
        start: Index of the snapshot that the forecast begins with, instead; -1 for the last one, which in a task of
            :func:`~graphtasks.from_series` is the future.

    Returns:
        Values (N, steps) in the unit of the targets, on the model's device.

    Raises:
        InvalidDataError: The task is no series of lags, or an argument is out of range.
        DivergedError: A value is no longer finite.
    """
    if task.kind != "temporal":
        raise InvalidDataError(f"only series have steps to come, but {task.name!r} is of kind {task.kind!r}")
    if steps < 1:
        raise InvalidDataError(f"got steps={steps}, expected at least 1")
    first = int(cast(Split, task.split(split)).test[0]) if start is None else start
    count = len(task.graphs)
    if not -count <= first < count:
        raise InvalidDataError(f"got start {first}, but {task.name!r} has {count} snapshots")
    _check_lags(task)
    device = device_of(model)
    snapshot = copy.copy(task.graphs[first])
    known = cast(Tensor, snapshot.x).to(device)
    lags, values = known.size(1), known
    with evaluating(model):
        while values.size(1) - lags < steps:
            snapshot.x = values[:, values.size(1) - lags :]
            batch = Batch.from_data_list([snapshot]).to(device)
            out = fitting(forward(model, batch), batch.y).view(len(values), -1)
            if not bool(out.isfinite().all()):
                step = values.size(1) - lags + 1
                raise DivergedError(f"the forecast is not finite in step {step}: forecast fewer steps")
            values = torch.cat([values, out], dim=1)
    return values[:, lags : lags + steps]


def _check_lags(task: GraphTask) -> None:
    """Raise `InvalidDataError` unless each window is the one before it with the next value behind."""
    for i, (now, then) in enumerate(zip(task.graphs[:-1], task.graphs[1:], strict=True)):
        if not _follows(now, then):
            raise InvalidDataError(
                f"`x` of snapshot {i + 1} of {task.name!r} is not that of snapshot {i} without its oldest value and "
                "with its `y`: a forecast needs features that are the last values of the target alone"
            )


def _follows(now: Data, then: Data) -> bool:
    if now.x.shape != then.x.shape or not torch.equal(now.x[:, 1:], then.x[:, :-1]):
        return False
    following = now.y.view(len(now.x), -1)[:, 0]
    return bool(((then.x[:, -1] == following) | following.isnan()).all())
