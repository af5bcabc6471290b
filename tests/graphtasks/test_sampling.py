import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import ClusterLoader
from torch_geometric.sampler import NodeSamplerInput
from torch_geometric.utils import degree, k_hop_subgraph

from graphtasks import sampling
from graphtasks.sampling import Clusters, NeighborSampler, neighbor_loader


@st.composite
def graphs(draw) -> Data:
    """Directed graphs, with repeated edges, self-loops and isolated nodes."""
    n = draw(st.integers(1, 15))
    pairs = draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=40))
    edge_index = torch.tensor(pairs, dtype=torch.int64).view(-1, 2).t().contiguous()
    e = edge_index.size(1)
    return Data(x=torch.arange(n).float().view(-1, 1), edge_index=edge_index, edge_weight=torch.arange(e).float())


hops = st.lists(st.sampled_from([-1, 1, 2, 3]), min_size=1, max_size=3)


def one_batch(data: Data, num_neighbors: list[int], nodes: Tensor) -> Data:
    (batch,) = neighbor_loader(data, num_neighbors, nodes, batch_size=len(nodes))
    return batch


def star(leaves: int = 5) -> Data:
    """Edges from each leaf to node 0."""
    edge_index = torch.stack([torch.arange(1, leaves + 1), torch.zeros(leaves, dtype=torch.int64)])
    return Data(x=torch.eye(leaves + 1), edge_index=edge_index)


@settings(max_examples=60, deadline=None)
@given(graphs(), hops, st.integers(0, 2**20))
def test_sampled_edges_are_edges_of_the_graph(data, num_neighbors, seed):
    torch.manual_seed(seed)
    seeds = torch.randperm(data.num_nodes)[: 1 + seed % data.num_nodes]
    batch = one_batch(data, num_neighbors, seeds)
    assert torch.equal(batch.n_id[batch.edge_index], data.edge_index[:, batch.e_id])
    assert len(batch.e_id.unique()) == len(batch.e_id), "an edge was drawn twice"
    assert len(batch.n_id.unique()) == len(batch.n_id) == batch.num_nodes
    # Features and weights are those of the nodes and edges.
    assert torch.equal(batch.x, data.x[batch.n_id])
    assert torch.equal(batch.edge_weight, data.edge_weight[batch.e_id])


@settings(max_examples=60, deadline=None)
@given(graphs(), st.sampled_from([-1, 1, 2, 3]), st.integers(0, 2**20))
def test_each_seed_draws_as_many_neighbours_as_it_may(data, k, seed):
    torch.manual_seed(seed)
    seeds = torch.randperm(data.num_nodes)[: 1 + seed % data.num_nodes]
    batch = one_batch(data, [k], seeds)
    drawn = degree(batch.edge_index[1], batch.num_nodes, dtype=torch.int64)
    incoming = degree(data.edge_index[1], data.num_nodes, dtype=torch.int64)[batch.n_id]
    expected = incoming if k < 0 else incoming.clamp(max=k)
    assert drawn[: len(seeds)].tolist() == expected[: len(seeds)].tolist()
    assert not drawn[len(seeds) :].any()


@settings(max_examples=60, deadline=None)
@given(graphs(), hops, st.integers(0, 2**20))
def test_no_node_draws_more_than_the_largest_number(data, num_neighbors, seed):
    torch.manual_seed(seed)
    batch = one_batch(data, num_neighbors, torch.randperm(data.num_nodes)[:3])
    if -1 not in num_neighbors:
        assert int(degree(batch.edge_index[1], batch.num_nodes).max()) <= max(num_neighbors)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(1, 3), st.integers(0, 2**20))
def test_all_neighbours_are_the_subgraph_of_so_many_hops(data, num_hops, seed):
    torch.manual_seed(seed)
    seeds = torch.randperm(data.num_nodes)[:2]
    batch = one_batch(data, [-1] * num_hops, seeds)
    nodes = k_hop_subgraph(seeds, num_hops, data.edge_index, num_nodes=data.num_nodes)[0]
    inner = k_hop_subgraph(seeds, num_hops - 1, data.edge_index, num_nodes=data.num_nodes)[0]
    assert batch.n_id.sort().values.tolist() == nodes.tolist()
    # All edges into the nodes that are fewer hops away, which is what that many layers look at.
    expected = torch.isin(data.edge_index[1], inner).nonzero().view(-1)
    assert batch.e_id.sort().values.tolist() == expected.tolist()


