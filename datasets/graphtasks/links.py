"""Link prediction on the edges of a graph."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import networkx as nx
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import RandomLinkSplit
from torch_geometric.utils import coalesce, is_undirected, remove_self_loops

from graphtasks.checks import check_edges, check_graph
from graphtasks.convert import as_data
from graphtasks.errors import DataWarning, InvalidDataError
from graphtasks.metrics import metric as find_metric
from graphtasks.randomness import seeded
from graphtasks.splits import LinkSplit
from graphtasks.task import GraphTask


def random_link_splits(
    edge_index: Tensor,
    num_nodes: int,
    *,
    undirected: bool,
    val: float = 0.05,
    test: float = 0.1,
    count: int = 10,
    seed: int = 0,
) -> list[LinkSplit]:
    """Random splits of edges by PyG's `RandomLinkSplit`, with as many negatives as edges to predict.

    Self-loops and repeated edges are left out. Negatives are pairs without an edge in the whole graph.

    Args:
        edge_index: Edges (2, E); in both directions for an undirected graph.
        num_nodes: N.
        undirected: Whether both directions of an edge go into the same part.
        val, test: Share of the edges in these parts.
        count: Number of splits; split `i` depends on `seed + i` alone.
        seed: Seed of the first split.

    Raises:
        InvalidDataError: There are too few edges for a part, or too few pairs without one.
    """
    check_edges(edge_index, num_nodes, "the links")
    edge_index = coalesce(remove_self_loops(edge_index)[0], num_nodes=num_nodes)
    if undirected and not is_undirected(edge_index, num_nodes=num_nodes):
        raise InvalidDataError(
            "some edges have no reverse: give both directions, as `to_undirected` does, or undirected=False"
        )
    edges = edge_index.size(1) // 2 if undirected else edge_index.size(1)
    if not 0 < val + test < 1 or int(val * edges) < 1 or int(test * edges) < 1:
        raise InvalidDataError(
            f"{edges} edges with shares {val} and {test} leave a part of the link split empty: "
            "use a graph with more edges, or other shares"
        )
    graph = Data(edge_index=edge_index, num_nodes=num_nodes)
    transform = RandomLinkSplit(
        val, test, is_undirected=undirected, split_labels=True, add_negative_train_samples=False
    )
    splits = []
    for i in range(count):
        with seeded(seed + i), warnings.catch_warnings():
            warnings.filterwarnings("error", "There are not enough negative edges")
            try:
                parts = transform(graph)
            except UserWarning as error:
                raise InvalidDataError(
                    f"the graph has too few pairs without an edge for {int((val + test) * edges)} negatives"
                ) from error
        train_part, val_part, test_part = parts
        splits.append(
            LinkSplit(
                train_part.pos_edge_label_index,
                val_part.pos_edge_label_index,
                test_part.pos_edge_label_index,
                val_part.neg_edge_label_index,
                test_part.neg_edge_label_index,
                undirected,
            )
        )
    return splits


def link_task(
    data: Data | nx.Graph,
    *,
    name: str = "custom-link",
    splits: Sequence[LinkSplit] | None = None,
    metric: str = "roc_auc",
    protocol: str = "splits given by the user",
    source: str = "user",
    licence: str = "not stated",
) -> GraphTask:
    """The task of predicting the edges of a graph.

    Args:
        data: A graph with `x` (N, F) and `edge_index` (2, E), or one of networkx. All other attributes are left out.
        name: Name of the task.
        splits: The splits; by default ten of :func:`random_link_splits`, 5 % to validate and 10 % to test.
        metric: 'roc_auc', 'ap', 'mrr' or 'hits@K'.
        protocol: One line on how the edges are split.
        source: Where the data come from.
        licence: Licence of the data.

    Raises:
        InvalidDataError: The graph cannot be learned from, or has too few edges.
        UnknownTaskError: There is no such metric.
    """
    data = as_data(data, name)
    check_graph(data, name)
    if data.get("edge_weight") is not None:
        warnings.warn(f"`edge_weight` of {name!r} is left out: links are predicted from `x` and edges", DataWarning, 2)
    if splits is None:
        splits = random_link_splits(data.edge_index, data.num_nodes, undirected=data.is_undirected())
        protocol = "85/5/10 % of the edges, as many negatives; 10 random splits, seeds 0 to 9"
    return GraphTask(
        name=name,
        kind="link",
        data=Data(x=data.x),
        splits=splits,
        metric=find_metric(metric),
        directed=not splits[0].undirected,
        source=source,
        licence=licence,
        protocol=protocol,
    )
