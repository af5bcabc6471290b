import networkx as nx
import numpy as np
import pytest
import torch
from sklearn import datasets as sklearn_datasets
from torch_geometric.utils import degree

from graphtasks import load

NEIGHBOURS = 10
TABLES = {
    "digits": sklearn_datasets.load_digits,
    "wine": sklearn_datasets.load_wine,
    "breast-cancer": sklearn_datasets.load_breast_cancer,
}


@pytest.mark.parametrize(
    ("name", "nodes", "features", "classes"),
    [("digits", 1797, 64, 10), ("wine", 178, 13, 3), ("breast-cancer", 569, 30, 2), ("karate", 34, 34, 2)],
)
def test_published_statistics(name, nodes, features, classes):
    task = load(name)
    assert (task.num_nodes, task.num_features, task.num_classes) == (nodes, features, classes)


@pytest.mark.parametrize("name", ["digits", "wine", "breast-cancer", "karate"])
def test_graph_is_simple_and_undirected(name):
    task = load(name)
    assert not task.directed
    assert task.data.is_undirected()
    assert not task.data.has_self_loops()
    assert task.data.edge_index.unique(dim=1).size(1) == task.data.num_edges


@pytest.mark.parametrize(("name", "per_class"), [("digits", 20), ("wine", 20), ("breast-cancer", 20), ("karate", 4)])
def test_ten_splits_have_the_documented_sizes(name, per_class):
    task = load(name)
    assert len({split.hash for split in task.splits}) == 10
    for split in task.splits:
        assert task.data.y[split.train].bincount().tolist() == [per_class] * task.num_classes
        rest = task.num_nodes - len(split.train)
        assert (len(split.val), len(split.test)) == (min(500, rest // 2), rest - min(500, rest // 2))


@pytest.mark.parametrize("name", TABLES)
def test_features_and_labels_are_scikit_learns(name):
    task, table = load(name), TABLES[name]()
    assert np.array_equal(task.data.y.numpy(), table.target)
    x = table.data / 16 if name == "digits" else (table.data - table.data.mean(0)) / table.data.std(0, ddof=1)
    np.testing.assert_allclose(task.data.x.numpy(), x, atol=1e-5)


@pytest.mark.parametrize("name", TABLES)
def test_edges_join_nearest_neighbours(name):
    data = load(name).data
    distance = torch.cdist(data.x.double(), data.x.double()).fill_diagonal_(float("inf"))
    reach = distance.kthvalue(NEIGHBOURS, dim=1).values
    row, col = data.edge_index
    assert bool((distance[row, col] <= torch.maximum(reach[row], reach[col]) + 1e-4).all())
    assert degree(row, data.num_nodes).min() >= NEIGHBOURS
    assert data.num_edges <= 2 * NEIGHBOURS * data.num_nodes


def test_karate_has_networkx_counts_and_labels():
    task, graph = load("karate"), nx.karate_club_graph()
    assert task.data.num_edges == 2 * graph.number_of_edges()
    officers = [int(club == "Officer") for _, club in graph.nodes(data="club")]
    assert task.data.y.tolist() == officers
    assert torch.equal(task.data.x, torch.eye(34))


def test_loading_twice_gives_the_same_task():
    first, second = load("wine"), load("wine")
    assert torch.equal(first.data.edge_index, second.data.edge_index)
    assert [split.hash for split in first.splits] == [split.hash for split in second.splits]


def test_karate_edges_are_those_of_networkx():
    graph = nx.karate_club_graph()
    expected = {pair for edge in graph.edges for pair in (edge, edge[::-1])}
    assert {tuple(edge) for edge in load("karate").data.edge_index.t().tolist()} == expected