@settings(max_examples=30, deadline=None)
@given(graphs(), hops, st.integers(1, 6), st.integers(0, 2**20))
def test_each_node_is_a_seed_of_one_batch_and_comes_first(data, num_neighbors, batch_size, seed):
    torch.manual_seed(seed)
    nodes = torch.randperm(data.num_nodes)[: 1 + data.num_nodes // 2].sort().values
    seen = []
    for batch in neighbor_loader(data, num_neighbors, nodes, batch_size):
        assert batch.batch_size <= batch_size
        assert batch.n_id[: batch.batch_size].tolist() == nodes[batch.input_id].tolist()
        seen += batch.n_id[: batch.batch_size].tolist()
    assert sorted(seen) == nodes.tolist()


def test_edges_are_followed_against_their_direction():
    data = star()
    assert one_batch(data, [-1], torch.tensor([0])).n_id.sort().values.tolist() == [0, 1, 2, 3, 4, 5]
    alone = one_batch(data, [-1, -1], torch.tensor([1]))
    assert (alone.n_id.tolist(), alone.num_edges) == ([1], 0)


def test_messages_flow_into_the_seeds():
    batch = one_batch(star(), [2], torch.tensor([0]))
    assert batch.edge_index[1].tolist() == [0, 0]
    assert sorted(batch.edge_index[0].tolist()) == [1, 2]


def test_node_reached_twice_draws_once():
    # 0 <- 1 <- 0 is a cycle: in the second hop node 0 is no new node, and its edges are not drawn again.
    data = Data(x=torch.eye(2), edge_index=torch.tensor([[1, 0], [0, 1]]))
    batch = one_batch(data, [-1, -1, -1], torch.tensor([0]))
    assert batch.e_id.sort().values.tolist() == [0, 1]


def test_isolated_seeds_are_alone():
    data = Data(x=torch.eye(3), edge_index=torch.empty(2, 0, dtype=torch.int64))
    batch = one_batch(data, [2, 2], torch.tensor([2, 0]))
    assert (sorted(batch.n_id.tolist()), batch.num_edges) == ([0, 2], 0)


def test_each_neighbour_and_each_pair_is_as_likely():
    hubs, leaves = 600, 4
    source = hubs + torch.arange(hubs * leaves)
    target = torch.arange(hubs).repeat_interleave(leaves)
    order = torch.randperm(hubs * leaves, generator=torch.Generator().manual_seed(0))
    data = Data(x=torch.zeros(hubs * (leaves + 1), 1), edge_index=torch.stack([source, target])[:, order])
    torch.manual_seed(0)
    out = NeighborSampler(data, [2]).sample_from_nodes(NodeSamplerInput(None, torch.arange(hubs)))
    leaf = (out.node[out.row] - hubs) % leaves
    pairs = leaf[out.col.argsort(stable=True)].view(hubs, 2).sort(dim=1).values
    counts = torch.bincount(leaves * pairs[:, 0] + pairs[:, 1], minlength=16)
    # Six pairs, each in a sixth of 600 hubs with a standard deviation of 9.1.
    assert (counts > 0).sum() == 6
    assert bool(((counts[counts > 0] - 100).abs() < 5 * 9.1).all())


def test_seed_of_torch_decides_what_is_drawn():
    data, drawn = star(30), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(one_batch(data, [5], torch.tensor([0])).e_id.tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_sampler_has_no_edges_to_sample_from():
    with pytest.raises(NotImplementedError):
        NeighborSampler(star(), [1]).sample_from_edges(None)


@settings(max_examples=40, deadline=None)
@given(graphs(), st.integers(1, 20), st.integers(0, 2**20))
def test_each_node_is_in_one_cluster(data, count, seed):
    data.number = torch.arange(data.num_nodes)
    clusters = Clusters(data, count, log=False)
    assert len(clusters) == count
    nodes = torch.cat([cluster.number for cluster in clusters])
    assert nodes.sort().values.tolist() == list(range(data.num_nodes))


def check_clusters(data: Data, count: int, batch_size: int) -> None:
    """Each node is in one batch, and each batch has the edges among its nodes, with what belongs to them."""
    data.number = torch.arange(data.num_nodes)
    data.edge_number = torch.arange(data.num_edges)
    seen = []
    for batch in ClusterLoader(Clusters(data, count, log=False), batch_size=batch_size, shuffle=True):
        within = torch.isin(data.edge_index, batch.number).all(dim=0)
        order = batch.edge_number.argsort()
        assert batch.edge_number[order].tolist() == within.nonzero().view(-1).tolist()
        assert torch.equal(batch.number[batch.edge_index[:, order]], data.edge_index[:, within])
        seen += batch.number.tolist()
    assert sorted(seen) == list(range(data.num_nodes))


@settings(max_examples=40, deadline=None)
@given(graphs(), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**20))
def test_batches_of_clusters_hold_the_edges_among_their_nodes(data, count, batch_size, seed):
    torch.manual_seed(seed)
    loops = torch.arange(data.num_nodes).expand(2, -1)
    looped = Data(x=data.x, edge_index=torch.cat([data.edge_index, loops], dim=1))
    check_clusters(looped, min(count, data.num_nodes), batch_size)


@pytest.mark.skipif(sampling.COMPILED, reason="METIS makes the clusters")
@pytest.mark.parametrize("count", [1, 3, 7])
def test_clusters_are_of_equal_size_and_of_neighbours(count):
    n = 50
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    path = torch.stack([order[:-1], order[1:]])  # a path through nodes in any order, directed
    clusters = Clusters(Data(x=torch.zeros(n, 1), edge_index=path), count, log=False)
    sizes = [cluster.num_nodes for cluster in clusters]
    assert max(sizes) - min(sizes) <= 1
    # Cutting a path into pieces takes one edge less than there are pieces.
    assert sum(cluster.num_edges for cluster in clusters) == n - 1 - (count - 1)
