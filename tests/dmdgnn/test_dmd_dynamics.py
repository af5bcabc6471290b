import math

import numpy as np
import pydmd
import pytest
import torch

from dmdgnn import DMD
from matrices import assert_parallel, pydmd_fit, randn
from signals import (
    F64,
    PROPERTIES,
    SERIES,
    assert_near,
    contributions,
    heated_rod,
    low_rank_system,
    order,
    oscillations,
    string,
    tensor,
    trajectory,
    two_signals,
)


def test_two_signals_are_told_apart():
    series, rates, step = two_signals()
    dmd = DMD(4).fit(series)
    expected = torch.exp(step * torch.cat([rates, rates.conj()]))
    assert_near(dmd.eigs[order(dmd.eigs)], expected[order(expected)])
    assert_near(dmd.frequency.sort().values, tensor(-2.8, -2.3, 2.3, 2.8) * step / (2 * math.pi))
    assert_near(dmd.growth_rate, torch.zeros(4, dtype=F64))
    assert_near(dmd.reconstructed_data, series)


@pytest.mark.parametrize("modes", ["exact", "projected"])
def test_damped_and_growing_oscillations(modes):
    series, eigs, growth, frequency = oscillations()
    dmd = DMD(4, modes=modes).fit(series)
    # The growing pair first, and of each pair the positive frequency.
    assert_near(dmd.eigs, torch.stack([eigs[1], eigs[1].conj(), eigs[0], eigs[0].conj()]))
    assert_near(dmd.growth_rate, growth[[1, 1, 0, 0]])
    assert_near(dmd.frequency, frequency[[1, 1, 0, 0]] * tensor(1, -1, 1, -1))
    assert_near(dmd.reconstructed_data, series)


@pytest.mark.parametrize("constraint", [None, "symmetric"])
def test_heat_on_a_rod_decays_mode_by_mode(constraint):
    series, modes, rates = heated_rod()
    dmd = DMD(4, constraint=constraint, svd="full").fit(series)
    assert_near(dmd.eigs.real, rates.exp(), atol=1e-6)
    assert_near(dmd.growth_rate, rates, atol=1e-6)
    assert_near(dmd.frequency, torch.zeros(4, dtype=F64), atol=1e-6)
    assert_parallel(dmd.modes, modes)
    assert_near(dmd.reconstructed_data, series)


def test_finite_differences_of_heat_have_known_eigenvalues():
    n, ratio = 8, 0.2
    A = torch.eye(n, dtype=F64) * (1 - 2 * ratio)
    A.diagonal(1).fill_(ratio)
    A.diagonal(-1).fill_(ratio)
    X = randn(n, n)
    dmd = DMD(constraint="symmetric").fit(X, A @ X)
    k = torch.arange(1, n + 1, dtype=F64)
    assert_near(dmd.eigs, 1 - 4 * ratio * torch.sin(k * math.pi / (2 * (n + 1))).square())
    sines = torch.sin(math.pi * k.unsqueeze(1) * k / (n + 1))
    assert_parallel(dmd.modes, sines)


def test_string_with_its_velocity():
    displacement, velocity, frequency = string()
    dmd = DMD(6).fit(torch.cat([displacement, velocity]))
    assert_near(dmd.frequency.sort().values, torch.cat([-frequency.flip(0), frequency]))
    assert_near(dmd.growth_rate, torch.zeros(6, dtype=F64))
    assert_near(dmd.reconstructed_data[:25], displacement)


def test_string_without_its_velocity_needs_delays():
    displacement, _, frequency = string()
    alone, delayed = DMD(3).fit(displacement), DMD(6, delays=2).fit(displacement)
    assert_near(alone.frequency.abs(), torch.zeros(3, dtype=F64))  # standing waves: one real coefficient each
    assert float((alone.reconstructed_data - displacement).norm() / displacement.norm()) > 0.3
    assert_near(delayed.frequency.sort().values, torch.cat([-frequency.flip(0), frequency]))
    assert_near(delayed.reconstructed_data, displacement)


def test_skew_symmetric_generator_turns_energy_between_states():
    X = randn(4, 9)
    K = randn(4, 4, seed=1)
    dmd = DMD(constraint="skew_symmetric").fit(X, (K - K.T) @ X)
    assert_near(dmd.frequency, tensor(0.25, -0.25, 0.25, -0.25))


