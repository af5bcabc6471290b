"""Optimised DMD against what is known of exponentials, PyDMD, and where it fails."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

import dmdgnn
from dmdgnn import InputError, NotFittedError, OptDMD, RankError
from dmdgnn.variable_projection import Restriction, State, minimise, minimise_pairs
from matrices import assert_parallel, randn
from signals import two_signals, waves

F64 = torch.float64
RATES = torch.tensor([-0.1 + 3j, 0.05 + 1j])


def complexes(*shape, seed=0):
    return torch.complex(randn(*shape, seed=seed), randn(*shape, seed=seed + 50))


def uneven(size, span=6.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return span * torch.rand(size, dtype=F64, generator=generator).sort().values


def real_series(times, n=6, rates=RATES, noise=0.0, seed=0):
    return waves(complexes(len(rates), n, seed=seed), rates, times) + noise * randn(n, len(times), seed=seed + 7)


def closed(rates=RATES):
    return torch.stack([rates, rates.conj()], dim=1).flatten().to(torch.complex128)


def assert_same_rates(found, expected, atol=1e-9):
    distance = (found.unsqueeze(-1) - expected.to(found.dtype).unsqueeze(-2)).abs()
    assert found.shape[-1] == expected.shape[-1]
    assert float(distance.amin(dim=-1).max()) < atol
    assert float(distance.amin(dim=-2).max()) < atol


@pytest.mark.parametrize("times", [torch.linspace(0, 6, 40, dtype=F64), uneven(40), 1990 + uneven(40)])
def test_exact_exponentials_are_found(times):
    X = real_series(times - times[0])
    dmd = OptDMD(4).fit(X, times)
    assert bool(dmd.converged)
    assert_same_rates(dmd.eigs, closed(), atol=1e-7)
    torch.testing.assert_close(dmd.reconstructed_data, X, rtol=0, atol=1e-9)
    torch.testing.assert_close(dmd.growth_rate, dmd.eigs.real)
    torch.testing.assert_close(dmd.frequency * 2 * math.pi, dmd.eigs.imag)
    later = times[-1] + torch.tensor([0.5, 1.0], dtype=F64)
    expected = waves(complexes(2, 6), RATES, later - times[0])
    torch.testing.assert_close(dmd.forecast(later), expected, rtol=0, atol=1e-7)


def test_complex_snapshots_hold_rates_without_conjugates():
    times, rates, modes = uneven(30), torch.tensor([2.3j, -0.2 + 2.8j, -1 + 0j]), complexes(5, 3)
    X = modes @ torch.exp(rates.to(modes.dtype).unsqueeze(1) * (times - times[0]))
    dmd = OptDMD(3).fit(X, times)
    assert_same_rates(dmd.eigs, rates)
    order = [int((dmd.eigs - rate).abs().argmin()) for rate in rates]
    assert_parallel(dmd.modes[:, order], modes)
    torch.testing.assert_close(dmd.amplitudes[order], torch.linalg.vector_norm(modes, dim=0))
    torch.testing.assert_close(dmd.modes @ dmd.dynamics, X)
    torch.testing.assert_close(dmd.forecast(2).shape, torch.Size([5, 2]))


def test_a_single_series_may_hold_many_exponentials():
    times = uneven(60, 20.0)
    X = (torch.cos(2 * times) + 0.5 * torch.cos(3.1 * times + 1) * torch.exp(-0.05 * times)).unsqueeze(0)
    dmd = OptDMD(4).fit(X, times)
    assert_same_rates(dmd.eigs, closed(torch.tensor([2j, -0.05 + 3.1j])), atol=1e-7)


def test_decays_are_real():
    times = uneven(50, 2.0)
    rates = torch.tensor([-0.5, -2.0, -6.0], dtype=F64)
    dmd = OptDMD(3).fit(randn(9, 3) @ torch.exp(rates.unsqueeze(1) * times), times)
    assert torch.equal(dmd.eigs.imag, torch.zeros(3, dtype=F64))
    assert_same_rates(dmd.eigs.real, rates, atol=1e-6)


@given(st.floats(0.3, 3), st.floats(-1, 0.3), st.floats(0.1, 1000), st.floats(-100, 100), st.integers(0, 10**6))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_units_of_time_and_space_do_not_matter(angular, growth, unit, start, seed):
    times = uneven(25, seed=seed)
    X = real_series(times, rates=torch.tensor([complex(growth, angular)]), noise=0.1, seed=seed)
    dmd, other = OptDMD(2).fit(X, times), OptDMD(2).fit(1e5 * X, unit * times + start)
    torch.testing.assert_close(unit * other.eigs, dmd.eigs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other.reconstructed_data / 1e5, dmd.reconstructed_data, rtol=1e-4, atol=1e-4)
    assert float(dmd.reconstructed_data.sub(X).norm()) <= float((X - 0).norm())


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_leaves_no_more_than_pydmd_and_is_as_near_to_the_truth(even, seed):
    from pydmd import BOPDMD

    clean, rates, step = two_signals()
    times = step * torch.arange(129, dtype=F64) if even else uneven(129, 4 * math.pi, seed)
    if not even:
        x = complexes(2, 65, seed=seed)
        clean = waves(x, rates, times)
    X = clean + 0.3 * randn(*clean.shape, seed=seed)
    dmd = OptDMD(4).fit(X, times)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = BOPDMD(svd_rank=4).fit(X.numpy(), times.numpy())
    left = torch.from_numpy(model.reconstructed_data.real) - X
    assert float((dmd.reconstructed_data - X).norm()) <= float(left.norm()) * (1 + 1e-9)
    if even:
        assert_same_rates(dmd.eigs, torch.from_numpy(model.eigs), atol=0.02)
    assert_same_rates(dmd.eigs, closed(rates), atol=0.05)


def test_rates_are_stationary():
    """A change of any rate leaves more."""
    times = uneven(40)
    X = real_series(times, noise=0.3)
    dmd = OptDMD(4).fit(X, times)

    def left(rates):
        Phi = torch.exp(rates.unsqueeze(0) * times.unsqueeze(1))
        Q = torch.linalg.qr(Phi).Q
        H = X.mT.to(Q.dtype)
        return float((H - Q @ (Q.mH @ H)).norm())

    least = left(dmd.eigs)
    for i in range(4):
        for change in (1e-3, -1e-3, 1e-3j, -1e-3j):
            moved = dmd.eigs.clone()
            moved[i] += change
            assert left(moved) > least


@pytest.mark.parametrize(("constraint", "growth"), [("stable", 0.2), ("imaginary", 0.2), ("imaginary", -0.2)])
def test_constraints_hold_and_the_fit_is_best_under_them(constraint, growth):
    times = torch.linspace(0, 6, 50, dtype=F64)
    X = real_series(times, rates=torch.tensor([complex(growth, 2.0), -0.3 + 5j]), noise=0.05)
    free, dmd = OptDMD(4).fit(X, times), OptDMD(4, constraint=constraint).fit(X, times)
    assert float(dmd.eigs.real.max()) <= 0
    if constraint == "imaginary":
        assert torch.equal(dmd.eigs.real, torch.zeros(4, dtype=F64))
    assert torch.equal(dmd.eigs[0::2], dmd.eigs[1::2].conj())
    assert bool((dmd.eigs.imag[0::2] > 0).all())
    assert float((free.reconstructed_data - X).norm()) < float((dmd.reconstructed_data - X).norm())


def test_stable_rates_that_need_no_constraint_are_the_same():
    times = uneven(40)
    X = real_series(times, rates=torch.tensor([-0.3 + 2j, -0.1 + 4j]), noise=0.1)
    plain, stable = OptDMD(4).fit(X, times), OptDMD(4, constraint="stable").fit(X, times)
    torch.testing.assert_close(stable.eigs, plain.eigs, rtol=0, atol=1e-5)


def test_conjugate_pairs_of_complex_snapshots():
    times = uneven(40)
    X = torch.complex(real_series(times), real_series(times, seed=3)) + 0.1 * complexes(6, 40, seed=5)
    dmd = OptDMD(4, constraint=["conjugate", "stable"]).fit(X, times)
    assert dmd.reconstructed_data.is_complex()
    assert torch.equal(dmd.eigs[0::2], dmd.eigs[1::2].conj())
    assert float(dmd.eigs.real.max()) <= 0


@pytest.mark.parametrize("shape", [(3,), (2, 2)])
@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("own_times", [False, True])
def test_a_batch_is_its_parts(shape, complex_, own_times):
    count = math.prod(shape)
    times = torch.stack([uneven(30, seed=i if own_times else 0) for i in range(count)])
    parts = [real_series(t, noise=0.1, seed=i) for i, t in enumerate(times)]
    if complex_:
        parts = [part[:3] + 1j * part[3:] for part in parts]
    X = torch.stack(parts).view(*shape, *parts[0].shape)
    dmd = OptDMD(4).fit(X, times.view(*shape, 30) if own_times else times[0])
    assert dmd.modes.shape == (*shape, X.shape[-2], 4)
    assert dmd.reconstructed_data.shape == X.shape
    assert dmd.forecast(3).shape == (*shape, X.shape[-2], 3)
    for i, part in enumerate(parts):
        alone = OptDMD(4).fit(part, times[i])
        torch.testing.assert_close(dmd.eigs.reshape(count, 4)[i], alone.eigs, rtol=0, atol=1e-5)
        torch.testing.assert_close(
            dmd.reconstructed_data.reshape(count, *part.shape)[i], alone.reconstructed_data, rtol=0, atol=1e-5
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_single_precision(dtype):
    times = uneven(40)
    X = real_series(times).to(dtype)
    dmd = OptDMD(4).fit(X, times)
    assert dmd.eigs.dtype == dmd.modes.dtype == torch.complex64
    assert dmd.amplitudes.dtype == torch.float32
    assert dmd.reconstructed_data.dtype == dtype
    assert_same_rates(dmd.eigs, closed(), atol=1e-4)


def test_more_rows_than_snapshots_give_the_same():
    times = uneven(20)
    X = real_series(times, n=5, noise=0.1)
    tall = torch.linalg.qr(randn(50, 5)).Q @ X
    torch.testing.assert_close(OptDMD(4).fit(tall, times).eigs, OptDMD(4).fit(X, times).eigs, rtol=0, atol=1e-6)


def test_rank_rules():
    times = uneven(60)
    X = real_series(times, n=30)
    assert OptDMD(None).fit(X, times).eigs.shape == (4,)
    assert OptDMD().fit(X + 1e-3 * randn(30, 60), times).eigs.shape == (4,)
    assert OptDMD(energy=0.999999).fit(X, times).eigs.shape == (4,)


# Where PyDMD raises LinAlgError: large times, times without an origin, dynamics that are none.
HARD = {
    "calendar": (lambda t: torch.cos(2 * math.pi * t), torch.linspace(1990, 2020, 80, dtype=F64), 2),
    "stiff": (lambda t: torch.stack([torch.exp(30 * t), torch.exp(-30 * t)]), torch.linspace(0, 1, 60, dtype=F64), 2),
    "noise": (lambda t: torch.zeros_like(t), 1e3 * torch.linspace(0, 100, 60, dtype=F64), 8),
    "step": (lambda t: (t > 0.5).to(F64), torch.linspace(0, 1, 60, dtype=F64), 4),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.filterwarnings("ignore:.*did not converge")
def test_ends_with_a_finite_fit_where_there_are_no_such_dynamics(name):
    series, times, rank = HARD[name]
    values = series(times)
    X = randn(10, 1 if values.dim() == 1 else 2) @ values.reshape(-1, len(times))
    X = X + randn(10, len(times)) * (1 if name == "noise" else 1e-13)
    dmd = OptDMD(rank).fit(X, times)
    for result in (dmd.eigs, dmd.modes, dmd.dynamics, dmd.reconstructed_data):
        assert bool(result.isfinite().all())
    assert float((dmd.reconstructed_data - X).norm()) < float(X.norm())
    if name in ("calendar", "stiff"):
        torch.testing.assert_close(dmd.reconstructed_data, X, rtol=0, atol=1e-9 * float(X.abs().max()))


def test_pydmd_fails_on_calendar_years():
    from pydmd import BOPDMD

    series, times, rank = HARD["calendar"]
    X = torch.stack([series(times), torch.sin(2 * math.pi * times)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(np.linalg.LinAlgError):
            BOPDMD(svd_rank=rank).fit(randn(20, 2).numpy() @ X.numpy(), times.numpy())
    assert_same_rates(OptDMD(rank).fit(X, times).eigs, closed(torch.tensor([2j * math.pi])), atol=1e-6)


@pytest.mark.parametrize("constraint", [(), "stable", "imaginary"])
@pytest.mark.parametrize("complex_", [False, True])
def test_tensors_elsewhere_are_fitted_as_arrays_are(constraint, complex_, monkeypatch):
    """Fits on an accelerator, whose tensors are no arrays, run the same code."""
    times = uneven(30)
    X = torch.stack([real_series(times, noise=0.2, seed=seed) for seed in range(3)])
    X = X[:, :3] + 1j * X[:, 3:] if complex_ else X
    arrays = OptDMD(4, constraint=constraint, trials=5).fit(X, times)
    for module in (dmdgnn.optimised, dmdgnn.bagging):
        monkeypatch.setattr(module, "light", lambda tensor: tensor)
    tensors = OptDMD(4, constraint=constraint, trials=5).fit(X, times)
    torch.testing.assert_close(tensors.eigs, arrays.eigs, rtol=0, atol=1e-6)
    torch.testing.assert_close(tensors.deviation, arrays.deviation, rtol=0, atol=1e-5)


@pytest.mark.parametrize("constraint", [(), "stable", "imaginary"])
def test_gradients_of_real_snapshots(constraint):
    times = uneven(12)
    X = real_series(times, n=2, noise=0.1, rates=torch.tensor([0.1 + 2j]))

    def fitted(X):
        dmd = OptDMD(2, constraint=constraint).fit(X, times)
        return dmd.eigs.imag, dmd.eigs.real, dmd.reconstructed_data, dmd.amplitudes

    assert gradcheck(fitted, (X.requires_grad_(),), rtol=1e-3, atol=1e-5, fast_mode=True)


def test_gradients_of_complex_snapshots_and_times():
    times = uneven(10)
    X = complexes(2, 2) @ torch.exp(torch.tensor([[2j], [-0.2 - 1j]]) * times) + 0.05 * complexes(2, 10, seed=3)

    def fitted(X, times):
        dmd = OptDMD(2).fit(X, times)
        return dmd.eigs, dmd.reconstructed_data

    assert gradcheck(fitted, (X.requires_grad_(), times.requires_grad_()), rtol=1e-3, atol=1e-5, fast_mode=True)


def test_gradients_of_exact_and_superfluous_exponentials_are_finite():
    times = uneven(30)
    X = real_series(times, n=4).requires_grad_()
    dmd = OptDMD(5).fit(X, times)
    (dmd.eigs.abs().sum() + dmd.reconstructed_data.square().sum()).backward()
    assert bool(X.grad.isfinite().all())


def test_intervals_hold_the_true_rates_about_as_often_as_they_say():
    inside = []
    for seed in range(25):
        times = uneven(50, seed=seed)
        X = real_series(times, noise=0.3, seed=seed)
        dmd = OptDMD(4, trials=60, seed=seed).fit(X, times)
        low, high = dmd.interval(0.9)
        true = closed()[(dmd.eigs.unsqueeze(-1) - closed()).abs().argmin(dim=-1)]
        inside += [
            (low.real <= true.real) & (true.real <= high.real),
            (low.imag <= true.imag) & (true.imag <= high.imag),
        ]
    assert 0.8 < float(torch.stack(inside).double().mean()) < 0.97


def test_trials_have_a_seed_and_leave_the_rates():
    times = uneven(40)
    X = torch.stack([real_series(times, noise=0.2), real_series(times, noise=0.2, seed=1)])
    first, second, other = (OptDMD(4, trials=10, seed=seed).fit(X, times) for seed in (0, 0, 1))
    assert first.deviation.shape == (2, 4)
    assert torch.equal(first.deviation, second.deviation)
    assert not torch.equal(first.deviation, other.deviation)
    assert torch.equal(first.eigs, OptDMD(4).fit(X, times).eigs)


X = real_series(uneven(12))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OptDMD(constraint="unit"), "constraint='unit', expected some of 'stable'"),
        (lambda: OptDMD(trials=-1), "trials=-1"),
        (lambda: OptDMD(trials=1), "trials=1"),
        (lambda: OptDMD(share=1.0, trials=5), r"share=1\.0"),
        (lambda: OptDMD(2).fit(X.numpy()), "X of type ndarray"),
        (lambda: OptDMD(2).fit(X.half()), "X of torch.float16"),
        (lambda: OptDMD(2).fit(X[0]), r"X of shape \(12,\)"),
        (lambda: OptDMD(2).fit(X * math.nan), "X has 72 NaN"),
        (lambda: OptDMD(2).fit(X, torch.arange(11)), r"times of shape \(11,\)"),
        (lambda: OptDMD(2).fit(X, torch.arange(12).flip(0)), "do not ascend"),
        (lambda: OptDMD(2).fit(X, torch.full((12,), math.inf)), "times has 12 NaN"),
        (lambda: OptDMD(8, trials=5).fit(X), r"share=0\.6 of 12 snapshots"),
        (lambda: OptDMD(2).fit(X).interval(), "needs trials"),
        (lambda: OptDMD(2).fit(X).forecast(0), "t=0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_as_many_exponentials_as_snapshots():
    with pytest.raises(RankError, match="with 12 snapshots, use rank <= 11"):
        OptDMD(12).fit(X)


@pytest.mark.parametrize("name", ["eigs", "modes", "reconstructed_data", "dynamics", "frequency"])
def test_before_fit(name):
    with pytest.raises(NotFittedError, match="call fit first"):
        getattr(OptDMD(), name)


def test_name_and_repr():
    assert dmdgnn.OptDMD is OptDMD
    assert (
        repr(OptDMD(3, constraint="stable", trials=9)) == "OptDMD(rank=3, constraint=['stable'], trials=9, share=0.6)"
    )


def half_squares(X, times, start, pairs):
    """Least half sum of squares that a search from given rates leaves."""
    arrays = X.mT.unsqueeze(0).numpy() + 0j, times.unsqueeze(0).numpy()
    state = State.at(np.array([start], dtype=complex), *arrays)
    return float(minimise(state, *arrays, Restriction(partner=np.array([pairs])))[0].value[0])


@pytest.mark.parametrize("seed", [23, 40, 54, 83, 101])
def test_a_pair_without_oscillation_parts_into_two_real_rates(seed):
    """As decays in noise, where a pair of equal rates is stationary and the worse fit."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.linspace(0, 1, 40, dtype=F64)
    rates = torch.tensor([-1.0, -3.0], dtype=F64) * (1 + torch.rand(1, generator=generator, dtype=F64) * 2)
    X = torch.randn(3, 2, generator=generator, dtype=F64) @ torch.exp(rates[:, None] * times)
    X = X + 0.1 * torch.randn(3, 40, generator=generator, dtype=F64)
    batch = torch.stack([real_series(times, n=3, rates=RATES[:1]), X])
    dmd = OptDMD(2).fit(batch, times)
    assert bool(dmd.converged.all())
    assert not bool(dmd.eigs[1].imag.any())
    left = float((dmd.reconstructed_data[1] - X).square().sum()) / 2
    least = min(half_squares(X, times, start, [0, 1]) for start in ([-1, -9], [0, -2], [1, -30]))
    assert left <= least * (1 + 1e-6)
    assert_same_rates(dmd.eigs[0], closed(RATES[:1]), atol=1e-7)


