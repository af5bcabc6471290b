"""Gradients through the fit: right where the operator has a derivative, finite everywhere."""

import pytest
import torch
from torch.autograd import gradcheck

from dmdgnn import DMD, GradientError, InputError
from dmdgnn.kernels.autograd import Lyapunov, Polar
from matrices import orthonormal, randn

F64 = torch.float64


def of_values(n, f, *values, seed=0):
    """A matrix (n, f) of these singular values in random directions."""
    count = len(values)
    return orthonormal(n, count, seed) * torch.tensor(values, dtype=F64) @ orthonormal(f, count, seed + 1).T


def leaves(*tensors):
    return tuple(tensor.clone().requires_grad_() for tensor in tensors)


def gradients(function, *tensors):
    """Gradients of a fixed weighting of all entries of the result."""
    inputs = leaves(*tensors)
    result = function(*inputs)
    return torch.autograd.grad((result * randn(*result.shape, seed=99).to(result)).sum(), inputs)


def dense(rank=None, **options):
    """The function from snapshots to the operator's matrix."""
    return lambda X, Y: DMD(rank, **options).fit(X, Y).operator.to_dense()


def assert_finite(tensors):
    assert all(bool(tensor.isfinite().all()) for tensor in tensors)


# X and the rank to which it is cut
INPUTS = {
    "tall": (randn(5, 3), 3),
    "wide": (randn(3, 5), 3),
    "cut": (of_values(5, 4, 3, 2, 1, 0.5), 2),
    "deficient": (of_values(5, 4, 2, 1), 2),
    "wide_and_deficient": (of_values(3, 5, 2, 1), 2),
    "repeated": (of_values(5, 4, 2, 2, 1, 0.5), 3),
    "all_equal": (of_values(5, 4, 1, 1, 1), 3),
    "identity": (torch.eye(4, 3, dtype=F64), 3),
}
OPTIONS = {
    "exact": {},
    "projected": {"modes": "projected"},
    "symmetric": {"constraint": "symmetric"},
    "skew_symmetric": {"constraint": "skew_symmetric"},
    "orthogonal": {"constraint": "orthogonal"},
    "ridge": {"ridge": 0.3},
    "symmetric_ridge": {"ridge": 0.3, "constraint": "symmetric"},
    "total_least_squares": {"total_least_squares": True},
}
all_options = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


@pytest.mark.parametrize(("X", "rank"), INPUTS.values(), ids=INPUTS)
@all_options
def test_agree_with_finite_differences(X, rank, options):
    assert gradcheck(dense(rank, **options), leaves(X, randn(*X.shape, seed=7)), fast_mode=True)


@pytest.mark.parametrize("name", ["wide", "deficient", "repeated", "all_equal"])
@pytest.mark.parametrize("svd", ["gram", "full", "randomized"])
def test_agree_with_finite_differences_by_every_kernel(name, svd):
    X, rank = INPUTS[name]
    assert gradcheck(dense(rank, svd=svd), leaves(X, randn(*X.shape, seed=7)))


@pytest.mark.parametrize("rank", [None, "optimal"])
def test_rank_by_a_rule(rank):
    assert gradcheck(dense(rank), leaves(randn(5, 4), randn(5, 4, seed=1)))
    assert gradcheck(dense(energy=0.9), leaves(randn(5, 4), randn(5, 4, seed=1)))


@pytest.mark.parametrize("options", [{}, {"rank": 3}, {"rank": 3, "total_least_squares": True}])
def test_forward_backward(options):
    X, A = randn(4, 6), torch.eye(4, dtype=F64) + 0.4 * randn(4, 4, seed=10)
    Y = A @ X + 0.1 * randn(4, 6, seed=20)
    assert gradcheck(dense(forward_backward=True, **options), leaves(X, Y))


def test_total_least_squares_with_repeated_values():
    X, Y = of_values(10, 4, 2, 2, 1, 0.5).split(5)
    assert gradcheck(dense(3, total_least_squares=True), leaves(X, Y))


@pytest.mark.parametrize("constraint", ["diagonal", "circulant", "lower_triangular", "upper_triangular"])
@pytest.mark.parametrize("X", [randn(4, 5), torch.eye(4, 5, dtype=F64)], ids=["generic", "identity"])
def test_constraints_on_all_states(constraint, X):
    assert gradcheck(dense(constraint=constraint), leaves(X, randn(4, 5, seed=1)))
    assert gradcheck(dense(constraint=constraint, ridge=0.2), leaves(X, randn(4, 5, seed=1)))


