"""Residuals of eigenpairs, and the choice among modes by them and by other measures."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmdgnn import DMD, InputError
from dmdgnn.kernels import Moments
from matrices import F64, orthonormal, randn
from signals import oscillations

C128 = torch.complex128
OPTIONS = [
    {},
    {"ridge": 0.3},
    {"constraint": "symmetric"},
    {"constraint": "orthogonal"},
    {"forward_backward": True},
    {"total_least_squares": True},
    {"center": True},
]
by_options = pytest.mark.parametrize("options", OPTIONS, ids=str)


def from_moments(dmd, X, Y):
    """Colbrook and Townsend's formula, of the columns c that give each projected mode."""
    c = (dmd._encoder.whiten.to(C128) @ dmd._W.to(C128)).T
    XX, XY, YY = (side.to(C128) for side in (X.T @ X, X.T @ Y, Y.T @ Y))
    residuals = []
    for eig, g in zip(dmd.eigs.to(C128), c, strict=True):
        top = g.conj() @ (YY - eig * XY.mH - eig.conj() * XY + eig.abs() ** 2 * XX) @ g
        residuals.append((top / (g.conj() @ XX @ g)).real.clamp(min=0).sqrt())
    return torch.stack(residuals)


@by_options
@pytest.mark.parametrize("shape", [(20, 8), (8, 20)])
def test_are_those_of_the_moments(options, shape):
    X, Y = randn(*shape), randn(*shape, seed=1)
    dmd, lifted = DMD(5, **options).fit(X, Y), DMD(5, **options).fit_moments(Moments.of(X, Y))
    if options.get("center"):
        X, Y = X - X.mean(1, keepdim=True), Y - Y.mean(1, keepdim=True)
    expected = from_moments(dmd, X, Y)
    torch.testing.assert_close(dmd.residuals, expected, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(lifted.residuals.sort().values, expected.sort().values, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(lifted.dual_residuals.sort().values, dmd.dual_residuals.sort().values, atol=1e-6, rtol=0)


@by_options
def test_dual_ones_are_those_of_left_eigenvectors(options):
    X, Y = randn(6, 30), randn(6, 30, seed=1)
    dmd = DMD(4, **options).fit(X, Y)
    if options.get("center"):
        X, Y = X - X.mean(1, keepdim=True), Y - Y.mean(1, keepdim=True)
    U = X @ dmd._encoder.whiten
    rows = torch.linalg.inv(dmd._W).to(C128) @ U.T.to(C128)
    missed = rows @ Y.to(C128) - dmd.eigs.to(C128).unsqueeze(1) * (rows @ X.to(C128))
    torch.testing.assert_close(dmd.dual_residuals, missed.norm(dim=1) / (rows @ X.to(C128)).norm(dim=1))


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 6), st.sampled_from([torch.float32, F64]), st.integers(0, 30))
def test_vanish_for_what_obeys_a_linear_law(rank, dtype, seed):
    basis = orthonormal(12, rank, seed)
    A = basis @ torch.diag(torch.linspace(0.5, 1.0, rank, dtype=F64)) @ basis.T
    X = basis @ randn(rank, 20, seed=seed)
    dmd = DMD(rank).fit(X.to(dtype), (A @ X).to(dtype))
    bound = 1e-4 if dtype == torch.float32 else 1e-9
    assert bool((dmd.residuals < bound).all())
    assert bool((dmd.dual_residuals < bound).all())
    assert bool(dmd.trustworthy.all())


def test_tell_true_modes_from_those_of_noise():
    series, eigs, _, _ = oscillations(n=40, steps=200)
    dmd = DMD(10).fit(series + 0.01 * series.std() * randn(40, 200, seed=3))
    trusted = dmd.eigs[dmd.trustworthy]
    assert len(trusted) == 4
    for eig in eigs:
        assert float((trusted - eig).abs().min()) < 0.01


def test_noise_of_few_states_shows_in_dual_ones_only():
    t = torch.arange(1000, dtype=F64)
    series = torch.stack([torch.cos(0.5 * t), torch.sin(0.5 * t)]) + 0.3 * randn(2, 1000)
    dmd = DMD().fit(series)
    assert float(dmd.residuals.max()) < 1e-9
    assert float(dmd.dual_residuals.min()) > 0.3
    assert not dmd.trustworthy.any()


