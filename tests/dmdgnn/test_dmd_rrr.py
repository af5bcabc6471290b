"""Reduced-rank regression: closed form, optimality, and the forms that fit takes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from dmdgnn import DMD, InputError, RankError
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.kernels import Moments
from dmdgnn.nn import DMDConv
from dmdgnn.transforms import AddDMDModes
from matrices import F64, randn

X, Y = randn(8, 25), randn(8, 25, seed=1)


def closed_form(X, Y, rank, ridge):
    """P_r Y X^H (X X^H + ridge)^-1, with P_r on the leading left singular vectors of Y X^H (X X^H + ridge)^-1/2."""
    values, vectors = torch.linalg.eigh(X @ X.mH + ridge * torch.eye(len(X), dtype=X.dtype))
    root = vectors * values.rsqrt() @ vectors.mH
    U = torch.linalg.svd(Y @ X.mH @ root).U[:, :rank]
    return U @ U.mH @ Y @ X.mH @ root @ root


def loss(K, X, Y, ridge):
    return float((K @ X - Y).square().sum() + ridge * K.square().sum())


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.sampled_from([0.0, 0.1, 10.0]), st.sampled_from([(5, 12), (6, 40)]), st.integers(0, 99))
def test_is_the_closed_form(rank, ridge, shape, seed):
    X, Y = randn(*shape, seed=seed), randn(*shape, seed=seed + 1)
    dmd = DMD(rank, estimator="rrr", ridge=ridge).fit(X, Y)
    torch.testing.assert_close(dmd.operator.to_dense(), closed_form(X, Y, rank, ridge), rtol=1e-6, atol=1e-8)
    assert dmd.operator.rank == rank


@pytest.mark.parametrize("ridge", [0.0, 1.0])
def test_predicts_better_than_principal_components_of_the_same_rank(ridge):
    for rank in (1, 2, 4):
        rrr, pcr = (DMD(rank, estimator=name, ridge=ridge).fit(X, Y).operator.to_dense() for name in ("rrr", "pcr"))
        assert loss(rrr, X, Y, ridge) < 0.999 * loss(pcr, X, Y, ridge)
    both = [DMD(8, estimator=name, ridge=ridge).fit(X, Y).operator.to_dense() for name in ("rrr", "pcr")]
    torch.testing.assert_close(*both)


def test_finds_what_is_small_in_x_and_large_in_y():
    X = torch.diag(torch.tensor([10.0, 1.0, 0.1], dtype=F64)) @ randn(3, 30)
    A = torch.diag(torch.tensor([0.001, 0.01, 5.0], dtype=F64))
    assert float(DMD(1, estimator="rrr").fit(X, A @ X).eigs.abs()) == pytest.approx(5.0, rel=1e-2)
    assert float(DMD(1).fit(X, A @ X).eigs.abs()) < 0.1


@pytest.mark.parametrize("modes", ["exact", "projected"])
@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_all_forms_agree(modes, ridge):
    options = {"modes": modes, "ridge": ridge, "estimator": "rrr"}
    for A, B in ((X, Y), (randn(20, 6), randn(20, 6, seed=1))):
        dmd = DMD(3, **options).fit(A, B)
        dense = dmd.operator.to_dense()
        torch.testing.assert_close(dmd.operator @ dmd.real_modes, dmd.real_modes @ dmd.blocks)
        lifted = DMD(3, **options).fit_moments(Moments.of(A[:3], B[:3]) + Moments.of(A[3:], B[3:]))
        torch.testing.assert_close(lifted.lift(A, B).to_dense(), dense, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(lifted.singular_values, dmd.singular_values)
        batch = DMD(3, **options).fit(torch.stack([A, A.flip(0)]), torch.stack([B, B.flip(0)]))
        torch.testing.assert_close(batch.operator.to_dense(), torch.stack([dense, dense.flip(0, 1)]))
        ptr = torch.tensor([0, len(A), 2 * len(A)])
        graphs = DMD(3, **options).fit(torch.cat([A, A]), torch.cat([B, B]), ptr=ptr).operator.to_dense()
        torch.testing.assert_close(graphs, torch.block_diag(dense, dense))
        torch.testing.assert_close(DMD(5, **options).fit(A, B).truncate(3).operator.to_dense(), dense)
        single = DMD(3, **options).fit(A.float(), B.float()).operator.to_dense()
        torch.testing.assert_close(single.double(), dense, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("shape", [(5, 8), (7, 4)])
def test_gradients(ridge, shape):
    def dense(A, B):
        return DMD(2, estimator="rrr", ridge=ridge).fit(A, B).operator.to_dense()

    leaves = randn(*shape).requires_grad_(), randn(*shape, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(dense, leaves, fast_mode=True)


def test_ranks_by_rules_are_those_of_what_is_fitted():
    low = randn(8, 2, seed=3) @ randn(2, 8, seed=4) @ X
    assert DMD(estimator="rrr").fit(X, low).eigs.shape == (2,)
    assert DMD("optimal", estimator="rrr").fit(X, low + 1e-3 * Y).eigs.shape == (2,)
    dmd = DMD(energy=0.9, estimator="rrr").fit(X, Y)
    values = torch.linalg.svdvals(Y @ torch.linalg.pinv(X) @ X)
    shares = values.square().cumsum(0) / values.square().sum()
    assert len(dmd.eigs) == int((shares < 0.9).sum()) + 1
    torch.testing.assert_close(dmd.singular_values, values[: len(dmd.eigs)])
    with pytest.raises(RankError, match="rank=3"):
        DMD(3, estimator="rrr").fit(X, low)


@pytest.mark.parametrize(
    "options",
    [
        {"constraint": "symmetric"},
        {"forward_backward": True},
        {"total_least_squares": True},
        {"svd": "randomized", "rank": 2},
    ],
)
def test_what_does_not_go_together(options):
    with pytest.raises(InputError, match="estimator='rrr' goes with neither"):
        DMD(estimator="rrr", **options)


def test_unknown_estimator_and_control():
    with pytest.raises(InputError, match="estimator='ols', expected 'pcr' or 'rrr'"):
        DMD(estimator="ols")
    with pytest.raises(InputError, match="control goes with"):
        DMD(estimator="rrr").fit(X, Y, control=randn(1, 25))


def test_noisy_series_are_forecast():
    t = torch.arange(200, dtype=F64)
    series = torch.cos(0.3 * t).unsqueeze(0) + 0.05 * randn(1, 200)
    dmd = DMD(2, delays=20, estimator="rrr", ridge=1.0).fit(series[:, :150])
    assert float(dmd.frequency.abs().max()) == pytest.approx(0.3 / (2 * torch.pi), rel=1e-2)
    assert dmd.forecast(50).shape == (1, 50)
    assert bool((dmd.dual_residuals < 0.3).all())


def graph(n=12, f=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    A = (torch.rand(n, n, generator=generator) < 0.4).triu(1)
    return Data(x=torch.randn(n, f, generator=generator), edge_index=(A | A.T).nonzero().T.contiguous())


@pytest.mark.parametrize("direction", ["undirected", "forward"])
def test_modes_of_layers(direction):
    dynamics = FeaturePropagation(direction=direction)
    transform = AddDMDModes(3, dynamics=dynamics, estimator="rrr", duals=True)
    data = transform(graph())
    K = DMD(3, estimator="rrr").fit(*dynamics.snapshots(graph())).operator.to_dense()
    P = data.dmd_modes @ torch.linalg.pinv(data.dmd_modes)
    conv = DMDConv(6, 6, 3, bias=False, weight=False)
    out = conv(data.x, data.dmd_modes, data.dmd_eigs, duals=data.dmd_duals)
    torch.testing.assert_close(out, P @ K @ P @ data.x, rtol=1e-3, atol=1e-4)
    batch = transform(Batch.from_data_list([graph(), graph(9, seed=1)]))
    torch.testing.assert_close(batch.dmd_eigs[:1].abs(), data.dmd_eigs.abs(), rtol=1e-3, atol=1e-4)
    assert "estimator='rrr'" in repr(transform)
