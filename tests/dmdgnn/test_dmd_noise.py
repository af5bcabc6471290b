"""DMD of noisy snapshots: forward-backward and total least squares against closed forms and PyDMD."""

import numpy as np
import pydmd
import pytest
import scipy.linalg
import torch

from dmdgnn import DMD
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


def test_total_least_squares_of_one_state_is_the_principal_axis():
    x = randn(40)
    points = torch.stack([x, 0.7 * x]) + 0.3 * randn(2, 40, seed=1)
    axis = torch.linalg.eigh(points @ points.T).eigenvectors[:, -1]
    dmd = DMD(1, total_least_squares=True).fit(points[:1], points[1:])
    torch.testing.assert_close(dmd.eigs.real, (axis[1] / axis[0]).reshape(1))
