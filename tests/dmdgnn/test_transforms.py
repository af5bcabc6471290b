import math

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCN
from torch_geometric.utils import erdos_renyi_graph

from dmdgnn import DMD, InputError, RankError
from dmdgnn.dynamics import (
    AllenCahn,
    Evolution,
    FeaturePropagation,
    HeatDiffusion,
    HiddenStates,
    Kuramoto,
    PersonalizedPageRank,
    WaveEquation,
)
from dmdgnn.nn import DMDConv
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


# Any dynamics.

EVERY = [
    FeaturePropagation(normalization="rw"),
    HeatDiffusion(),
    PersonalizedPageRank(direction="forward"),
    WaveEquation(),
    WaveEquation(steps=2),
    AllenCahn(beta=0.0),
    Kuramoto(frequencies="features"),
    HiddenStates(GCN(6, 6, num_layers=3).double()),
]


@pytest.mark.parametrize("dynamics", EVERY, ids=str)
@pytest.mark.parametrize("modes", ["projected", "exact"])
def test_modes_are_those_of_the_snapshots(dynamics, modes):
    data = random_graph()
    out = AddDMDModes(rank=4, dynamics=dynamics, modes=modes)(data)
    constraint = "symmetric" if dynamics.symmetric else None
    dmd = DMD(rank=4, modes=modes, constraint=constraint).fit(*dynamics.snapshots(data))
    torch.testing.assert_close(out.dmd_eigs[0], dmd.eigs)
    torch.testing.assert_close(out.dmd_modes, dmd.real_modes)
    assert out.dmd_eigs.is_complex() == (not dynamics.symmetric)


@pytest.mark.parametrize("dynamics", EVERY, ids=str)
def test_a_batch_gets_the_modes_of_any_dynamics(dynamics):
    graphs = [random_graph(n, seed=n) for n in (9, 12, 7)]
    transform = AddDMDModes(rank=3, dynamics=dynamics, duals=True)
    batch = transform(Batch.from_data_list(graphs))
    for together, graph in zip(batch.to_data_list(), graphs, strict=True):
        alone = transform(graph)
        torch.testing.assert_close(together.dmd_eigs, alone.dmd_eigs)
        torch.testing.assert_close(restricted(together), restricted(alone))


@pytest.mark.parametrize("dynamics", [HeatDiffusion, "heat", 3])
def test_dynamics_are_made_first(dynamics):
    with pytest.raises(InputError, match="expected an instance of dmdgnn"):
        AddDMDModes(rank=3, dynamics=dynamics)


# Constraints.


def eigs(**options):
    return AddDMDModes(rank=3, **options)(random_graph()).dmd_eigs


def test_constraint_is_symmetric_where_the_dynamics_are():
    assert not eigs().is_complex()
    assert torch.equal(eigs(), eigs(constraint="symmetric"))
    assert torch.equal(eigs(constraint="auto"), eigs())


def test_no_constraint_may_be_asked_for():
    free = eigs(constraint=None)
    assert free.is_complex()
    torch.testing.assert_close(free.real, eigs())  # symmetric dynamics are so by themselves
    torch.testing.assert_close(free.imag, torch.zeros(1, 3, dtype=F64))


def test_other_constraints_reach_the_fit():
    directed = FeaturePropagation(direction="forward")
    orthogonal = eigs(dynamics=directed, constraint="orthogonal")
    torch.testing.assert_close(orthogonal.abs(), torch.ones(1, 3, dtype=F64))
    assert not eigs(dynamics=directed, constraint="symmetric").is_complex()
    skew = eigs(dynamics=directed, constraint="skew_symmetric")
    torch.testing.assert_close(skew.real, torch.zeros(1, 3, dtype=F64))
    diagonal = AddDMDModes(rank=3, constraint="diagonal")(random_graph())
    assert int((diagonal.dmd_modes != 0).sum()) == 3


def test_unknown_constraints():
    with pytest.raises(InputError, match="constraint='normal', expected None or one of"):
        AddDMDModes(rank=3, constraint="normal")
    with pytest.raises(InputError, match="nor a constraint on all states"):
        AddDMDModes(rank=3, constraint="diagonal")(Batch.from_data_list([random_graph()]))


# Names.


