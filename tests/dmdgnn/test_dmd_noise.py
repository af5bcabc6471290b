"""DMD of noisy snapshots: forward-backward and total least squares against closed forms and PyDMD."""

import numpy as np
import pydmd
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmdgnn import DMD, InputError
from dmdgnn.kernels import Moments
from matrices import assert_parallel, eigenpairs, orthonormal, pydmd_fit, randn

F64 = torch.float64


# Noise


def noisy_rotations(noise, seeds=30, steps=80, angle=0.3):
    turned = angle * torch.arange(steps, dtype=F64)
    return torch.stack([turned.cos(), turned.sin()]) + noise * randn(seeds, 2, steps)


@pytest.mark.parametrize("option", ["forward_backward", "total_least_squares"])
@pytest.mark.parametrize("noise", [0.1, 0.2])
def test_bias_of_noise_is_removed(option, noise):
    series = noisy_rotations(noise)
    plain = float(DMD(2).fit(series).eigs.abs().mean()) - 1
    unbiased = float(DMD(2, **{option: True}).fit(series).eigs.abs().mean()) - 1
    assert plain < -0.8 * 2 * noise**2  # the noise adds 2 noise^2 to a mean square of 1
    assert abs(unbiased) < 0.15 * abs(plain)


@pytest.mark.parametrize("option", ["forward_backward", "total_least_squares"])
def test_bias_of_noise_is_removed_among_many_states(option):
    angles = torch.arange(60, dtype=F64).unsqueeze(1) * torch.tensor([0.4, 1.1], dtype=F64)
    states = orthonormal(10, 4) @ torch.cat([angles.cos(), angles.sin()], dim=1).T
    series = states + 0.2 * randn(20, 10, 60, seed=1)
    plain, unbiased = (float((DMD(4, **options).fit(series).eigs.abs() - 1).mean()) for options in ({}, {option: True}))
    assert plain < -0.05
    assert abs(unbiased) < 0.3 * abs(plain)


SYSTEMS = {
    "random": randn(4, 4, seed=1),
    "rotation": torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=F64),
    "turn by more than 90 degrees": torch.tensor([[-0.5, -0.8], [0.8, -0.5]], dtype=F64),
    "decay": torch.diag(torch.tensor([0.9, 0.5, 0.1], dtype=F64)),
    "alternation": torch.diag(torch.tensor([-0.9, 0.5, -0.2], dtype=F64)),
    "same rate": 0.5 * torch.eye(3, dtype=F64),
    "opposite rates": torch.diag(torch.tensor([0.9, -0.9, 0.3], dtype=F64)),
    "swap": torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=F64),
    "constant velocity": torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=F64),
    "singular": torch.diag(torch.tensor([0.9, 0.5, 0.0], dtype=F64)),
}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("modes", ["exact", "projected"])
def test_forward_backward_of_noise_free_data_is_plain_dmd(system, modes):
    A = SYSTEMS[system]
    for X in (torch.eye(len(A), dtype=F64), *(randn(len(A), 9, seed=seed) for seed in range(3))):
        dmd = DMD(modes=modes, forward_backward=True).fit(X, A @ X)
        torch.testing.assert_close(dmd.operator.to_dense(), A, rtol=0, atol=1e-6)


def test_forward_backward_has_the_eigenvalues_of_the_root_of_forward_over_backward():
    X = randn(3, 30)
    Y = SYSTEMS["decay"] @ X + 0.05 * randn(3, 30, seed=1)
    forward, backward = Y @ torch.linalg.pinv(X), X @ torch.linalg.pinv(Y)
    root = scipy.linalg.eigvals(scipy.linalg.sqrtm((forward @ torch.linalg.inv(backward)).numpy())).real
    eigs = DMD(forward_backward=True).fit(X, Y).eigs
    difference = float(np.abs(np.sort(eigs.real) - np.sort(root)).max())
    apart = float(torch.linalg.matrix_norm(forward - torch.linalg.inv(backward), 2)) / 2
    assert difference < apart**2
    assert difference < 0.05 * float((torch.linalg.eigvals(forward).abs() - eigs.abs()).abs().max())


