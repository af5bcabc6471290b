"""Several trajectories, the time axis, forecasts from any state, amplitudes of all states, and means."""

import math

import numpy as np
import pydmd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmdgnn import DMD, InputError
from dmdgnn.kernels import Moments
from matrices import F64, orthonormal, pydmd_fit, randn
from signals import assert_near, driven, low_rank_system, oscillations, tensor, trajectory

A, EIGS, BASIS = low_rank_system()
STARTS = [BASIS @ randn(5, 1, seed=seed) for seed in range(3)]
SEVERAL = [trajectory(A, length, start.squeeze(1)) for length, start in zip((9, 14, 30), STARTS, strict=True)]


# Several trajectories


@pytest.mark.parametrize("options", [{}, {"modes": "projected"}, {"ridge": 1e-9}, {"total_least_squares": True}])
def test_trajectories_are_their_pairs_side_by_side(options):
    dmd = DMD(5, **options).fit(SEVERAL)
    X, Y = (torch.cat([part[:, sides] for part in SEVERAL], 1) for sides in (slice(0, -1), slice(1, None)))
    torch.testing.assert_close(dmd.operator.to_dense(), DMD(5, **options).fit(X, Y).operator.to_dense())
    assert_near(dmd.operator @ BASIS, A @ BASIS, atol=1e-6)
    pairs = DMD(5, **options).fit([part[:, :-1] for part in SEVERAL], [part[:, 1:] for part in SEVERAL])
    torch.testing.assert_close(pairs.operator.to_dense(), dmd.operator.to_dense())


def test_each_trajectory_has_its_own_dynamics():
    dmd = DMD(5).fit(SEVERAL)
    assert dmd.amplitudes.shape == (3, 5)
    assert [part.shape for part in dmd.dynamics] == [(5, 9), (5, 14), (5, 30)]
    assert [len(times) for times in dmd.times] == [9, 14, 30]
    for part, series in zip(dmd.reconstructed_data, SEVERAL, strict=True):
        assert_near(part, series)
    forecast = dmd.forecast(4)
    for part, series in zip(forecast, SEVERAL, strict=True):
        assert_near(part, trajectory(A, 5, series[:, -1])[:, 1:], atol=1e-6)
    for part, series in zip(dmd.reconstruct([0.0, 2.0]), SEVERAL, strict=True):
        assert_near(part, series[:, [0, 2]])
    assert dmd.contributions.shape == (5,)


@pytest.mark.parametrize("delays", [2, 5])
def test_no_window_of_delays_reaches_from_one_trajectory_to_the_next(delays):
    frequency = tensor(0.05, 0.12)
    parts = []
    for length, phase in ((30, 0.3), (41, 2.0)):
        angles = 2 * math.pi * frequency.unsqueeze(1) * torch.arange(length) + phase
        parts.append(torch.cos(angles).sum(0, keepdim=True))
    if delays == 2:
        assert DMD(delays=2).fit(parts).eigs.shape == (2,)
        return
    dmd = DMD(4, delays=delays).fit(parts)
    assert_near(dmd.frequency.sort().values, torch.cat([-frequency.flip(0), frequency]))
    assert_near(dmd.growth_rate, torch.zeros(4, dtype=F64))
    for part, series in zip(dmd.reconstructed_data, parts, strict=True):
        assert_near(part, series)
    assert dmd.forecast(3).shape == (2, 1, 3)
    one = DMD(4, delays=delays).fit(parts[1])
    assert_near(dmd.forecast(3)[1], one.forecast(3))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(3, 9), min_size=1, max_size=4), st.sampled_from([torch.float32, F64]), st.booleans())
def test_any_lengths(lengths, dtype, center):
    parts = [randn(3, length, seed=length).to(dtype) for length in lengths]
    dmd = DMD(1, center=center).fit(parts)
    assert [part.shape for part in dmd.reconstructed_data] == [(3, length) for length in lengths]
    assert dmd.forecast(2).shape == (len(lengths), 3, 2)
    assert dmd.forecast(2).dtype == dmd.modes.dtype.to_real() == dtype


