"""Tasks that need no download: tables of scikit-learn as nearest-neighbour graphs, small graphs of networkx."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import torch
from sklearn import datasets as sklearn_datasets
from sklearn.neighbors import kneighbors_graph
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import from_scipy_sparse_matrix, to_undirected

from graphtasks.catalogue import FACTS
from graphtasks.links import link_task
from graphtasks.metrics import METRICS
from graphtasks.splits import per_class_splits
from graphtasks.task import GraphTask

NEIGHBOURS = 10

LES_MISERABLES = "Knuth (1993), through networkx; features are the identity"


@dataclass(frozen=True)
class Embedded:
    """A dataset that ships with scikit-learn or networkx."""

    name: str
    make: Callable[[], Data]
    per_class: int
    source: str

    def load(self, protocol: str, root: Path | None) -> GraphTask:
        """Make the graph and its ten random splits."""
        data = self.make()
        return GraphTask(
            name=self.name,
            kind="node",
            data=data,
            splits=per_class_splits(data.y, self.per_class),
            metric=METRICS["accuracy"],
            directed=False,
            source=self.source,
            licence=FACTS[self.name].licence,
            protocol=(
                f"{self.per_class} training nodes a class, half of the rest but at most 500 for validation, "
                "all others for test; 10 random splits, seeds 0 to 9"
            ),
        )


def les_miserables(protocol: str, root: Path | None) -> GraphTask:
    """Which characters of Les Misérables meet: links of 77 nodes whose features are the identity."""
    graph = nx.les_miserables_graph()
    number = {name: i for i, name in enumerate(sorted(graph))}
    edges = torch.tensor(sorted((number[a], number[b]) for a, b in graph.edges)).t()
    data = Data(x=torch.eye(len(number)), edge_index=to_undirected(edges, num_nodes=len(number)))
    return link_task(data, name="les-miserables", source=LES_MISERABLES, licence=FACTS["les-miserables"].licence)


def _neighbour_graph(x: Tensor, y: Tensor) -> Data:
    edge_index, _ = from_scipy_sparse_matrix(kneighbors_graph(x.numpy(), NEIGHBOURS))
    return Data(x=x, y=y, edge_index=to_undirected(edge_index, num_nodes=len(x)))


def _digits() -> Data:
    table = sklearn_datasets.load_digits()
    return _neighbour_graph(torch.from_numpy(table.data).float() / 16, torch.from_numpy(table.target))


def _wine() -> Data:
    table = sklearn_datasets.load_wine()
    return _neighbour_graph(_standardised(torch.from_numpy(table.data)), torch.from_numpy(table.target))


def _breast_cancer() -> Data:
    table = sklearn_datasets.load_breast_cancer()
    return _neighbour_graph(_standardised(torch.from_numpy(table.data)), torch.from_numpy(table.target))


def _standardised(x: Tensor) -> Tensor:
    return ((x - x.mean(dim=0)) / x.std(dim=0)).float()


def _karate() -> Data:
    graph = nx.karate_club_graph()
    y = torch.tensor([int(club == "Officer") for _, club in graph.nodes(data="club")])
    edge_index = to_undirected(torch.tensor(list(graph.edges)).t(), num_nodes=len(y))
    return Data(x=torch.eye(len(y)), y=y, edge_index=edge_index)


_UCI = "UCI Machine Learning Repository, through scikit-learn; graph of 10 nearest neighbours"

DATASETS = {
    dataset.name: dataset
    for dataset in (
        Embedded("digits", _digits, 20, _UCI),
        Embedded("wine", _wine, 20, _UCI),
        Embedded("breast-cancer", _breast_cancer, 20, _UCI),
        Embedded("karate", _karate, 4, "Zachary (1977), through networkx; features are the identity"),
    )
}
