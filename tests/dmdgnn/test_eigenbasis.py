"""Operators of all kinds, with a good eigenbasis or none: a layer propagates by the operator, or refuses it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from dmdgnn import DMD, FactorizationError, InputError, LowRankOperator
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DMDConv
from dmdgnn.series import AddSeriesModes
from dmdgnn.transforms import AddDMDModes
from matrices import randn

DTYPES = (torch.float32, torch.float64)
FORWARD = FeaturePropagation(direction="forward")
seeds = st.integers(0, 2**31 - 1)


def plain(channels, rank, degree=None):
    """A layer that is its operator."""
    return DMDConv(channels, channels, rank, degree=degree, bias=False, weight=False)


def assert_propagates(out, expected, operator_size):
    """To two thirds of the digits, with a factor for sums."""
    atol = 20 * float(torch.finfo(out.dtype).eps ** (2 / 3)) * operator_size
    torch.testing.assert_close(out, expected, rtol=0, atol=atol)


def jordan(sizes, eigenvalues, seed):
    """Blocks of a Jordan form of these sizes, in a random orthonormal basis."""
    J = torch.block_diag(
        *(
            torch.diag(torch.full((size,), value)) + torch.diag(torch.ones(size - 1), 1)
            for size, value in zip(sizes, eigenvalues, strict=False)
        )
    ).double()
    Q = torch.linalg.qr(randn(len(J), len(J), seed=seed)).Q
    return Q @ J @ Q.T


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.lists(st.sampled_from([0.0, 1.0, -0.5, 0.9]), min_size=3, max_size=3),
    st.sampled_from(DTYPES),
    st.sampled_from([None, 1, 3]),
    seeds,
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_layer_starts_as_any_operator_on_orthonormal_modes(sizes, eigenvalues, dtype, degree, seed):
    core = jordan(sizes, eigenvalues, seed)
    L = torch.linalg.qr(randn(15, len(core), seed=seed + 1)).Q
    K, x = LowRankOperator(L, core).to(dtype), randn(15, 2, seed=seed + 2).to(dtype)
    assert_propagates(plain(2, K.rank, degree).to(dtype)(x, K).detach(), K @ x, float(x.norm()))


@given(st.integers(1, 6), st.floats(0, 8), st.sampled_from(DTYPES), seeds)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_an_operator_is_kept_or_refused(rank, decades, dtype, seed):
    # Oblique modes, from well to badly conditioned.
    right, left = (torch.linalg.qr(randn(9, rank, seed=seed + i)).Q for i in range(2))
    scale = torch.logspace(0, -decades, rank, dtype=torch.float64)
    K = LowRankOperator(left, torch.diag(scale), right).to(dtype)
    size = float(K.to_dense().norm())
    try:
        modes, blocks, duals = K.real_form()
    except FactorizationError:
        assert decades > 1 or torch.linalg.cond(right.T @ left) > 10
        return
    assert_propagates(modes @ blocks @ duals.mT, K.to_dense(), size)


def dag(n, density, seed):
    places = torch.rand(n, n, generator=torch.Generator().manual_seed(seed)) < density
    return places.triu(1).nonzero().T.contiguous()


@given(
    st.integers(2, 9),
    st.floats(0.1, 1),
    st.sampled_from(DTYPES),
    st.sampled_from(["projected", "exact"]),
    st.sampled_from(["sym", "rw"]),
    seeds,
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_a_layer_starts_as_the_propagation_of_a_graph_without_cycles(n, density, dtype, modes, normalization, seed):
    dynamics = FeaturePropagation(direction="forward", normalization=normalization)
    data = Data(x=torch.eye(n, dtype=dtype), edge_index=dag(n, density, seed))
    expected = dynamics.adjacency(data).to_dense()
    for blocks in (True, "auto"):
        added = AddDMDModes(n, dynamics=dynamics, modes=modes, duals=True, blocks=blocks)(data)
        arguments = (data.x, added.dmd_modes, added.dmd_eigs)
        out = plain(n, n).to(dtype)(*arguments, duals=added.dmd_duals).detach()
        assert_propagates(out, expected, float(expected.norm()))


def test_blocks_of_good_eigenbases_are_the_eigenvalues():
    ring = Data(x=randn(5, 5), edge_index=torch.stack([torch.arange(5), (torch.arange(5) + 1) % 5]))
    eigs = AddDMDModes(5, dynamics=FORWARD, duals=True)(ring)
    blocks = AddDMDModes(5, dynamics=FORWARD, duals=True, blocks=True)(ring)
    assert eigs.dmd_eigs.shape == (1, 5)
    assert blocks.dmd_eigs.shape == (1, 5, 5)
    torch.testing.assert_close(blocks.dmd_eigs.diagonal(dim1=-2, dim2=-1), eigs.dmd_eigs.real)
    torch.testing.assert_close(blocks.dmd_modes, eigs.dmd_modes)
    symmetric = AddDMDModes(3, blocks=True)(ring)
    torch.testing.assert_close(symmetric.dmd_eigs, torch.diag_embed(AddDMDModes(3)(ring).dmd_eigs))


def test_schur_blocks_are_triangular_with_the_eigenvalues_on_the_diagonal():
    chain = Data(x=torch.eye(4, dtype=torch.float64), edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]))
    dynamics = FeaturePropagation(direction="forward", normalization="rw")
    blocks = AddDMDModes(4, dynamics=dynamics, duals=True)(chain).dmd_eigs.squeeze(0)
    torch.testing.assert_close(blocks.tril(-1), torch.zeros_like(blocks), rtol=0, atol=1e-6)
    expected = torch.tensor([1, 0.5, 0.5, 0.5], dtype=torch.float64)
    torch.testing.assert_close(blocks.diagonal().sort(descending=True).values, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("modes", ["projected", "exact"])
def test_a_batch_keeps_good_eigenbases_and_mends_the_others(modes):
    dynamics = FeaturePropagation(direction="forward", normalization="rw")
    ring, chain = (torch.stack([torch.arange(n), (torch.arange(n) + 1) % 6]) for n in (6, 5))
    graphs = [Data(x=randn(6, 8), edge_index=ring), Data(x=randn(6, 8, seed=1), edge_index=chain)]
    transform = AddDMDModes(6, dynamics=dynamics, modes=modes, duals=True)
    batch = transform(Batch.from_data_list(graphs))
    assert transform(graphs[0]).dmd_eigs.is_complex()
    assert batch.dmd_eigs.shape == (2, 6, 6)
    out = plain(8, 6).double()(batch.x, batch.dmd_modes, batch.dmd_eigs, batch=batch.batch, duals=batch.dmd_duals)
    expected = [dynamics.adjacency(graph) @ graph.x for graph in graphs]
    torch.testing.assert_close(out.detach(), torch.cat(expected), rtol=0, atol=1e-8)
    assert [graph.dmd_eigs.shape for graph in batch.to_data_list()] == 2 * [(1, 6, 6)]


def test_operators_of_a_batch_some_with_fewer_modes():
    X, ptr = randn(8, 5), torch.tensor([0, 2, 8])
    K = DMD(rank=3, modes="projected").fit(X, randn(8, 5, seed=1), ptr=ptr).operator
    torch.testing.assert_close(plain(5, 3).double()(X, K).detach(), K @ X)


@given(st.integers(2, 5), st.integers(1, 4), st.sampled_from(DTYPES), seeds)
@settings(max_examples=20, deadline=None, derandomize=True)
def test_modes_of_a_polynomial_trend_forecast_it(nodes, degree, dtype, seed):
    time = torch.arange(12.0, dtype=torch.float64) / 12
    states = (randn(nodes + degree, degree + 1, seed=seed) @ torch.stack([time**k for k in range(degree + 1)])).to(
        dtype
    )
    try:
        modes = AddSeriesModes(states, energy=1 - 1e-6)
    except FactorizationError:
        pytest.fail("projected modes make up every operator")
    K = modes.dmd.operator
    out = plain(12, K.rank).to(dtype)(states, modes.dmd_modes, modes.dmd_eigs, duals=modes.dmd_duals).detach()
    assert_propagates(out, K @ states, float(K.core.norm() * states.norm()))


def test_gradients_flow_through_blocks():
    L, core, x = torch.linalg.qr(randn(7, 2)).Q, torch.tensor([[1.0, 1.0], [0.0, 1.0]]).double(), randn(7, 3)
    L.requires_grad_()
    core.requires_grad_()

    def through_the_layer(L, core):
        return plain(3, 2).double()(x, LowRankOperator(L, core))

    own = torch.autograd.grad(through_the_layer(L, core).square().sum(), (L, core))
    expected = torch.autograd.grad((LowRankOperator(L, core) @ x).square().sum(), (L, core))
    torch.testing.assert_close(own, expected)


def test_what_is_refused_tells_the_number_and_the_remedy():
    K = LowRankOperator(torch.eye(4)[:, :2], torch.tensor([[1.0, 1.0], [0.0, 1.0]]))
    with pytest.raises(FactorizationError, match=r"off by .* of its norm: take real_form\(\)"):
        K.spectrum()
    vanishing = DMD(2).fit(torch.eye(4)[:, :2], torch.eye(4)[:, 2:]).operator
    for form in (vanishing.real_form, vanishing.spectrum):
        with pytest.raises(FactorizationError, match="off by 1 of its norm"):
            form()
    with pytest.raises(FactorizationError, match="take projected modes"):
        plain(4, 2)(torch.eye(4), vanishing)
    chain = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1], [1, 2]]))
    dynamics = FeaturePropagation(direction="forward", normalization="rw")
    with pytest.raises(FactorizationError, match="blocks=True or 'auto'"):
        AddDMDModes(3, dynamics=dynamics, duals=True, blocks=False)(chain)
    trend = torch.stack([torch.arange(9.0), torch.ones(9)])
    with pytest.raises(FactorizationError, match="with blocks=True"):
        AddSeriesModes(trend, rank=2, blocks=False)
    for transform in (lambda: AddDMDModes(3, blocks="yes"), lambda: AddSeriesModes(trend, blocks=None)):
        with pytest.raises(InputError, match=r"blocks=.*expected True, False or 'auto'"):
            transform()
