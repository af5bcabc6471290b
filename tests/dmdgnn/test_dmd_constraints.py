"""DMD under constraints against closed forms, the conditions of their minima, and PyDMD."""

import numpy as np
import pydmd
import pytest
import scipy.linalg
import torch

from dmdgnn import DMD, RankError
from matrices import assert_parallel, eigenpairs, orthonormal, pydmd_fit, randn

F64 = torch.float64
SUBSPACE = {"symmetric": "symmetric", "skew_symmetric": "skewsymmetric", "orthogonal": "unitary"}
STATE = {
    "diagonal": "diagonal",
    "circulant": "circulant",
    "lower_triangular": "lowertriangular",
    "upper_triangular": "uppertriangular",
}


def projected_on(constraint, matrix):
    """The nearest matrix that has the structure: for a gradient, its part along the set."""
    if constraint == "symmetric":
        return (matrix + matrix.T) / 2
    if constraint == "skew_symmetric":
        return (matrix - matrix.T) / 2
    if constraint == "diagonal":
        return matrix.diag().diag()
    if constraint == "lower_triangular":
        return matrix.tril()
    if constraint == "upper_triangular":
        return matrix.triu()
    assert constraint == "circulant"
    n = len(matrix)
    shifts = [torch.eye(n, dtype=F64).roll(k, dims=0) for k in range(n)]
    return sum(shift * (shift * matrix).sum() / n for shift in shifts)


def structured(constraint, n, seed=0):
    matrix = randn(n, n, seed=seed)
    return torch.linalg.qr(matrix).Q if constraint == "orthogonal" else projected_on(constraint, matrix)


def assert_zero(matrix, atol=1e-10):
    torch.testing.assert_close(matrix, torch.zeros_like(matrix), rtol=0, atol=atol)


# Constraints


@pytest.mark.parametrize("n", [5, 6])
@pytest.mark.parametrize(("constraint", "manifold"), [*SUBSPACE.items(), *STATE.items()])
def test_constrained_operator_agrees_with_pydmd(constraint, manifold, n):
    X, Y = randn(n, 3 * n), randn(n, 3 * n, seed=1)
    A = pydmd_fit(pydmd.PiDMD(manifold, compute_A=True), X, Y).A
    assert float(np.abs(np.imag(A)).max()) < 1e-10
    operator = DMD(constraint=constraint).fit(X, Y).operator
    torch.testing.assert_close(operator.to_dense(), torch.from_numpy(np.real(A).copy()))


@pytest.mark.parametrize("rank", [1, 2, 5])
@pytest.mark.parametrize(("constraint", "manifold"), SUBSPACE.items())
def test_constrained_eigenpairs_of_a_rank_agree_with_pydmd(constraint, manifold, rank):
    X, Y = randn(9, 7), randn(9, 7, seed=1)
    dmd = DMD(rank, modes="projected", constraint=constraint).fit(X, Y)
    model = pydmd_fit(pydmd.PiDMD(manifold, svd_rank=rank), X, Y)
    eigs, modes = eigenpairs(dmd)
    expected, vectors = eigenpairs(model)
    torch.testing.assert_close(eigs, expected)
    assert_parallel(modes, vectors)


@pytest.mark.parametrize("rank", range(2, 9))
def test_circulant_operator_of_a_rank_agrees_with_pydmd(rank):
    X, Y = randn(8, 20, seed=2), randn(8, 20, seed=3)
    operator = DMD(rank, constraint="circulant").fit(X, Y).operator
    A = pydmd_fit(pydmd.PiDMD("circulant", compute_A=True, svd_rank=operator.rank), X, Y).A
    torch.testing.assert_close(operator.to_dense(), torch.from_numpy(A.real.copy()))


