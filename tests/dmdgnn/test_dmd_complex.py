"""Complex snapshots: PyDMD, the real matrix of twice the size that does the same, and optimality."""

import warnings

import numpy as np
import pydmd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

from dmdgnn import DMD, InputError, LowRankOperator
from dmdgnn.kernels import Moments, thin_svd
from dmdgnn.series import AddSeriesModes
from dmdgnn.transforms import AddDMDModes
from matrices import F64, assert_parallel, eigenpairs, pydmd_fit

C128 = torch.complex128


def crandn(*shape, seed=0):
    return torch.randn(shape, dtype=C128, generator=torch.Generator().manual_seed(seed))


def embedded(Z):
    """[[Re, -Im], [Im, Re]]: the real matrix that does the same."""
    return torch.cat([torch.cat([Z.real, -Z.imag], dim=-1), torch.cat([Z.imag, Z.real], dim=-1)], dim=-2)


X, Y = crandn(9, 14), crandn(9, 14, seed=1)
OPTIONS = [
    {},
    {"modes": "projected"},
    {"ridge": 0.3},
    {"forward_backward": True},
    {"total_least_squares": True},
    {"constraint": "symmetric"},
    {"constraint": "skew_symmetric"},
    {"constraint": "orthogonal"},
    {"estimator": "rrr"},
    {"estimator": "rrr", "ridge": 0.3},
]
by_options = pytest.mark.parametrize("options", OPTIONS, ids=str)


@pytest.mark.parametrize("rank", [1, 4, 9])
@pytest.mark.parametrize("exact", [True, False])
def test_agrees_with_pydmd(rank, exact):
    dmd = DMD(rank, modes="exact" if exact else "projected").fit(X, Y)
    eigs, modes = eigenpairs(pydmd_fit(pydmd.DMD(svd_rank=rank, exact=exact), X, Y))
    own_eigs, own_modes = eigenpairs(dmd)
    torch.testing.assert_close(own_eigs, eigs)
    assert_parallel(own_modes, modes)


@by_options
def test_is_the_real_problem_of_twice_the_size(options):
    dmd, real = DMD(4, **options).fit(X, Y), DMD(8, **options).fit(embedded(X), embedded(Y))
    torch.testing.assert_close(real.operator.to_dense(), embedded(dmd.operator.to_dense()), rtol=1e-6, atol=1e-7)


@by_options
def test_modes_are_eigenvectors_of_the_operator(options):
    dmd = DMD(4, **{"modes": "projected"} | options).fit(X, Y)
    assert dmd.modes.dtype == dmd.operator.dtype == C128
    torch.testing.assert_close(dmd.operator @ dmd.modes, dmd.modes * dmd.eigs)


@by_options
def test_single_precision_batches_graphs_and_moments_agree(options):
    dmd = DMD(4, **options).fit(X, Y)
    whole = dmd.operator.to_dense()
    single = DMD(4, **options).fit(X.to(torch.complex64), Y.to(torch.complex64))
    assert single.modes.dtype == single.reconstructed_data.dtype == torch.complex64
    torch.testing.assert_close(single.operator.to_dense().to(C128), whole, rtol=1e-3, atol=1e-4)
    batch = DMD(4, **options).fit(torch.stack([X, 2j * X]), torch.stack([Y, 2j * Y]))
    torch.testing.assert_close(batch.operator.to_dense()[0], whole)
    graphs = DMD(4, **options).fit(torch.cat([X[:5], X]), torch.cat([Y[:5], Y]), ptr=torch.tensor([0, 5, 14]))
    torch.testing.assert_close(graphs.operator.to_dense()[5:, 5:], whole)
    halves = Moments.of(X[:5], Y[:5]) + Moments.of(X[5:], Y[5:])
    lifted = DMD(4, **options).fit_moments(halves)
    torch.testing.assert_close(lifted.lift(X, Y).to_dense(), whole, rtol=1e-6, atol=1e-7)