def test_two_real_rates_that_meet_become_a_pair():
    times = torch.linspace(0, 1, 30, dtype=F64)
    X = real_series(times, n=3, rates=torch.tensor([-0.5 + 1j]), noise=0.01)
    arrays = X.mT.unsqueeze(0).numpy() + 0j, times.unsqueeze(0).numpy()
    start = State.at(np.array([[-1.0, 0.0]], dtype=complex), *arrays)
    state, restriction, converged = minimise_pairs(start, *arrays, Restriction(partner=np.array([[0, 1]])))
    assert converged.all()
    assert restriction.partner.tolist() == [[1, 0]]
    assert abs(state.rates.imag).max() > 0.5
    assert state.value[0] <= half_squares(X, times, [-0.5 + 1j, -0.5 - 1j], [1, 0]) * (1 + 1e-6)


@pytest.mark.parametrize("times", [[], [math.nan], [math.inf, 1.0], "early", None, 2.5, True, [1j], [[1.0], [2.0]]])
def test_times_of_a_forecast_are_finite_numbers(times):
    dmd = OptDMD(2).fit(waves(complexes(1, 3), RATES[:1], torch.arange(9, dtype=F64)))
    with pytest.raises(InputError, match="times"):
        dmd.forecast(times)


@pytest.mark.parametrize("times", ["early", [1j] * 9, [True] * 9, [math.nan] * 9, {}])
def test_times_of_snapshots_are_finite_numbers(times):
    with pytest.raises(InputError, match="times"):
        OptDMD(2).fit(randn(3, 9), times)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("n", [1, 3, 9])