@pytest.mark.parametrize(("snapshots", "rank"), [(6, None), (6, 3), (3, None)])
def test_control(snapshots, rank):
    def fit(X, Y, control):
        dmd = DMD(rank).fit(X, Y, control=control)
        return dmd.operator.to_dense(), dmd.B

    pair = randn(4, snapshots), randn(4, snapshots, seed=1)
    assert gradcheck(fit, leaves(*pair, randn(2, snapshots, seed=2)))


@pytest.mark.parametrize("delays", [1, 2])
def test_series(delays):
    dmd = DMD(2, delays=delays)
    assert gradcheck(lambda states: dmd.fit(states).operator.to_dense(), leaves(randn(3, 6)))
    assert gradcheck(lambda states: dmd.fit(states).forecast(2), leaves(randn(3, 6)))


def test_predictions():
    assert gradcheck(
        lambda X, Y, x: DMD(2).fit(X, Y).predict(x), leaves(randn(4, 5), randn(4, 5, seed=1), randn(4, 1, seed=2))
    )


@pytest.mark.parametrize("name", ["exact", "projected", "symmetric", "skew_symmetric"])
def test_simple_eigenvalues(name):
    assert gradcheck(lambda X, Y: DMD(3, **OPTIONS[name]).fit(X, Y).eigs, leaves(randn(5, 4), randn(5, 4, seed=1)))


# Closed forms


def test_at_the_identity_all_directions_are_alike():
    # Near X = I the operator is Y X^-1, so that dK = dY - K dX.
    Y = randn(4, 4)
    grad_X, grad_Y = gradients(dense(), torch.eye(4, dtype=F64), Y)
    weights = randn(4, 4, seed=99)
    torch.testing.assert_close(grad_Y, weights)
    torch.testing.assert_close(grad_X, -Y.T @ weights)


def test_where_those_of_the_singular_vectors_are_undefined():
    def by_svd(X, Y):
        U, S, Vh = torch.linalg.svd(X, full_matrices=False)
        return Y @ Vh.T / S @ U.T

    def by_normal_equations(X, Y):
        return Y @ torch.linalg.inv(X.T @ X) @ X.T

    X, Y = torch.eye(4, 3, dtype=F64), randn(4, 3)
    torch.testing.assert_close(by_svd(X, Y), dense()(X, Y))
    assert not bool(gradients(by_svd, X, Y)[0].isfinite().any())
    torch.testing.assert_close(gradients(dense(), X, Y), gradients(by_normal_equations, X, Y))


def test_polar_factor_near_the_identity():
    weights = randn(3, 3, seed=99)
    torch.testing.assert_close(gradients(Polar.apply, torch.eye(3, dtype=F64)), ((weights - weights.T) / 2,))


def test_lyapunov_equation_near_the_identity():
    # K T + T K = Q at T = I: K = Q / 2 and dK = dQ / 2 - (K dT + dT K) / 2.
    Q, weights = randn(3, 3), randn(3, 3, seed=99)
    expected = -(Q.T @ weights + weights @ Q.T) / 4, weights / 2
    torch.testing.assert_close(gradients(Lyapunov.apply, torch.eye(3, dtype=F64), Q), expected)


# Symmetries


@all_options
def test_snapshots_may_be_turned_among_themselves(options):
    X, Y, Q = randn(5, 4), randn(5, 4, seed=1), orthonormal(4, 4, seed=2)
    fit = dense(2, **options)
    torch.testing.assert_close(fit(X @ Q, Y @ Q), fit(X, Y))
    turned, plain = gradients(fit, X @ Q, Y @ Q), gradients(fit, X, Y)
    torch.testing.assert_close(turned, tuple(gradient @ Q for gradient in plain))


@pytest.mark.parametrize("scale", [1e-100, 1e100])
@all_options
def test_common_factor_of_the_snapshots(scale, options):
    if "ridge" in options:
        options = {**options, "ridge": 0.0}
    X, Y = of_values(4, 5, 3, 2, 1, 0.5), randn(4, 5, seed=1)
    scaled, plain = gradients(dense(2, **options), scale * X, scale * Y), gradients(dense(2, **options), X, Y)
    torch.testing.assert_close(tuple(scale * gradient for gradient in scaled), plain)


# Many at once


