"""The options of DMD against closed forms, the conditions of their minima, and PyDMD and scikit-learn."""

import pydmd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from dmdgnn import DMD, InputError, NotFittedError, RankError
from dmdgnn.kernels.moments import Moments
from matrices import assert_parallel, eigenpairs, matrix_with, orthonormal, pydmd_fit, randn

F64 = torch.float64
SUBSPACE = {"symmetric": "symmetric", "skew_symmetric": "skewsymmetric", "orthogonal": "unitary"}
STATE = {
    "diagonal": "diagonal",
    "circulant": "circulant",
    "lower_triangular": "lowertriangular",
    "upper_triangular": "uppertriangular",
}


def assert_zero(matrix, atol=1e-10):
    torch.testing.assert_close(matrix, torch.zeros_like(matrix), rtol=0, atol=atol)


# Ridge


def test_ridge_of_one_state():
    X, Y = torch.tensor([[2.0]], dtype=F64), torch.tensor([[3.0]], dtype=F64)
    for modes in ("exact", "projected"):
        K = DMD(modes=modes, ridge=1).fit(X, Y).operator.to_dense()
        torch.testing.assert_close(K, torch.tensor([[6.0 / 5]], dtype=F64))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_ridge_agrees_with_sklearn(scale):
    X, Y = scale * randn(5, 12), randn(5, 12, seed=1)
    ridge = 0.8 * scale**2
    best = Ridge(ridge, fit_intercept=False).fit(X.T.numpy(), Y.T.numpy()).coef_
    for modes in ("exact", "projected"):
        K = DMD(modes=modes, ridge=ridge).fit(X, Y).operator.to_dense()
        torch.testing.assert_close(K, torch.from_numpy(best))


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_ridge_on_a_subspace_has_a_closed_form(rank):
    X, Y = randn(9, 5), randn(9, 5, seed=1)
    U, S, Vh = torch.linalg.svd(X, full_matrices=False)
    U, S, Vh = U[:, :rank], S[:rank], Vh[:rank]
    best = Y @ Vh.T @ (S / (S.square() + 0.6)).diag() @ U.T
    torch.testing.assert_close(DMD(rank, ridge=0.6).fit(X, Y).operator.to_dense(), best)
    projected = DMD(rank, modes="projected", ridge=0.6).fit(X, Y).operator.to_dense()
    torch.testing.assert_close(projected, U @ U.T @ best)


@pytest.mark.parametrize("constraint", [None, "symmetric", "skew_symmetric", *STATE])
def test_ridge_shrinks_the_operator(constraint):
    X, Y = randn(5, 9), randn(5, 9, seed=1)
    norms = [
        float(DMD(constraint=constraint, ridge=ridge).fit(X, Y).operator.to_dense().norm()) for ridge in (0, 1, 10, 1e9)
    ]
    assert norms == sorted(norms, reverse=True)
    assert norms[-1] < 1e-6


# Delays, inputs and the optimal rank


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(("rank", "delays"), [(2, 1), (4, 3), (6, 5)])
def test_delays_agree_with_pydmd(rank, delays, exact):
    series = randn(3, 25)
    dmd = DMD(rank, modes="exact" if exact else "projected", delays=delays).fit(series)
    eigs, modes = eigenpairs(pydmd_fit(pydmd.HankelDMD(svd_rank=rank, exact=exact, d=delays), series))
    torch.testing.assert_close(dmd.eigs, eigs)
    assert_parallel(dmd.modes, modes)


def controlled(n, q, steps, seed=0):
    """A stable system, its inputs and the series of its states."""
    A, B, inputs = randn(n, n, seed=seed), randn(n, q, seed=seed + 1), randn(q, steps - 1, seed=seed + 2)
    A = 0.9 * A / torch.linalg.eigvals(A).abs().max()
    states = [randn(n, 1, seed=seed + 3)]
    for t in range(steps - 1):
        states.append(A @ states[-1] + B @ inputs[:, t : t + 1])
    return A, B, inputs, torch.cat(states, dim=1)