def test_trajectories_under_control():
    A, B, inputs, series = driven()
    parts, controls = [series[:, :15], series[:, 15:]], [inputs[:, :14], inputs[:, 15:]]
    dmd = DMD().fit(parts, control=controls)
    assert_near(dmd.operator.to_dense(), A)
    assert_near(dmd.B, B)
    forecast = dmd.forecast(2, [inputs[:, 14:16], torch.zeros(1, 2, dtype=F64)])
    assert_near(forecast[0], series[:, 15:17])
    assert_near(forecast[1], trajectory(A, 3, series[:, -1])[:, 1:])


@pytest.mark.parametrize(
    ("X", "Y", "arguments", "message"),
    [
        ([], None, {}, "list of 0 X"),
        ([randn(3, 4), randn(2, 4)], None, {}, r"X\[1\] is \(2, 4\).* but X\[0\] is \(3, 4\)"),
        ([randn(3, 4), randn(3, 4).float()], None, {}, r"X\[1\] .*float32"),
        ([randn(3, 4), randn(3, 1)], None, {}, r"got 1 states and no Y, expected at least 2, .* of X\[1\]"),
        ([randn(3, 4), torch.full((3, 4), torch.nan)], None, {}, r"X\[1\] has 12 NaN"),
        ([randn(3, 4)], [randn(3, 4)] * 2, {}, "as many Y or none"),
        ([randn(3, 4)], randn(3, 4), {}, "as many Y or none"),
        (randn(3, 4), [randn(3, 4)], {}, "1 Y in a list for one X"),
        ([randn(2, 3, 4), randn(2, 3, 4)], None, {}, r"X\[0\] is \(2, 3, 4\)"),
        ([randn(3, 4)] * 2, None, {"control": randn(1, 3)}, "1 controls for 2 trajectories"),
        ([randn(3, 4)] * 2, None, {"control": [randn(1, 3)]}, "1 controls for 2 trajectories"),
        ([randn(3, 4)] * 2, None, {"control": [randn(1, 3), randn(2, 3)]}, "controls of 1 and 2 inputs"),
        ([randn(3, 4)], None, {"ptr": torch.tensor([0, 3])}, "graphs by ptr"),
    ],
)
def test_bad_lists(X, Y, arguments, message):
    with pytest.raises(InputError, match=message):
        DMD(1).fit(X, Y, **arguments)


# The time axis


def test_frequencies_are_in_the_unit_of_time():
    series, _, _, cycles = oscillations(step=0.1)
    dmd = DMD(4, dt=0.1).fit(series)
    assert_near(dmd.frequency.sort().values, torch.cat([-cycles.flip(0), cycles]) / 0.1)
    assert_near(dmd.growth_rate.sort().values, tensor(-0.1, -0.1, 0.05, 0.05))
    assert_near(dmd.times, 0.1 * torch.arange(60, dtype=F64))
    assert dmd.dt == 0.1


def test_states_at_other_times():
    series = oscillations(steps=61, step=0.05)[0]
    dmd = DMD(4, dt=0.1).fit(series[:, ::2])
    assert_near(dmd.reconstruct(0.05 * torch.arange(61)), series, atol=1e-5)
    assert_near(dmd.reconstruct(dmd.times), dmd.reconstructed_data)
    for at in ([0.1, 0.7], np.array([0.1, 0.7]), torch.tensor([0.1, 0.7], dtype=F64)):
        torch.testing.assert_close(dmd.reconstruct(at), dmd.reconstructed_data[:, [1, 7]], rtol=0, atol=1e-12)
    batch = DMD(4, dt=0.1).fit(torch.stack([series[:, ::2], 2 * series[:, ::2]]))
    assert_near(batch.reconstruct([0.35])[1, :, 0], 2 * series[:, 7], atol=1e-5)


def test_modes_that_vanish_at_once_are_there_at_time_zero_only():
    X = torch.eye(2, dtype=F64)
    dmd = DMD(modes="projected").fit(X, torch.diag(tensor(0.25, 0.0)) @ X)
    assert_near(dmd.reconstruct([0.0, 0.5, 1.0]), tensor([1.0, 0.5, 0.25], [0.0, 0.0, 0.0]))


