"""Views of a task: the same with some edges dropped."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphtasks import GraphTask
from graphtasks.randomness import seeded


@dataclass(frozen=True)
class DropEdges:
    """A transform that drops a share of the edges, with all that belongs to them.

    Graphs of the same edges lose the same ones, so that a series stays one on a single graph.

    Args:
        share: Share of the edges.
        seed: Seed of the choice.
        undirected: Whether an edge and its reverse go together; parallel edges go with a reverse of equal attributes.
    """

    share: float
    seed: int
    undirected: bool

    def __call__(self, data: Data) -> Data:
        """A copy of the graph without some of its edges."""
        data = copy.copy(data)
        attributes = {name: data[name] for name in data.edge_attrs() if name not in ("edge_index", "adj_t")}
        edges = data.edge_index
        with seeded(self.seed):
            kept = torch.rand(edges.size(1)).to(edges.device) >= self.share
        if self.undirected:
            first = (kept & (edges[0] <= edges[1])).nonzero().view(-1)
            loops = edges[0, first] == edges[1, first]
            kept = torch.cat([first, _reverses(edges, list(attributes.values()))[first[~loops]]])
        else:
            kept = kept.nonzero().view(-1)
        if data.get("adj_t") is not None:
            data.adj_t = _without(data.adj_t, edges, edges[:, kept])
        for name, value in attributes.items():
            data[name] = _chosen(value, kept, data.__cat_dim__(name, value))
        data.edge_index = edges[:, kept]
        return data


def drop_edges(task: GraphTask, share: float, seed: int) -> GraphTask:
    """The task with a share of the edges of each graph dropped."""
    return task.transform(DropEdges(share, seed, undirected=not task.directed))


@dataclass(frozen=True)
class DropFeatures:
    """A transform that sets a share of the features of all nodes to 0.

    Args:
        share: Share of the features.
        seed: Seed of the choice.
    """

    share: float
    seed: int

    def __call__(self, data: Data) -> Data:
        """A copy of the graph with other features."""
        data = copy.copy(data)
        with seeded(self.seed):
            kept = torch.rand(data.x.size(1)).to(data.x.device) >= self.share
        data.x = data.x * kept.to(data.x.dtype)
        return data


def view_of(task: GraphTask, edge_drop: float, feature_drop: float, seed: int) -> GraphTask:
    """The task without some of its edges and features; itself where nothing is dropped."""
    if edge_drop:
        task = drop_edges(task, edge_drop, seed)
    return task.transform(DropFeatures(feature_drop, seed)) if feature_drop else task


def _chosen(value: Any, kept: Tensor, dim: int) -> Any:
    if isinstance(value, Tensor):
        return value.index_select(dim, kept.to(value.device))
    if isinstance(value, list | tuple):
        return type(value)(value[i] for i in kept.tolist())
    return value.take(kept.cpu().numpy(), axis=dim)


def _reverses(edges: Tensor, attributes: list[Any]) -> Tensor:
    """Position (E,) of each edge's reverse: the k-th of parallel ones, by their attributes, has the k-th."""
    forth, back = (_pairs(each, int(edges.max()) + 1 if edges.numel() else 1) for each in (edges, edges.flip(0)))
    order = torch.arange(len(forth), device=edges.device)
    for attribute in attributes:
        if isinstance(attribute, Tensor) and len(attribute) == len(forth) > 0:
            rank = attribute.reshape(len(forth), -1).unique(dim=0, return_inverse=True)[1]
            order = order[rank[order].argsort(stable=True)]
    order = order[forth[order].argsort(stable=True)]
    keys = forth[order]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - torch.searchsorted(keys, keys)
    return order[(torch.searchsorted(keys, back) + rank).clamp(max=len(order) - 1)]


def _without(matrix: Tensor, edges: Tensor, kept: Tensor) -> Tensor:
    """A sparse adjacency (targets, sources) without the entries of those pairs that have lost all their edges."""
    entries = matrix.to_sparse_coo().coalesce()
    pairs, before, after = (_pairs(each, len(matrix)) for each in (entries.indices().flip(0), edges, kept))
    stays = torch.isin(pairs, after) | ~torch.isin(pairs, before)
    indices, values = entries.indices()[:, stays], entries.values()[stays]
    cut = torch.sparse_coo_tensor(indices, values, matrix.shape, is_coalesced=True)
    return cut if matrix.layout == torch.sparse_coo else cut.to_sparse(layout=matrix.layout)


def _pairs(edges: Tensor, count: int) -> Tensor:
    """One number (E,) for each pair of nodes."""
    return edges[0] * count + edges[1]
