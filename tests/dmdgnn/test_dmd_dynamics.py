"""Modes in time: systems whose frequencies, rates and futures are known, and PyDMD on the same data."""

import math

import numpy as np
import pydmd
import pytest
import torch

from dmdgnn import DMD, InputError
from dmdgnn.kernels.moments import Moments
from matrices import assert_parallel, pydmd_fit, randn

F64 = torch.float64
PROPERTIES = (
    "modes",
    "real_modes",
    "blocks",
    "amplitudes",
    "dynamics",
    "reconstructed_data",
    "frequency",
    "growth_rate",
)


def tensor(*values):
    return torch.tensor(values, dtype=F64)


def trajectory(A, steps, start):
    states = [start.reshape(-1, 1)]
    for _ in range(steps - 1):
        states.append(A @ states[-1])
    return torch.cat(states, dim=1)


def waves(shapes, rates, times):
    """The sum of Re(shape exp(rate t)), shapes (K, N) and rates (K,) complex."""
    return torch.einsum("kn,kt->nt", shapes, torch.exp(rates.unsqueeze(1) * times)).real


def two_signals():
    """PyDMD's first example, as real waves that travel: 2.3 and 2.8 radians in a unit of time."""
    x = torch.linspace(-5, 5, 65, dtype=F64)
    times = torch.linspace(0, 4 * math.pi, 129, dtype=F64)
    first = torch.complex(1 / torch.cosh(x + 3), 0.5 / torch.cosh(x))
    second = torch.complex(2 / torch.cosh(x) * torch.tanh(x), 1 / torch.cosh(x - 2))
    rates = torch.tensor([2.3j, 2.8j], dtype=torch.complex128)
    return waves(torch.stack([first, second]), rates, times), rates, float(times[1])


def oscillations(growth=(-0.1, 0.05), angular=(1.0, 3.0), n=12, steps=60, step=0.1):
    """Waves that decay and grow: the series, their eigenvalues, and the rates and frequencies in a step."""
    rates = torch.complex(tensor(*growth), tensor(*angular))
    shapes = torch.complex(randn(len(growth), n), randn(len(growth), n, seed=1))
    series = waves(shapes, rates, step * torch.arange(steps, dtype=F64))
    return series, torch.exp(step * rates), step * tensor(*growth), step * tensor(*angular) / (2 * math.pi)


def heated_rod(terms=4, diffusivity=0.05, step=0.1, steps=40):
    """u(x, t) = sum_k c_k sin(k pi x) exp(-a (k pi)^2 t): the series, its modes and its rates in a step."""
    x = torch.linspace(0, 1, 33, dtype=F64)
    k = torch.arange(1, terms + 1, dtype=F64)
    modes = torch.sin(math.pi * x.unsqueeze(1) * k)
    rates = -diffusivity * (k * math.pi).square() * step
    weights = tensor(1.0, 0.8, -0.6, 0.9)[:terms]
    return modes * weights @ torch.exp(rates.unsqueeze(1) * torch.arange(steps, dtype=F64)), modes, rates


def string(terms=3, step=0.1, steps=80):
    """u(x, t) = sum_k c_k sin(k pi x) cos(k pi t) and its velocity, and the frequencies in a step."""
    x = torch.linspace(0, 1, 25, dtype=F64)
    k = torch.arange(1, terms + 1, dtype=F64)
    shapes = torch.sin(math.pi * x.unsqueeze(1) * k) / k
    angles = math.pi * k.unsqueeze(1) * step * torch.arange(steps, dtype=F64)
    return shapes @ angles.cos(), -math.pi * (shapes * k) @ angles.sin(), k * step / 2