def test_a_graph_carries_several_sets():
    data = random_graph()
    low = AddDMDModes(rank=2, attr="low")
    both = AddDMDModes(rank=4, dynamics=HeatDiffusion(), attr="heat", duals=True)(low(data))
    assert set(both.keys()) == {*data.keys(), "low_modes", "low_eigs", "heat_modes", "heat_eigs", "heat_duals"}
    assert torch.equal(both.low_modes, low(data).low_modes)
    assert both.heat_modes.shape == both.heat_duals.shape == (10, 4)
    batch = Batch.from_data_list([both, both])
    assert batch.heat_eigs.shape == (2, 4)
    assert batch.low_modes.shape == (20, 2)


def test_a_batch_carries_several_sets():
    graphs = [random_graph(n, seed=n) for n in (8, 11)]
    batch = AddDMDModes(rank=2, attr="low")(Batch.from_data_list(graphs))
    batch = AddDMDModes(rank=3, duals=True)(batch)
    first, second = batch.to_data_list()
    assert first.low_modes.shape == (8, 2)
    assert second.dmd_modes.shape == second.dmd_duals.shape == (11, 3)
    assert second.low_eigs.shape == (1, 2)
    assert torch.equal(batch[1].dmd_duals, batch.dmd_duals[8:])


def test_the_given_batch_stays_as_it_is():
    batch = Batch.from_data_list([random_graph(n, seed=n) for n in (8, 11)])
    names = set(batch._slice_dict), set(batch._inc_dict)
    AddDMDModes(rank=2, duals=True)(batch)
    assert (set(batch._slice_dict), set(batch._inc_dict)) == names
    assert set(batch[1].keys()) == {"x", "edge_index", "y"}


@pytest.mark.parametrize("attr", ["", "two words", "edge_index", "batch", 3, "4"])
def test_bad_names(attr):
    with pytest.raises(InputError, match=f"attr={attr!r}, expected a name"):
        AddDMDModes(rank=2, attr=attr)


# Dual modes.


def blocks(eigs):
    """Lambda, with 2 x 2 blocks for pairs."""
    matrix = torch.diag(eigs.real)
    for index in torch.nonzero(eigs.imag > 0).flatten().tolist() if eigs.is_complex() else ():
        imag = eigs.imag[index]
        matrix[index, index + 1], matrix[index + 1, index] = imag, -imag
    return matrix


def restricted(data, attr="dmd"):
    """Phi Lambda Psi^T."""
    modes, eigs, duals = (data[f"{attr}_{name}"] for name in ("modes", "eigs", "duals"))
    return modes @ blocks(eigs[0]) @ duals.T


DIRECTED = [
    FeaturePropagation(direction="forward"),
    FeaturePropagation(burn_in=1, direction="backward", normalization="rw"),
    HeatDiffusion(direction="forward", time=2.0),
    AllenCahn(direction="forward", beta=0.0),
    Kuramoto(frequencies="features", direction="forward"),
]


