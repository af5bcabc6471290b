import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import from_networkx

from graphtasks import HEURISTICS, InvalidDataError, heuristic_scores, link_task, load

PEERS = {
    "jaccard": nx.jaccard_coefficient,
    "adamic_adar": nx.adamic_adar_index,
    "resource_allocation": nx.resource_allocation_index,
    "preferential_attachment": nx.preferential_attachment,
}


@pytest.fixture(scope="module", params=[True, False], ids=["undirected", "directed"])
def task(request):
    graph = nx.gnm_random_graph(40, 160, 0, directed=not request.param)
    data = Data(x=torch.eye(40), edge_index=from_networkx(graph).edge_index)
    return link_task(data, name="random")


def known(task, part):
    """The graph of messages, and the pairs of a part."""
    graph = nx.Graph(task.graph(0, part).edge_index.T.tolist())
    graph.add_nodes_from(range(40))
    return graph, list(map(tuple, task.split(0).pairs(part)[0].T.tolist()))


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("part", ["val", "test"])
def test_scores_are_networkxs(task, name, part):
    graph, pairs = known(task, part)
    expected = [score for _, _, score in PEERS[name](graph, pairs)]
    np.testing.assert_allclose(heuristic_scores(name, task, part=part), expected)


def test_common_neighbours_are_counted(task):
    graph, pairs = known(task, "test")
    expected = [len(list(nx.common_neighbors(graph, u, v))) for u, v in pairs]
    assert heuristic_scores("common_neighbors", task).tolist() == expected


def test_katz_counts_walks_of_up_to_four_edges(task):
    graph, pairs = known(task, "test")
    A = nx.to_numpy_array(graph, nodelist=range(40))
    expected = sum(0.005**length * np.linalg.matrix_power(A, length) for length in range(1, 5))
    np.testing.assert_allclose(heuristic_scores("katz", task), expected[tuple(zip(*pairs, strict=True))])


@pytest.mark.parametrize("name", HEURISTICS)
def test_blocks_change_nothing(task, name, monkeypatch):
    whole = heuristic_scores(name, task)
    monkeypatch.setattr("graphtasks.heuristics.MAX_PAIRS", 3)
    torch.testing.assert_close(heuristic_scores(name, task), whole)


def test_other_names_and_tasks_are_refused(task):
    with pytest.raises(InvalidDataError, match="expected one of common_neighbors"):
        heuristic_scores("cosine", task)
    with pytest.raises(InvalidDataError, match="only link tasks"):
        heuristic_scores("katz", load("karate"))