def test_batches_and_graphs_are_loops():
    X, Y = randn(3, 20, 8), randn(3, 20, 8, seed=1)
    batch = DMD(4).fit(X, Y)
    graphs = DMD(4).fit(X.flatten(0, 1), Y.flatten(0, 1), ptr=torch.tensor([0, 20, 40, 60]))
    for name in ("residuals", "dual_residuals"):
        for place in range(3):
            one = getattr(DMD(4).fit(X[place], Y[place]), name)
            torch.testing.assert_close(getattr(batch, name)[place], one, rtol=1e-6, atol=1e-8)
            torch.testing.assert_close(getattr(graphs, name)[place], one, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(DMD(6).fit(X, Y).truncate(4).residuals, batch.residuals, rtol=1e-6, atol=1e-8)


def test_a_mode_that_a_member_lacks_is_not_trusted():
    X = torch.stack([randn(6, 9), torch.cat([randn(2, 9, seed=1), torch.zeros(4, 9, dtype=F64)])])
    assert DMD().fit(X, 0.5 * X).trustworthy.tolist() == [[True] * 6, [True] * 2 + [False] * 4]


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({"modes": "projected"}, {}, "projected modes are without residuals: fit with modes='exact'"),
        ({"constraint": "diagonal"}, {}, "no residuals under control, nor under a constraint on all states"),
        ({}, {"control": randn(1, 12, seed=5)}, "no residuals under control"),
        ({"estimator": "rrr"}, {}, "residuals of its dual modes only"),
    ],
)
def test_where_there_are_none(options, arguments, message):
    with pytest.raises(InputError, match=message):
        DMD(2, **options).fit(randn(4, 12), randn(4, 12, seed=1), **arguments).residuals  # noqa: B018


# The choice of modes.


def signals():
    """Cycles of 0.05, 0.13 and 0.21 in a step, of sizes 1, 10 and 3, and a decay."""
    t = torch.arange(60, dtype=F64)
    waves = [size * torch.stack([f(2 * math.pi * w * t) for f in (torch.cos, torch.sin)])
             for w, size in ((0.05, 1.0), (0.13, 10.0), (0.21, 3.0))]  # fmt: skip
    return orthonormal(12, 7) @ torch.cat([*waves, (0.5**t).unsqueeze(0)])


def cycles(dmd):
    return dmd.frequency.abs().round(decimals=4).tolist()


def test_order_by_contribution_and_frequency():
    dmd = DMD(7).fit(signals())
    assert cycles(dmd.select(by="contribution")) == [0.13, 0.13, 0.21, 0.21, 0.05, 0.05, 0.0]
    assert cycles(dmd.select(by="frequency")) == [0.0, 0.05, 0.05, 0.13, 0.13, 0.21, 0.21]
    assert cycles(dmd.select(2, by="contribution")) == [0.13, 0.13]
    assert cycles(dmd.select(3, by="contribution")) == [0.13, 0.13]  # a pair is not split
    assert cycles(dmd.select(frequency=(0.1, 0.3))) == cycles(dmd.select(frequency=(0.1, 0.3), by=None))
    assert sorted(cycles(dmd.select(frequency=(0.1, 0.3)))) == [0.13, 0.13, 0.21, 0.21]
    assert cycles(DMD(7, dt=0.5).fit(signals()).select(frequency=(0.2, 0.3))) == [0.26, 0.26]


def test_contribution_is_the_size_of_a_part():
    dmd = DMD(7).fit(signals()).select(by="contribution")
    assert float(dmd.contributions[0]) == pytest.approx(10 * 60**0.5 / 2**0.5, rel=1e-6)


@pytest.mark.parametrize("options", [{}, {"modes": "projected"}, {"constraint": "orthogonal", "modes": "projected"}])
def test_what_is_chosen_is_that_part_of_the_operator(options):
    dmd = DMD(7, **options).fit(signals())
    chosen = dmd.select(3, by="frequency")
    rest = dmd.select(where=dmd.frequency.abs() > 0.06)
    whole = dmd.operator.to_dense()
    torch.testing.assert_close(chosen.operator.to_dense() + rest.operator.to_dense(), whole)
    assert (chosen.operator.rank, rest.operator.rank) == (3, 4)
    torch.testing.assert_close(chosen.operator @ chosen.real_modes, chosen.real_modes @ chosen.blocks)
    torch.testing.assert_close(dmd.select().operator.to_dense(), whole)
    torch.testing.assert_close(torch.linalg.eigvals(chosen.reduced_operator).abs().sort().values,
                               chosen.eigs.abs().sort().values)  # fmt: skip
    again = dmd.select(where=dmd.frequency.abs() < 0.2).select(3, by="frequency")
    torch.testing.assert_close(again.operator.to_dense(), chosen.operator.to_dense())


def test_chosen_modes_of_rows_elsewhere_are_lifted():
    X, Y = randn(20, 6), randn(20, 6, seed=1)
    here, there = DMD(5).fit(X, Y), DMD(5).fit_moments(Moments.of(X, Y))
    bound = float(here.residuals.median())
    here, there = here.select(residual=bound), there.select(residual=bound + 1e-7)
    torch.testing.assert_close(there.lift(X, Y).to_dense(), here.operator.to_dense())


