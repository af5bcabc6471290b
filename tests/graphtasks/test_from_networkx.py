"""Tasks that `from_data` makes of graphs of networkx."""

import networkx as nx
import pytest
import torch

from graphtasks import InvalidDataError, Split, from_data
from small_tasks import PARTS, THREE


@pytest.mark.parametrize(("graph", "directed"), [(nx.Graph(), False), (nx.DiGraph(), True)])
def test_networkx_graph_becomes_a_task(graph, directed):
    part = {"a": "train", "b": "val", "c": "test"}
    for i, node in enumerate("cab"):
        masks = {f"{name}_mask": part[node] == name for name in ("train", "val", "test")}
        graph.add_node(node, x=[float(i), 1.0], y=i, **masks)
    graph.add_edge("a", "b")
    task = from_data(graph)
    assert task.data.x.tolist() == [[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]]
    assert task.data.y.tolist() == [0, 1, 2]
    assert task.data.edge_index.tolist() == ([[1], [2]] if directed else [[1, 2], [2, 1]])
    assert [task.split(0)[name].tolist() for name in ("train", "val", "test")] == [[1], [2], [0]]
    assert task.directed is directed


def test_networkx_graph_with_uneven_attributes():
    graph = nx.path_graph(3)
    graph.nodes[0]["x"] = [1.0]
    with pytest.raises(InvalidDataError, match="cannot be converted"):
        from_data(graph)


@pytest.mark.parametrize(
    ("attribute", "values"), [("y", ["Officer", "Mr. Hi", "Officer"]), ("x", [[1.0], [1.0, 2.0], [1.0]])]
)
def test_networkx_attributes_that_are_no_numbers(attribute, values):
    graph = nx.path_graph(3)
    for i, value in enumerate(values):
        graph.nodes[i].update({"x": [1.0], "y": 0, attribute: value})
    with pytest.raises(InvalidDataError, match=f"`{attribute}` .*list"):
        from_data(graph, splits=[Split(*torch.eye(3, dtype=torch.bool))])


def named(graph):
    """A networkx graph of four named nodes: features tell the node, labels whether it is a vowel."""
    masks = dict(zip("ebac", ("train", "train", "val", "test"), strict=True))
    for i, node in enumerate("ebac"):
        graph.add_node(node, x=[float(ord(node)), float(i)], y=int(node in "ae"))
        graph.nodes[node].update({f"{part}_mask": masks[node] == part for part in PARTS})
    graph.add_edges_from([("c", "a"), ("a", "e"), ("e", "b")])
    return graph


@pytest.mark.parametrize("graph", [nx.DiGraph(), nx.Graph()])
def test_nodes_with_names_keep_their_labels_and_edges(graph):
    task = from_data(named(graph))
    names = [chr(int(code)) for code in task.data.x[:, 0]]
    assert {name: int(label) for name, label in zip(names, task.data.y, strict=True)} == {
        "e": 1,
        "b": 0,
        "a": 1,
        "c": 0,
    }
    edges = {(names[a], names[b]) for a, b in task.data.edge_index.t().tolist()}
    forth = {("c", "a"), ("a", "e"), ("e", "b")}
    assert edges == (forth if graph.is_directed() else forth | {(b, a) for a, b in forth})
    assert {part: sorted(names[i] for i in task.split(0)[part]) for part in PARTS} == {
        "train": ["b", "e"],
        "val": ["a"],
        "test": ["c"],
    }
    assert task.directed is graph.is_directed()


def test_networkx_weights_are_edge_weights():
    graph = named(nx.DiGraph())
    for weight, edge in enumerate([("c", "a"), ("a", "e"), ("e", "b")]):
        graph.edges[edge]["edge_weight"] = weight + 0.5
    data = from_data(graph).data
    names = [chr(int(code)) for code in data.x[:, 0]]
    weights = {
        (names[a], names[b]): w for (a, b), w in zip(data.edge_index.t().tolist(), data.edge_weight, strict=True)
    }
    assert weights == {("c", "a"): 0.5, ("a", "e"): 1.5, ("e", "b"): 2.5}


@pytest.mark.parametrize("label", [lambda i: [i % 3], lambda i: i % 3])
def test_networkx_graphs_become_a_task_of_graphs(label):
    graphs = []
    for i in range(6):
        graph = nx.cycle_graph(3 + i)
        graph.graph["y"] = label(i)
        nx.set_node_attributes(graph, [1.0, float(i)], "x")
        graphs.append(graph)
    task = from_data(graphs, splits=THREE)
    assert (task.kind, task.metric.name, task.num_nodes, task.num_edges) == ("graph", "accuracy", 33, 66)
    assert task.targets(0, "val").tolist() == [2, 0]
    assert task.graphs[4].x.tolist() == [[1.0, 4.0]] * 7


def test_networkx_graphs_with_node_labels_become_a_task_of_nodes():
    graphs = [nx.path_graph(4) for _ in range(6)]
    for i, graph in enumerate(graphs):
        for node in graph:
            graph.nodes[node].update(x=[float(node)], y=(node + i) % 2)
    task = from_data(graphs, splits=THREE)
    assert (task.kind, task.many, task.num_classes) == ("node", True, 2)
    assert task.targets(0, "val").tolist() == [0, 1, 0, 1, 1, 0, 1, 0]


def test_weights_of_a_networkx_graph_are_edge_weights():
    graph = nx.Graph()
    graph.add_weighted_edges_from([(0, 1, 2.0), (1, 2, 3.0)])
    nx.set_node_attributes(graph, {i: {"x": [float(i)], "y": i % 2} for i in range(3)})
    split = Split(torch.tensor([0]), torch.tensor([1]), torch.tensor([2]))
    assert sorted(from_data(graph, splits=[split]).graph().edge_weight.tolist()) == [2.0, 2.0, 3.0, 3.0]