def low_rank_system(n=40, rank=5, seed=0):
    """A on a subspace, with eigenvalues 0.95 exp(+-0.9i), 0.85 exp(+-0.3i) and 0.7, and its eigenvectors."""
    values = [0.95 * np.exp(0.9j), 0.95 * np.exp(-0.9j), 0.85 * np.exp(0.3j), 0.85 * np.exp(-0.3j), 0.7]
    blocks = [[[z.real, -z.imag], [z.imag, z.real]] for z in values[0:4:2]]
    core = torch.block_diag(*(torch.tensor(block, dtype=F64) for block in blocks), tensor(0.7).reshape(1, 1))
    basis = randn(n, rank, seed=seed)
    A = basis @ core @ torch.linalg.pinv(basis)
    return A, torch.tensor(values), basis


SERIES = {
    "two signals": (lambda: two_signals()[0], 4),
    "oscillations": (lambda: oscillations()[0], 4),
    "heated rod": (lambda: heated_rod(terms=3)[0], 3),
    "string": (lambda: torch.cat(string()[:2]), 6),
    "low rank": (lambda: trajectory(low_rank_system()[0], 30, low_rank_system()[2].sum(1)), 5),
}


def order(eigs):
    """By modulus; where that is the same, by imaginary part."""
    eigs = np.asarray(eigs)
    return np.lexsort((-eigs.imag.round(7), -np.abs(eigs).round(7)))


def contributions(model):
    """What each mode adds to the states in time, (r, N, T), which no scaling of modes changes."""
    eigs, modes, dynamics = (torch.as_tensor(getattr(model, name)) for name in ("eigs", "modes", "dynamics"))
    parts = torch.einsum("nr,rt->rnt", modes.to(torch.complex128), dynamics.to(torch.complex128))
    return parts[order(eigs)]


def assert_near(actual, expected, atol=1e-7):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# Known frequencies and rates


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


# What the properties are to each other


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


# Forecasts


@pytest.mark.parametrize("modes", ["exact", "projected"])
@pytest.mark.parametrize("name", SERIES)
def test_forecast_is_the_true_future(name, modes):
    make, rank = SERIES[name]
    series = make()
    past, future = series[:, :-10], series[:, -10:]
    dmd = DMD(rank, modes=modes).fit(past)
    scale = float(series.abs().max())
    assert_near(dmd.forecast(10) / scale, future / scale, atol=1e-6)
    torch.testing.assert_close(dmd.forecast(10)[:, :3], dmd.forecast(3))
    torch.testing.assert_close(dmd.forecast(1), dmd.predict(past[:, -1:]))


def test_forecast_of_pairs_begins_at_the_last_successor():
    A = tensor([0.9, -0.3], [0.3, 0.9])
    X = randn(2, 5)
    torch.testing.assert_close(DMD().fit(X, A @ X).forecast(2), torch.cat([A @ A @ X, A @ A @ A @ X], 1)[:, 4::5])


def test_forecast_goes_on_where_the_reconstruction_ends():
    series = oscillations(steps=40)[0]
    dmd, longer = DMD(4).fit(series[:, :30]), DMD(4).fit(series)
    assert_near(torch.cat([dmd.reconstructed_data, dmd.forecast(10)], dim=1), longer.reconstructed_data)


def test_pulse_on_a_ring_goes_round():
    pulse = tensor(0, 0, 1, 0, 0, 0, 0)
    series = torch.stack([pulse, pulse.roll(1)], dim=1)
    dmd = DMD(constraint="circulant").fit(series)
    future = torch.stack([pulse.roll(1 + k) for k in range(1, 9)], dim=1)
    assert_near(dmd.forecast(8), future)
    assert_near(dmd.frequency.sort().values, torch.arange(-3, 4, dtype=F64) / 7)
    assert_near(dmd.reconstructed_data, series)


def test_states_on_their_own_have_their_own_rates():
    rates = tensor(0.5, -0.9, 1.1)
    series = rates.unsqueeze(1) ** torch.arange(6)
    dmd = DMD(constraint="diagonal").fit(series[:, :4])
    assert_near(dmd.eigs.real, tensor(1.1, -0.9, 0.5))
    assert_near(dmd.growth_rate, tensor(1.1, 0.9, 0.5).log())
    assert_near(dmd.forecast(2), series[:, 4:])