@pytest.mark.parametrize("dynamics", [*DIRECTED, FeaturePropagation()], ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_projected_modes_with_duals_are_the_operator(dynamics, seed):
    data = Data(x=random_graph(12, seed=seed).x, edge_index=erdos_renyi_graph(12, 0.2, directed=True))
    out = AddDMDModes(rank=5, dynamics=dynamics, duals=True)(data)
    constraint = "symmetric" if dynamics.symmetric else None
    K = DMD(rank=5, modes="projected", constraint=constraint).fit(*dynamics.snapshots(data)).operator
    torch.testing.assert_close(restricted(out), K.to_dense())


def test_directed_dynamics_of_these_tests_have_pairs():
    data = Data(x=random_graph(12).x, edge_index=erdos_renyi_graph(12, 0.2, directed=True))
    assert any(bool((AddDMDModes(rank=5, dynamics=dynamics)(data).dmd_eigs.imag > 0.01).any()) for dynamics in DIRECTED)


def test_a_layer_with_duals_starts_as_the_operator():
    data = Data(x=random_graph(12).x, edge_index=erdos_renyi_graph(12, 0.2, directed=True))
    dynamics = FeaturePropagation(direction="forward")
    out = AddDMDModes(rank=5, dynamics=dynamics, duals=True)(data)
    assert bool((out.dmd_eigs.imag != 0).any())
    conv = DMDConv(6, 6, rank=5, bias=False).double()
    with torch.no_grad():
        conv.lin.weight.copy_(torch.eye(6))
    expected = DMD(rank=5, modes="projected").fit(*dynamics.snapshots(data)).predict(data.x)
    torch.testing.assert_close(conv(data.x, out.dmd_modes, out.dmd_eigs, duals=out.dmd_duals), expected)


@pytest.mark.parametrize("modes", ["projected", "exact"])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_duals_are_the_pseudo_inverse(modes, dtype):
    data = Data(x=random_graph(12).x.to(dtype), edge_index=erdos_renyi_graph(12, 0.3, directed=True))
    out = AddDMDModes(rank=4, dynamics=FeaturePropagation(direction="forward"), modes=modes, duals=True)(data)
    assert out.dmd_duals.dtype == dtype
    torch.testing.assert_close(out.dmd_duals.T, torch.linalg.pinv(out.dmd_modes.double()).to(dtype))


def test_exact_modes_with_duals_are_the_operator_on_their_span():
    data = Data(x=random_graph(12).x, edge_index=erdos_renyi_graph(12, 0.2, directed=True))
    dynamics = FeaturePropagation(direction="forward")
    out = AddDMDModes(rank=4, dynamics=dynamics, modes="exact", duals=True)(data)
    K = DMD(rank=4).fit(*dynamics.snapshots(data)).operator.to_dense()
    torch.testing.assert_close(restricted(out) @ out.dmd_modes, K @ out.dmd_modes)


def test_modes_of_symmetric_dynamics_are_their_own_duals():
    out = AddDMDModes(rank=4, duals=True)(random_graph())
    torch.testing.assert_close(out.dmd_duals, out.dmd_modes)


def test_modes_that_almost_agree_have_duals():
    # Nearly a Jordan block: the two modes are 1e-5 apart.
    split = 1e-5
    chain = Data(x=torch.eye(2, dtype=F64), edge_index=torch.tensor([[0], [1]]))
    chain.edge_weight = torch.ones(1, dtype=F64)

    class Block(Evolution):
        symmetric = False

        def trajectory(self, data):
            A = torch.tensor([[1.0, 1.0], [0.0, 1.0 + split]], dtype=F64)
            yield data.x
            yield A @ data.x

    out = AddDMDModes(dynamics=Block(), duals=True)(chain)
    expected = torch.tensor([[1.0, 1.0], [0.0, 1.0 + split]], dtype=F64)
    torch.testing.assert_close(restricted(out), expected, rtol=1e-8, atol=1e-8)
    assert float(out.dmd_duals.abs().max()) > 1e4


@pytest.mark.parametrize("direction", ["undirected", "forward"])
@pytest.mark.parametrize("modes", ["projected", "exact"])
def test_duals_of_missing_modes_are_zero(direction, modes):
    small = Data(x=torch.randn(2, 6, dtype=F64), edge_index=torch.empty(2, 0, dtype=torch.long))
    zero = Data(x=torch.zeros(5, 6, dtype=F64), edge_index=torch.tensor([[0, 1], [1, 2]]))
    graphs = [small, random_graph(9), zero, random_graph(30)]
    dynamics = FeaturePropagation(direction=direction)
    batch = AddDMDModes(rank=4, dynamics=dynamics, modes=modes, duals=True)(Batch.from_data_list(graphs))
    for graph in batch.to_data_list():
        missing = ~graph.dmd_modes.any(dim=0)
        assert not graph.dmd_duals[:, missing].any()
        torch.testing.assert_close(graph.dmd_duals.T, torch.linalg.pinv(graph.dmd_modes), rtol=1e-6, atol=1e-8)
    first, second, third, _ = batch.to_data_list()
    assert int(first.dmd_modes.any(dim=0).sum()) == 2
    assert bool(second.dmd_duals.any(dim=0).all())
    assert not third.dmd_duals.any()


def test_repr_tells_the_names():
    text = repr(AddDMDModes(rank=4, attr="low", duals=True, constraint="orthogonal"))
    assert "constraint='orthogonal'" in text
    assert text.endswith("attr='low', duals=True)")
