import random

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import shortest_path as scipy_distances
from scipy.stats import chi2_contingency
from torch_geometric.utils import to_dense_adj, to_networkx

from graphtasks import InvalidDataError
from graphtasks.sources import long_range
from graphtasks.sources.long_range import diameter, eccentricity, ring_transfer, shortest_path

PROPERTIES = [shortest_path, eccentricity, diameter]


def adjacency(graph):
    return to_dense_adj(graph.edge_index, max_num_nodes=graph.num_nodes)[0]


def ends(graph):
    """The source and the target of a ring, as their features tell."""
    constant, zero = (graph.x == 1).all(dim=1), (graph.x == 0).all(dim=1)
    (source,), (target,) = (~constant & ~zero).nonzero().view(-1).tolist(), zero.nonzero().view(-1).tolist()
    return source, target


def same(first, other):
    return all(
        torch.equal(a[key], b[key]) for a, b in zip(first, other, strict=True) for key in ("x", "y", "edge_index")
    )


@settings(max_examples=12, deadline=None)
@given(hops=st.integers(2, 9), num_classes=st.integers(2, 6), seed=st.integers(0, 2**31))
def test_each_ring_asks_for_the_class_on_its_other_side(hops, num_classes, seed):
    task = ring_transfer("random", None, hops=hops, num_classes=num_classes, num_graphs=10 * num_classes, seed=seed)
    for graph in task.graphs:
        ring = to_networkx(graph, to_undirected=True)
        assert ring.number_of_nodes() == 2 * hops
        assert set(dict(ring.degree).values()) == {2}
        assert nx.is_connected(ring)
        source, target = ends(graph)
        assert nx.shortest_path_length(ring, source, target) == hops
        assert graph.x[source].tolist() == np.eye(num_classes)[graph.y[target]].tolist()
        assert graph.y[torch.arange(2 * hops) != target].eq(-1).all()
    labels = torch.cat([graph.y for graph in task.graphs])
    assert labels[labels >= 0].bincount().tolist() == [10] * num_classes


@pytest.mark.parametrize("hops", [2, 5, 10])
def test_answer_reaches_the_target_in_the_last_hop_only(hops):
    seen = [set() for _ in range(hops + 1)]
    for graph in ring_transfer("random", None, hops=hops, num_graphs=50).graphs:
        x, target = graph.x, ends(graph)[1]
        for views in seen:
            views.add(tuple(x[target].tolist()))
            x = adjacency(graph) @ x
    assert [len(views) for views in seen] == [1] * hops + [5]


def test_numbers_of_the_nodes_do_not_tell_the_class():
    task = ring_transfer("random", None, hops=5, num_graphs=1000)
    counts = np.zeros((3, 10, 5))
    for graph in task.graphs:
        source, target = ends(graph)
        for count, number in zip(counts, (source, target, (target - source) % 10), strict=True):
            count[number, graph.y[target]] += 1
    assert counts[:2].sum(axis=2).min() > 60
    for count in counts:
        assert chi2_contingency(count[count.sum(axis=1) > 0]).pvalue > 0.01


def test_ring_transfer_is_scored_at_the_targets():
    task = ring_transfer("random", None)
    assert (task.kind, task.num_features, task.num_classes, task.directed) == ("node", 5, 5, False)
    assert [len(task.split(0)[part]) for part in ("train", "val", "test")] == [1600, 200, 200]
    assert all(graph.is_undirected() for graph in task.graphs)
    targets = task.targets(0, "test")
    assert task.evaluate(targets.clamp(min=0), 0, "test") == 1.0
    for label in range(5):
        assert task.evaluate(torch.full_like(targets, label), 0, "test") == pytest.approx(0.2, abs=0.12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hops": 1}, "hops=1, .* expected hops >= 2"),
        ({"num_classes": 1}, "num_classes=1"),
        ({"num_graphs": 49}, "num_graphs=49"),
    ],
)
def test_bad_options_of_ring_transfer_are_rejected(options, message):
    with pytest.raises(InvalidDataError, match=message):
        ring_transfer("random", None, **options)


@settings(max_examples=12, deadline=None)
@given(sizes=st.tuples(st.integers(3, 40), st.integers(0, 5)), seed=st.integers(0, 2**31))
def test_targets_agree_with_scipy(sizes, seed):
    options = {"num_graphs": 10, "min_nodes": sizes[0], "max_nodes": sum(sizes), "seed": seed}
    tasks = [load("random", None, **options) for load in PROPERTIES]
    for marked, plain, whole in zip(*(task.graphs for task in tasks), strict=True):
        assert torch.equal(marked.edge_index, plain.edge_index)
        assert torch.equal(marked.edge_index, whole.edge_index)
        assert sizes[0] <= marked.num_nodes <= sum(sizes)
        assert marked.is_undirected()
        assert not marked.has_self_loops()
        hops = scipy_distances(adjacency(marked).numpy(), unweighted=True)
        assert np.isfinite(hops).all()
        assert marked.x[:, 1].sum() == marked.x[:, 1].max() == 1
        assert marked.y.tolist() == hops[marked.x[:, 1].argmax()].tolist()
        assert plain.y.tolist() == hops.max(axis=1).tolist()
        assert whole.y.tolist() == [[hops.max()]]


