import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmdgnn import DMD, InputError, RankError
from matrices import assert_parallel, orthonormal, randn

F64 = torch.float64


def symmetric_system(n=7, seed=0):
    """A symmetric matrix with eigenvalues 1, -0.9, 0.8, -0.7 ..."""
    values = torch.tensor([(-1) ** i * (1 - 0.1 * i) for i in range(n)], dtype=F64)
    basis = orthonormal(n, n, seed)
    return basis * values @ basis.T


def pydmd_eigenpairs(model):
    order = np.lexsort((-model.eigs.imag, -np.abs(model.eigs).round(9)))
    return torch.from_numpy(model.eigs[order]), torch.from_numpy(model.modes[:, order])


@pytest.mark.parametrize("modes", ["exact", "projected"])
@pytest.mark.parametrize("constraint", [None, "symmetric"])
def test_diagonal_system(modes, constraint):
    values = torch.tensor([0.3, -0.9, 0.5], dtype=F64)
    X = randn(3, 5)
    dmd = DMD(modes=modes, constraint=constraint).fit(X, values.diag() @ X)
    torch.testing.assert_close(dmd.eigs, torch.tensor([-0.9, 0.5, 0.3], dtype=F64), check_dtype=False)
    assert_parallel(dmd.modes, torch.eye(3, dtype=F64)[:, [1, 2, 0]])
    torch.testing.assert_close(dmd.operator.to_dense(), values.diag())


@given(st.floats(0.05, math.pi - 0.05), st.floats(0.3, 1.5), st.integers(2, 9), st.sampled_from(["exact", "projected"]))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_rotation_in_a_plane(angle, modulus, n, modes):
    c, s = modulus * math.cos(angle), modulus * math.sin(angle)
    A = torch.tensor([[c, -s], [s, c]], dtype=F64)
    plane = orthonormal(n, 2)
    X = plane @ randn(2, 4, seed=1)
    dmd = DMD(modes=modes).fit(X, plane @ A @ plane.T @ X)
    # positive imaginary part first
    torch.testing.assert_close(dmd.eigs, torch.tensor([complex(c, s), complex(c, -s)], dtype=torch.complex128))
    torch.testing.assert_close(dmd.operator.to_dense(), plane @ A @ plane.T)
    torch.testing.assert_close(dmd.operator.power(3).to_dense(), plane @ torch.linalg.matrix_power(A, 3) @ plane.T)


def test_series_of_states_is_its_own_pairs():
    A = torch.tensor([[0.9, 0.4, 0.0], [-0.4, 0.9, 0.0], [0.0, 0.1, 0.5]], dtype=F64)
    states = [torch.ones(3, dtype=F64)]
    for _ in range(5):
        states.append(A @ states[-1])
    series = torch.stack(states, dim=1)
    dmd = DMD().fit(series)
    torch.testing.assert_close(dmd.eigs, torch.tensor([0.9 + 0.4j, 0.9 - 0.4j, 0.5], dtype=torch.complex128))
    torch.testing.assert_close(dmd.predict(series[:, :-1]), series[:, 1:])
    torch.testing.assert_close(dmd.operator.to_dense(), DMD().fit(series[:, :-1], series[:, 1:]).operator.to_dense())


@pytest.mark.parametrize("modes", ["exact", "projected"])
@pytest.mark.parametrize("svd", ["gram", "full"])
@pytest.mark.parametrize("rank", [2, 5])
def test_agrees_with_pydmd(modes, svd, rank):
    from pydmd import DMD as PyDMD

    X, Y = randn(12, 8), randn(12, 8, seed=1)
    dmd = DMD(rank=rank, modes=modes, svd=svd).fit(X, Y)
    eigs, vectors = pydmd_eigenpairs(PyDMD(svd_rank=rank, exact=modes == "exact").fit(X.numpy(), Y.numpy()))
    torch.testing.assert_close(dmd.eigs, eigs.to(torch.complex128))
    assert_parallel(dmd.modes, vectors)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_symmetric_agrees_with_pydmd(rank):
    from pydmd import PiDMD

    X, Y = randn(9, 6), randn(9, 6, seed=1)
    dmd = DMD(rank=rank, modes="projected", constraint="symmetric").fit(X, Y)
    eigs, vectors = pydmd_eigenpairs(PiDMD("symmetric", svd_rank=rank, compute_A=False).fit(X.numpy(), Y.numpy()))
    torch.testing.assert_close(dmd.eigs, eigs.real)
    assert_parallel(dmd.modes, vectors)


