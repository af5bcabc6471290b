"""Graphs with some edges dropped."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.transforms import ToSparseTensor

import small_tasks
from gnndiff.zoo.views import DropEdges, drop_edges


@st.composite
def graphs(draw, undirected):
    """Graphs with parallel edges and loops; an attribute says which edge an entry belongs to."""
    nodes, count = draw(st.integers(2, 6)), draw(st.integers(0, 12))
    ends = st.lists(st.integers(0, nodes - 1), min_size=count, max_size=count)
    edges = torch.tensor([draw(ends), draw(ends)]).view(2, count)
    weight = torch.tensor(draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))).float()
    if undirected:
        loops = edges[0] == edges[1]
        edges = torch.cat([edges, edges.flip(0)[:, ~loops]], dim=1)
        weight = torch.cat([weight, weight[~loops]])
    order = torch.tensor(draw(st.permutations(range(edges.size(1)))), dtype=torch.int64)
    edges, weight = edges[:, order], weight[order]
    return Data(
        x=torch.zeros(nodes, 1),
        edge_index=edges,
        edge_weight=weight,
        edge_attr=torch.stack([weight, 10 * weight], dim=1),
        edge_ends=edges.t().clone(),
        edge_names=[f"{a}-{b}" for a, b in edges.t().tolist()],
    )


def entries(data):
    """Edges with their weights, sorted."""
    return sorted((a, b, w) for (a, b), w in zip(data.edge_index.t().tolist(), data.edge_weight.tolist(), strict=True))


@given(graphs(undirected=False), st.sampled_from([0.0, 0.3, 0.9, 1.0]), st.integers(0, 99))
@settings(deadline=None)
def test_each_edge_keeps_its_own_attributes(data, share, seed):
    view = DropEdges(share, seed, undirected=False)(data)
    assert torch.equal(view.edge_ends.t(), view.edge_index)
    assert torch.equal(view.edge_attr, torch.stack([view.edge_weight, 10 * view.edge_weight], dim=1))
    assert [name for name in data.edge_names if name] == [f"{a}-{b}" for a, b in data.edge_index.t().tolist()]
    if data.num_edges != data.num_nodes or share:
        assert view.edge_names == [f"{a}-{b}" for a, b in view.edge_index.t().tolist()]
    kept = entries(view)
    assert all(kept.count(each) <= entries(data).count(each) for each in kept)
    assert view.num_edges == (data.num_edges if share == 0 else 0 if share == 1 else view.num_edges)


@given(graphs(undirected=True), st.sampled_from([0.0, 0.3, 0.9, 1.0]), st.integers(0, 99))
@settings(deadline=None)
def test_an_undirected_graph_stays_one_with_its_weights(data, share, seed):
    view = DropEdges(share, seed, undirected=True)(data)
    kept = entries(view)
    assert kept == sorted((b, a, w) for a, b, w in kept)
    assert all(kept.count(each) <= entries(data).count(each) for each in kept)
    assert torch.equal(view.edge_ends.t(), view.edge_index)
    if share == 0:
        assert kept == entries(data)


def test_a_matrix_loses_the_same_edges():
    data = small_tasks.ring(8, edge_weight=torch.arange(16.0) + 1)
    matrix = ToSparseTensor("edge_weight", remove_edge_index=False, layout=torch.sparse_csr)(data)
    view = DropEdges(0.5, 0, undirected=False)(matrix)
    expected = torch.zeros(8, 8)
    expected[view.edge_index[1], view.edge_index[0]] = view.edge_weight
    assert torch.equal(view.adj_t.to_dense(), expected)
    assert 0 < view.num_edges < 16


@pytest.mark.parametrize("name", sorted(small_tasks.TASKS))
def test_every_kind_of_task_has_views(name):
    task = small_tasks.TASKS[name]()
    view, again, other = (drop_edges(task, 0.5, seed) for seed in (1, 1, 2))
    graph = (lambda t: t.graph(0, "train")) if name == "link" else (lambda t: t.graphs[-1])
    assert graph(view).num_edges < graph(task).num_edges
    assert torch.equal(graph(view).edge_index, graph(again).edge_index)
    assert not torch.equal(graph(view).edge_index, graph(other).edge_index)
    if task.kind == "temporal":
        assert all(torch.equal(each.edge_index, view.graphs[0].edge_index) for each in view.graphs)