@pytest.mark.parametrize("delays", [1, 3])
def test_forecast_until_a_time(delays):
    series = oscillations(steps=60, step=0.1)[0]
    dmd = DMD(4, dt=0.1, delays=delays).fit(series[:, :50])
    torch.testing.assert_close(dmd.forecast(until=5.9), dmd.forecast(10))
    torch.testing.assert_close(dmd.forecast(until=5.85), dmd.forecast(9))
    assert dmd.forecast(until=5.0).shape == (12, 1)
    with pytest.raises(InputError, match=r"until=4\.9, expected a time of at least 5"):
        dmd.forecast(until=4.9)
    assert dmd.forecast(until=0.3, state=series[:, :delays]).shape == (12, 3)


def test_several_trajectories_until_a_time():
    series = oscillations(steps=60)[0]
    assert DMD(4).fit([series[:, :20], series[:, 30:50]]).forecast(until=21).shape == (2, 12, 2)
    with pytest.raises(InputError, match="end at different times: give steps"):
        DMD(4).fit([series[:, :20], series[:, 30:]]).forecast(until=70)


@pytest.mark.parametrize("steps", [2.5, "3", True, torch.tensor(2)])
def test_steps_are_a_number(steps):
    with pytest.raises(InputError, match=r"steps=.*expected an integer of at least 1"):
        DMD().fit(randn(4, 9)).forecast(steps)


@pytest.mark.parametrize("arguments", [{}, {"steps": 2, "until": 20.0}])
def test_steps_or_until(arguments):
    with pytest.raises(InputError, match="expected one of them"):
        DMD().fit(randn(4, 9)).forecast(**arguments)


@pytest.mark.parametrize("times", [[], [math.nan], torch.zeros(2, 2)])
def test_bad_times(times):
    with pytest.raises(InputError, match=r"times (of shape|has 1 NaN)"):
        DMD().fit(randn(4, 9)).reconstruct(times)


# Forecasts from any state


def test_forecast_from_any_state():
    dmd = DMD(5).fit(SEVERAL[2])
    for start in STARTS:
        assert_near(dmd.forecast(6, state=start), trajectory(A, 7, start.squeeze(1))[:, 1:], atol=1e-6)
    torch.testing.assert_close(dmd.forecast(6, state=start.squeeze(1)), dmd.forecast(6, state=start))
    torch.testing.assert_close(dmd.forecast(3, state=SEVERAL[2][:, -1:]), dmd.forecast(3))
    assert DMD(5).fit(SEVERAL).forecast(6, state=start).shape == (40, 6)


def test_forecast_from_any_state_with_delays_in_batches_and_under_control():
    series = oscillations(steps=60)[0]
    dmd = DMD(4, delays=3).fit(series)
    assert_near(dmd.forecast(5, state=series[:, 7:10]), series[:, 10:15], atol=1e-6)
    batch = DMD(4).fit(torch.stack([series, 2 * series]))
    assert_near(batch.forecast(5, state=torch.stack([series, series])[..., 9:10])[1], series[:, 10:15], atol=1e-6)
    _, _, inputs, states = driven()
    controlled = DMD().fit(states, control=inputs)
    assert_near(controlled.forecast(5, inputs[:, 10:15], state=states[:, 10]), states[:, 11:16])


@pytest.mark.parametrize("state", [randn(3), randn(4, 2), randn(4).float(), randn(2, 4, 1), [1.0] * 4])
def test_bad_states(state):
    with pytest.raises(InputError, match=r"got state of .*, expected \(4, 1\)"):
        DMD().fit(randn(4, 9)).forecast(2, state=state)


# Amplitudes of all states


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("rank", [2, 4, 6])
def test_optimal_amplitudes_agree_with_pydmd(rank, exact):
    series = oscillations(n=20)[0]
    series = series + 0.1 * randn(*series.shape, seed=5)
    data = DMD(rank, modes="exact" if exact else "projected", opt=True).fit(series).reconstructed_data
    peer = pydmd_fit(pydmd.DMD(svd_rank=rank, exact=exact, opt=True), series)
    theirs = torch.from_numpy(peer.reconstructed_data.real.copy())
    if exact:
        assert_near(data, theirs, atol=1e-6)
    else:  # theirs leaves the last state out
        assert float((data - series).norm()) < float((theirs - series).norm())