def test_cascade_is_forecast_by_a_causal_operator():
    A = randn(4, 4).tril() / 3 + 0.3 * torch.eye(4, dtype=F64)
    series = trajectory(A, 12, torch.ones(4, dtype=F64))
    dmd = DMD(constraint="lower_triangular").fit(series[:, :8])
    assert_near(dmd.operator.to_dense(), A, atol=1e-6)
    assert_near(dmd.forecast(4), series[:, 8:])
    assert_near(dmd.reconstructed_data, series[:, :8])


# Delays


def test_sum_of_sinusoids_is_recovered_with_delays_only():
    frequency = tensor(0.05, 0.12, 0.31)
    times = torch.arange(120, dtype=F64)
    series = torch.cos(2 * math.pi * frequency.unsqueeze(1) * times + tensor([0.1], [0.7], [2.0])).sum(0, keepdim=True)
    past, future = series[:, :100], series[:, 100:]
    assert not DMD().fit(past).frequency.remainder(0.5).any()  # one state: it stays or alternates

    dmd = DMD(6, delays=6).fit(past)
    assert_near(dmd.frequency.sort().values, torch.cat([-frequency.flip(0), frequency]))
    assert_near(dmd.growth_rate, torch.zeros(6, dtype=F64))
    assert dmd.modes.shape == (6, 6)
    assert dmd.dynamics.shape == (6, 100)
    assert_near(dmd.reconstructed_data, past)
    assert_near(dmd.forecast(20), future)
    total = DMD(6, delays=12, total_least_squares=True).fit(past)
    assert_near(total.frequency.sort().values, torch.cat([-frequency.flip(0), frequency]))


@pytest.mark.parametrize("delays", [1, 2, 5])
def test_delays_stack_consecutive_states(delays):
    series = randn(3, 11)
    width = 11 - delays + 1
    stacked = torch.cat([series[:, delay : delay + width] for delay in range(delays)])
    dmd, plain = DMD(3, delays=delays).fit(series), DMD(3).fit(stacked)
    torch.testing.assert_close(dmd.operator.to_dense(), plain.operator.to_dense())
    torch.testing.assert_close(dmd.forecast(4), plain.forecast(4)[-3:])
    torch.testing.assert_close(dmd.reconstructed_data[:, :width], plain.reconstructed_data[:3])
    assert dmd.reconstructed_data.shape == (3, 11)


def test_delays_with_a_constraint():
    times = torch.arange(30, dtype=F64)
    series = torch.cos(0.4 * times).unsqueeze(0)
    dmd = DMD(delays=2, constraint="upper_triangular", ridge=1e-12).fit(series)
    assert dmd.operator.shape == (2, 2)
    assert dmd.forecast(3).shape == (1, 3)
    assert dmd.reconstructed_data.shape == (1, 30)


# Inputs


def driven(steps=40):
    A, B = tensor([0.9, 0.2], [-0.1, 0.8]), tensor([1.0], [0.5])
    inputs = randn(1, steps - 1)
    states = [tensor([1.0], [-1.0])]
    for t in range(steps - 1):
        states.append(A @ states[-1] + B * inputs[:, t])
    return A, B, inputs, torch.cat(states, dim=1)


def test_driven_system_is_predicted_under_its_inputs():
    _, _, inputs, series = driven()
    dmd = DMD().fit(series[:, :20], control=inputs[:, :19])
    assert_near(dmd.predict(series[:, :-1], inputs), series[:, 1:])
    assert_near(dmd.forecast(20, inputs[:, 19:]), series[:, 20:])


def test_driven_system_at_rest_without_inputs():
    A, _, inputs, series = driven()
    dmd = DMD().fit(series, control=inputs)
    still = torch.zeros(1, 5, dtype=F64)
    assert_near(dmd.forecast(5, still), trajectory(A, 6, series[:, -1])[:, 1:])


