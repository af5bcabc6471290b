"""Parts of one graph, as tasks of their own."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import subgraph

from graphtasks.errors import InvalidDataError
from graphtasks.splits import random_splits
from graphtasks.task import GraphTask


def nearest_centres(edge_index: Tensor, num_nodes: int, count: int, seed: int = 0) -> Tensor:
    """For each node (N,) which of `count` random nodes is the fewest edges away, and -1 where none is reached."""
    centres = np.random.default_rng(seed).choice(num_nodes, min(count, num_nodes), replace=False)
    row, col = edge_index.numpy()
    graph = csr_array((np.ones(len(row)), (row, col)), shape=(num_nodes, num_nodes))
    _, _, source = dijkstra(
        graph, directed=False, indices=centres, unweighted=True, min_only=True, return_predecessors=True
    )
    place = np.full(num_nodes, -1)
    place[centres] = np.arange(len(centres))
    return torch.from_numpy(np.where(source >= 0, place[source], -1))


def graph_parts(task: GraphTask, count: int, *, least: int = 50, seed: int = 0) -> list[GraphTask]:
    """Tasks of the parts around random nodes; parts of fewer than `least` nodes or without the last class are left out.

    Raises:
        InvalidDataError: The task is not of nodes of one graph.
    """
    if task.many or task.kind not in ("node", "node-regression"):
        raise InvalidDataError(f"{task.name!r} is of kind {task.kind!r}, expected nodes of one graph to cut into parts")
    data = task.graph()
    place = nearest_centres(data.edge_index, data.num_nodes, count, seed)
    members = []
    for part in range(count):
        nodes = (place == part).nonzero().flatten()
        y = data.y[nodes]
        if len(nodes) < least or (task.form == "classes" and int(y.max()) + 1 != task.num_classes):
            continue
        edges, weight = subgraph(
            nodes, data.edge_index, data.get("edge_weight"), relabel_nodes=True, num_nodes=data.num_nodes
        )
        own = Data(x=data.x[nodes], y=y, edge_index=edges)
        if weight is not None:
            own.edge_weight = weight
        splits = random_splits(len(nodes), count=1, seed=seed + part)
        members.append(task.replace(name=f"{task.name}-{part}", data=own, splits=splits, protocol="a random split"))
    return members
