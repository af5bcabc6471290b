"""Temporal tasks from your own series: a table of values over time, and the graph of its nodes."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphtasks.checks import check_edges
from graphtasks.errors import DataWarning, InvalidDataError
from graphtasks.metrics import metric as find_metric
from graphtasks.scale import Scale
from graphtasks.spelling import did_you_mean
from graphtasks.splits import PARTS, Split, time_splits
from graphtasks.task import GraphTask

if TYPE_CHECKING:
    import pandas as pd


def from_series(
    values: npt.ArrayLike | Tensor | pd.DataFrame,
    edges: npt.ArrayLike | Tensor | pd.DataFrame | nx.Graph,
    lags: int = 4,
    horizon: int = 1,
    standardise: bool = True,
    *,
    target: int = 0,
    splits: Sequence[Split] | None = None,
    metric: str = "mse",
    name: str = "series",
    source: str = "user",
    licence: str = "not stated",
) -> GraphTask:
    r"""A temporal task: from the last values of each node, predict the next ones.

    The snapshot for step :math:`t = L, \dots, T` has as `x` (N, L * F) the features of the steps :math:`t - L` to
    :math:`t - 1`, oldest first, those of a step side by side, and as `y` the target of the steps :math:`t` to
    :math:`t + H - 1`: (N,) for a horizon of 1, else (N, H). In the last H snapshots it is NaN where the series has
    ended. They are in no part, and the output of a model for the very last, `task.graphs[-1]`, is its forecast.

    Splits are by time, 70, 10 and 20 % of the snapshots with a known future. Between two parts, H - 1 snapshots are
    left out whose targets reach into the next part.

    Args:
        values: Series of T steps and N nodes, (T, N) or (T, N, F), as array or tensor; or a pandas table with the time
            as index and a column for each node.
        edges: Edges (2, E) of numbers of nodes, or of a pandas table the columns `source`, `target` and, if there are
            weights, `weight`; each in its direction. Or a networkx graph, whose edges go in both directions unless it
            is directed, with their `weight`. Nodes of tables and graphs have the names of the columns of `values`, or
            the numbers of its columns where these have no names.
        lags: Steps L >= 1 that `x` holds.
        horizon: Steps H >= 1 to predict.
        standardise: Subtract the mean of each node's feature, and divide by its standard deviation, both over the
            steps that the training part sees. `task.scale.restore` turns predictions back.
        target: Feature to predict, from 0 to F - 1.
        splits: Splits of the snapshots, instead of those by time. The split whose training part ends
            first standardises.
        metric: Name of the metric; it scores standardised values where `standardise` is true.
        name: Name of the task.
        source: Where the data come from.
        licence: Licence of the data.

    Raises:
        InvalidDataError: The values are no series of finite numbers, edges name other nodes, or the series is too short
            for the lags, the horizon and three parts.
        UnknownTaskError: There is no such metric.

    Warns:
        DataWarning: The times of a table are not equally far apart, or weights are negative.

    >>> hours = torch.arange(48.0)
    >>> values = torch.stack([hours.sin(), hours.cos()], dim=1)
    >>> task = from_series(values, [[0, 1], [1, 0]], lags=6)
    >>> task.graphs[0].x.shape, len(task.graphs)
    (torch.Size([2, 6]), 43)
    """
    steps, names = _steps(values, name)
    for what, count, limit in (("lags", lags, 1), ("horizon", horizon, 1), ("target", target, 0)):
        if not isinstance(count, int) or isinstance(count, bool) or count < limit:
            raise InvalidDataError(f"got {what} {count!r}, expected a whole number of at least {limit}")
    if target >= steps.size(2):
        raise InvalidDataError(f"got target {target}, but the series has features 0 to {steps.size(2) - 1}")
    edge_index, edge_weight = _edges(edges, names, name)
    check_edges(edge_index, len(names), name)
    known = len(steps) - lags - horizon + 1
    splits = _time_splits(known, horizon, f"{len(steps)} steps with lags {lags} and horizon {horizon}", splits)

    scale = Scale(torch.zeros(len(names)), torch.ones(len(names)))
    if standardise:
        first = min(splits, key=lambda split: int(split.train[-1]))
        seen = (first.train.unsqueeze(1) + torch.arange(lags + horizon)).unique()
        seen = seen[seen < len(steps)]
        mean, std = steps[seen].mean(dim=0), steps[seen].std(dim=0, correction=0)
        std[std <= 1e-12 * mean.abs().clamp(min=1e-12)] = 1.0
        steps = (steps - mean) / std
        scale = Scale(mean[:, target].float(), std[:, target].float())
    steps = steps.float()
    if not bool(steps.isfinite().all()):
        raise InvalidDataError(f"the series {name!r} has numbers beyond torch.float32: use a larger unit")

    data = _snapshots(steps, edge_index, edge_weight, lags, horizon, target)
    return GraphTask(
        name=name,
        kind="temporal",
        data=data,
        splits=splits,
        metric=find_metric(metric),
        directed=data[0].is_directed(),
        source=source,
        licence=licence,
        protocol=f"{horizon} step(s) ahead from the last {lags}, split by time"
        + ("; standardised by the training part" if standardise else ""),
        scale=scale,
    )


def _steps(values: Any, name: str) -> tuple[Tensor, list[Hashable]]:
    """The series (T, N, F) in float64, and the names of its nodes."""
    if type(values).__module__.partition(".")[0] == "pandas":
        array, names = _of_frame(values, name)
    else:
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else _as_array(values, "the series", name)
        names = list(range(array.shape[1])) if array.ndim > 1 else []
    if array.ndim not in (2, 3) or array.dtype.kind not in "iufb" or 0 in array.shape:
        raise InvalidDataError(
            f"the series {name!r} has shape {array.shape} and dtype {array.dtype}, expected numbers (T, N) or "
            "(T, N, F), a row for each step and a column for each node"
        )
    steps = torch.from_numpy(array.astype(np.float64)).view(len(array), len(names), -1)
    missing = ~steps.isfinite()
    if bool(missing.any()):
        step, node, _ = missing.nonzero()[0].tolist()
        raise InvalidDataError(
            f"the series {name!r} is NaN or infinite at {int(missing.sum())} places, first in step {step} of node "
            f"{names[node]!r}: fill them, as with the `interpolate` of a pandas table"
        )
    return steps, names


def _of_frame(frame: Any, name: str) -> tuple[npt.NDArray[Any], list[Hashable]]:
    if getattr(frame, "ndim", 0) != 2:
        raise InvalidDataError(f"the series {name!r} is a {type(frame).__name__} of pandas, expected a DataFrame")
    names = list(frame.columns)
    if frame.columns.nlevels > 1 or len(set(names)) < len(names):
        raise InvalidDataError(f"the columns of {name!r} are no different names: give it one column for each node")
    other = [column for column in names if frame[column].dtype.kind not in "iuf"]
    if other:
        raise InvalidDataError(
            f"the column {other[0]!r} of {name!r} holds {frame[other[0]].dtype}, expected numbers, a column for each "
            "node: make the time the index, by `set_index`, and of a long table a wide one, by `pivot`"
        )
    _check_times(frame.index, name)
    return frame.to_numpy(dtype=np.float64, na_value=np.nan), names


def _check_times(index: Any, name: str) -> None:
    if index.nlevels > 1 or not index.is_monotonic_increasing or not index.is_unique:
        raise InvalidDataError(
            f"the index of {name!r} is no time that increases from row to row: use `sort_index`, after "
            "`pandas.to_datetime` where it is text, and keep one row a step"
        )
    if index.dtype.kind not in "iufM" or len(index) < 3:
        return
    import pandas as pd

    gaps = np.diff(index.to_numpy())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of another type of the answer to come
        even = bool((gaps == gaps[0]).all()) or (index.dtype.kind == "M" and pd.infer_freq(index) is not None)
    if not even and not (index.dtype.kind == "f" and np.allclose(gaps, gaps[0])):
        warnings.warn(
            f"the times of {name!r} are not equally far apart, and its rows are taken as steps all the same: use "
            "`asfreq` or `resample`, and fill what is missing",
            DataWarning,
            stacklevel=5,
        )


def _edges(edges: Any, names: list[Hashable], name: str) -> tuple[Tensor, Tensor | None]:
    """Edges (2, E) between numbers of columns, and weights (E,) if there are any."""
    if isinstance(edges, nx.Graph):
        both = edges if edges.is_directed() else edges.to_directed()
        pairs = [(a, b) for a, b in both.edges()]
        weights = [weight for _, _, weight in both.edges(data="weight")]
        return _numbers(pairs, names, name, list(edges.nodes)), _weights(weights, name)
    if type(edges).__module__.partition(".")[0] == "pandas":
        columns = list(getattr(edges, "columns", []))
        if not {"source", "target"} <= set(columns) <= {"source", "target", "weight"}:
            raise InvalidDataError(
                f"the edges of {name!r} have the columns {', '.join(map(str, columns)) or 'of no table'}, expected "
                "`source`, `target` and, if there are weights, `weight`: rename or drop columns"
            )
        pairs = list(zip(edges["source"], edges["target"], strict=True))
        weights = list(edges["weight"]) if "weight" in columns else []
        return _numbers(pairs, names, name), _weights(weights, name)
    array = edges.detach().cpu().numpy() if isinstance(edges, Tensor) else _as_array(edges, "the edges", name)
    if array.ndim != 2 or len(array) != 2 or (array.size and array.dtype.kind not in "iu"):
        raise InvalidDataError(
            f"the edges of {name!r} have shape {array.shape} and dtype {array.dtype}, expected (2, E) of whole "
            "numbers, a pandas table with `source` and `target`, or a networkx graph"
        )
    return torch.from_numpy(array.astype(np.int64)).contiguous(), None


def _numbers(
    pairs: list[tuple[Hashable, Hashable]], names: list[Hashable], name: str, nodes: Sequence[Hashable] = ()
) -> Tensor:
    """Numbers (2, E) of the columns that pairs of nodes name."""
    number = {node: i for i, node in enumerate(names)}
    for node in (*nodes, *(node for pair in pairs for node in pair)):
        if node not in number:
            hint = did_you_mean(str(node), map(str, names))
            raise InvalidDataError(
                f"the edges of {name!r} name {node!r}, which no column has: {hint}the columns are "
                f"{', '.join(map(repr, names[:6]))}{', ...' if len(names) > 6 else ''}"
            )
    return torch.tensor([(number[a], number[b]) for a, b in pairs], dtype=torch.int64).view(-1, 2).t().contiguous()


def _weights(weights: list[Any], name: str) -> Tensor | None:
    if all(weight is None for weight in weights):
        return None
    try:
        return torch.tensor([float(weight) for weight in weights])
    except (TypeError, ValueError) as error:
        raise InvalidDataError(
            f"some edges of {name!r} have a weight that is no number ({error}): give a number to all of them, or none"
        ) from error


def _time_splits(known: int, horizon: int, what: str, splits: Sequence[Split] | None) -> Sequence[Split]:
    """The splits by time, without snapshots whose targets reach into the next part."""
    if splits is not None:
        last = max((int(split[part][-1]) for split in splits for part in PARTS), default=0)
        if not splits or last >= known:
            raise InvalidDataError(
                f"got splits with snapshot {last}, but {what} leave {max(0, known)} with a known future"
            )
        return splits
    try:
        (split,) = time_splits(max(0, known))
        cut = horizon - 1
        return [Split(split.train[: len(split.train) - cut], split.val[: len(split.val) - cut], split.test)]
    except InvalidDataError as error:
        raise InvalidDataError(
            f"{what} leave {max(0, known)} snapshots, too few for three parts: give a longer series"
        ) from error


def _snapshots(
    steps: Tensor, edge_index: Tensor, edge_weight: Tensor | None, lags: int, horizon: int, target: int
) -> list[Data]:
    """A snapshot for each step from `lags` to the one after the last; all share the graph."""
    graph = {"edge_index": edge_index} | ({} if edge_weight is None else {"edge_weight": edge_weight})
    ended = torch.full((horizon, steps.size(1)), torch.nan)
    targets = torch.cat([steps[:, :, target], ended])
    snapshots = []
    for t in range(lags, len(steps) + 1):
        y = targets[t : t + horizon].t().contiguous()
        x = steps[t - lags : t].transpose(0, 1).flatten(1)
        snapshots.append(Data(x=x.clone(), y=y.view(-1) if horizon == 1 else y, **graph))
    return snapshots


def _as_array(values: Any, what: str, name: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InvalidDataError(f"{what} of {name!r} cannot be read as an array: {error}") from error