@pytest.mark.parametrize("ridge", [0.0, 0.7])
@pytest.mark.parametrize("rank", [1, 4, None])
@pytest.mark.parametrize("constraint", [None, "symmetric", "skew_symmetric"])
def test_operator_on_the_range_of_U_fits_best(constraint, rank, ridge):
    X, Y = randn(8, 6), randn(8, 6, seed=1)
    operator = DMD(rank, modes="projected", constraint=constraint, ridge=ridge).fit(X, Y).operator
    U, K = operator.left, operator.to_dense()
    if constraint is not None:
        torch.testing.assert_close(projected_on(constraint, K), K)
    # The gradient of the residual has no part along the set.
    gradient = U.T @ ((K @ X - Y) @ X.T + ridge * K) @ U
    assert_zero(gradient if constraint is None else projected_on(constraint, gradient))


@pytest.mark.parametrize("rank", [1, 2, 5, None])
@pytest.mark.parametrize("modes", ["exact", "projected"])
def test_orthogonal_operator_fits_best(rank, modes):
    X, Y = randn(8, 6), randn(8, 6, seed=1)
    dmd = DMD(rank, modes=modes, constraint="orthogonal").fit(X, Y)
    K, U = dmd.operator.to_dense(), dmd.operator.left
    torch.testing.assert_close(K.T @ K, U @ U.T)
    torch.testing.assert_close(K @ K.T, U @ U.T)
    torch.testing.assert_close(dmd.eigs.abs(), torch.ones(dmd.operator.rank, dtype=F64))
    # No other turn of the range gives a larger <K X, Y>: U^T Y X^T K^T U is symmetric and positive.
    product = U.T @ Y @ X.T @ K.T @ U
    torch.testing.assert_close(product, product.T)
    assert float(torch.linalg.eigvalsh(product).min()) > 0


@pytest.mark.parametrize(("constraint", "sign"), [("symmetric", 1), ("skew_symmetric", -1)])
def test_structure_of_the_eigenvalues(constraint, sign):
    dmd = DMD(constraint=constraint).fit(randn(7, 9), randn(7, 9, seed=1))
    K = dmd.operator.to_dense()
    torch.testing.assert_close(K, sign * K.T)
    if constraint == "symmetric":
        assert not dmd.eigs.is_complex()
    else:
        assert_zero(dmd.eigs.real)
        assert_zero(dmd.eigs[-1:].abs())  # 7 is odd


def test_orthogonal_operator_of_data_that_lose_a_direction():
    # e_1 goes to e_2 and e_2 to zero: orthogonal matrices that swap the two fit best.
    X, Y = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=F64), torch.tensor([[0.0, 0.0], [2.0, 0.0]], dtype=F64)
    K = DMD(constraint="orthogonal").fit(X, Y).operator.to_dense()
    torch.testing.assert_close(K.abs(), torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=F64))
    torch.testing.assert_close(K[1, 0], torch.tensor(1.0, dtype=F64))


@pytest.mark.parametrize("ridge", [0.0, 0.7])
@pytest.mark.parametrize("n", [1, 2, 3, 6, 7])
@pytest.mark.parametrize("constraint", STATE)
def test_operator_on_all_states_fits_best(constraint, n, ridge):
    X, Y = randn(n, 10), randn(n, 10, seed=1)
    K = DMD(constraint=constraint, ridge=ridge).fit(X, Y).operator.to_dense()
    torch.testing.assert_close(projected_on(constraint, K), K)
    assert_zero(projected_on(constraint, (K @ X - Y) @ X.T + ridge * K))


@pytest.mark.parametrize("constraint", ["lower_triangular", "upper_triangular"])
def test_triangular_operator_of_few_snapshots_with_ridge(constraint):
    X, Y = randn(6, 3), randn(6, 3, seed=1)
    K = DMD(constraint=constraint, ridge=0.1).fit(X, Y).operator.to_dense()
    torch.testing.assert_close(projected_on(constraint, K), K)
    assert_zero(projected_on(constraint, (K @ X - Y) @ X.T + 0.1 * K))


