import math

import networkx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data
from torch_geometric.utils import erdos_renyi_graph, to_networkx

from dmdgnn import InputError, RankError
from dmdgnn.nn import GraphDMD
from dmdgnn.transforms import AddDMDModes, AddLaplacianModes

F64 = torch.float64


def ring(n, *, directed=False):
    nodes = torch.arange(n)
    forth = torch.stack([nodes, (nodes + 1) % n])
    return Data(x=torch.eye(n, dtype=F64), edge_index=forth if directed else torch.cat([forth, forth.flip(0)], dim=1))


def dense(data, charge):
    """The Hermitian adjacency, entry by entry."""
    n = data.num_nodes
    A = torch.zeros(n, n, dtype=F64)
    for i, j in data.edge_index.T.tolist():
        A[i, j] += 1
    A += torch.diag((A.diagonal() == 0).double())
    both = (A + A.T) / 2
    scale = both.sum(1).rsqrt()
    return scale[:, None] * both * scale * torch.exp(2j * math.pi * charge * (A - A.T))


def test_ring_has_the_cosines():
    data = AddLaplacianModes(rank=5)(ring(5))
    expected = [(1 + 2 * math.cos(2 * math.pi * k / 5)) / 3 for k in (0, 1, 4, 2, 3)]
    torch.testing.assert_close(data.dmd_eigs, torch.tensor([expected], dtype=F64))


def test_eigenvalues_are_one_minus_those_of_networkxs_laplacian():
    torch.manual_seed(0)
    data = Data(x=torch.ones(12, 1, dtype=F64), edge_index=erdos_renyi_graph(12, 0.4))
    graph = to_networkx(data, to_undirected=True)
    graph.add_edges_from((node, node) for node in range(12))
    laplacian = networkx.normalized_laplacian_matrix(graph, nodelist=range(12)).toarray()
    expected = 1 - torch.linalg.eigvalsh(torch.from_numpy(laplacian))
    torch.testing.assert_close(AddLaplacianModes(rank=12)(data).dmd_eigs[0], expected)


@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.25]))
def test_all_modes_make_up_the_real_part_of_the_operator(seed, charge):
    torch.manual_seed(seed)
    edge_index = erdos_renyi_graph(7, 0.3, directed=True)
    data = Data(x=torch.ones(7, 1, dtype=F64), edge_index=edge_index)
    modes = AddLaplacianModes(rank=14 if charge else 7, charge=charge)(data)
    made = modes.dmd_modes * modes.dmd_eigs @ modes.dmd_modes.T
    torch.testing.assert_close(made, dense(data, charge).real)


def test_a_charge_tells_the_direction_of_edges():
    eigs = [AddLaplacianModes(rank=6, charge=charge)(ring(5, directed=True)).dmd_eigs for charge in (0.0001, 0.25)]
    assert not torch.allclose(*eigs, atol=0.01)
    assert AddLaplacianModes(rank=6, charge=0.25)(ring(5)).dmd_eigs[0, 0] == pytest.approx(1)


def test_large_graph_by_lanczos_is_the_dense_one():
    data = ring(120)
    data.edge_index = torch.cat([data.edge_index, torch.tensor([[0, 40], [40, 0]])], dim=1)
    found = AddLaplacianModes(rank=4)(data)
    torch.testing.assert_close(found.dmd_eigs[0], torch.linalg.eigvalsh(dense(data, 0).real).flip(0)[:4])
    torch.testing.assert_close(dense(data, 0).real @ found.dmd_modes, found.dmd_modes * found.dmd_eigs)


def test_batches_pad_and_give_each_graph_its_own():
    graphs = [ring(3), ring(8)]
    for graph in graphs:
        graph.x = torch.ones(graph.num_nodes, 1)
    both = AddLaplacianModes(rank=5)(Batch.from_data_list(graphs))
    assert both.dmd_eigs.shape == (2, 5)
    assert both.dmd_modes.dtype == torch.float32
    assert not both.dmd_modes[:3, 3:].any()
    torch.testing.assert_close(both.get_example(1).dmd_eigs, AddLaplacianModes(rank=5)(graphs[1]).dmd_eigs)


def test_one_model_takes_either():
    data = ring(9)
    model = GraphDMD(9, 4, 2, rank=3).double()
    for transform in (AddDMDModes(rank=3), AddLaplacianModes(rank=3)):
        modes = transform(data)
        assert model(modes.x, modes.dmd_modes, modes.dmd_eigs).shape == (9, 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "rank=0"),
        ({"rank": 2.5}, "rank=2.5"),
        ({"rank": 3, "charge": 0.1}, "even"),
        ({"rank": 2, "charge": 0.3}, "charge=0.3"),
        ({"rank": 2, "attr": "my index"}, "attr="),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        AddLaplacianModes(**settings)


def test_bad_graphs_are_named():
    with pytest.raises(RankError, match="rank=6 for a graph of 5 nodes"):
        AddLaplacianModes(rank=6)(ring(5))
    with pytest.raises(InputError, match="lacks x"):
        AddLaplacianModes(rank=2)(Data(edge_index=ring(5).edge_index))
    negative = ring(5)
    negative.edge_weight = -torch.ones(negative.num_edges, dtype=F64)
    with pytest.raises(InputError, match="expected none below 0"):
        AddLaplacianModes(rank=2)(negative)