def test_a_decay_and_a_fast_pair_at_uneven_times_are_found(seed, n):
    """A decay has slow parts that are stronger than the pair in any spectrum."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.rand(28, dtype=F64, generator=generator).sort().values
    decay, growth, angular = torch.rand(3, dtype=F64, generator=generator).tolist()
    rates = torch.tensor([-1.5 - decay, complex(-1.5 - growth, 40 + 12 * angular)])
    X = real_series(times, n=n, rates=rates, seed=seed)
    dmd = OptDMD(3).fit(X, times)
    expected = torch.cat([rates[:1], closed(rates[1:])])
    assert_same_rates(dmd.eigs, expected, atol=1e-5)


@pytest.mark.parametrize("rank", [2, 3])
def test_fits_of_a_batch_are_those_of_each(rank):
    """Also where one of them needs another start than the others."""
    times = torch.linspace(0, 1, 28, dtype=F64)
    batch = torch.stack(
        [real_series(times, n=3, rates=torch.tensor([-1.0, 1.5j + s]), noise=0.1 * s, seed=s) for s in range(6)]
    )
    together = OptDMD(rank).fit(batch, times)
    for X, eigs in zip(batch, together.eigs, strict=True):
        torch.testing.assert_close(OptDMD(rank).fit(X, times).eigs, eigs, rtol=0, atol=1e-4)
