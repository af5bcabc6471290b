"""Multi-resolution DMD against signals whose parts are known, and PyDMD."""

import math
import warnings

import pytest
import torch

import dmdgnn
from dmdgnn import DMD, MRDMD, InputError, NotFittedError
from matrices import randn

F64 = torch.float64


def halves(size=128, n=8):
    """A slow wave in the first half, a fast one of other shapes in the second: 1 and 5 cycles."""
    t = torch.arange(size, dtype=F64)
    half = size // 2
    slow, fast = (2 * math.pi * cycles * t / half for cycles in (1, 5))
    first, second = torch.stack([slow.cos(), slow.sin()]), torch.stack([fast.cos(), fast.sin()])
    return randn(n, 4) @ torch.cat([first * (t < half), second * (t >= half)])


def tutorial(noise=0.0):
    """PyDMD's tutorial signal: two shapes of which one is there at all times and one comes later."""
    x, t = torch.linspace(-10, 10, 80, dtype=F64).unsqueeze(1), torch.linspace(0, 20, 320, dtype=F64)
    tanh = torch.tanh(x) / torch.cosh(x)
    slow, late = torch.cos(0.6 * t) / torch.cosh(x + 2), tanh * torch.sin(5 * t) * (t > 10)
    return slow + late + torch.sin(2.1 * t) * torch.cos(x / 3) * (t < 10) + noise * randn(80, 320)


def found(model, angular):
    """Levels and starts of the windows that have a mode of the angular frequency in a step."""
    return {
        (window.level, window.start)
        for window in model.windows
        for eig, amplitude in zip(window.eigs, window.amplitudes, strict=True)
        if abs(float(eig.angle()) - angular) < 1e-6 and float(amplitude.abs()) > 1e-3
    }


def test_waves_in_separate_halves_are_found_at_their_levels():
    X, angular = halves(), 2 * math.pi / 64
    model = MRDMD(DMD(4), levels=4, cycles=1.5).fit(X)
    assert found(model, angular) == {(1, 0)}
    assert found(model, 5 * angular) == {(3, 64), (3, 80), (3, 96), (3, 112)}
    torch.testing.assert_close(model.reconstructed_data, X)
    torch.testing.assert_close(model.partial(1)[:, :64], X[:, :64])
    torch.testing.assert_close(sum(model.partial(level) for level in range(4)), model.reconstructed_data)
    assert model.modes.shape == (8, len(model.eigs))


def test_one_level_without_a_limit_is_dmd():
    X = halves()[:, :64]
    model = MRDMD(levels=1, cycles=1000).fit(X)
    torch.testing.assert_close(model.reconstructed_data, X)
    torch.testing.assert_close(model.eigs, DMD().fit(X).eigs)


@pytest.mark.parametrize("levels", [1, 3, 5])
@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_reconstruction_is_that_of_pydmd_or_better(levels, noise):
    """With five levels, amplitudes that leave more than there was are fitted anew, which PyDMD does not do."""
    import pydmd

    X = tutorial(noise)
    model = MRDMD(DMD(6), levels=levels, cycles=2).fit(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dmd = pydmd.DMD(svd_rank=6, exact=True, opt=True)
        theirs = pydmd.MrDMD(dmd, max_level=levels - 1, max_cycles=2).fit(X.numpy())
        expected = torch.from_numpy(theirs.reconstructed_data.real)
    assert len(model.eigs) == len(theirs.eigs)
    if levels < 5:
        assert float((model.reconstructed_data - expected).norm()) < 1e-6 * float(X.norm())
    assert float((model.reconstructed_data - X).norm()) <= (1 + 1e-6) * float((expected - X).norm())


def test_a_level_more_leaves_less():
    X = tutorial(0.1)
    left = [float((MRDMD(DMD(6), levels=levels).fit(X).reconstructed_data - X).norm()) for levels in range(1, 6)]
    assert left == sorted(left, reverse=True)
    assert left[-1] < left[0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("complex_", [False, True])
def test_no_window_leaves_more_than_there_was(seed, complex_):
    """Nor do modes that nearly cancel each other, as those of noise."""
    t = torch.arange(128, dtype=F64)
    shapes = randn(8, 2, seed=seed)
    X = shapes[:, :1] * torch.cos(2 * math.pi * t / 100) + shapes[:, 1:] * torch.cos(2 * math.pi * t / 12) * (t > 64)
    X = X + 0.01 * randn(8, 128, seed=seed + 9)
    X = X + 1j * X.flip(0) if complex_ else X
    model = MRDMD(levels=4, cycles=2).fit(X)
    rest = X.clone()
    for window in model.windows:
        before = float(rest[:, window.start : window.stop].norm())
        rest[:, window.start : window.stop] -= window.states
        assert float(rest[:, window.start : window.stop].norm()) <= before * (1 + 1e-12)
        V = window.eigs.unsqueeze(1) ** torch.arange(window.stop - window.start)
        made = window.modes * window.amplitudes @ V
        torch.testing.assert_close(made if complex_ else made.real, window.states)
    torch.testing.assert_close(X - rest, model.reconstructed_data)


def test_an_estimator_that_leaves_out_means_is_refused():
    with pytest.raises(InputError, match="center"):
        MRDMD(DMD(center=True))


@pytest.mark.parametrize("X", [torch.zeros(4, 16, dtype=F64), torch.ones(4, 17), randn(1, 33), torch.eye(6)])
def test_series_of_low_rank_and_odd_length(X):
    model = MRDMD(DMD(3), levels=2).fit(X)
    assert model.reconstructed_data.shape == X.shape
    assert model.reconstructed_data.dtype == X.dtype
    assert bool(model.reconstructed_data.isfinite().all())
    if len(X) == 4:
        torch.testing.assert_close(model.reconstructed_data, X)


def test_modes_that_explode_do_no_harm():
    t = torch.arange(2000, dtype=F64)
    shapes = randn(5, 2)
    X = shapes[:, :1] * torch.cos(math.pi * t / 2000) + 1e-8 * randn(5, 2000) + shapes[:, 1:] * 1.2 ** (t - 1999)
    model = MRDMD(DMD(3), levels=1).fit(X)
    assert bool(model.reconstructed_data.isfinite().all())


def test_delays():
    t = torch.arange(64, dtype=F64)
    X = torch.cos(2 * math.pi * t / 64 + 1).unsqueeze(0)
    torch.testing.assert_close(MRDMD(DMD(2, delays=4), levels=2, cycles=1.5).fit(X).reconstructed_data, X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MRDMD(3), "dmd=3, expected a DMD"),
        (lambda: MRDMD(levels=0), "levels=0"),
        (lambda: MRDMD(cycles=0), "cycles=0"),
        (lambda: MRDMD().fit(randn(2, 3, 20)), r"X of shape \(2, 3, 20\)"),
        (lambda: MRDMD().fit([1.0]), "X of type list|list"),
        (lambda: MRDMD(levels=5).fit(randn(3, 20)), "levels=5, for windows of 1 states, expected .* windows of 2"),
        (lambda: MRDMD().fit(randn(3, 20) * math.nan), "NaN"),
        (lambda: MRDMD().fit(randn(3, 20)).partial(3), "level=3, expected 0 to 2"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_before_fit_and_repr():
    with pytest.raises(NotFittedError, match="call fit first"):
        _ = MRDMD().modes
    assert repr(MRDMD(DMD(2), levels=2)).endswith("levels=2, cycles=1.0)")
    assert dmdgnn.MRDMD is MRDMD
