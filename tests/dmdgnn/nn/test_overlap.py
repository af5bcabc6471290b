"""The decoder that sees common neighbours."""

from __future__ import annotations

import math

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.nn import GAE, GCNConv, InnerProductDecoder
from torch_geometric.utils import from_networkx, to_undirected

from dmdgnn.nn import NeighborOverlap
from dmdgnn.nn.overlap import common_neighbors


def random_graph(seed: int, nodes: int = 9) -> nx.Graph:
    return nx.gnp_random_graph(nodes, 0.4, seed=seed)


@given(st.integers(0, 10_000))
def test_common_neighbors_are_those_of_networkx(seed: int) -> None:
    graph = random_graph(seed)
    pairs = torch.combinations(torch.arange(9)).mT
    place, node = common_neighbors(pairs, from_networkx(graph).edge_index.view(2, -1), 9)
    assert bool((place.diff() >= 0).all())
    for i, (u, v) in enumerate(pairs.mT.tolist()):
        assert set(node[place == i].tolist()) == set(nx.common_neighbors(graph, u, v))


def test_common_neighbors_follow_directions() -> None:
    edges = torch.tensor([[0, 1, 2], [1, 2, 2]])
    place, node = common_neighbors(torch.tensor([[0, 2], [2, 0]]), edges, 3)
    assert (place.tolist(), node.tolist()) == ([0], [1])


def test_weights_are_the_indices_of_the_literature() -> None:
    graph = random_graph(3)
    edges, pairs = from_networkx(graph).edge_index, torch.combinations(torch.arange(9)).mT
    seen = []
    decoder = NeighborOverlap(2)
    decoder.mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][:, -3:].expm1()))
    decoder(torch.zeros(9, 2), pairs, edges)
    for row, (u, v) in zip(seen[0], pairs.mT.tolist(), strict=True):
        common = [graph.degree[w] for w in nx.common_neighbors(graph, u, v)]
        expected = [len(common), sum(1 / math.log1p(d) for d in common), sum(1 / d for d in common)]
        assert row.tolist() == pytest.approx(expected, abs=1e-5)


def test_an_edge_says_nothing_about_itself() -> None:
    """The score of a pair at the same embeddings and degrees is that without its edge, where no loop is counted."""
    edges = to_undirected(torch.tensor([[0, 0, 1, 3], [1, 2, 2, 4]]))
    pair = torch.tensor([[0], [1]])
    kept = edges[:, ~((edges[0] < 2) & (edges[1] < 2))]
    for a, b in zip(common_neighbors(pair, edges, 5), common_neighbors(pair, kept, 5), strict=True):
        assert torch.equal(a, b)


def test_training_begins_at_the_inner_product() -> None:
    edges, pairs = from_networkx(random_graph(5)).edge_index, torch.combinations(torch.arange(9)).mT
    z = torch.randn(9, 4)
    torch.testing.assert_close(NeighborOverlap(4)(z, pairs, edges), InnerProductDecoder()(z, pairs))


def trained(channels: int, **options: int) -> NeighborOverlap:
    """A decoder whose perceptron is not at its beginning."""
    decoder = NeighborOverlap(channels, **options)
    torch.nn.init.normal_(decoder.mlp.lins[-1].weight)
    return decoder


def test_scores_are_the_same_in_any_blocks_and_symmetric() -> None:
    edges, pairs = from_networkx(random_graph(5)).edge_index, torch.combinations(torch.arange(9)).mT
    z = torch.randn(9, 4)
    whole, parts = trained(4), NeighborOverlap(4, max_paths=3)
    parts.load_state_dict(whole.state_dict())
    torch.testing.assert_close(whole(z, pairs, edges), parts(z, pairs, edges))
    torch.testing.assert_close(whole(z, pairs, edges), whole(z, pairs.flip(0), edges))


def test_gradients() -> None:
    edges, pairs = from_networkx(random_graph(5)).edge_index, torch.combinations(torch.arange(9)).mT
    decoder = trained(3).double()
    z = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: decoder(z, pairs, edges), z)


def test_nothing_to_count() -> None:
    model = GAE(GCNConv(4, 3), NeighborOverlap(3))
    none = torch.empty(2, 0, dtype=torch.long)
    z = model.encode(torch.randn(5, 4), none)
    assert model.decode(z, torch.tensor([[0], [1]]), messages=none).shape == (1,)
    assert model.decode(z, none, messages=none).shape == (0,)