def test_inputs_are_not_taken_for_dynamics():
    A, _, inputs, series = driven()
    assert_near(DMD().fit(series, control=inputs).operator.to_dense(), A)
    assert float((DMD().fit(series).operator.to_dense() - A).abs().max()) > 0.05


def test_driven_system_in_single_precision():
    _, _, inputs, series = driven()
    dmd = DMD().fit(series[:, :20].float(), control=inputs[:, :19])
    assert dmd.B.dtype == torch.float32
    forecast = dmd.forecast(20, inputs[:, 19:].float())
    assert forecast.dtype == torch.float32
    torch.testing.assert_close(forecast.double(), series[:, 20:], rtol=1e-4, atol=1e-4)


# Batches


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"modes": "projected"},
        {"constraint": "symmetric"},
        {"constraint": "skew_symmetric"},
        {"constraint": "orthogonal"},
        {"ridge": 0.3},
        {"forward_backward": True},
        {"total_least_squares": True},
        {"delays": 2},
        {"delays": 3, "total_least_squares": True},
        {"svd": "randomized"},
    ],
    ids=str,
)
def test_batch_of_series_is_a_loop_over_them(options):
    batch = torch.stack([oscillations(n=6, angular=(0.5 + i, 3 + i), steps=30)[0] for i in range(6)])
    batch = (batch + 0.1 * randn(*batch.shape)).view(2, 3, 6, 30)
    dmd = DMD(4, **options).fit(batch)
    assert dmd.eigs.shape == (2, 3, 4)
    assert dmd.reconstructed_data.shape == batch.shape
    assert dmd.forecast(5).shape == (2, 3, 6, 5)
    for i, j in np.ndindex(2, 3):
        one = DMD(4, **options).fit(batch[i, j])
        moved = order(dmd.eigs[i, j]), order(one.eigs)
        for name in ("eigs", "frequency", "growth_rate"):
            torch.testing.assert_close(getattr(dmd, name)[i, j][moved[0]], getattr(one, name)[moved[1]])
        weighted, parts = dmd.modes[i, j] * dmd.amplitudes[i, j], one.modes * one.amplitudes
        torch.testing.assert_close(weighted[:, moved[0]], parts[:, moved[1]])
        torch.testing.assert_close(dmd.operator.to_dense()[i, j], one.operator.to_dense())
        torch.testing.assert_close(dmd.reconstructed_data[i, j], one.reconstructed_data)
        torch.testing.assert_close(dmd.forecast(5)[i, j], one.forecast(5))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"modes": "projected"},
        {"constraint": "symmetric"},
        {"constraint": "skew_symmetric"},
        {"constraint": "orthogonal"},
        {"forward_backward": True},
        {"total_least_squares": True},
    ],
    ids=str,
)
def test_series_of_lower_rank_in_a_batch_has_modes_of_zero(options):
    A, _, basis = low_rank_system(n=6)
    rich = trajectory(A, 12, basis.sum(1))
    poor = trajectory(torch.diag(tensor(0.9, 0.5, 0, 0, 0, 0)), 12, tensor(1, 1, 0, 0, 0, 0))
    dmd, one = DMD(**options).fit(torch.stack([rich, poor])), DMD(**options).fit(poor)
    rank = one.operator.rank
    assert (dmd.operator.rank, rank) == (5, 2)
    assert not dmd.eigs[1, rank:].any()
    assert_near(dmd.operator.to_dense()[1], one.operator.to_dense())
    assert_near(dmd.eigs[1, :rank], one.eigs)
    assert_near(dmd.forecast(3)[1], one.forecast(3))
    assert_near(dmd.reconstructed_data[1], one.reconstructed_data)


# What has no dynamics


@pytest.mark.parametrize("name", PROPERTIES)
def test_properties_before_fit(name):
    with pytest.raises(InputError, match="yet, call fit first"):
        getattr(DMD(), name)


