"""Tasks whose answer lies many hops away."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import networkx as nx
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import coalesce, to_undirected

from graphtasks.errors import InvalidDataError
from graphtasks.metrics import METRICS
from graphtasks.splits import random_splits
from graphtasks.task import GraphTask, Kind

RING_SOURCE = "Bodnar et al. (2021), arXiv:2106.12575, as in Di Giovanni et al. (2023), arXiv:2302.02941"
PROPERTY_SOURCE = "Corso et al. (2020), arXiv:2004.05718, as in Gravina et al. (2023), arXiv:2210.09789"
_PROTOCOL = "80 % of the graphs for training, 10 % for validation, 10 % for test; one random split"


def ring_transfer(
    protocol: str,
    root: Path | None,
    *,
    hops: int = 10,
    num_classes: int = 5,
    num_graphs: int = 2000,
    seed: int = 0,
) -> GraphTask:
    r"""Rings of `2 * hops` nodes: tell the class of the node on the other side.

    The source node has the one-hot vector of its class :math:`c`, the target node opposite to it has the features zero,
    all others have ones. Only the target is labelled, with :math:`c`: whatever sees fewer than `hops` hops is
    right for one graph in `num_classes`. The classes are balanced, and nodes are numbered at random in each ring.
    Sources: "Weisfeiler and Lehman Go Cellular: CW Networks" (https://arxiv.org/abs/2106.12575) and "On Over-Squashing
    in Message Passing Neural Networks" (https://arxiv.org/abs/2302.02941).

    Args:
        protocol: Unused: there is one.
        root: Unused: nothing is read.
        hops: Distance between source and target, at least 2.
        num_classes: Number of classes, which is that of features, too.
        num_graphs: Number of rings, at least ten a class.
        seed: Seed of the rings and of the split.
    """
    if hops < 2 or num_classes < 2 or num_graphs < 10 * num_classes:
        raise InvalidDataError(
            f"got hops={hops}, num_classes={num_classes}, num_graphs={num_graphs}, "
            "expected hops >= 2, num_classes >= 2, num_graphs >= 10 * num_classes"
        )
    generator = torch.Generator().manual_seed(seed)
    ring = torch.arange(2 * hops)
    edges = to_undirected(torch.stack([ring, ring.roll(-1)]))
    graphs = []
    for i in range(num_graphs):
        number = torch.randperm(2 * hops, generator=generator)
        source, target, label = number[0], number[hops], i % num_classes
        x = torch.ones(2 * hops, num_classes)
        x[source] = torch.eye(num_classes)[label]
        x[target] = 0.0
        y = torch.full((2 * hops,), -1)
        y[target] = label
        graphs.append(Data(x=x, y=y, edge_index=coalesce(number[edges])))
    return GraphTask(
        name="ring-transfer",
        kind="node",
        data=graphs,
        splits=random_splits(num_graphs, (0.8, 0.1), count=1, seed=seed),
        metric=METRICS["accuracy"],
        directed=False,
        source=RING_SOURCE,
        licence="generated",
        protocol=f"{_PROTOCOL}; the target node is scored",
    )


def shortest_path(
    protocol: str,
    root: Path | None,
    *,
    num_graphs: int = 1000,
    min_nodes: int = 25,
    max_nodes: int = 35,
    seed: int = 0,
) -> GraphTask:
    """Random connected graphs: the distance in hops of each node from a marked source.

    Features (n, 2) are a uniform random number and the mark, 1 at the source and 0 elsewhere. The papers divide
    targets by the largest one and report the logarithm of the error; here they are plain hop counts. The three tasks
    `shortest_path`, `eccentricity` and `diameter` have the same graphs at the same options.

    Graphs are drawn as in "Principal Neighbourhood Aggregation" (https://arxiv.org/abs/2004.05718): Erdős-Rényi or
    Barabási-Albert graphs of random density, trees, caterpillars, lobsters, grids, cliques, ladders, paths and stars,
    in which a tenth of the edges is then moved at random. Graphs that fall apart are put together by an edge between
    random nodes of each part and the next. Used as here by "Anti-Symmetric DGN" (https://arxiv.org/abs/2210.09789).

    Args:
        protocol: Unused: there is one.
        root: Unused: nothing is read.
        num_graphs: Number of graphs, at least 10.
        min_nodes: Fewest nodes of a graph, at least 3.
        max_nodes: Most nodes of a graph.
        seed: Seed of the graphs, the features and the split.
    """

    def distances(graph: nx.Graph, source: int) -> Tensor:
        hops = nx.single_source_shortest_path_length(graph, source)
        return torch.tensor([float(hops[node]) for node in range(len(graph))])

    return _property_task("shortest-path", "node-regression", distances, num_graphs, min_nodes, max_nodes, seed)


def eccentricity(
    protocol: str,
    root: Path | None,
    *,
    num_graphs: int = 1000,
    min_nodes: int = 25,
    max_nodes: int = 35,
    seed: int = 0,
) -> GraphTask:
    """Random connected graphs: the distance in hops of each node from the node farthest from it.

    Features (n, 1) are a uniform random number. Graphs, options and sources are those of :func:`shortest_path`.
    """

    def eccentricities(graph: nx.Graph, source: int) -> Tensor:
        hops = dict(nx.all_pairs_shortest_path_length(graph))
        return torch.tensor([float(max(hops[node].values())) for node in range(len(graph))])

    return _property_task("eccentricity", "node-regression", eccentricities, num_graphs, min_nodes, max_nodes, seed)


def diameter(
    protocol: str,
    root: Path | None,
    *,
    num_graphs: int = 1000,
    min_nodes: int = 25,
    max_nodes: int = 35,
    seed: int = 0,
) -> GraphTask:
    """Random connected graphs: the largest distance in hops between two nodes.

    Features (n, 1) are a uniform random number. Graphs, options and sources are those of :func:`shortest_path`.
    """

    def largest(graph: nx.Graph, source: int) -> Tensor:
        return torch.tensor([[float(nx.diameter(graph, usebounds=True))]])

    return _property_task("diameter", "graph", largest, num_graphs, min_nodes, max_nodes, seed)


def _property_task(
    name: str,
    kind: Kind,
    truth: Callable[[nx.Graph, int], Tensor],
    num_graphs: int,
    min_nodes: int,
    max_nodes: int,
    seed: int,
) -> GraphTask:
    """A task of random graphs whose targets are `truth(graph, source)`."""
    if num_graphs < 10 or not 3 <= min_nodes <= max_nodes:
        raise InvalidDataError(
            f"got num_graphs={num_graphs}, min_nodes={min_nodes}, max_nodes={max_nodes}, "
            "expected num_graphs >= 10 and 3 <= min_nodes <= max_nodes"
        )
    generator = torch.Generator().manual_seed(seed)
    # networkx draws from Python's generators.
    rng = random.Random(int(torch.randint(2**62, (), generator=generator)))
    graphs = []
    for _ in range(num_graphs):
        graph = _random_graph(rng.randint(min_nodes, max_nodes), rng)
        source = rng.randrange(len(graph))
        x = torch.rand(len(graph), 1, generator=generator)
        if name == "shortest-path":
            x = torch.cat([x, torch.eye(len(graph))[:, [source]]], dim=1)
        edge_index = to_undirected(torch.tensor(list(graph.edges)).t())
        graphs.append(Data(x=x, y=truth(graph, source), edge_index=edge_index))
    return GraphTask(
        name=name,
        kind=kind,
        data=graphs,
        splits=random_splits(num_graphs, (0.8, 0.1), count=1, seed=seed),
        metric=METRICS["mse"],
        directed=False,
        source=PROPERTY_SOURCE,
        licence="generated",
        protocol=f"{_PROTOCOL}; targets in hops",
    )


def _random_graph(num_nodes: int, rng: random.Random) -> nx.Graph:
    """A connected graph of nodes 0 to `num_nodes - 1` in random order, of a random family."""
    side = max(k for k in range(1, math.isqrt(num_nodes) + 1) if num_nodes % k == 0)

    def lobster(num_spine: int, num_inner: int) -> nx.Graph:
        graph = nx.path_graph(num_spine)
        graph.add_edges_from((rng.randrange(num_spine), node) for node in range(num_spine, num_inner))
        graph.add_edges_from((rng.randrange(num_spine, num_inner), node) for node in range(num_inner, num_nodes))
        return graph

    num_spine = rng.randrange(1, num_nodes)
    num_inner = rng.randint(num_spine + 1, num_nodes)
    families: list[tuple[int, Callable[[], nx.Graph]]] = [
        (20, lambda: nx.fast_gnp_random_graph(num_nodes, rng.random(), seed=rng)),
        (20, lambda: nx.barabasi_albert_graph(num_nodes, rng.randrange(1, num_nodes), seed=rng)),
        (15, lambda: nx.random_labeled_tree(num_nodes, seed=rng)),
        (10, lambda: lobster(num_spine, num_nodes)),  # A caterpillar.
        (10, lambda: lobster(num_spine, num_inner)),
        (5, lambda: nx.grid_2d_graph(side, num_nodes // side)),
        (5, lambda: nx.caveman_graph(side, num_nodes // side)),
        (5, lambda: nx.ladder_graph(num_nodes // 2)),
        (5, lambda: nx.path_graph(num_nodes)),
        (5, lambda: nx.star_graph(num_nodes - 1)),
    ]
    ((_, draw),) = rng.choices(families, [weight for weight, _ in families])
    drawn = draw()
    numbers = rng.sample(range(num_nodes), num_nodes)
    # A ladder may lack one node, which is linked below.
    graph = nx.empty_graph(num_nodes)
    number = dict(zip(drawn, numbers, strict=False))
    graph.add_edges_from((number[i], number[j]) for i, j in drawn.edges)

    edges, missing = list(graph.edges), list(nx.non_edges(graph))
    moved = 0.1 * min(len(edges), len(missing))
    graph.remove_edges_from([edge for edge in edges if rng.random() < moved / len(edges)])
    graph.add_edges_from([edge for edge in missing if rng.random() < moved / len(missing)])
    parts = [sorted(part) for part in nx.connected_components(graph)]
    graph.add_edges_from([(rng.choice(part), rng.choice(after)) for part, after in pairwise(parts)])
    return graph