@by_options
def test_gradients(options):
    def dense(A, B):
        return DMD(3, **options).fit(A, B).operator.to_dense()

    leaves = crandn(5, 6).requires_grad_(), crandn(5, 6, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(dense, leaves, fast_mode=True)


@pytest.mark.parametrize(
    ("constraint", "peer"),
    [("skew_symmetric", "skewsymmetric"), ("orthogonal", "unitary"), ("diagonal", "diagonal"),
     ("lower_triangular", "lowertriangular"), ("upper_triangular", "uppertriangular")],
)  # fmt: skip
def test_constraints_agree_with_pydmd(constraint, peer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = pydmd.PiDMD(peer, svd_rank=-1, compute_A=True).fit(X.numpy(), Y.numpy()).A
    K = DMD(constraint=constraint).fit(X, Y).operator.to_dense()
    np.testing.assert_allclose(K.numpy(), expected, atol=1e-12)


def circulant(column):
    return torch.stack([column.roll(shift) for shift in range(len(column))], dim=1)


@pytest.mark.parametrize(
    ("constraint", "member"),
    [("symmetric", lambda seed: crandn(9, 9, seed=seed) + crandn(9, 9, seed=seed).mH),
     ("circulant", lambda seed: circulant(crandn(9, seed=seed)))],
    ids=["symmetric", "circulant"],
)  # fmt: skip
def test_no_operator_of_the_kind_fits_better(constraint, member):
    K = DMD(constraint=constraint).fit(X, Y).operator.to_dense()
    if constraint == "symmetric":
        torch.testing.assert_close(K, K.mH)
    else:
        torch.testing.assert_close(K, circulant(K[:, 0]))
    best = float((K @ X - Y).norm())
    for seed in range(5):
        for step in (1e-3, -1e-3):
            assert float(((K + step * member(seed)) @ X - Y).norm()) > best


@pytest.mark.parametrize("method", ["gram", "full", "randomized", "auto"])
@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (2, 12, 7)])
@pytest.mark.parametrize("dtype", [torch.complex64, C128])
def test_every_kernel_factorises(method, shape, dtype):
    Z = crandn(*shape).to(dtype)
    U, S, V = thin_svd(Z, rank=min(shape[-2:]), method=method)
    assert (U.dtype, S.dtype, V.dtype) == (dtype, F64, C128)
    atol = 1e-5 if dtype == torch.complex64 else 1e-9
    torch.testing.assert_close((U.to(C128) * S.unsqueeze(-2)) @ V.mH, Z.to(C128), rtol=0, atol=atol)
    torch.testing.assert_close(S, torch.linalg.svdvals(Z.to(C128)), rtol=0, atol=atol)


@pytest.mark.parametrize("scale", [1e-170, 1e170])
def test_scale_does_not_matter(scale):
    plain, scaled = (DMD(4).fit(s * X, s * Y).eigs for s in (1.0, scale))
    torch.testing.assert_close(scaled, plain)


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.floats(0.5, 1.1), st.integers(0, 50))
def test_one_rotating_wave_needs_one_mode(angle, modulus, seed):
    rate = modulus * np.exp(1j * angle)
    shape = crandn(6, 1, seed=seed)
    series = shape * torch.tensor(rate, dtype=C128) ** torch.arange(12)
    dmd = DMD().fit(series[:, :8])
    torch.testing.assert_close(dmd.eigs, torch.tensor([rate], dtype=C128))
    torch.testing.assert_close(dmd.forecast(4), series[:, 8:])
    torch.testing.assert_close(dmd.reconstructed_data, series[:, :8])
    torch.testing.assert_close(dmd.reconstruct([0.5]), shape * complex(rate) ** 0.5)
    assert not bool((dmd.residuals > 1e-7).any() | (dmd.dual_residuals > 1e-7).any())


def test_what_needs_pairs_says_that_there_are_none():
    dmd = DMD(3).fit(X, Y)
    for name in ("real_modes", "blocks"):
        with pytest.raises(InputError, match=r"complex snapshots have no .* fit real and imaginary parts"):
            getattr(dmd, name)


def test_what_needs_real_modes_refuses_complex_states():
    with pytest.raises(InputError, match="real"):
        DMD(3).fit(X, Y).operator.spectrum()
    with pytest.raises(InputError, match="real"):
        AddSeriesModes(X, 3)
    edges = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(InputError, match="complex"):
        AddDMDModes(2)(Data(x=X[:2], edge_index=edges))


def test_real_and_complex_do_not_mix():
    with pytest.raises(InputError, match="must agree"):
        DMD().fit(X, Y.real.clone())
    moments = DMD(3).fit_moments(Moments.of(X, Y))
    with pytest.raises(InputError, match="expected both real or both complex"):
        moments.lift(X.real.clone(), Y.real.clone())


def test_operator_of_complex_factors(tmp_path):
    L, core, R = crandn(5, 2), crandn(2, 2, seed=1), crandn(5, 2, seed=2)
    K = LowRankOperator(L, core, R)
    torch.testing.assert_close(K.to_dense(), L @ core @ R.mT)
    torch.testing.assert_close(K.to_dense() @ K.modes, K.modes * K.eigs)
    K.save(tmp_path / "K.safetensors")
    assert torch.equal(LowRankOperator.load(tmp_path / "K.safetensors").left, L)