def test_circulant_operator_is_the_circulant_of_its_first_column():
    K = DMD(constraint="circulant").fit(randn(7, 9), randn(7, 9, seed=1)).operator.to_dense()
    torch.testing.assert_close(K, torch.from_numpy(scipy.linalg.circulant(K[:, 0].numpy())))


def test_constrained_operators_of_one_state():
    X, Y = torch.tensor([[1.0, 2.0]], dtype=F64), torch.tensor([[2.0, 3.0]], dtype=F64)
    expected = {None: 1.6, "symmetric": 1.6, "skew_symmetric": 0.0, "orthogonal": 1.0, **dict.fromkeys(STATE, 1.6)}
    for constraint, value in expected.items():
        K = DMD(constraint=constraint).fit(X, Y).operator.to_dense()
        torch.testing.assert_close(K, torch.tensor([[value]], dtype=F64))


@pytest.mark.parametrize("constraint", STATE)
def test_modes_of_a_constraint_on_all_states_are_eigenvectors(constraint):
    dmd = DMD(constraint=constraint).fit(randn(6, 12), randn(6, 12, seed=1))
    K = dmd.operator.to_dense()
    torch.testing.assert_close(K.to(dmd.modes.dtype) @ dmd.modes, dmd.modes * dmd.eigs)
    torch.testing.assert_close(K @ dmd.real_modes, dmd.real_modes @ dmd.blocks)
    torch.testing.assert_close(dmd.predict(torch.eye(6, dtype=F64)), K)


# Recovery


@pytest.mark.parametrize("modes", ["exact", "projected"])
@pytest.mark.parametrize("constraint", [*SUBSPACE, *STATE])
def test_dynamics_with_the_structure_are_recovered(constraint, modes):
    A, X = structured(constraint, 6), randn(6, 14, seed=1)
    dmd = DMD(modes=modes, constraint=constraint).fit(X, A @ X)
    torch.testing.assert_close(dmd.operator.to_dense(), A)
    torch.testing.assert_close(dmd.predict(X), A @ X)


@pytest.mark.parametrize("constraint", SUBSPACE)
def test_dynamics_on_a_subspace_are_recovered(constraint):
    plane = orthonormal(12, 4)
    A, X = plane @ structured(constraint, 4) @ plane.T, plane @ randn(4, 6, seed=1)
    dmd = DMD(constraint=constraint).fit(X, A @ X)
    assert dmd.operator.rank == 4
    torch.testing.assert_close(dmd.operator.to_dense(), A)


def test_one_snapshot_of_all_frequencies_tells_a_circulant_operator():
    A = structured("circulant", 5)
    X = randn(5, 1, seed=1)
    torch.testing.assert_close(DMD(constraint="circulant").fit(X, A @ X).operator.to_dense(), A)


# Ranks of operators on all states


def spectrum(*values):
    """A symmetric circulant matrix of size 8 with eigenvalues at frequencies 0, 1, ..., 4."""
    return torch.from_numpy(scipy.linalg.circulant(np.fft.irfft(np.array(values, dtype=float), 8)))


@pytest.mark.parametrize(("rank", "kept"), [(1, 1), (2, 1), (3, 3), (4, 4), (5, 4), (6, 6), (7, 6), (8, 8)])
def test_circulant_rank_keeps_conjugate_pairs_together(rank, kept):
    X, A = torch.eye(8, dtype=F64), spectrum(5, 4, 2, 1, 3)  # one mode, two, two, two, one
    operator = DMD(rank, constraint="circulant").fit(X, A).operator
    assert operator.rank == kept
    frequencies = [0, 1, 1, 4, 2, 2, 3, 3][:kept]
    expected = spectrum(*(value if k in frequencies else 0 for k, value in enumerate((5, 4, 2, 1, 3))))
    torch.testing.assert_close(operator.to_dense(), expected)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [6, 7])
