"""Graphs as users bring them: made PyG's `Data`, or refused with what to do."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, cast

import networkx as nx
import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset, HeteroData
from torch_geometric.utils import from_networkx

from graphtasks.errors import DataWarning, InvalidDataError
from graphtasks.kinds.base import Kind
from graphtasks.splits import PARTS, Split, mask_splits

EXPECTED = "expected torch_geometric.data.Data, a networkx graph, or a sequence of them"

# Attributes that have a use of their own.
_KNOWN = ("x", "y", "pos", "edge_index", "edge_weight", "edge_type", "edge_label", "edge_label_index")


def as_graphs(data: Data | nx.Graph | Sequence[Data | nx.Graph], name: str) -> list[Data]:
    """The graphs of a task, one or many.

    Raises:
        InvalidDataError: They are something else than graphs, or cannot be converted.
    """
    if isinstance(data, Iterable) and not isinstance(data, _NO_SEQUENCE) and not _is_table(data):
        return [as_data(graph, name) for graph in data]
    if isinstance(data, Dataset):
        return [as_data(data[i], name) for i in range(len(data))]
    return [as_data(data, name)]


_NO_SEQUENCE = (Data, HeteroData, Dataset, nx.Graph, Tensor, str, bytes, os.PathLike, dict)


def as_data(graph: Any, name: str) -> Data:
    """A graph, converted where it is one of networkx, with warnings of what in it has no use.

    Raises:
        InvalidDataError: It is something else than a graph, or cannot be converted.
    """
    if isinstance(graph, nx.Graph):
        return _of_networkx(graph, name)
    if not isinstance(graph, Data):
        raise InvalidDataError(f"the graph of {name!r} is {_what_it_is(graph)}; {EXPECTED}")
    if graph.get("edge_index") is None and graph.get("adj_t") is not None:
        raise InvalidDataError(
            f"the graph of {name!r} has `adj_t` but no `edge_index`: pass it as it was before ToSparseTensor, which "
            "`task.transform(ToSparseTensor())` applies"
        )
    if isinstance(graph.get("x"), Tensor):  # by which PyG counts nodes
        _warn_of_unused(graph, [key for key in graph.keys() if graph.is_edge_attr(key)], name)  # noqa: SIM118
    return graph


def _is_table(value: object) -> bool:
    return type(value).__module__.partition(".")[0] in ("pandas", "polars", "numpy", "scipy")


def _what_it_is(value: object) -> str:
    """Description of an object that is no graph, and what to do."""
    kind = type(value).__name__
    if value is None:
        return "None: was it read at all"
    if isinstance(value, str | os.PathLike):
        return f"a path, {os.fspath(value)!r}: read .npz files with `from_folder`, tasks of the catalogue with `load`"
    if isinstance(value, HeteroData):
        return "a HeteroData of several types of nodes: use its `to_homogeneous()`"
    if isinstance(value, Tensor) or _is_table(value):
        return (
            f"a {kind}: make a graph of edges with `networkx.from_pandas_edgelist`, and set `x` and `y` of its nodes, "
            "or `Data(x=..., y=..., edge_index=...)`; values over time go to `from_series`"
        )
    return f"a {kind}"


def _of_networkx(graph: nx.Graph, name: str) -> Data:
    if graph.number_of_nodes() == 0:
        raise InvalidDataError(f"the graph of {name!r} is empty: give it at least one node")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Creating a tensor from a list of numpy.ndarrays")
            data = from_networkx(graph)
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidDataError(f"the networkx graph of {name!r} cannot be converted: {error}") from error
    if data.get("weight") is not None and data.get("edge_weight") is None:  # networkx's name of it
        data.edge_weight = data.weight
        del data.weight
    for key in ("x", "y", "edge_weight"):  # whose floats are Python's, of double precision
        if isinstance(data.get(key), Tensor) and (data[key].is_floating_point() or key == "edge_weight"):
            data[key] = data[key].float()
    if isinstance(data.get("y"), Tensor) and data.y.dim() == 0:  # the label of the graph
        data.y = data.y.view(1)
    of_nodes = {key for _, attributes in graph.nodes(data=True) for key in attributes}
    of_edges = {key for _, _, attributes in graph.edges(data=True) for key in attributes}
    # PyG renames what nodes have, too.
    _warn_of_unused(data, sorted(f"edge_{key}" if key in of_nodes else key for key in of_edges), name)
    return data


def _warn_of_unused(data: Data, of_edges: Iterable[str], name: str) -> None:
    for key in of_edges:
        value = data.get(key)
        if key in _KNOWN or not isinstance(value, Tensor) or value.dtype == torch.bool or value.is_complex():
            continue
        as_weights = f"; as weights of the edges, set data.edge_weight = data.{key}" if value.dim() == 1 else ""
        warnings.warn(
            f"`{key}` of the edges of {name!r} reaches only models whose `forward` names it{as_weights}",
            DataWarning,
            stacklevel=4,
        )


def warn_of_guess(graphs: Sequence[Data], name: str) -> None:
    """Warn where float targets that are taken as values look like classes."""
    targets = [graph.y for graph in graphs if isinstance(graph.get("y"), Tensor)]
    if not graphs or len(targets) < len(graphs) or not all(y.dtype == torch.float32 and y.dim() for y in targets):
        return
    if len({y.shape[1:] for y in targets}) > 1:
        return
    y = torch.cat(targets)
    known = y[~y.isnan()]
    if not known.numel() or not bool(((known == known.round()) & known.isfinite()).all()) or known.min() < 0:
        return
    remedy = "data.y.long()"
    if y.dim() == 2 and y.size(1) > 1:
        if not bool(((y == 0) | (y == 1)).all() and (y.sum(dim=1) == 1).all()):
            return
        seen, taken, remedy = "one 1 in each row", "several labels of 0 and 1", "data.y.argmax(dim=1)"
    else:
        classes = len(known.unique())
        if not 2 <= classes <= min(100, known.numel() - 1):
            return
        seen, taken = f"{classes} different whole numbers", "values to regress"
    warnings.warn(
        f"`y` of {name!r} is of {y.dtype} with {seen} and is taken as {taken}: for classes use {remedy}; "
        "`kind` and `metric` say that it is meant, and silence this",
        DataWarning,
        stacklevel=3,
    )


def guess_kind(graphs: list[Data], many: bool) -> Kind:
    """The kind of task that the targets of graphs make."""
    if any(not isinstance(graph.get("y"), Tensor) or graph.y.dim() == 0 for graph in graphs):
        return "node"  # whose check says what is wrong
    of_nodes = all(graph.get("y") is None or len(graph.y) == graph.num_nodes for graph in graphs)
    if many and not of_nodes:
        return "graph"
    y = graphs[0].get("y") if graphs else None
    return "node-regression" if y is not None and y.is_floating_point() else "node"


def guess_metric(graphs: list[Data]) -> str:
    """Name of the metric that fits the targets of graphs."""
    targets = [graph.y for graph in graphs if isinstance(graph.get("y"), Tensor)]
    if not targets or not targets[0].is_floating_point():
        return "accuracy"
    binary = targets[0].dim() == 2 and all(bool(((y == 0) | (y == 1) | y.isnan()).all()) for y in targets)
    return "ap" if binary else "mse"


def splits_of_masks(graphs: list[Data], name: str, many: bool) -> list[Split]:
    """The splits that the masks of a graph hold, or an error that says how to give them."""
    if many:
        raise InvalidDataError(f"{name!r} has several graphs and no splits: pass `splits`, as `random_splits` makes")
    masks = [graphs[0].get(f"{part}_mask") for part in PARTS]
    if any(mask is None for mask in masks):
        raise InvalidDataError(
            f"{name!r} has no splits: pass `splits`, or set train_mask, val_mask and test_mask on the data"
        )
    return mask_splits(cast(list[Tensor], masks), int(graphs[0].num_nodes))
