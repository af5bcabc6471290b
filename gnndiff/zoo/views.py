"""Views of a task: the same with some edges dropped."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import dropout_edge

from graphtasks import GraphTask
from graphtasks.randomness import seeded


@dataclass(frozen=True)
class DropEdges:
    """A transform that drops a share of the edges, with all that belongs to them.

    Graphs of the same edges lose the same ones, so that a series stays one on a single graph.

    Args:
        share: Share of the edges.
        seed: Seed of the choice.
        undirected: Whether an edge and its reverse go together.
    """

    share: float
    seed: int
    undirected: bool

    def __call__(self, data: Data) -> Data:
        """A copy of the graph without some of its edges."""
        data = copy.copy(data)
        attributes = [name for name in data.edge_attrs() if name != "edge_index"]
        with seeded(self.seed):
            edge_index, kept = dropout_edge(data.edge_index, self.share, force_undirected=self.undirected)
        if self.undirected:
            half = len(kept) // 2
            kept = torch.cat([kept[:half], _reverses(data.edge_index, int(data.num_nodes))[kept[:half]]])
        for name in attributes:
            data[name] = data[name][kept]
        data.edge_index = edge_index
        return data


def drop_edges(task: GraphTask, share: float, seed: int) -> GraphTask:
    """The task with a share of the edges of each graph dropped."""
    return task.transform(DropEdges(share, seed, undirected=not task.directed))


def _reverses(edge_index: Tensor, num_nodes: int) -> Tensor:
    """Position (E,) of each edge's reverse; the k-th of parallel edges has the k-th of their reverses."""
    forth, back = edge_index[0] * num_nodes + edge_index[1], edge_index[1] * num_nodes + edge_index[0]
    order = forth.argsort(stable=True)
    keys = forth[order]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device) - torch.searchsorted(keys, keys)
    return order[(torch.searchsorted(keys, back) + rank).clamp(max=len(order) - 1)]