def test_circulant_rank_is_missed_by_one_at_most(n, seed):
    X, Y = randn(n, 9, seed=seed), randn(n, 9, seed=seed + 10)
    for rank in range(2, n + 1):
        operator = DMD(rank, constraint="circulant").fit(X, Y).operator
        assert rank - 1 <= operator.rank <= rank
        torch.testing.assert_close(projected_on("circulant", operator.to_dense()), operator.to_dense())


def test_circulant_pair_does_not_fit_in_rank_one():
    X, A = torch.eye(8, dtype=F64), spectrum(1, 4, 2, 1, 3)
    with pytest.raises(RankError, match="the leading frequency is a pair of modes: use rank >= 2"):
        DMD(1, constraint="circulant").fit(X, A)
    assert DMD(2, constraint="circulant").fit(X, A).operator.rank == 2


# Squares 25, 16 + 16, 9, 4 + 4, 1 + 1 of 76: the shares that the modes reach are 32, 57, 69, 80, 91 ... percent.
@pytest.mark.parametrize(
    ("energy", "kept"), [(0.1, 1), (0.32, 1), (0.34, 3), (0.6, 3), (0.74, 3), (0.76, 4), (0.9, 6), (0.98, 8), (1.0, 8)]
)
def test_circulant_energy_reaches_its_share(energy, kept):
    dmd = DMD(energy=energy, constraint="circulant").fit(torch.eye(8, dtype=F64), spectrum(5, 4, 2, 1, 3))
    assert dmd.operator.rank == kept
    assert float(dmd.singular_values.square().sum()) >= energy * 76 * (1 - 1e-12)


def test_diagonal_rank_keeps_the_states_that_capture_most_of_Y():
    X = torch.diag(torch.tensor([1.0, 10.0, 1.0, 0.0], dtype=F64))
    Y = torch.diag(torch.tensor([3.0, 20.0, 0.5, 7.0], dtype=F64))
    dmd = DMD(2, constraint="diagonal").fit(X, Y)
    torch.testing.assert_close(dmd.operator.to_dense(), torch.diag(torch.tensor([3.0, 2.0, 0.0, 0.0], dtype=F64)))
    torch.testing.assert_close(dmd.singular_values, torch.tensor([20.0, 3.0], dtype=F64))
    assert DMD(energy=0.97, constraint="diagonal").fit(X, Y).operator.rank == 1
    with pytest.raises(RankError, match="rank=4, but only 3 modes capture anything of Y: use rank <= 3"):
        DMD(4, constraint="diagonal").fit(X, Y)


@pytest.mark.parametrize("constraint", STATE)
def test_norms_of_what_modes_capture_descend(constraint):
    dmd = DMD(constraint=constraint).fit(randn(6, 9), randn(6, 9, seed=1))
    assert bool((dmd.singular_values.diff() <= 1e-12).all())
    captured = dmd.predict(randn(6, 9)).norm()
    torch.testing.assert_close(dmd.singular_values.norm(), captured)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_rounding_is_no_frequency(dtype):
    place = torch.arange(16, dtype=F64) * 2 * torch.pi / 16
    waves = [1 + torch.cos(place - 0.3 * t) + 0.5 * torch.cos(2 * place - 0.7 * t) for t in range(9)]
    dmd = DMD(constraint="circulant").fit(torch.stack(waves, dim=1).to(dtype))
    assert dmd.operator.rank == 5
    torch.testing.assert_close(dmd.eigs.abs(), torch.ones(5, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("constraint", ["lower_triangular", "upper_triangular"])
def test_triangular_operator_needs_as_many_snapshots_as_states(constraint, dtype):
    for X in (randn(5, 4), randn(5, 3) @ randn(3, 9, seed=1)):
        Y = randn(*X.shape, seed=2)
        with pytest.raises(RankError, match=r"5 states needs as many independent snapshots.*ridge > 0"):
            DMD(constraint=constraint).fit(X.to(dtype), Y.to(dtype))