@pytest.mark.parametrize(
    ("family", "eccentricities"),
    [
        (nx.path_graph, [6, 5, 4, 3, 4, 5, 6]),
        (lambda n: nx.star_graph(n - 1), [1, 2, 2, 2, 2, 2, 2]),
        (nx.cycle_graph, [3, 3, 3, 3, 3, 3, 3]),
    ],
)
def test_targets_of_graphs_by_hand(monkeypatch, family, eccentricities):
    monkeypatch.setattr(long_range, "_random_graph", lambda num_nodes, rng: family(num_nodes))
    options = {"num_graphs": 10, "min_nodes": 7, "max_nodes": 7}
    assert eccentricity("random", None, **options).graphs[0].y.tolist() == eccentricities
    assert diameter("random", None, **options).graphs[0].y.tolist() == [[max(eccentricities)]]
    for graph in shortest_path("random", None, **options).graphs:
        source = int(graph.x[:, 1].argmax())
        assert graph.y[source] == 0
        assert graph.y.max() == eccentricities[source]


def test_graphs_are_of_many_forms():
    graphs = diameter("random", None, num_graphs=200).graphs
    density = np.array([graph.num_edges / (graph.num_nodes * (graph.num_nodes - 1)) for graph in graphs])
    trees = np.mean([graph.num_edges == 2 * (graph.num_nodes - 1) for graph in graphs])
    answers = np.array([float(graph.y) for graph in graphs])
    assert 0.02 < trees < 0.5
    assert np.mean(density > 0.5) > 0.1
    assert np.mean(answers <= 2) > 0.1
    assert np.mean(answers >= 12) > 0.1
    assert {graph.num_nodes for graph in graphs} == set(range(25, 36))
    degrees = [tuple(sorted(adjacency(graph).sum(dim=0).tolist())) for graph in graphs]
    assert len(set(degrees)) > 0.95 * len(graphs)


def test_features_and_numbers_do_not_tell_the_answer():
    graphs = eccentricity("random", None, num_graphs=200).graphs
    x, y = (torch.cat([graph[key].view(-1) for graph in graphs]) for key in ("x", "y"))
    order = torch.cat([torch.arange(graph.num_nodes) / graph.num_nodes for graph in graphs])
    hub = torch.cat([adjacency(graph).sum(dim=0) / graph.num_edges for graph in graphs])
    assert 0 <= x.min() <= x.max() < 1
    # Coefficients of 6,000 nodes without any dependence have a deviation of 0.013.
    for first, other in ((x, y), (order, y), (order, hub)):
        assert abs(torch.corrcoef(torch.stack([first, other]))[0, 1]) < 0.05


@pytest.mark.parametrize("load", PROPERTIES)
def test_properties_are_scored_by_squared_hops(load):
    task = load("random", None, num_graphs=50)
    assert (task.kind, task.metric.name) == ("graph" if load is diameter else "node-regression", "mse")
    assert [len(task.split(0)[part]) for part in ("train", "val", "test")] == [40, 5, 5]
    targets = task.targets(0, "test")
    assert targets.dtype == torch.float32
    assert task.evaluate(targets, 0, "test") == 0
    assert task.evaluate(targets + 3, 0, "test") == 9


@pytest.mark.parametrize("load", PROPERTIES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_graphs": 9}, "num_graphs=9, .* expected num_graphs >= 10"),
        ({"min_nodes": 2}, "min_nodes=2"),
        ({"max_nodes": 24}, "min_nodes=25, max_nodes=24"),
    ],
)
def test_bad_options_of_properties_are_rejected(load, options, message):
    with pytest.raises(InvalidDataError, match=message):
        load("random", None, **options)


@pytest.mark.parametrize("load", [ring_transfer, *PROPERTIES])
def test_seed_decides_everything_and_global_generators_are_left_alone(load):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first, again, other = (load("random", None, num_graphs=50, seed=seed) for seed in (3, 3, 4))
    assert same(first.graphs, again.graphs)
    assert not same(first.graphs, other.graphs)
    assert first.split(0).hash == again.split(0).hash != other.split(0).hash
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]  # noqa: NPY002
