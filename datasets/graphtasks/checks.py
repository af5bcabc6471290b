"""Checks of graphs and of their targets, each with an error that says what to do."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphtasks.errors import DataWarning, InvalidDataError


def check_graph(data: Data, name: str) -> None:
    """Raise `InvalidDataError` unless a graph has features and edges that a model can take."""
    check_features(data, name)
    if data.get("edge_index") is None:
        if data.get("adj_t") is not None:  # of ToSparseTensor, which takes the edges away
            adjacency = data.adj_t
            sparse = isinstance(adjacency, Tensor) and adjacency.layout == torch.sparse_coo
            _check_weights(adjacency.coalesce().values() if sparse else adjacency.values(), "adj_t", name)
            return
        raise InvalidDataError(f"the graph of {name!r} has no `edge_index`: set data.edge_index to (2, E) edges")
    _check_tensor(data.edge_index, "edge_index", name)
    check_edges(data.edge_index, data.num_nodes, name)
    weight = data.get("edge_weight")
    if weight is None:
        return
    _check_tensor(weight, "edge_weight", name)
    if weight.dim() != 1 or len(weight) != data.edge_index.size(1):
        raise InvalidDataError(
            f"`edge_weight` of {name!r} has shape {tuple(weight.shape)}, expected ({data.edge_index.size(1)},)"
        )
    if weight.dtype != torch.float32:
        raise InvalidDataError(
            f"`edge_weight` of {name!r} has dtype {weight.dtype}, expected torch.float32: use data.edge_weight.float()"
        )
    _check_weights(weight, "edge_weight", name)


def _check_weights(weight: Tensor, key: str, name: str) -> None:
    finite = torch.isfinite(weight)
    if not bool(finite.all()):
        raise InvalidDataError(
            f"`{key}` of {name!r} is NaN or infinite for {int((~finite).sum())} edges, first for edge "
            f"{int((~finite).nonzero()[0])}: drop these edges, or give them a weight"
        )
    negative = int((weight < 0).sum())
    if negative:
        warnings.warn(
            f"`{key}` of {name!r} is negative for {negative} of {len(weight)} edges, which makes NaN of degrees whose "
            "root is taken, as GCN does: use its abs(), or drop these edges, unless your model takes signs",
            DataWarning,
            stacklevel=3,
        )


def check_features(data: Data, name: str) -> None:
    """Raise `InvalidDataError` unless `x` is a finite float32 table with a row for each node."""
    if data.get("x") is None:
        raise InvalidDataError(f"the graph of {name!r} has no `x`: set data.x to (N, F) features")
    _check_tensor(data.x, "x", name)
    if not data.num_nodes:
        raise InvalidDataError(f"the graph of {name!r} is empty: give it at least one node")
    x = data.x
    if x.dim() != 2 or len(x) != data.num_nodes or x.size(1) == 0:
        raise InvalidDataError(f"`x` of {name!r} has shape {tuple(x.shape)}, expected ({data.num_nodes}, F) with F > 0")
    if x.dtype != torch.float32:
        raise InvalidDataError(f"`x` of {name!r} has dtype {x.dtype}, expected torch.float32: use data.x.float()")
    # In parts: the check of a wide table at once takes more memory than the table.
    finite = torch.cat([torch.isfinite(rows).all(dim=1) for rows in x.split(1024)])
    if not bool(finite.all()):
        raise InvalidDataError(
            f"`x` of {name!r} is NaN or infinite in {int((~finite).sum())} rows, first in row "
            f"{int((~finite).nonzero()[0])}: drop or impute them, as with torch.nan_to_num"
        )


def check_edges(edge_index: Tensor, num_nodes: int, name: str) -> None:
    """Raise `InvalidDataError` unless edges are pairs of nodes that exist."""
    if edge_index.dim() != 2 or len(edge_index) != 2 or edge_index.dtype != torch.int64:
        raise InvalidDataError(
            f"`edge_index` of {name!r} has shape {tuple(edge_index.shape)} and dtype {edge_index.dtype}, "
            "expected (2, E) of torch.int64"
        )
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes:
        raise InvalidDataError(
            f"`edge_index` of {name!r} names nodes {int(edge_index.min())} to {int(edge_index.max())}, "
            f"but the graph has nodes 0 to {num_nodes - 1}"
        )


def check_classes(y: Tensor | None, num_rows: int, name: str) -> None:
    """Raise `InvalidDataError` unless `y` (rows,) holds int64 classes, -1 where unlabelled."""
    if y is None:
        raise InvalidDataError(f"the graph of {name!r} has no `y`: set data.y to ({num_rows},) labels")
    _check_tensor(y, "y", name)
    if y.dim() != 1 or len(y) != num_rows or y.dtype != torch.int64 or int(y.min()) < -1:
        raise InvalidDataError(
            f"`y` of {name!r} has shape {tuple(y.shape)} and dtype {y.dtype}, "
            f"expected torch.int64 classes of shape ({num_rows},), -1 where unlabelled"
        )


def check_class_numbers(targets: Sequence[Tensor], name: str) -> None:
    """Raise `InvalidDataError` where classes are numbered so sparsely that they are no numbers of classes.

    A model has an output for each number up to the largest.
    """
    targets = [y for y in targets if not y.is_floating_point()]
    largest = max((int(y.max()) for y in targets), default=0)
    if largest < 100:
        return
    labels = torch.cat([y.unique() for y in targets]).unique()
    classes = int((labels >= 0).sum())
    if largest >= 10 * classes + 100:
        raise InvalidDataError(
            f"`y` of {name!r} has {classes} classes with numbers up to {largest}, which a model would have "
            f"{largest + 1} outputs for: number them from 0, as with torch.unique(y, return_inverse=True)[1]"
        )


def check_values(y: Tensor | None, num_rows: int, name: str) -> None:
    """Raise `InvalidDataError` unless `y` (rows,) or (rows, T) holds float32 values, NaN where unlabelled."""
    if y is None:
        raise InvalidDataError(f"the graph of {name!r} has no `y`: set data.y to ({num_rows},) values")
    _check_tensor(y, "y", name)
    if y.dim() not in (1, 2) or len(y) != num_rows or y.dtype != torch.float32 or bool(y.isinf().any()):
        raise InvalidDataError(
            f"`y` of {name!r} has shape {tuple(y.shape)} and dtype {y.dtype}, "
            f"expected finite torch.float32 of shape ({num_rows},) or ({num_rows}, T), NaN where unlabelled"
        )


def _check_tensor(value: object, key: str, name: str) -> None:
    if not isinstance(value, Tensor):
        raise InvalidDataError(f"`{key}` of {name!r} is a {type(value).__name__}, expected a torch.Tensor")
    if value.layout != torch.strided:
        raise InvalidDataError(
            f"`{key}` of {name!r} has layout {value.layout}, expected a dense tensor: use to_dense()"
        )