@all_options
def test_batch_is_its_members_one_by_one(options):
    X, Y = randn(4, 5, 4), randn(4, 5, 4, seed=1)
    rows = dense(2, **options)
    weights = randn(4, 5, 5, seed=99)
    for i, pair in enumerate(zip(*gradients(rows, X, Y), strict=True)):
        inputs = leaves(X[i], Y[i])
        torch.testing.assert_close(pair, torch.autograd.grad((rows(*inputs) * weights[i]).sum(), inputs))


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "total_least_squares"])
def test_member_of_a_lower_rank_is_fitted_with_its_own(name):
    X, Y = randn(3, 5, 4), randn(3, 5, 4, seed=1)
    X[1] = X[1, :, :1]
    grad_X, grad_Y = gradients(dense(2, **OPTIONS[name]), X, Y)
    inputs, weights = leaves(X[1], Y[1]), randn(3, 5, 5, seed=99)[1]
    alone = torch.autograd.grad((dense(1, **OPTIONS[name])(*inputs) * weights).sum(), inputs)
    torch.testing.assert_close((grad_X[1], grad_Y[1]), alone)


@all_options
def test_member_of_zeros(options):
    X, Y = randn(3, 5, 4), randn(3, 5, 4, seed=1)
    X[1] = 0
    assert_finite(gradients(dense(2, **options), X, Y))


@all_options
def test_graphs_are_fitted_one_by_one(options):
    ptr = torch.tensor([0, 3, 8, 12, 14])
    X, Y = randn(14, 4), randn(14, 4, seed=1)
    grad_X, grad_Y = gradients(lambda X, Y: DMD(2, **options).fit(X, Y, ptr=ptr).operator.to_dense(), X, Y)
    weights = randn(14, 14, seed=99)
    for rows in torch.arange(14).split(ptr.diff().tolist()):
        inputs = leaves(X[rows], Y[rows])
        alone = torch.autograd.grad((dense(2, **options)(*inputs) * weights[rows][:, rows]).sum(), inputs)
        torch.testing.assert_close((grad_X[rows], grad_Y[rows]), alone)


# Where there is no derivative


def without(X, rows=(), columns=()):
    X = X.clone()
    X[list(rows)] = 0
    X[:, list(columns)] = 0
    return X


@pytest.mark.parametrize(
    ("X", "rank"),
    [
        (torch.diag(torch.tensor([3.0, 2, 2, 1], dtype=F64)), 2),
        (torch.eye(4, dtype=F64), 2),
        (of_values(5, 4, 2, 1, 1, 1), 2),
        (without(randn(5, 4), rows=[1, 3]), 2),
        (without(randn(5, 4), columns=[0, 2]), None),
        (randn(5, 1).expand(5, 4), None),
        (randn(1, 4).expand(5, 4), None),
    ],
    ids=["tie_at_the_cut", "identity", "random_tie", "zero_rows", "zero_columns", "same_columns", "same_rows"],
)
@all_options
def test_finite_where_values_meet(X, rank, options):
    assert_finite(gradients(dense(rank, **options), X, randn(*X.shape, seed=1)))


@pytest.mark.parametrize("constraint", ["diagonal", "circulant"])
def test_finite_where_a_state_is_always_zero(constraint):
    assert_finite(gradients(dense(constraint=constraint), without(randn(4, 6), rows=[1]), randn(4, 6, seed=1)))
    assert_finite(gradients(dense(constraint=constraint), randn(4, 1).expand(4, 6), randn(4, 1).expand(4, 6)))


def test_gradient_of_successors_is_right_even_at_a_tie():
    X = torch.diag(torch.tensor([3.0, 2, 2, 1], dtype=F64))
    assert gradcheck(lambda Y: dense(2)(X, Y), leaves(randn(4, 4)))


# Types and modes of autograd


@all_options
def test_single_precision(options):
    X, Y = randn(5, 4).float(), randn(5, 4, seed=1).float()
    single, double = gradients(dense(2, **options), X, Y), gradients(dense(2, **options), X.double(), Y.double())
    assert {gradient.dtype for gradient in single} == {torch.float32}
    torch.testing.assert_close(single, tuple(gradient.float() for gradient in double))


@all_options
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_values_are_those_without_gradients(options, dtype):
    X, Y = randn(3, 5, 4).to(dtype), randn(3, 5, 4, seed=1).to(dtype)
    dmd, plain = DMD(2, **options).fit(*leaves(X, Y)), DMD(2, **options).fit(X, Y)
    torch.testing.assert_close(dmd.operator.to_dense().detach(), plain.operator.to_dense())
    torch.testing.assert_close(dmd.eigs.detach(), plain.eigs)
    torch.testing.assert_close(dmd.singular_values, plain.singular_values)


def results(dmd):
    return dmd.operator.to_dense(), dmd.reduced_operator, dmd.eigs, dmd.predict(randn(4, 2))


def test_nothing_requires_gradients_unless_the_snapshots_do():
    X, Y = randn(4, 3), randn(4, 3, seed=1)
    assert not any(result.requires_grad for result in results(DMD().fit(X, Y)))
    with torch.no_grad():
        assert not any(result.requires_grad for result in results(DMD().fit(*leaves(X, Y))))
    assert all(result.requires_grad for result in results(DMD().fit(*leaves(X, Y))))


