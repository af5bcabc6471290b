"""Graphs as users have them, and what of a task can be read from them."""

from __future__ import annotations

import warnings
from typing import cast

import networkx as nx
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import from_networkx

from graphtasks.errors import InvalidDataError
from graphtasks.kinds.base import Kind
from graphtasks.splits import PARTS, Split, mask_splits


def as_data(graph: Data | nx.Graph, name: str) -> Data:
    """A graph, converted where it is one of networkx."""
    if not isinstance(graph, nx.Graph):
        return graph
    if graph.number_of_nodes() == 0:
        raise InvalidDataError(f"the graph of {name!r} is empty: give it at least one node")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Creating a tensor from a list of numpy.ndarrays")
            data = from_networkx(graph)
    except ValueError as error:
        raise InvalidDataError(f"the networkx graph of {name!r} cannot be converted: {error}") from error
    if data.get("weight") is not None and data.get("edge_weight") is None:  # networkx's name of it
        data.edge_weight = data.weight.float()
        del data.weight
    for key in ("x", "y"):  # whose floats are Python's, of double precision
        if isinstance(data.get(key), Tensor) and data[key].is_floating_point():
            data[key] = data[key].float()
    if isinstance(data.get("y"), Tensor) and data.y.dim() == 0:  # the label of the graph
        data.y = data.y.view(1)
    return data


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