@pytest.mark.parametrize(("n", "q"), [(1, 1), (4, 2), (3, 5)])
def test_system_under_control_is_recovered_and_agrees_with_pydmd(n, q):
    A, B, inputs, series = controlled(n, q, 20)
    dmd = DMD().fit(series, control=inputs)
    torch.testing.assert_close(dmd.operator.to_dense(), A)
    torch.testing.assert_close(dmd.B, B)

    model = pydmd_fit(pydmd.DMDc(svd_rank=-1), series, inputs)
    reduced = model.basis @ model.operator.as_numpy_array @ model.basis.T
    torch.testing.assert_close(dmd.operator.to_dense(), torch.from_numpy(reduced))
    torch.testing.assert_close(dmd.B, torch.from_numpy(model.B))
    torch.testing.assert_close(dmd.eigs[:n], eigenpairs(model)[0])
    assert_zero(dmd.eigs[n:].abs())  # one for each input


def test_low_rank_system_under_control_agrees_with_pydmd():
    A, B, inputs, series = controlled(3, 2, 20)
    plane = orthonormal(12, 3)
    dmd = DMD(5).fit(plane @ series, control=inputs)
    torch.testing.assert_close(dmd.operator.to_dense(), plane @ A @ plane.T)
    torch.testing.assert_close(dmd.B, plane @ B)

    model = pydmd_fit(pydmd.DMDc(svd_rank=3, svd_rank_omega=5), plane @ series, inputs)
    eigs, modes = eigenpairs(model)
    torch.testing.assert_close(dmd.eigs[:3], eigs)
    assert_parallel(dmd.modes[:, :3], modes)
    torch.testing.assert_close(dmd.B, torch.from_numpy(model.B))


def test_control_of_noisy_snapshots_is_least_squares():
    X, Y, inputs = randn(4, 15), randn(4, 15, seed=1), randn(2, 15, seed=2)
    both = Y @ torch.linalg.pinv(torch.cat([X, inputs]))
    dmd = DMD().fit(X, Y, control=inputs)
    torch.testing.assert_close(torch.cat([dmd.operator.to_dense(), dmd.B], dim=1), both)
    penalised = Ridge(0.5, fit_intercept=False).fit(torch.cat([X, inputs]).T.numpy(), Y.T.numpy()).coef_
    dmd = DMD(ridge=0.5).fit(X, Y, control=inputs)
    torch.testing.assert_close(torch.cat([dmd.operator.to_dense(), dmd.B], dim=1), torch.from_numpy(penalised))


def test_input_that_nothing_follows_is_left_out():
    _, _, inputs, series = controlled(3, 2, 12)
    longer = torch.cat([inputs, torch.full((2, 1), 99.0, dtype=F64)], dim=1)
    dmd, other = (DMD().fit(series, control=control) for control in (inputs, longer))
    torch.testing.assert_close(other.operator.to_dense(), dmd.operator.to_dense(), rtol=0, atol=0)


def test_control_of_zero_is_none():
    X, Y = randn(4, 9), randn(4, 9, seed=1)
    plain, dmd = DMD(4).fit(X, Y), DMD(4).fit(X, Y, control=torch.zeros(2, 9, dtype=F64))
    assert plain.B is None
    torch.testing.assert_close(dmd.operator.to_dense(), plain.operator.to_dense())
    assert_zero(dmd.B)


def test_next_fit_forgets_the_control():
    X, Y, inputs = randn(3, 8), randn(3, 8, seed=1), randn(2, 8, seed=2)
    assert DMD().fit(X, Y, control=inputs).fit(X, Y).B is None
    assert DMD().fit(X, Y, control=inputs).fit_moments(Moments.of(X, Y)).B is None


