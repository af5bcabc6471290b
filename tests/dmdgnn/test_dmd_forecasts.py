"""Forecasts, also with delays, under inputs and in batches."""

import math

import numpy as np
import pytest
import torch

from dmdgnn import DMD
from matrices import randn
from signals import F64, SERIES, assert_near, driven, low_rank_system, order, oscillations, tensor, trajectory


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