def test_members_of_a_batch_keep_their_own():
    batch = torch.stack([signals(), signals()[:, :30].repeat(1, 2), 2 * signals()])
    for options in ({}, {"modes": "projected"}):
        dmd = DMD(7, **options).fit(batch)
        chosen = dmd.select(frequency=(0.1, 0.3))
        for place in range(3):
            one = DMD(7, **options).fit(batch[place]).select(frequency=(0.1, 0.3))
            torch.testing.assert_close(chosen.operator.to_dense()[place], one.operator.to_dense(), rtol=0, atol=1e-8)


def test_noise_is_left_out_by_residual():
    series = oscillations(n=40, steps=200)[0]
    chosen = DMD(10).fit(series + 0.01 * series.std() * randn(40, 200, seed=3)).select(residual=0.1, by="residual")
    assert len(chosen.eigs) == 4
    assert float((chosen.reconstructed_data - series).norm() / series.norm()) < 0.05


@pytest.mark.parametrize("form", [list, tuple, torch.tensor, lambda places: [int(place) - 7 for place in places]])
def test_by_index_is_by_mask(form):
    dmd = DMD(7).fit(signals())
    places = dmd.eigs.imag.nonzero().flatten().tolist()[2:]
    mask = torch.zeros(7, dtype=torch.bool)
    mask[places] = True
    chosen, expected = dmd.select(index=form(places)), dmd.select(where=mask)
    torch.testing.assert_close(chosen.eigs, dmd.eigs[places])
    torch.testing.assert_close(chosen.operator.to_dense(), expected.operator.to_dense())
    batch = DMD(7).fit(torch.stack([signals(), 2 * signals()])).select(index=form(places))
    torch.testing.assert_close(batch.operator.to_dense()[1], expected.operator.to_dense(), rtol=0, atol=1e-8)


def test_of_complex_snapshots():
    angles = torch.tensor([[0.4], [-1.2], [2.0]], dtype=F64) * torch.arange(20)
    series = orthonormal(6, 3).to(C128) @ torch.polar(torch.tensor([[1.0], [3.0], [2.0]], dtype=F64), angles)
    chosen = DMD().fit(series).select(2, by="contribution")
    torch.testing.assert_close(chosen.eigs.angle(), torch.tensor([-1.2, 2.0], dtype=F64))
    torch.testing.assert_close(chosen.operator @ chosen.modes, chosen.modes * chosen.eigs)


@pytest.mark.parametrize("modes", ["exact", "projected"])
def test_stabilised_modes_stay(modes):
    A = torch.diag(torch.tensor([1.2, -1.1, 0.7], dtype=F64))
    X = randn(3, 9)
    dmd = DMD(modes=modes).fit(X, A @ X)
    stable = dmd.stabilise()
    torch.testing.assert_close(stable.operator.to_dense(), torch.diag(torch.tensor([1.0, -1.0, 0.7], dtype=F64)))
    torch.testing.assert_close(stable.stabilise(0.6).eigs.abs(), torch.ones(3, dtype=F64))
    torch.testing.assert_close(dmd.stabilise(0.6, 1.15).eigs.abs(), torch.tensor([1.2, 1.0, 1.0], dtype=F64))
    first = stable.select(1, by="frequency")
    torch.testing.assert_close(first.operator.to_dense(), torch.diag(torch.tensor([1.0, 0, 0], dtype=F64)))
    assert float(stable.forecast(200).abs().max()) < 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count=0"),
        ({"count": 1.5}, r"count=1\.5"),
        ({"by": "size"}, "by='size', expected one of 'residual'"),
        ({"frequency": 3}, "frequency=3, expected the lowest and the highest"),
        ({"residual": -1.0}, "no mode is left"),
        ({"where": torch.tensor([True])}, "expected a bool tensor of shape"),
        ({"where": torch.tensor([True, *[False] * 6])}, "`where` keeps one mode of a conjugate pair"),
        ({"index": [0, 2, 3]}, "`index` keeps one mode of a conjugate pair"),
        ({"index": [7]}, r"index=\[7\], expected a list of integers from -7 to 6"),
        ({"index": [-8]}, "expected a list of integers"),
        ({"index": [0.0]}, "expected a list of integers"),
        ({"index": [True]}, "expected a list of integers"),
        ({"index": []}, "at least one"),
        ({"index": 0}, "index=0, expected a list"),
        ({"index": torch.tensor(0)}, "expected a list of integers"),
    ],
)
def test_bad_choices(arguments, message):
    with pytest.raises(InputError, match=message):
        DMD(7).fit(signals()).select(**arguments)


def test_chosen_modes_are_neither_truncated_nor_updated():
    chosen = DMD(7).fit(signals()).select(2)
    for call in (lambda: chosen.truncate(1), lambda: chosen.update(signals())):
        with pytest.raises(InputError, match="fit again"):
            call()
    with pytest.raises(InputError, match="inner=2"):
        chosen.stabilise(2, 1)