@pytest.mark.parametrize("seed", range(3))
def test_symmetric_fits_best_among_symmetric_operators(seed):
    X, Y = randn(5, 9, seed=seed), randn(5, 9, seed=seed + 10)
    K = DMD(constraint="symmetric").fit(X, Y).operator.to_dense()
    torch.testing.assert_close(K, K.T)
    # At the minimum the gradient has no symmetric part.
    gradient = (K @ X - Y) @ X.T
    assert float((gradient + gradient.T).abs().max()) < 1e-10


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("constraint", [None, "symmetric"])
def test_symmetric_dynamics_are_projected_exactly(power, constraint):
    A = torch.linalg.matrix_power(symmetric_system(), power)
    X = randn(7, 4, seed=3)
    dmd = DMD(modes="projected", constraint=constraint).fit(X, A @ X)
    U = torch.linalg.svd(X, full_matrices=False).U
    torch.testing.assert_close(dmd.operator.to_dense(), U @ U.T @ A @ U @ U.T)
    torch.testing.assert_close(dmd.operator.core, dmd.operator.left.T @ A @ dmd.operator.left)


@given(st.integers(2, 9), st.integers(1, 9), st.integers(0, 2**31 - 1))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_projected_modes_of_symmetric_dynamics_are_orthonormal(n, rank, seed):
    rank = min(n, rank)
    A, X = symmetric_system(n, seed), orthonormal(n, n, seed + 1)
    dmd = DMD(rank, modes="projected", constraint="symmetric").fit(X, A @ X)
    assert not dmd.eigs.is_complex()
    assert not dmd.modes.is_complex()
    assert dmd.real_modes is dmd.modes
    torch.testing.assert_close(dmd.modes.T @ dmd.modes, torch.eye(rank, dtype=F64))
    torch.testing.assert_close(dmd.modes.T @ A @ dmd.modes, dmd.eigs.diag())
    torch.testing.assert_close(dmd.modes * dmd.eigs @ dmd.modes.T, dmd.operator.to_dense())


@pytest.mark.parametrize("constraint", [None, "symmetric"])
def test_exact_modes_are_projected_ones_a_step_on(constraint):
    A, X = symmetric_system(), randn(7, 4, seed=3)
    exact = DMD(constraint=constraint).fit(X, A @ X)
    projected = DMD(modes="projected", constraint=constraint).fit(X, A @ X)
    torch.testing.assert_close(exact.eigs, projected.eigs)
    torch.testing.assert_close(exact.modes, A.to(projected.modes.dtype) @ projected.modes)


def test_exact_modes_are_eigenvectors_of_the_best_fit():
    X, Y = randn(8, 5), randn(8, 5, seed=1)
    dmd = DMD().fit(X, Y)
    best = Y @ torch.linalg.pinv(X)
    torch.testing.assert_close(dmd.operator.to_dense(), best)
    torch.testing.assert_close(best.to(dmd.modes.dtype) @ dmd.modes, dmd.modes * dmd.eigs)
    torch.testing.assert_close(dmd.predict(X), Y)


@pytest.mark.parametrize("modes", ["exact", "projected"])
@pytest.mark.parametrize("seed", range(4))
def test_real_modes_turn_pairs_into_blocks(modes, seed):
    X, Y = randn(10, 6, seed=seed), randn(10, 6, seed=seed + 20)
    dmd = DMD(modes=modes).fit(X, Y)
    eigs, basis = dmd.eigs, dmd.real_modes
    assert (eigs.imag > 0).any()
    blocks = eigs.real.diag()
    for i in (eigs.imag > 0).nonzero().flatten().tolist():
        torch.testing.assert_close(eigs[i + 1], eigs[i].conj())
        blocks[i, i + 1], blocks[i + 1, i] = eigs[i].imag, -eigs[i].imag
    assert not basis.is_complex()
    torch.testing.assert_close(dmd.operator @ basis, basis @ blocks)
    # The factor sqrt(2) keeps the size of the modes: Phi Phi^H has no imaginary part and equals B B^T.
    torch.testing.assert_close(basis @ basis.T, (dmd.modes @ dmd.modes.mH).real)


@pytest.mark.parametrize("constraint", [None, "symmetric"])
def test_eigenvalues_descend_in_modulus(constraint):
    dmd = DMD(constraint=constraint).fit(randn(20, 11), randn(20, 11, seed=1))
    assert bool((dmd.eigs.abs().diff() <= 1e-12).all())
    assert bool((dmd.singular_values.diff() < 0).all())


@pytest.mark.parametrize("modes", ["exact", "projected"])
@pytest.mark.parametrize("constraint", [None, "symmetric"])
def test_single_precision_agrees_with_double(modes, constraint):
    X, Y = randn(12, 5).float(), randn(12, 5, seed=1).float()
    single, double = (
        DMD(4, modes=modes, constraint=constraint).fit(x, y) for x, y in ((X, Y), (X.double(), Y.double()))
    )
    assert single.eigs.dtype == single.modes.dtype == (torch.float32 if constraint else torch.complex64)
    assert single.operator.dtype == single.real_modes.dtype == torch.float32
    torch.testing.assert_close(single.eigs, double.eigs.to(single.eigs.dtype))
    torch.testing.assert_close(single.operator.to_dense(), double.operator.to_dense().float())
    assert_parallel(single.modes.to(double.modes.dtype), double.modes)