@pytest.mark.parametrize("angle", [0.1, 1.0, 3.0])
def test_noisy_rotation(angle):
    turned = angle * torch.arange(200, dtype=F64)
    series = torch.stack([turned.cos(), turned.sin()]) + 0.01 * randn(2, 200)
    for options in ({}, {"forward_backward": True}, {"total_least_squares": True}, {"constraint": "orthogonal"}):
        dmd = DMD(2, **options).fit(series)
        assert_near(dmd.frequency, tensor(angle, -angle) / (2 * math.pi), atol=1e-3)
        assert_near(dmd.growth_rate, tensor(0, 0), atol=2e-3)
        future = angle * torch.arange(200, 220, dtype=F64)
        assert_near(dmd.forecast(20), torch.stack([future.cos(), future.sin()]), atol=0.1)


@pytest.mark.parametrize("svd", ["auto", "gram", "full", "randomized"])
def test_low_rank_system(svd):
    A, values, basis = low_rank_system()
    dmd = DMD(5, svd=svd).fit(trajectory(A, 30, basis.sum(1)))
    assert_near(dmd.eigs, values)
    eigenvectors = A.to(values.dtype) @ dmd.modes
    assert_parallel(dmd.modes, eigenvectors)
    assert_near(eigenvectors, dmd.modes * values)
    assert_near(dmd.operator.to_dense() @ basis, A @ basis)


def test_alternation_has_half_a_cycle_in_a_step():
    for options in ({}, {"constraint": "symmetric"}):
        dmd = DMD(**options).fit(tensor([1, -0.5, 0.25, -0.125]).reshape(1, 4))
        assert_near(dmd.frequency, tensor(0.5))
        assert_near(dmd.growth_rate, tensor(math.log(0.5)))
        assert_near(dmd.forecast(2), tensor([0.0625, -0.03125]))


# PyDMD, property by property


@pytest.mark.parametrize("modes", ["exact", "projected"])
@pytest.mark.parametrize("name", SERIES)
def test_dynamics_agree_with_pydmd(name, modes):
    make, rank = SERIES[name]
    series = make()
    dmd = DMD(rank, modes=modes).fit(series)
    model = pydmd_fit(pydmd.DMD(svd_rank=rank, exact=modes == "exact", opt=False), series)
    eigs = torch.from_numpy(model.eigs).to(torch.complex128)[order(model.eigs)]
    assert_near(dmd.eigs[order(dmd.eigs)], eigs, atol=1e-6)
    assert_near(dmd.growth_rate[order(dmd.eigs)], eigs.abs().log(), atol=1e-6)
    frequency = torch.from_numpy(np.asarray(model.frequency))[order(model.eigs)]
    assert_near(dmd.frequency[order(dmd.eigs)], frequency, atol=1e-6)
    assert dmd.dynamics.shape == model.dynamics.shape
    assert_near(contributions(dmd), contributions(model), atol=1e-6)
    assert_near(dmd.reconstructed_data, torch.from_numpy(model.reconstructed_data.real.copy()), atol=1e-6)
    assert_near(dmd.reconstructed_data, series, atol=1e-6)


def test_dynamics_of_noisy_data_agree_with_pydmd():
    series = two_signals()[0]
    series = series + 0.1 * randn(*series.shape)
    dmd, model = DMD(4).fit(series), pydmd_fit(pydmd.DMD(svd_rank=4, exact=True), series)
    torch.testing.assert_close(contributions(dmd), contributions(model))
    torch.testing.assert_close(dmd.reconstructed_data, torch.from_numpy(model.reconstructed_data.real.copy()))


def test_dynamics_of_pairs_agree_with_pydmd():
    X, Y = randn(9, 7), randn(9, 7, seed=1)
    dmd, model = DMD(3).fit(X, Y), pydmd_fit(pydmd.DMD(svd_rank=3, exact=True), X, Y)
    assert dmd.dynamics.shape == (3, 7)
    torch.testing.assert_close(contributions(dmd), contributions(model))
    amplitudes = torch.from_numpy(model.modes * model.amplitudes)[:, order(model.eigs)]
    torch.testing.assert_close((dmd.modes * dmd.amplitudes)[:, order(dmd.eigs)], amplitudes.to(torch.complex128))