def test_forward_backward_of_mere_noise_is_finite():
    for seed in range(20):
        dmd = DMD(forward_backward=True).fit(randn(3, 5, seed=seed), randn(3, 5, seed=seed + 50))
        assert bool(dmd.operator.to_dense().isfinite().all())


@pytest.mark.parametrize("scale", [1e-150, 1e-20, 1e20, 1e150])
def test_forward_backward_of_any_scale(scale):
    X, Y = randn(6, 9), randn(6, 9, seed=1)
    plain, scaled = (DMD(3, forward_backward=True).fit(X, s * Y).eigs / s for s in (1.0, scale))
    torch.testing.assert_close(scaled, plain)


@pytest.mark.parametrize("noise", [1e-6, 1e-3])
def test_forward_backward_of_eigenvalues_that_cancel_is_as_good_as_the_data(noise):
    P = randn(3, 3, seed=4)
    A = P @ torch.diag(torch.tensor([0.9, -0.9, 0.5], dtype=F64)) @ torch.linalg.inv(P)
    X = randn(3, 30)
    K = DMD(forward_backward=True).fit(X, A @ X + noise * randn(3, 30, seed=1)).operator.to_dense()
    torch.testing.assert_close(K, A, rtol=0, atol=5 * noise)


def test_forward_backward_of_reversed_time_is_the_inverse():
    X = randn(3, 30)
    Y = SYSTEMS["decay"] @ X + 0.01 * randn(3, 30, seed=1)
    there, back = (DMD(forward_backward=True).fit(*pair).operator.to_dense() for pair in ((X, Y), (Y, X)))
    torch.testing.assert_close(there @ back, torch.eye(3, dtype=F64), rtol=0, atol=1e-4)


@pytest.mark.parametrize("rank", [None, 3])
def test_total_least_squares_of_noise_free_data_is_plain_dmd(rank):
    plane = orthonormal(9, 3)
    X = plane @ randn(3, 12, seed=1)
    Y = plane @ randn(3, 3, seed=2) @ plane.T @ X
    plain, total = (DMD(rank, total_least_squares=option).fit(X, Y) for option in (False, True))
    torch.testing.assert_close(total.operator.to_dense(), plain.operator.to_dense())
    torch.testing.assert_close(total.eigs, plain.eigs)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("rank", [1, 3, 6])
def test_total_least_squares_agrees_with_pydmd(rank, exact):
    X, Y = randn(9, 14), randn(9, 14, seed=1)
    dmd = DMD(rank, modes="exact" if exact else "projected", total_least_squares=True).fit(X, Y)
    eigs, modes = eigenpairs(pydmd_fit(pydmd.DMD(svd_rank=rank, tlsq_rank=rank, exact=exact), X, Y))
    torch.testing.assert_close(dmd.eigs, eigs)
    assert_parallel(dmd.modes, modes)