@pytest.mark.parametrize(("n", "f"), [(40, 30), (30, 40), (60, 15)])
@pytest.mark.parametrize("rank", [1, 3])
def test_optimal_rank_is_that_of_the_signal_and_agrees_with_pydmd(n, f, rank):
    signal = matrix_with([40.0, 30.0, 20.0][:rank], n, f)
    for seed in range(3):
        X, Y = signal + 0.3 * randn(n, f, seed=seed + 5), randn(n, f, seed=seed + 10)
        dmd = DMD("optimal").fit(X, Y)
        assert dmd.operator.rank == dmd.modes.size(1) == rank
        assert pydmd_fit(pydmd.DMD(svd_rank=0), X, Y).modes.shape[1] == rank
        assert DMD("optimal", svd="gram").fit(X.float(), Y.float()).operator.rank == rank


def test_optimal_rank_of_noise_alone_agrees_with_pydmd():
    X, Y = randn(20, 10), randn(20, 10, seed=1)
    assert DMD("optimal").fit(X, Y).operator.rank == pydmd_fit(pydmd.DMD(svd_rank=0), X, Y).modes.shape[1]


@pytest.mark.parametrize("n", [5, 20, 40, 50, 80, 400])
def test_optimal_rank_depends_on_the_shape_as_pydmd_has_it(n):
    # Values a few percent apart: the threshold falls between other ones in each shape.
    values = [10 ** (1 - i / 40) for i in range(min(n, 40))]
    X, Y = matrix_with(values, n, 40), randn(n, 40, seed=5)
    kept = pydmd_fit(pydmd.DMD(svd_rank=0), X, Y).modes.shape[1]
    assert DMD("optimal").fit(X, Y).operator.rank == kept


# Truncation of a fit


TRUNCATED = [
    {},
    {"modes": "projected"},
    {"constraint": "symmetric"},
    {"constraint": "symmetric", "modes": "projected"},
    {"constraint": "skew_symmetric"},
    {"constraint": "orthogonal"},
    {"ridge": 0.5},
    {"ridge": 0.5, "constraint": "symmetric"},
    {"forward_backward": True},
    {"svd": "full"},
]


def sorted_eigs(dmd):
    """In an order that does not depend on the rounding of moduli that are the same, as those of a rotation."""
    parts = (dmd.eigs.imag, dmd.eigs.real) if dmd.eigs.is_complex() else (dmd.eigs,)
    return torch.stack([part.sort(dim=-1).values for part in parts])


def assert_same_fit(one, other):
    torch.testing.assert_close(one.singular_values, other.singular_values)
    torch.testing.assert_close(sorted_eigs(one), sorted_eigs(other))
    torch.testing.assert_close(one.operator.to_dense(), other.operator.to_dense())
    torch.testing.assert_close((one.modes @ one.modes.mH).real, (other.modes @ other.modes.mH).real)


@pytest.mark.parametrize("options", TRUNCATED, ids=str)
def test_truncation_is_the_fit_of_a_lower_rank(options):
    X, Y = randn(9, 6), randn(9, 6, seed=1)
    whole = DMD(**options).fit(X, Y)
    before = whole.operator.to_dense()
    for rank in (1, 3, 6):
        cut, fitted = whole.truncate(rank), DMD(rank, **options).fit(X, Y)
        assert_same_fit(cut, fitted)
        assert cut.operator.rank == cut.truncation.rank == rank
        torch.testing.assert_close(cut.forecast(3), fitted.forecast(3))
        torch.testing.assert_close(cut.reconstructed_data, fitted.reconstructed_data)
        torch.testing.assert_close(cut.truncate(1).operator.to_dense(), whole.truncate(1).operator.to_dense())
    assert whole.operator.rank == 6
    torch.testing.assert_close(whole.operator.to_dense(), before, rtol=0, atol=0)


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_truncation_under_control_is_the_fit_of_a_lower_rank(ridge):
    X, Y, inputs = randn(9, 12), randn(9, 12, seed=1), randn(2, 12, seed=2)
    whole = DMD(ridge=ridge).fit(X, Y, control=inputs)
    for rank in (1, 4, 11):
        cut, fitted = whole.truncate(rank), DMD(rank, ridge=ridge).fit(X, Y, control=inputs)
        assert_same_fit(cut, fitted)
        torch.testing.assert_close(cut.B, fitted.B)
        torch.testing.assert_close(cut.predict(X, inputs), fitted.predict(X, inputs))