@pytest.mark.parametrize("options", [{}, {"center": True}, {"delays": 2}, {"modes": "projected"}])
def test_no_other_amplitudes_fit_better(options):
    parts = [part + 0.1 * randn(12, 60, seed=seed) for seed, part in enumerate(oscillations()[:1] * 2)]
    for series in (parts[0], parts):
        dmd, first = (DMD(4, opt=opt, **options).fit(series) for opt in (True, False))

        def missed(dmd):
            data = dmd.reconstructed_data
            pairs = zip(data, parts, strict=True) if isinstance(data, list) else [(data, parts[0])]
            return sum(float((one - other).square().sum()) for one, other in pairs)

        assert missed(dmd) < missed(first)
        if options.get("delays") or not isinstance(series, torch.Tensor):
            continue
        best = dmd.amplitudes
        for seed in range(4):
            step = 1e-3 * torch.complex(randn(4, seed=seed), randn(4, seed=seed + 9))
            modes = dmd.modes.to(torch.complex128)
            moved = (
                dmd.reconstructed_data + (modes @ (step.unsqueeze(1) * dmd.eigs.unsqueeze(1) ** torch.arange(60))).real
            )
            assert float((moved - parts[0]).square().sum()) > missed(dmd)
        assert best.shape == (4,)


def test_optimal_amplitudes_in_batches_of_truncated_and_chosen_modes():
    series = oscillations()[0] + 0.1 * randn(12, 60)
    one = DMD(4, opt=True).fit(series)
    batch = DMD(4, opt=True).fit(torch.stack([series, 2 * series]))
    torch.testing.assert_close(
        batch.reconstructed_data, torch.stack([one.reconstructed_data, 2 * one.reconstructed_data])
    )
    torch.testing.assert_close(DMD(6, opt=True).fit(series).truncate(4).reconstructed_data, one.reconstructed_data)
    chosen = one.select(2, by="contribution")
    assert float((chosen.reconstructed_data - series).norm()) > float((one.reconstructed_data - series).norm())


# Means


def affine(steps=25, dtype=F64):
    """x -> A x + b, whose fixed point is far from zero."""
    A = tensor([0.9, -0.4, 0.0], [0.4, 0.9, 0.0], [0.0, 0.1, 0.7])
    b, state = tensor(3.0, -2.0, 5.0), tensor(1.0, 0.0, 0.0)
    states = [state]
    for _ in range(steps - 1):
        states.append(A @ states[-1] + b)
    return A, b, torch.stack(states, dim=1).to(dtype)


@pytest.mark.parametrize("modes", ["exact", "projected"])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_affine_dynamics_are_recovered(modes, dtype):
    A, b, series = affine(dtype=dtype)
    past, future = series[:, :15], series[:, 15:]
    dmd = DMD(center=True, modes=modes).fit(past)
    atol = 2e-3 if dtype == torch.float32 else 1e-8
    assert_near(dmd.operator.to_dense().double(), A, atol=atol)
    assert_near(dmd.predict(past), series[:, 1:16], atol=atol)
    assert_near(dmd.predict(past[:, 0]), series[:, 1], atol=atol)
    assert_near(dmd.forecast(10), future, atol=10 * atol)
    assert_near(dmd.reconstructed_data, past, atol=10 * atol)
    assert_near(dmd.reconstruct([2.0, 20.0]), series[:, [2, 20]], atol=10 * atol)
    rest = torch.linalg.solve(torch.eye(3, dtype=F64) - A, b)
    assert_near(dmd.reconstruct([3000.0]).squeeze(1).double(), rest, atol=10 * atol)


@pytest.mark.parametrize("modes", ["exact", "projected"])
def test_a_trend_drifts(modes):
    t = torch.arange(20, dtype=F64)
    series = torch.stack([3 + 0.5 * t, 1 - t, 2 + 0 * t])
    dmd = DMD(center=True, modes=modes).fit(series[:, :12])
    assert_near(dmd.eigs, torch.ones(1, dtype=torch.complex128))
    assert_near(dmd.forecast(8), series[:, 12:])
    assert_near(dmd.reconstructed_data, series[:, :12])
    assert_near(
        dmd.reconstruct([0.5, 15.5]), torch.stack([3 + 0.5 * tensor(0.5, 15.5), 1 - tensor(0.5, 15.5), tensor(2, 2)])
    )


