"""Members of families that are drawn from a generator."""

from __future__ import annotations

from torch_geometric.data import Data

from graphtasks.metrics import METRICS
from graphtasks.splits import random_splits
from graphtasks.task import GraphTask


def node_task(name: str, data: Data, *, metric: str, source: str, seed: int) -> GraphTask:
    """A task of the nodes of an undirected graph: 60 % for training, 20 % for validation, 20 % for testing.

    Args:
        name: Name of the member.
        data: A graph with `x` (N, F) and `y` (N,): integers are classes, floats are values.
        metric: Name of the metric.
        source: Model that the graph is drawn from.
        seed: Seed of the split.
    """
    return GraphTask(
        name=name,
        kind="node-regression" if data.y.is_floating_point() else "node",
        data=data,
        splits=random_splits(data.num_nodes, (0.6, 0.2), count=1, seed=seed),
        metric=METRICS[metric],
        directed=False,
        source=source,
        licence="generated",
        protocol="60/20/20 % of the nodes",
    )