def test_forecast_before_fit():
    with pytest.raises(InputError, match="has no operator yet, call fit first"):
        DMD().forecast(3)


@pytest.mark.parametrize("steps", [0, -2])
def test_forecast_of_no_steps(steps):
    with pytest.raises(InputError, match=rf"got steps={steps} and control of shape None, expected at least one step"):
        DMD().fit(randn(3, 5)).forecast(steps)


def test_inputs_are_given_if_and_only_if_they_were_fitted():
    _, _, inputs, series = driven()
    plain, dmd = DMD().fit(series), DMD().fit(series, control=inputs)
    for call in (
        lambda: plain.predict(series[:, :-1], inputs),
        lambda: plain.forecast(3, inputs[:, :3]),
        lambda: dmd.predict(series),
        lambda: dmd.forecast(3),
    ):
        with pytest.raises(InputError, match="pass `control` to predict if and only if it was passed to fit"):
            call()


def test_forecast_takes_an_input_for_each_step():
    _, _, inputs, series = driven()
    dmd = DMD().fit(series, control=inputs)
    with pytest.raises(InputError, match=r"steps=3 and control of shape \(1, 2\).* a column of control for each"):
        dmd.forecast(3, inputs[:, :2])
    with pytest.raises(InputError, match="steps=0"):
        dmd.forecast(0, inputs[:, :0])


def test_inputs_are_as_many_as_were_fitted():
    _, _, inputs, series = driven()
    dmd = DMD().fit(series, control=inputs)
    for call in (
        lambda: dmd.predict(series[:, :-1], torch.cat([inputs, inputs])),
        lambda: dmd.predict(series[:, :-1], inputs.float()),
        lambda: dmd.predict(series[:, :-1], inputs[:, :4]),
        lambda: dmd.forecast(2, torch.cat([inputs, inputs])[:, :2]),
    ):
        with pytest.raises(InputError, match="control"):
            call()


@pytest.mark.parametrize("name", ["amplitudes", "dynamics", "reconstructed_data"])
def test_driven_states_have_no_dynamics_of_their_own(name):
    _, _, inputs, series = driven()
    with pytest.raises(InputError, match="states under control have no dynamics of their own: use predict"):
        getattr(DMD().fit(series, control=inputs), name)


@pytest.mark.parametrize("name", ["amplitudes", "dynamics", "reconstructed_data", "forecast"])
def test_graphs_have_no_dynamics_of_their_own(name):
    X = randn(7, 5)
    dmd = DMD(2).fit(X, randn(7, 5, seed=1), ptr=torch.tensor([0, 3, 7]))
    assert dmd.modes.shape == (7, 2)
    assert dmd.frequency.shape == dmd.growth_rate.shape == (2, 2)
    with pytest.raises(InputError, match="graphs by ptr have no common dynamics: use predict"):
        dmd.forecast(1) if name == "forecast" else getattr(dmd, name)


@pytest.mark.parametrize("fitted_before", [False, True])
@pytest.mark.parametrize("name", ["modes", "real_modes", "amplitudes", "dynamics", "reconstructed_data", "operator"])
def test_rows_elsewhere_have_no_modes_here(name, fitted_before):
    X, Y = randn(7, 5), randn(7, 5, seed=1)
    dmd = DMD(2)
    if fitted_before:
        dmd.fit(X, Y)
    dmd.fit_moments(Moments.of(X, Y))
    assert dmd.frequency.shape == dmd.growth_rate.shape == (2,)
    if name == "operator":
        for call in (lambda: dmd.predict(X), lambda: dmd.forecast(1)):
            with pytest.raises(InputError, match="its rows are elsewhere: use lift and lift_modes"):
                call()
    else:
        with pytest.raises(InputError, match="its rows are elsewhere: use lift and lift_modes"):
            getattr(dmd, name)
