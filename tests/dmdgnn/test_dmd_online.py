"""New snapshots in a fitted DMD, and moments that add, are taken away and fade."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmdgnn import DMD, InputError
from dmdgnn.kernels import Moments
from matrices import F64, randn
from signals import assert_near, oscillations

OPTIONS = [{}, {"ridge": 0.3}, {"constraint": "symmetric"}, {"constraint": "orthogonal"}, {"svd": "full"}]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.sampled_from(OPTIONS),
    st.sampled_from([torch.float32, F64]),
)
def test_updates_make_the_fit_of_all(widths, options, dtype):
    series = randn(5, 12 + sum(widths)).to(dtype)
    parts = series.split([12, *widths], dim=1)
    dmd = DMD(**options).fit(parts[0])
    for part in parts[1:]:
        assert dmd.update(part) is dmd
    whole = DMD(**options).fit(series)
    atol = 1e-3 if dtype == torch.float32 else 1e-8
    assert_near(dmd.operator.to_dense(), whole.operator.to_dense(), atol=atol)
    assert_near(dmd.forecast(2), whole.forecast(2), atol=10 * atol)
    assert len(dmd.times) == series.size(1)
    assert dmd.reconstructed_data.shape == series.shape
    assert_near(dmd.amplitudes.abs().sort().values, whole.amplitudes.abs().sort().values, atol=100 * atol)


def test_old_snapshots_fade():
    X, Y = randn(4, 20), randn(4, 20, seed=1)
    X_new, Y_new = randn(4, 9, seed=2), randn(4, 9, seed=3)
    weighted = DMD().fit(torch.cat([0.5 * X, X_new], 1), torch.cat([0.5 * Y, Y_new], 1))
    dmd = DMD().fit(X, Y).update(X_new, Y_new, forget=0.25)
    torch.testing.assert_close(dmd.operator.to_dense(), weighted.operator.to_dense())


def test_follows_a_system_that_changes():
    slow, fast = (oscillations(growth=(0.0,), angular=(w,), steps=200)[0] for w in (1.0, 3.0))
    dmd = DMD(2).fit(slow)
    for part in fast.split(20, dim=1):
        dmd.update(part[:, :-1], part[:, 1:], forget=0.2)
    assert_near(dmd.eigs.angle().abs(), torch.full((2,), 0.3, dtype=F64), atol=1e-3)


@pytest.mark.parametrize("delays", [1, 4])
def test_series_with_delays_and_batches(delays):
    batch = torch.stack([oscillations(angular=(w, w + 1))[0] for w in (1.0, 2.0)])
    dmd = DMD(4, delays=delays).fit(batch[..., :30]).update(batch[..., 30:40]).update(batch[..., 40:])
    whole = DMD(4, delays=delays).fit(batch)
    assert_near(dmd.forecast(5), whole.forecast(5), atol=1e-5)
    assert_near(dmd.reconstructed_data, whole.reconstructed_data, atol=1e-5)
    assert dmd.forecast(until=62).shape == (2, 12, 3)


def test_complex_series():
    angles = torch.tensor([0.3, 1.4], dtype=F64).unsqueeze(1) * torch.arange(40)
    series = torch.complex(randn(5, 2), randn(5, 2, seed=1)) @ torch.polar(torch.ones_like(angles), angles)
    dmd = DMD(2).fit(series[:, :20]).update(series[:, 20:])
    assert_near(dmd.eigs.angle().sort().values, torch.tensor([0.3, 1.4], dtype=F64))


def test_a_rank_that_cuts_keeps_the_leading_part():
    series = oscillations(n=30, steps=300)[0] + 0.01 * randn(30, 300)
    dmd = DMD(4).fit(series[:, :100])
    for part in series[:, 100:].split(25, dim=1):
        dmd.update(part)
    assert_near(dmd.eigs.abs().sort().values, DMD(4).fit(series).eigs.abs().sort().values, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forward_backward": True}, "update goes with one series"),
        ({"total_least_squares": True, "rank": 2}, "update goes with one series"),
        ({"center": True}, "update goes with one series"),
        ({"opt": True}, "update goes with one series"),
        ({"estimator": "rrr"}, "update goes with one series"),
        ({"constraint": "diagonal"}, "update goes with one series"),
        ({"rank": "optimal"}, "update goes with one series"),
        ({"modes": "projected"}, "update needs exact modes"),
    ],
)
def test_options_that_need_the_earlier_snapshots(options, message):
    with pytest.raises(InputError, match=message):
        DMD(**options).fit(randn(4, 9)).update(randn(4, 2))


def test_bad_updates_leave_the_fit():
    dmd = DMD().fit(randn(4, 9))
    before = dmd.operator
    for arguments, message in (
        ((randn(3, 2),), "got new states"),
        ((randn(4, 2).float(),), "got new states"),
        ((randn(4, 2), randn(4, 3)), "must agree"),
        ((torch.full((4, 2), torch.nan, dtype=F64),), "NaN"),
    ):
        with pytest.raises(InputError, match=message):
            dmd.update(*arguments)
    for forget in (0.0, 1.5, "all", True):
        with pytest.raises(InputError, match="forget="):
            dmd.update(randn(4, 2), forget=forget)
    assert dmd.operator is before
    with pytest.raises(InputError, match="call fit first"):
        DMD().update(randn(4, 2))


# Moments


def pair(rows, seed):
    return randn(rows, 6, seed=seed), randn(rows, 6, seed=seed + 1)


def test_moments_of_a_window_that_moves():
    old, new = Moments.of(*pair(20, 0)), Moments.of(*pair(15, 2))
    moved = old + new - old
    torch.testing.assert_close(DMD(4).fit_moments(moved).eigs, DMD(4).fit_moments(new).eigs)
    assert moved.rows == 15
    with pytest.raises(InputError, match="15 rows to take from 15"):
        new - new
    with pytest.raises(InputError, match="cannot be taken from each other"):
        old - Moments.of(randn(3, 5), randn(3, 5))


def test_moments_fade():
    (X, Y), (X_new, Y_new) = pair(20, 0), pair(15, 2)
    faded = Moments.of(X, Y).forget(0.25) + Moments.of(X_new, Y_new)
    weighted = DMD(4).fit(torch.cat([0.5 * X, X_new]), torch.cat([0.5 * Y, Y_new]))
    torch.testing.assert_close(DMD(4).fit_moments(faded).eigs, weighted.eigs)
    for factor in (0, 1.5, True, "1"):
        with pytest.raises(InputError, match="factor="):
            faded.forget(factor)
