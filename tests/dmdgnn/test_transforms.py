import math

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.utils import erdos_renyi_graph

from dmdgnn import InputError, RankError
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.transforms import AddDMDModes

F64 = torch.float64


def random_graph(n=10, f=6, seed=0):
    torch.manual_seed(seed)
    return Data(x=torch.randn(n, f, dtype=F64), edge_index=erdos_renyi_graph(n, 0.4), y=torch.arange(n))


def ring(n):
    nodes = torch.arange(n)
    return Data(x=torch.eye(n, dtype=F64), edge_index=torch.stack([nodes, (nodes + 1) % n]))


def test_ring_has_the_cosines():
    data = AddDMDModes()(ring(5))  # each node is the mean of itself and its two neighbours
    expected = [(1 + 2 * math.cos(2 * math.pi * k / 5)) / 3 for k in (0, 1, 4, 2, 3)]
    torch.testing.assert_close(data.dmd_eigs, torch.tensor([expected], dtype=F64))
    torch.testing.assert_close(data.dmd_modes[:, 0].abs(), torch.full((5,), 5**-0.5, dtype=F64))


def test_directed_ring_has_complex_pairs_in_real_columns():
    data = AddDMDModes(dynamics=FeaturePropagation(direction="forward", normalization="rw"))(ring(3))
    turn = complex(math.cos(math.tau / 3), math.sin(math.tau / 3))
    expected = [1, (1 + turn) / 2, (1 + turn.conjugate()) / 2]
    torch.testing.assert_close(data.dmd_eigs, torch.tensor([expected], dtype=torch.complex128))
    assert data.dmd_modes.dtype == F64
    # The ring is normal, and the real form of its modes is orthonormal.
    torch.testing.assert_close(data.dmd_modes.T @ data.dmd_modes, torch.eye(3, dtype=F64))


def test_complete_graph_has_rank_one():
    data = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 0, 1], [1, 2, 2]]))
    torch.testing.assert_close(AddDMDModes()(data).dmd_eigs, torch.tensor([[1.0]]))
    with pytest.raises(RankError, match="numerical rank 1: use rank <= 1"):
        AddDMDModes(rank=2)(data)


@pytest.mark.parametrize("modes", ["projected", "exact"])
def test_modes_belong_to_the_propagation(modes):
    data = random_graph()
    dynamics = FeaturePropagation(burn_in=1, stride=2)
    out = AddDMDModes(rank=4, dynamics=dynamics, modes=modes)(data)
    A = torch.linalg.matrix_power(dynamics.adjacency(data).to_dense(), 2)
    U = torch.linalg.svd(dynamics.snapshots(data)[0], full_matrices=False).U[:, :4]
    projected = AddDMDModes(rank=4, dynamics=dynamics)(data).dmd_modes
    torch.testing.assert_close(projected @ projected.T, U @ U.T)
    torch.testing.assert_close(projected.T @ A @ projected, out.dmd_eigs[0].diag())
    torch.testing.assert_close(out.dmd_modes, projected if modes == "projected" else A @ projected)


@pytest.mark.parametrize("direction", ["undirected", "forward"])
def test_the_given_graph_stays_as_it_is(direction):
    data = random_graph()
    before = data.clone()
    out = AddDMDModes(rank=3, dynamics=FeaturePropagation(direction=direction))(data)
    assert data.keys() == before.keys()
    assert all(torch.equal(data[key], before[key]) for key in before.keys())  # noqa: SIM118
    assert set(out.keys()) == {*before.keys(), "dmd_modes", "dmd_eigs"}
    assert out.y is data.y


def test_no_gradient_is_kept():
    data = random_graph()
    data.x.requires_grad_()
    out = AddDMDModes(rank=3)(data)
    assert not out.dmd_modes.requires_grad
    assert not out.dmd_eigs.requires_grad


def test_graphs_batch():
    graphs = [AddDMDModes(rank=3)(random_graph(n, seed=n)) for n in (8, 11)]
    loaded = next(iter(DataLoader(graphs, batch_size=2)))
    for batch in (Batch.from_data_list(graphs), loaded):
        torch.testing.assert_close(batch.dmd_eigs, torch.cat([graph.dmd_eigs for graph in graphs]))
        torch.testing.assert_close(batch.dmd_modes, torch.cat([graph.dmd_modes for graph in graphs]))
        assert tuple(batch.dmd_eigs.shape) == (2, 3)
        torch.testing.assert_close(batch[1].dmd_eigs, graphs[1].dmd_eigs)