@pytest.mark.parametrize("manifold", ["symmetric", "circulant"])
def test_dynamics_under_a_constraint_agree_with_pydmd(manifold):
    series = randn(6, 9)
    dmd = DMD(modes="projected", constraint=manifold).fit(series)
    model = pydmd_fit(pydmd.PiDMD(manifold), series)
    torch.testing.assert_close(contributions(dmd).sum(0), contributions(model).sum(0))
    torch.testing.assert_close(dmd.reconstructed_data, torch.from_numpy(model.reconstructed_data.real.copy()))


@pytest.mark.parametrize("delays", [2, 5])
def test_delays_reconstruct_as_pydmd_does(delays):
    displacement = string()[0]
    dmd = DMD(6, delays=delays).fit(displacement)
    model = pydmd_fit(pydmd.HankelDMD(svd_rank=6, exact=True, d=delays), displacement)
    assert_near(dmd.reconstructed_data, torch.from_numpy(model.reconstructed_data.real.copy()), atol=1e-6)


# Relations of the properties to each other


@pytest.mark.parametrize("name", SERIES)
def test_reconstruction_is_the_modes_times_their_dynamics(name):
    make, rank = SERIES[name]
    series = make()
    dmd = DMD(rank).fit(series)
    states = dmd.modes @ dmd.dynamics
    assert_near(states.imag, torch.zeros_like(states.imag))
    assert_near(dmd.reconstructed_data, states.real, atol=1e-12)
    assert_near(dmd.dynamics[:, 0], dmd.amplitudes)
    assert_near(dmd.dynamics[:, 1:], dmd.eigs.unsqueeze(1) * dmd.dynamics[:, :-1])
    assert_near(torch.exp(torch.complex(dmd.growth_rate, 2 * math.pi * dmd.frequency)), dmd.eigs)


def test_amplitudes_are_coefficients_of_the_first_state_in_the_modes():
    X, Y = randn(9, 5), randn(9, 5, seed=1)
    dmd = DMD(modes="projected").fit(X, Y)
    torch.testing.assert_close((dmd.modes @ dmd.amplitudes).real, X[:, 0])
    dmd = DMD(2).fit(X, Y)  # fewer modes: the rest is orthogonal to them
    rest = X[:, 0] - dmd.modes @ dmd.amplitudes
    assert_near((dmd.modes.mH @ rest).abs(), tensor(0, 0))


def test_conjugate_modes_have_conjugate_dynamics():
    dmd = DMD(4).fit(oscillations()[0])
    torch.testing.assert_close(dmd.dynamics[1::2], dmd.dynamics[::2].conj())


def test_symmetric_dynamics_are_real():
    dmd = DMD(constraint="symmetric").fit(randn(5, 9))
    for name in PROPERTIES:
        assert getattr(dmd, name).dtype == F64, name


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_state_that_dies_in_one_step(dtype):
    # An eigenvalue of zero has a part in the first state, none in those that follow.
    series = tensor([1.0, 0.5, 0.25], [1.0, 0.0, 0.0]).to(dtype)
    for X, Y in ((series, None), (torch.eye(2, dtype=dtype), torch.diag(tensor(0.5, 0.0)).to(dtype))):
        for constraint in (None, "lower_triangular"):
            dmd = DMD(modes="projected", constraint=constraint).fit(X, Y)
            assert bool(dmd.dynamics.isfinite().all())
            torch.testing.assert_close(dmd.reconstructed_data[:, 0], X[:, 0])
            torch.testing.assert_close(dmd.reconstructed_data[:, 1], torch.tensor([0.5, 0.0], dtype=dtype))


def test_skew_symmetric_operator_of_rank_one_is_zero():
    dmd = DMD(1, constraint="skew_symmetric").fit(randn(3, 6), randn(3, 6, seed=1))
    assert_near(dmd.eigs.abs(), tensor(0), atol=0)
    assert_near(dmd.reconstructed_data[:, 1:], torch.zeros(3, 5, dtype=F64))
    assert bool(dmd.reconstructed_data.isfinite().all())