RULES = [{}, {"energy": 0.9}, {"energy": 1.0}, {"rank": "optimal"}, {"rank": 2}]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(RULES),
    st.sampled_from([(3, 12), (6, 30), (8, 9)]),
    st.sampled_from([torch.float32, F64]),
    st.sampled_from([torch.randperm, torch.arange]),
    st.integers(1, 5),
    st.integers(0, 200),
)
def test_total_least_squares_by_any_rule_is_that_of_the_rank_it_gives(rule, shape, dtype, order, rows, seed):
    n, f = shape
    X = randn(n, 2, seed=seed) @ randn(2, f, seed=seed + 1) + 0.2 * randn(n, f, seed=seed + 2)
    Y = randn(n, n, seed=seed + 3) @ X + 0.2 * randn(n, f, seed=seed + 4)
    X, Y = X.to(dtype), Y.to(dtype)
    rank = len(DMD(**rule).fit(X, Y).eigs)
    assert rank < f
    expected = DMD(rank, total_least_squares=True).fit(X, Y).operator.to_dense()
    atol = float(expected.abs().max()) * (5e-3 if dtype == torch.float32 else 1e-7)
    columns = order(f)
    own = DMD(**rule, total_least_squares=True).fit(X[:, columns], Y[:, columns])
    torch.testing.assert_close(own.operator.to_dense(), expected, rtol=0, atol=atol)
    if dtype == F64:  # it does something
        assert float((expected - DMD(rank).fit(X, Y).operator.to_dense()).abs().max()) > atol
    parts = Moments.of_chunks(zip(X.split(rows), Y.split(rows), strict=True))
    lifted = DMD(**rule, total_least_squares=True).fit_moments(parts).lift(X, Y)
    torch.testing.assert_close(lifted.to_dense(), expected, rtol=0, atol=atol)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_members_of_a_batch_are_projected_by_their_own_rank(rule, dtype):
    X, Y = randn(3, 5, 20, seed=1), randn(3, 5, 20, seed=2)
    X[1] = randn(5, 2, seed=3) @ randn(2, 20, seed=4)
    X, Y = X.to(dtype), Y.to(dtype)
    batch = DMD(**rule, total_least_squares=True).fit(X, Y).operator.to_dense()
    atol = 1e-3 if dtype == torch.float32 else 1e-8
    for place in range(3):
        one = DMD(**rule, total_least_squares=True).fit(X[place], Y[place]).operator.to_dense()
        torch.testing.assert_close(batch[place], one, rtol=0, atol=atol)


@pytest.mark.parametrize("rule", RULES[:4])
@pytest.mark.parametrize("delays", [1, 4])
def test_noise_of_few_states_is_removed_by_any_rule(rule, delays):
    series = noisy_rotations(0.3, seeds=1, steps=1000)[0]
    plain, unbiased = (DMD(**rule, delays=delays, total_least_squares=total).fit(series) for total in (False, True))
    if delays == 1 and rule != {"rank": "optimal"}:  # which takes one direction of two for noise
        assert float((plain.eigs.abs() - 1).abs().max()) > 0.1
        assert float((unbiased.eigs.abs() - 1).abs().max()) < 0.01
    if delays > 1 or rule != {"rank": "optimal"}:
        assert float((unbiased.eigs - np.exp(0.3j)).abs().min()) < 0.01


@pytest.mark.parametrize("rule", [{}, {"energy": 1.0}])
@pytest.mark.parametrize("shape", [(9, 6), (6, 6), (2, 9, 6)])
def test_a_rule_that_would_keep_all_snapshots_is_refused(rule, shape):
    X, Y = randn(*shape), randn(*shape, seed=1)
    dmd = DMD(**rule, total_least_squares=True)
    with pytest.raises(InputError, match="leaves 6 snapshots of rank 6 as they are, noise too: give a lower rank"):
        dmd.fit(X, Y)
    if len(shape) == 2:
        with pytest.raises(InputError, match="leaves 6 snapshots of rank 6 as they are"):
            dmd.fit_moments(Moments.of(X, Y))


@pytest.mark.parametrize("rule", [{"energy": 0.9}, {"rank": "optimal"}, {}])
def test_gradients_by_any_rule(rule):
    X = randn(5, 2) @ randn(2, 9, seed=1)

    def dense(shift, Y):
        return DMD(**rule, total_least_squares=True).fit(X @ (torch.eye(9, dtype=F64) + shift), Y).operator.to_dense()

    leaves = 0.1 * randn(9, 9, seed=2), randn(5, 9, seed=3)
    assert torch.autograd.gradcheck(dense, [leaf.requires_grad_() for leaf in leaves], fast_mode=True)


def test_total_least_squares_of_one_state_is_the_principal_axis():
    x = randn(40)
    points = torch.stack([x, 0.7 * x]) + 0.3 * randn(2, 40, seed=1)
    axis = torch.linalg.eigh(points @ points.T).eigenvectors[:, -1]
    dmd = DMD(1, total_least_squares=True).fit(points[:1], points[1:])
    torch.testing.assert_close(dmd.eigs.real, (axis[1] / axis[0]).reshape(1))