def test_modes_follow_their_nodes_into_a_subgraph():
    data = AddDMDModes(rank=3)(random_graph())
    nodes = torch.tensor([7, 2, 5])
    sub = data.subgraph(nodes)
    torch.testing.assert_close(sub.dmd_modes, data.dmd_modes[sub.y])
    assert sub.y.tolist() == nodes.tolist()
    torch.testing.assert_close(sub.dmd_eigs, data.dmd_eigs)


def test_nodes_may_be_permuted():
    data = random_graph()
    order = torch.randperm(10)
    permuted = Data(x=data.x[order], edge_index=order.argsort()[data.edge_index])
    out, out_permuted = AddDMDModes(rank=3)(data), AddDMDModes(rank=3)(permuted)
    torch.testing.assert_close(out_permuted.dmd_eigs, out.dmd_eigs)
    signs = (out_permuted.dmd_modes * out.dmd_modes[order]).sum(0)
    torch.testing.assert_close(out_permuted.dmd_modes, out.dmd_modes[order] * signs.sign())
    torch.testing.assert_close(signs.abs(), torch.ones(3, dtype=F64))


def test_energy_of_all_keeps_the_numerical_rank():
    data = random_graph(f=2)
    data.x = torch.cat([data.x, 2 * data.x], dim=1)
    assert AddDMDModes(energy=1.0)(data).dmd_eigs.shape == (1, 2)
    assert AddDMDModes(energy=1e-6)(data).dmd_eigs.shape == (1, 1)


def test_features_that_are_not_finite():
    data = random_graph()
    data.x[4, 1] = torch.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        AddDMDModes(rank=2)(data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank=0"),
        ({"rank": 2, "energy": 0.5}, "give one of them"),
        ({"energy": 2.0}, r"energy=2\.0"),
        ({"modes": "both"}, "modes='both'"),
    ],
)
def test_bad_settings_fail_before_the_first_graph(options, message):
    with pytest.raises(InputError, match=message):
        AddDMDModes(**options)


def test_repr_tells_the_settings():
    text = repr(AddDMDModes(rank=4))
    assert text.startswith("AddDMDModes(DMD(rank=4, modes='projected', constraint='symmetric'), FeaturePropagation(")
    assert "burn_in=2" in text


@pytest.mark.parametrize("dynamics", [None, FeaturePropagation(normalization="rw", direction="forward")])
def test_batch_of_graphs_gets_the_modes_of_each(dynamics):
    generator = torch.Generator().manual_seed(0)
    graphs = [
        Data(
            x=torch.randn(n, 4, dtype=torch.float64, generator=generator),
            edge_index=torch.randint(n, (2, 3 * n), generator=generator),
        )
        for n in (7, 5, 12, 5)
    ]
    transform = AddDMDModes(rank=3, dynamics=dynamics)
    batch = transform(Batch.from_data_list(graphs))
    assert batch.dmd_modes.shape == (29, 3)
    assert batch.dmd_eigs.shape == (4, 3)
    for together, graph in zip(batch.to_data_list(), graphs, strict=True):
        alone = transform(graph)
        torch.testing.assert_close(together.dmd_eigs, alone.dmd_eigs)
        torch.testing.assert_close(together.dmd_modes.abs(), alone.dmd_modes.abs())


def test_graphs_without_enough_modes_get_zeros():
    one_node = Data(x=torch.ones(1, 2), edge_index=torch.zeros(2, 0, dtype=torch.int64))
    three_nodes = Data(x=torch.eye(3)[:, :2], edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    batch = AddDMDModes(rank=2)(Batch.from_data_list([one_node, three_nodes]))
    torch.testing.assert_close(batch.dmd_eigs[0], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(batch.dmd_modes[0].abs(), torch.tensor([1.0, 0.0]))
    assert bool((batch.dmd_eigs[1] != 0).all())