@pytest.mark.parametrize("options", [{}, {"constraint": "symmetric"}, {"forward_backward": True}], ids=str)
def test_truncation_of_batches_series_graphs_and_moments(options):
    X, Y = randn(2, 9, 6), randn(2, 9, 6, seed=1)
    assert_same_fit(DMD(5, **options).fit(X, Y).truncate(2), DMD(2, **options).fit(X, Y))
    series = randn(3, 20)
    assert_same_fit(DMD(5, delays=3, **options).fit(series).truncate(2), DMD(2, delays=3, **options).fit(series))
    ptr = torch.tensor([0, 4, 9])
    graphs, fewer = (DMD(rank, **options).fit(X[0], Y[0], ptr=ptr) for rank in (4, 2))
    torch.testing.assert_close(graphs.truncate(2).operator.to_dense(), fewer.operator.to_dense())
    moments, fewer = (DMD(rank, **options).fit_moments(Moments.of(X[0], Y[0])) for rank in (5, 2))
    torch.testing.assert_close(moments.truncate(2).eigs, fewer.eigs)
    lifted = [dmd.lift(X[0], Y[0]).to_dense() for dmd in (moments.truncate(2), fewer)]
    torch.testing.assert_close(*lifted)


@pytest.mark.parametrize("options", [{"total_least_squares": True}, *({"constraint": name} for name in STATE)], ids=str)
def test_what_cannot_be_truncated(options):
    dmd = DMD(**options).fit(randn(4, 9), randn(4, 9, seed=1))
    with pytest.raises(InputError, match="cannot be truncated: fit again"):
        dmd.truncate(2)


@pytest.mark.parametrize(
    ("rank", "error", "message"),
    [
        (0, InputError, "rank=0, expected a positive integer"),
        (-1, InputError, "rank=-1"),
        (2.0, InputError, r"rank=2\.0"),
        (None, InputError, "rank=None"),
        ("optimal", InputError, "rank='optimal'"),
        (5, RankError, "rank=5, but the fit has rank 4"),
    ],
)
def test_truncation_to_a_bad_rank(rank, error, message):
    dmd = DMD().fit(randn(4, 9), randn(4, 9, seed=1))
    with pytest.raises(error, match=message):
        dmd.truncate(rank)


def test_truncation_before_fit():
    with pytest.raises(InputError, match="call fit"):
        DMD().truncate(1)