def test_an_offset_needs_no_mode_of_its_own():
    t = torch.arange(40, dtype=F64)
    series = (5 + torch.cos(0.7 * t)).unsqueeze(0)
    dmd = DMD(2, delays=2, center=True).fit(series)
    assert_near(dmd.frequency.abs(), torch.full((2,), 0.7 / (2 * math.pi), dtype=F64))
    assert_near(dmd.reconstructed_data, series)
    assert DMD(delays=5).fit(series).eigs.shape == (3,)


@pytest.mark.parametrize("options", [{}, {"total_least_squares": True}, {"forward_backward": True}, {"ridge": 0.1}])
def test_means_by_moments_batches_and_graphs(options):
    X, Y = randn(8, 12) + 3, randn(8, 12, seed=1) - 2
    dmd = DMD(4, center=True, **options).fit(X, Y)
    plain = DMD(4, **options).fit(X - X.mean(1, keepdim=True), Y - Y.mean(1, keepdim=True))
    torch.testing.assert_close(dmd.operator.to_dense(), plain.operator.to_dense())
    moments = Moments.of(X[:3], Y[:3]) + Moments.of(X[3:], Y[3:])
    torch.testing.assert_close(
        DMD(4, center=True, **options).fit_moments(moments).lift(X, Y).to_dense(), plain.operator.to_dense()
    )
    shifted = DMD(4, center=True, **options).fit(torch.stack([X, X + 5]), torch.stack([Y, Y - 1]))
    predicted = shifted.predict(torch.stack([X, X + 5]))
    torch.testing.assert_close(predicted, torch.stack([dmd.predict(X), dmd.predict(X) - 1]))
    graphs = DMD(4, center=True, **options).fit(torch.cat([X, X]), torch.cat([Y, Y]), ptr=torch.tensor([0, 8, 16]))
    torch.testing.assert_close(graphs.predict(torch.cat([X, X]))[8:], dmd.predict(X))


def test_means_of_states_under_control():
    A, B, inputs, _ = driven()
    states = [tensor([1.0], [-1.0])]
    for t in range(39):
        states.append(A @ states[-1] + B * (inputs[:, t] + 4) + tensor([2.0], [1.0]))
    series = torch.cat(states, dim=1)
    dmd = DMD(center=True).fit(series[:, :30], control=inputs[:, :29] + 4)
    assert_near(dmd.operator.to_dense(), A)
    assert_near(dmd.B, B)
    assert_near(dmd.forecast(10, inputs[:, 29:] + 4), series[:, 30:])


def test_means_carry_gradients():
    def prediction(X):
        return DMD(2, center=True).fit(X).predict(X)

    assert torch.autograd.gradcheck(prediction, randn(3, 7).requires_grad_(), fast_mode=True)


def test_chosen_and_stabilised_modes_keep_the_mean():
    _, _, series = affine()
    dmd = DMD(center=True).fit(series)
    kept = dmd.select(where=dmd.eigs.imag != 0)
    decayed = series[:, 15:] - kept.reconstructed_data[:, 15:]
    assert float(decayed.abs().max()) < 0.7**15 * float(series.abs().max())
    rest = dmd.select(where=dmd.eigs.imag == 0).reconstructed_data - dmd.reconstruct([3000.0])
    assert_near(kept.reconstructed_data + rest, series, atol=1e-6)
    growing = orthonormal(3, 3) @ torch.diag(tensor(1.1, 0.8, 0.5)) @ orthonormal(3, 3).T
    data = trajectory(growing, 12, tensor(1.0, 1.0, 1.0)) + 7
    stable = DMD(center=True).fit(data).stabilise()
    predicted = [data[:, -1:]]
    for _ in range(3):
        predicted.append(stable.predict(predicted[-1]))
    assert_near(stable.forecast(3), torch.cat(predicted[1:], dim=1))
    assert float(stable.eigs.abs().max()) == pytest.approx(1)