@all_options
def test_one_of_the_snapshots_may_be_given(options):
    X, Y = randn(5, 4), randn(5, 4, seed=1)
    grad_X, grad_Y = gradients(dense(2, **options), X, Y)
    torch.testing.assert_close(gradients(lambda X: dense(2, **options)(X, Y), X), (grad_X,))
    torch.testing.assert_close(gradients(lambda Y: dense(2, **options)(X, Y), Y), (grad_Y,))


def test_features_learn_an_operator():
    rotation = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.5]], dtype=F64)
    features = leaves(torch.eye(3, 4, dtype=F64), randn(3, 4))
    optimizer = torch.optim.SGD(features, lr=0.1)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (DMD().fit(*features).operator.to_dense() - rotation).square().sum()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.05 * losses[0]


# Harder cases


def test_truncation_does_not_drop_gradients_in_silence():
    X, Y = leaves(randn(6, 5), randn(6, 5, seed=1))
    with pytest.raises(InputError, match="carries gradients"):
        DMD(4).fit(X, Y).truncate(2)
    assert DMD(4).fit(X.detach(), Y).truncate(2).operator.left.requires_grad


def test_control_alone_may_require_gradients():
    X, Y = randn(4, 6), randn(4, 6, seed=1)
    assert gradcheck(lambda control: DMD().fit(X, Y, control=control).B, leaves(randn(2, 6, seed=2)))
    assert gradcheck(lambda control: DMD().fit(X, Y, control=control).operator.to_dense(), leaves(randn(2, 6, seed=2)))


@pytest.mark.parametrize("smallest", [1e-4, 1e-6, 1e-9])
def test_small_values_that_are_kept(smallest):
    # For wide X of full rank, K = Y X^+ and dK = -K dX X^+ + Y (I - X^+ X) dX^T (X X^T)^-1.
    U, V, S = orthonormal(3, 3), orthonormal(5, 3, seed=1), torch.tensor([1.0, 0.5, smallest], dtype=F64)
    X, Y, weights = U * S @ V.T, randn(3, 5, seed=2), randn(3, 3, seed=99)
    inverse = V / S @ U.T
    outside = torch.eye(5, dtype=F64) - V @ V.T
    expected = -(Y @ inverse).T @ weights @ inverse.T + inverse.T @ inverse @ weights.T @ Y @ outside
    grad_X, _ = gradients(dense(), X, Y)
    assert float((grad_X - expected).norm() / expected.norm()) < 1e-10 / smallest


@pytest.mark.parametrize("shape", [(30, 20), (20, 30)])
def test_what_is_undefined_at_a_tie_is_left_out(shape):
    grad_X, _ = gradients(dense(3), of_values(*shape, 3, 2, *[1] * 18), randn(*shape, seed=1))
    assert float(grad_X.abs().max()) < 1e3


@pytest.mark.parametrize("seed", range(2))
def test_what_is_undefined_of_an_orthogonal_operator_is_left_out(seed):
    X, Y = randn(6, 5, seed=seed), randn(6, 3, seed=seed + 10) @ randn(3, 5, seed=seed + 20)
    for gradient in gradients(dense(constraint="orthogonal"), X, Y):
        assert float(gradient.abs().max()) < 1e6


@pytest.mark.parametrize("scale", [1e-170, 1e170])
def test_scales_whose_squares_vanish_or_overflow(scale):
    X, Y = of_values(4, 5, 3, 2, 1, 0.5), randn(4, 5, seed=1)
    torch.testing.assert_close(dense(2)(scale * X, scale * Y), dense(2)(X, Y))
    scaled, plain = gradients(dense(2), scale * X, scale * Y), gradients(dense(2), X, Y)
    torch.testing.assert_close(tuple(scale * gradient for gradient in scaled), plain)


@pytest.mark.parametrize("columns", [0, 1])
def test_forward_backward_of_a_batch_with_a_member_of_lower_rank(columns):
    X, A = randn(3, 4, 6), torch.eye(4, dtype=F64) + 0.4 * randn(4, 4, seed=10)
    X[1, :, columns:] = 0
    assert_finite(gradients(dense(2, forward_backward=True), X, A @ X))


def test_second_derivatives_are_refused():
    X, Y = leaves(randn(4, 6), randn(4, 6, seed=1))
    (first,) = torch.autograd.grad(dense(3)(X, Y).square().sum(), X, create_graph=True)
    with pytest.raises(GradientError, match="no second derivatives"):
        torch.autograd.grad(first.sum(), X)