# Options that do not go together


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ridge": -1}, "ridge=-1, expected a number of at least 0"),
        ({"ridge": float("nan")}, "ridge=nan"),
        ({"ridge": float("inf")}, "ridge=inf"),
        ({"ridge": "1"}, "ridge='1'"),
        ({"delays": 0}, "delays=0, expected an integer of at least 1"),
        ({"delays": 1.0}, r"delays=1\.0"),
        ({"delays": True}, "delays=True"),
        ({"rank": "best"}, "rank='best', expected a positive integer, 'optimal'"),
        ({"rank": "optimal", "energy": 0.9}, "both rank='optimal' and energy"),
        ({"forward_backward": True, "ridge": 1.0}, "forward_backward goes with neither a constraint nor ridge"),
        *(
            ({"forward_backward": True, "constraint": name}, "forward_backward goes with neither a constraint nor")
            for name in (*SUBSPACE, *STATE)
        ),
        *(
            ({"total_least_squares": True, "constraint": name}, f"total_least_squares .* constraint='{name}'")
            for name in STATE
        ),
        ({"ridge": 1.0, "constraint": "orthogonal"}, "ridge does not change an orthogonal operator"),
        ({"constraint": "toeplitz"}, "constraint='toeplitz', expected None or one of .*'upper_triangular'"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(InputError, match=message):
        DMD(**options)


PAIR = (torch.ones(4, 6), torch.ones(4, 6))
SERIES = (torch.ones(4, 6), None)
PTR = torch.tensor([0, 2, 4])


@pytest.mark.parametrize(
    ("options", "snapshots", "arguments", "message"),
    [
        ({"delays": 2}, PAIR, {}, "delays make snapshots of one series: leave Y out"),
        ({"delays": 6}, SERIES, {}, "got 6 states and no Y, expected at least 7"),
        ({"svd": "randomized"}, PAIR, {}, "randomized kernel needs a number as rank"),
        ({"svd": "randomized", "energy": 0.9}, PAIR, {}, "randomized kernel needs a number as rank"),
        ({"rank": "optimal", "constraint": "circulant"}, PAIR, {}, "'circulant' give a number or `energy`"),
        ({"rank": 2, "constraint": "lower_triangular"}, PAIR, {}, "'lower_triangular', give neither rank nor energy"),
        ({"energy": 1.0, "constraint": "upper_triangular"}, PAIR, {}, "'upper_triangular', give neither rank nor"),
        *(
            (
                {"constraint": name},
                (torch.ones(2, 4, 6),) * 2,
                {},
                rf"'{name}' takes one matrix \(N, F\), got .*2, 4, 6",
            )
            for name in STATE
        ),
        *(
            (options, SERIES, {"control": torch.ones(1, 5)}, "control goes with exact modes, and with no other option")
            for options in (
                {"modes": "projected"},
                {"constraint": "symmetric"},
                {"constraint": "diagonal"},
                {"forward_backward": True},
                {"total_least_squares": True},
                {"delays": 2},
            )
        ),
        ({}, SERIES, {"control": torch.ones(1, 4)}, r"control of shape \(1, 4\), expected \(q, 5\)"),
        ({}, PAIR, {"control": torch.ones(1, 8)}, r"control of shape \(1, 8\), expected \(q, 6\)"),
        ({}, PAIR, {"control": torch.ones(6)}, r"control of shape \(6,\)"),
        ({}, PAIR, {"control": torch.full((1, 6), torch.nan)}, "control has 6 NaN"),
        ({}, (torch.ones(2, 4, 6),) * 2, {"control": torch.ones(1, 6)}, r"control of shape \(1, 6\)"),
        ({"rank": 1}, SERIES, {"ptr": PTR}, "graphs by ptr take X and Y"),
        ({"rank": 1}, PAIR, {"ptr": PTR, "control": torch.ones(1, 6)}, "graphs by ptr take X and Y .* neither control"),
        ({"rank": 1, "constraint": "diagonal"}, PAIR, {"ptr": PTR}, "nor a constraint on all states"),
        ({}, PAIR, {"ptr": PTR}, "graphs by ptr share one rank: give a number"),
        ({"energy": 0.9}, PAIR, {"ptr": PTR}, "graphs by ptr share one rank"),
        ({"rank": "optimal"}, PAIR, {"ptr": PTR}, "graphs by ptr share one rank"),
        ({"rank": 1}, PAIR, {"ptr": PTR[:2]}, "ptr for 2 rows, but X has 4"),
        ({"constraint": "diagonal"}, (torch.full((4, 6), torch.nan),) * 2, {}, "X has 24 NaN"),
        ({"constraint": "circulant"}, (PAIR[0], torch.full((4, 6), torch.inf)), {}, "Y has 24 NaN or infinite"),
    ],
)
def test_snapshots_that_do_not_go_with_the_options(options, snapshots, arguments, message):
    with pytest.raises(InputError, match=message):
        DMD(**options).fit(*snapshots, **arguments)


@pytest.mark.parametrize("options", [{"svd": "full"}, {"delays": 2}, {"constraint": "diagonal"}], ids=str)
def test_moments_need_options_that_they_determine(options):
    with pytest.raises(InputError, match="moments allow the kernels 'auto' and 'gram', no delays, and no constraint"):
        DMD(**options).fit_moments(Moments.of(randn(4, 3), randn(4, 3, seed=1)))


def test_options_are_told():
    dmd = DMD("optimal", ridge=0.5, total_least_squares=True, delays=3)
    assert repr(dmd) == (
        "DMD(rank='optimal', modes='exact', constraint=None, ridge=0.5, total_least_squares=True, delays=3)"
    )


# Every shape, rank, dtype and kernel


@st.composite
def problems(draw):
    """Snapshots with well separated singular values, and options for them."""
    n, f = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    size = min(n, f)
    seed = draw(st.integers(0, 2**31 - 10))
    dtype = draw(st.sampled_from([torch.float32, F64]))
    X = matrix_with([0.8**i for i in range(size)], n, f, seed).to(dtype)
    Y = randn(n, f, seed=seed + 2).to(dtype)
    options = {"rank": draw(st.integers(1, size)), "svd": draw(st.sampled_from(["auto", "gram", "full", "randomized"]))}
    return X, Y, options


def relative(dtype):
    return {"rtol": 0, "atol": 2e-4 if dtype == torch.float32 else 1e-8}


@given(problems())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_projected_operator_satisfies_the_normal_equations(problem):
    X, Y, options = problem
    dmd = DMD(modes="projected", **options).fit(X, Y)
    U, K = dmd.operator.left.double(), dmd.operator.to_dense().double()
    assert_zero(U.T @ (K @ X.double() - Y.double()) @ X.double().T @ U, atol=relative(X.dtype)["atol"])
    torch.testing.assert_close(U.T @ U, torch.eye(options["rank"], dtype=F64), **relative(X.dtype))
    torch.testing.assert_close(dmd.operator.core, (U.T @ K @ U).to(X.dtype), **relative(X.dtype))


@given(problems(), st.sampled_from(["exact", "projected"]))
@settings(max_examples=80, deadline=None, derandomize=True)
def test_modes_are_eigenvectors_of_the_operator(problem, modes):
    X, Y, options = problem
    dmd = DMD(modes=modes, **options).fit(X, Y)
    K = dmd.operator.to_dense()
    scale = 1 + float(K.norm()) ** 2
    torch.testing.assert_close(
        K.to(dmd.modes.dtype) @ dmd.modes / scale, dmd.modes * dmd.eigs / scale, **relative(X.dtype)
    )
    torch.testing.assert_close(K @ dmd.real_modes / scale, dmd.real_modes @ dmd.blocks / scale, **relative(X.dtype))
    assert bool((dmd.eigs.abs().diff() <= 1e-6 * dmd.eigs.abs().max()).all())


@given(problems(), st.sampled_from([None, *SUBSPACE, "diagonal", "circulant"]), st.sampled_from(["exact", "projected"]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_results_have_the_dtype_of_the_snapshots(problem, constraint, modes):
    X, Y, options = problem
    if constraint == "circulant":
        options = {**options, "rank": None}
    dmd = DMD(modes=modes, constraint=constraint, **options).fit(X, Y)
    plain = X.dtype if constraint == "symmetric" else X.dtype.to_complex()
    assert dmd.singular_values.dtype == dmd.reduced_operator.dtype == F64
    assert dmd.eigs.dtype == dmd.modes.dtype == dmd.amplitudes.dtype == dmd.dynamics.dtype == plain
    assert dmd.operator.dtype == dmd.real_modes.dtype == dmd.blocks.dtype == X.dtype
    assert dmd.frequency.dtype == dmd.growth_rate.dtype == X.dtype
    assert dmd.reconstructed_data.dtype == dmd.forecast(1).dtype == dmd.predict(X).dtype == X.dtype
    assert dmd.modes.shape == dmd.real_modes.shape == (len(X), len(dmd.eigs))


@given(problems(), st.sampled_from([None, *SUBSPACE]), st.integers(0, 9))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_two_fits_of_one_seed_are_identical(problem, constraint, seed):
    X, Y, options = problem
    one, other = (DMD(constraint=constraint, seed=seed, **options).fit(X.clone(), Y.clone()) for _ in range(2))
    assert torch.equal(one.operator.left, other.operator.left)
    assert torch.equal(one.operator.core, other.operator.core)
    assert torch.equal(one.eigs, other.eigs)
    assert torch.equal(one.modes, other.modes)


@given(problems(), st.sampled_from([None, *SUBSPACE, *STATE]))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_layout_of_the_snapshots_does_not_matter(problem, constraint):
    X, Y, options = problem
    if constraint in ("circulant", "lower_triangular", "upper_triangular"):
        options = {"ridge": 0.1}
    expected = DMD(constraint=constraint, **options).fit(X, Y).operator.to_dense()
    strided = (torch.stack([x, torch.full_like(x, torch.nan)], dim=-1)[..., 0] for x in (X, Y))
    transposed = (x.T.contiguous().T for x in (X, Y))
    for pair in (strided, transposed):
        operator = DMD(constraint=constraint, **options).fit(*pair).operator
        torch.testing.assert_close(operator.to_dense(), expected, **relative(X.dtype))


def test_a_fit_that_fails_leaves_the_last_one():
    X, Y = randn(8, 6), randn(8, 6, seed=1)
    dmd = DMD(3).fit(X, Y, control=randn(2, 6, seed=3))
    eigs, B = dmd.eigs, dmd.B
    for snapshots in ((torch.zeros_like(X), Y), (X, Y * torch.nan)):
        with pytest.raises((RankError, InputError)):
            dmd.fit(*snapshots)
    assert dmd.eigs is eigs
    assert dmd.B is B
    assert dmd.truncate(2).B is not None


def test_later_changes_of_the_snapshots_change_nothing():
    X, Y = randn(8, 6), randn(8, 6, seed=1)
    dmd = DMD(3).fit(X, Y)
    forecast, amplitudes = dmd.forecast(2), dmd.amplitudes
    X.zero_()
    Y.zero_()
    torch.testing.assert_close(dmd.forecast(2), forecast, rtol=0, atol=0)
    torch.testing.assert_close(dmd.amplitudes, amplitudes, rtol=0, atol=0)


def test_many_rows_of_single_precision_keep_their_rank():
    # Rounding of the entries is some 1e-7 of the first value, however many rows there are.
    X = torch.randn(200_000, 8, generator=torch.Generator().manual_seed(0)) * torch.logspace(0, -3, 8)
    assert DMD().fit(X, X).operator.rank == 8
    assert DMD().fit(torch.ones(9_000_000, 1), torch.ones(9_000_000, 1)).operator.rank == 1


def test_results_before_a_fit():
    for name in ("eigs", "operator", "B", "singular_values", "modes"):
        with pytest.raises(NotFittedError, match=f"has no {name} yet, call fit first"):
            getattr(DMD(), name)
    assert not hasattr(DMD(), "eigs")
    with pytest.raises(AttributeError, match="no attribute 'mode'"):
        DMD().mode  # noqa: B018


@pytest.mark.parametrize("constraint", ["diagonal", "circulant", "lower_triangular"])
@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_scale_of_constrained_states_does_not_matter(constraint, scale):
    X, Y = randn(3, 4), randn(3, 4, seed=1)
    scaled, plain = (DMD(constraint=constraint).fit(s * X, s * Y).eigs for s in (scale, 1.0))
    torch.testing.assert_close(scaled, plain)


def test_all_modes_of_many_states_are_refused():
    with pytest.raises(InputError, match="all 20000 modes of 20000 states would fill a square matrix"):
        DMD(constraint="diagonal").fit(torch.ones(20_000, 2), torch.ones(20_000, 2))


def test_eigenvalues_that_overflow_are_refused():
    with pytest.raises(InputError, match=r"fit in torch\.float64"):
        DMD(2).fit(randn(6, 4).float() * 1e-20, randn(6, 4, seed=1).float() * 1e20)