@pytest.mark.parametrize("svd", ["auto", "gram", "full"])
def test_low_rank_data_give_a_low_rank_operator(svd):
    X = randn(30, 3) @ randn(3, 12, seed=1)
    A = randn(30, 30, seed=2)
    dmd = DMD(svd=svd).fit(X, A @ X)
    assert (dmd.operator.rank, tuple(dmd.modes.shape), tuple(dmd.eigs.shape)) == (3, (30, 3), (3,))
    torch.testing.assert_close(dmd.predict(X), A @ X)
    with pytest.raises(RankError, match="numerical rank 3"):
        DMD(rank=4, svd=svd).fit(X, A @ X)


def test_energy_sets_the_rank():
    X = torch.diag(torch.tensor([4.0, 2.0, 1.0], dtype=F64))
    assert DMD(energy=0.77).fit(X, X).operator.rank == 2


@given(st.integers(0, 2**31 - 1), st.sampled_from(["exact", "projected"]))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_nodes_may_be_permuted(seed, modes):
    X, Y = randn(8, 4, seed=seed), randn(8, 4, seed=seed + 1)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(seed))
    dmd, permuted = DMD(3, modes=modes).fit(X, Y), DMD(3, modes=modes).fit(X[order], Y[order])
    torch.testing.assert_close(permuted.eigs, dmd.eigs)
    torch.testing.assert_close(permuted.operator.to_dense(), dmd.operator.to_dense()[order][:, order])


def test_fit_leaves_the_snapshots_as_they_are():
    X, Y = randn(6, 4), randn(6, 4, seed=1)
    DMD(2, constraint="symmetric").fit(X, Y)
    assert torch.equal(X, randn(6, 4))
    assert torch.equal(Y, randn(6, 4, seed=1))


NAN, INF = torch.full((3, 2), torch.nan), torch.full((3, 2), torch.inf)


@pytest.mark.parametrize(
    ("X", "Y", "message"),
    [
        (NAN, None, "X has 6 NaN or infinite"),
        (torch.ones(3, 2), NAN, "Y has 6 NaN or infinite"),
        (torch.ones(3, 2), INF, "Y has 6 NaN or infinite"),
        (torch.ones(0, 2), None, r"X of shape \(0, 2\)"),
        (torch.ones(3), None, r"X of shape \(3,\)"),
        (torch.ones(3, 1), None, "got 1 states and no Y, expected at least 2"),
        (torch.ones(3, 2), torch.ones(3, 3), r"X is \(3, 2\).*but Y is \(3, 3\).*must agree"),
        (torch.ones(3, 2), torch.ones(4, 2), r"X is \(3, 2\).*but Y is \(4, 2\)"),
        (torch.ones(3, 2), torch.ones(3, 2, dtype=F64), r"torch\.float32, cpu, but Y is .*torch\.float64"),
        (torch.ones(3, 2, dtype=torch.int32), None, r"X of torch\.int32"),
        (torch.ones(3, 2, dtype=torch.half), None, r"X of torch\.float16"),
        (torch.ones(3, 2), torch.ones(3, 2, dtype=torch.complex64), r"X is .*float32.* but Y is .*complex64"),
        (np.ones((3, 2)), None, "X of type ndarray"),
    ],
)
def test_bad_snapshots(X, Y, message):
    with pytest.raises(InputError, match=message):
        DMD().fit(X, Y)


def test_one_snapshot_with_its_successor_is_enough():
    X = torch.tensor([[3.0], [4.0]])
    dmd = DMD().fit(X, 2 * X)
    torch.testing.assert_close(dmd.eigs, torch.tensor([2.0 + 0j]))
    torch.testing.assert_close(dmd.predict(X), 2 * X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank=0, expected a positive integer"),
        ({"rank": 2.0}, r"rank=2\.0"),
        ({"energy": 0}, "energy=0, expected a share"),
        ({"energy": 1.5}, r"energy=1\.5"),
        ({"rank": 2, "energy": 0.5}, r"both rank=2 and energy=0\.5"),
        ({"modes": "koopman"}, "modes='koopman', expected 'exact' or 'projected'"),
        ({"constraint": "unitary"}, "constraint='unitary', expected None or one of 'symmetric'"),
    ],
)
def test_bad_settings_fail_in_the_constructor(options, message):
    with pytest.raises(InputError, match=message):
        DMD(**options)


def test_unknown_svd_method():
    with pytest.raises(InputError, match="svd='lanczos'"):
        DMD(svd="lanczos")


def test_predict_before_fit():
    with pytest.raises(InputError, match="call fit"):
        DMD().predict(torch.eye(3))


def test_repr_tells_the_settings():
    assert repr(DMD(rank=3)) == "DMD(rank=3, modes='exact', constraint=None)"
    assert repr(DMD(energy=0.9, modes="projected", constraint="symmetric")) == (
        "DMD(energy=0.9, modes='projected', constraint='symmetric')"
    )
