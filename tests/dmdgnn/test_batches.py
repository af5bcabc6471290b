import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmdgnn import DMD, InputError, RankError
from dmdgnn.kernels import thin_svd
from matrices import randn

F64 = torch.float64
BATCHES = [(3,), (2, 2)]
METHODS = ["auto", "gram", "full", "randomized"]
ATOL = {torch.float32: 2e-4, F64: 1e-9}
OPTIONS = [
    {},
    {"modes": "projected"},
    {"constraint": "symmetric"},
    {"constraint": "symmetric", "modes": "projected"},
    {"constraint": "skew_symmetric"},
    {"constraint": "orthogonal"},
    {"constraint": "orthogonal", "modes": "projected"},
    {"ridge": 0.3},
    {"ridge": 0.3, "constraint": "symmetric"},
    {"ridge": 0.3, "constraint": "skew_symmetric", "modes": "projected"},
    {"forward_backward": True},
    {"forward_backward": True, "modes": "projected"},
    {"total_least_squares": True},
    {"total_least_squares": True, "modes": "projected"},
    {"total_least_squares": True, "forward_backward": True},
    {"total_least_squares": True, "constraint": "symmetric", "ridge": 0.1},
]


def snapshots(*batch, n=12, f=7, rank=None, seed=0):
    """Damped rotations, another one for each matrix, with a little noise in the successors."""
    rank = min(n, f) if rank is None else rank
    values = torch.linspace(3, 1, rank, dtype=F64)
    X = orthonormal_batch(*batch, n, rank, seed=seed) * values @ orthonormal_batch(*batch, f, rank, seed=seed + 1).mT
    turn = 0.3 * randn(*batch, n, n, seed=seed + 2)
    A = torch.linalg.matrix_exp(turn - turn.mT - 0.3 * torch.eye(n, dtype=F64) - 0.02 * torch.diag(torch.arange(n)))
    return X, A @ X + 0.01 * randn(*batch, n, f, seed=seed + 3)


def orthonormal_batch(*shape, seed=0):
    return torch.linalg.qr(randn(*shape, seed=seed)).Q


def span(M):
    """The projector on the columns of matrices."""
    return M @ torch.linalg.pinv(M, rtol=1e-5)


def product(svd):
    return svd.U.double() * svd.S.unsqueeze(-2) @ svd.V.mT


def assert_same_eigenvalues(eigs, others, atol):
    distance = (eigs.unsqueeze(-1) - others.unsqueeze(-2)).abs()
    assert float(distance.min(dim=-1).values.max()) < atol
    assert float(distance.min(dim=-2).values.max()) < atol


def assert_equals_the_loop(dmd, X, Y, rank, atol, **options):
    for index in np.ndindex(X.shape[:-2]):
        alone = DMD(rank, **options).fit(X[index], Y[index])
        assert dmd.eigs.dtype == alone.eigs.dtype
        assert_same_eigenvalues(dmd.eigs[index], alone.eigs, atol)
        for name in ("singular_values", "real_modes", "modes"):
            got, expected = getattr(dmd, name), getattr(alone, name)
            assert got.dtype == expected.dtype
            assert got.shape == (*X.shape[:-2], *expected.shape)
            if name == "singular_values":
                torch.testing.assert_close(got[index], expected, rtol=atol, atol=atol)
            else:
                torch.testing.assert_close(span(got[index]), span(expected), rtol=0, atol=10 * atol)
        dense = dmd.operator.to_dense()[index]
        torch.testing.assert_close(dense, alone.operator.to_dense(), rtol=0, atol=atol)
        torch.testing.assert_close(dmd.predict(X)[index], alone.predict(X[index]), rtol=0, atol=10 * atol)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
def test_svd_of_a_batch_equals_the_loop(batch, method, dtype, shape):
    X = randn(*batch, *shape).to(dtype)
    svd = thin_svd(X, rank=4, method=method)
    assert [factor.shape for factor in svd] == [(*batch, shape[0], 4), (*batch, 4), (*batch, shape[1], 4)]
    assert (svd.U.dtype, svd.S.dtype, svd.V.dtype) == (dtype, F64, F64)
    atol = ATOL[dtype]
    for index in np.ndindex(batch):
        alone = thin_svd(X[index], rank=4, method=method)
        torch.testing.assert_close(svd.S[index], alone.S, rtol=0, atol=atol)
        torch.testing.assert_close(product(svd)[index], product(alone), rtol=0, atol=atol)
        for got, expected in ((svd.U[index], alone.U), (svd.V[index], alone.V)):
            torch.testing.assert_close(got @ got.T, expected @ expected.T, rtol=0, atol=atol)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
    st.sampled_from(["auto", "gram", "full"]),
    st.sampled_from([(9, 5), (5, 9)]),
    st.sampled_from([torch.float32, F64]),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_triplets_that_a_matrix_lacks_are_zeros(ranks, method, shape, dtype):
    X = torch.stack([randn(shape[0], r, seed=r) @ randn(r, shape[1], seed=9 + r) for r in ranks]).to(dtype)
    svd = thin_svd(X, method=method)
    assert svd.S.size(-1) == max(1, *ranks)
    assert (svd.S > 0).sum(dim=-1).tolist() == ranks
    present = (svd.S > 0).to(F64)
    for factor in (svd.U.double(), svd.V):
        gram = factor.mT @ factor
        torch.testing.assert_close(gram, torch.diag_embed(present), rtol=0, atol=1e-5)
        assert not factor[~present.bool().unsqueeze(-2).expand_as(factor)].any()
    torch.testing.assert_close(product(svd), X.double(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_rank_above_the_shape_gives_zeros_in_a_batch(method):
    svd = thin_svd(randn(3, 5, 2), rank=4, method=method)
    assert [tuple(factor.shape) for factor in svd] == [(3, 5, 4), (3, 4), (3, 2, 4)]
    assert bool((svd.S[:, :2] > 0).all())
    assert not any(factor[..., 2:].any() for factor in svd)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_of_zero_matrices_is_zero(method):
    svd = thin_svd(torch.zeros(2, 4, 3), rank=2, method=method)
    assert not any(factor.any() for factor in svd)
    if method != "randomized":
        assert thin_svd(torch.zeros(2, 4, 3), method=method).S.shape == (2, 1)


@pytest.mark.parametrize("method", ["auto", "gram", "full"])
def test_energy_of_a_batch_shares_the_largest_rank(method):
    X = torch.diag_embed(torch.tensor([[4.0, 2.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.0, 0.0]], dtype=F64))
    S = thin_svd(X, energy=0.7, method=method).S
    torch.testing.assert_close(S, torch.tensor([[4.0, 0, 0], [1.0, 1.0, 1.0], [1.0, 0, 0]], dtype=F64))


@pytest.mark.parametrize("method", METHODS)
def test_each_matrix_has_its_own_scale(method):
    X = randn(5, 8, 4)
    scales = torch.tensor([1e-250, 1e-3, 0.0, 1.0, 1e250], dtype=F64)
    svd = thin_svd(X * scales.view(-1, 1, 1), rank=3, method=method)
    for index in (0, 1, 3, 4):
        alone = thin_svd(X[index], rank=3, method="full")
        torch.testing.assert_close(svd.S[index] / scales[index], alone.S)
        torch.testing.assert_close(svd.U[index] @ svd.U[index].T, alone.U @ alone.U.T)
    assert not any(factor[2].any() for factor in svd)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_svd_names_the_place_of_a_bad_entry(method, value, dtype):
    X = randn(2, 3, 5, 4).to(dtype)
    X[1, 2, 0, 3] = value
    with pytest.raises(InputError, match=r"X has 1 NaN or infinite entries, the first at \(1, 2, 0, 3\)"):
        thin_svd(X, rank=2, method=method)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("options", OPTIONS)
def test_dmd_of_a_batch_equals_the_loop(batch, dtype, options):
    X, Y = (part.to(dtype) for part in snapshots(*batch))
    dmd = DMD(5, **options).fit(X, Y)
    assert dmd.operator.dtype == dmd.real_modes.dtype == dtype
    assert dmd.operator.batch_shape == batch
    assert_equals_the_loop(dmd, X, Y, 5, ATOL[dtype], **options)


@pytest.mark.parametrize("svd", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("n", "f"), [(12, 7), (6, 9)])
@pytest.mark.parametrize("modes", ["exact", "projected"])
def test_dmd_of_a_batch_equals_the_loop_for_each_kernel(svd, dtype, n, f, modes):
    X, Y = (part.to(dtype) for part in snapshots(3, n=n, f=f))
    assert_equals_the_loop(DMD(4, svd=svd, modes=modes).fit(X, Y), X, Y, 4, ATOL[dtype], svd=svd, modes=modes)


@pytest.mark.parametrize("rank", [None, "optimal"])
def test_dmd_of_a_batch_equals_the_loop_with_a_rank_from_the_data(rank):
    X, Y = snapshots(3)
    dmd = DMD(rank).fit(X, Y)
    assert_equals_the_loop(dmd, X, Y, None if rank is None else dmd.operator.rank, 1e-9)


@pytest.mark.parametrize("batch", BATCHES)
def test_dynamics_of_a_batch_equal_the_loop(batch):
    series = snapshots(*batch, f=9)[0]
    dmd = DMD(4, delays=3).fit(series)
    for index in np.ndindex(batch):
        alone = DMD(4, delays=3).fit(series[index])
        torch.testing.assert_close(dmd.eigs[index], alone.eigs)
        torch.testing.assert_close(dmd.forecast(4)[index], alone.forecast(4))
        torch.testing.assert_close(dmd.reconstructed_data[index], alone.reconstructed_data)
        torch.testing.assert_close(dmd.frequency[index], alone.frequency)
        torch.testing.assert_close(dmd.growth_rate[index], alone.growth_rate)
        torch.testing.assert_close(dmd.amplitudes[index].abs() * dmd.modes[index].norm(dim=0),
                                   alone.amplitudes.abs() * alone.modes.norm(dim=0))  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
def test_real_modes_of_a_batch_turn_pairs_into_blocks(options):
    X, Y = snapshots(2, 2)
    dmd = DMD(5, **options | {"modes": "projected"}).fit(X, Y)
    assert dmd.blocks.shape == (2, 2, 5, 5)
    torch.testing.assert_close(dmd.operator @ dmd.real_modes, dmd.real_modes @ dmd.blocks)


def deficient(*ranks, n=12, f=7):
    """A batch of snapshots of these ranks."""
    pairs = [snapshots(n=n, f=f, rank=max(rank, 1), seed=10 * rank) for rank in ranks]
    X = torch.stack([X if rank else 0 * X for rank, (X, _) in zip(ranks, pairs, strict=True)])
    Y = torch.stack([Y if rank else 0 * Y for rank, (_, Y) in zip(ranks, pairs, strict=True)])
    return X, Y


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("ranks", [(4, 2, 3), (4, 0, 2)])
@pytest.mark.parametrize("options", [option for option in OPTIONS if "total_least_squares" not in option])
def test_modes_that_a_matrix_lacks_are_zeros(dtype, ranks, options):
    X, Y = (part.to(dtype) for part in deficient(*ranks))
    dmd = DMD(4, **options).fit(X, Y)
    atol = ATOL[dtype]
    for index, rank in enumerate(ranks):
        assert not dmd.singular_values[index, rank:].any()
        assert not dmd.eigs[index, rank:].abs().any()
        assert not dmd.modes[index, :, rank:].abs().any()
        assert not dmd.real_modes[index, :, rank:].any()
        if rank == 0:
            assert not dmd.operator.to_dense()[index].any()
            continue
        alone = DMD(rank, **options).fit(X[index], Y[index])
        assert_same_eigenvalues(dmd.eigs[index, :rank], alone.eigs, atol)
        torch.testing.assert_close(dmd.operator.to_dense()[index], alone.operator.to_dense(), rtol=0, atol=atol)
        torch.testing.assert_close(span(dmd.modes[index]), span(alone.modes), rtol=0, atol=10 * atol)
    for name in ("eigs", "modes", "real_modes", "blocks", "amplitudes"):
        assert bool(getattr(dmd, name).isfinite().all()), name


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("constraint", [None, "symmetric"])
def test_modes_that_a_matrix_lacks_do_not_evolve(dtype, constraint):
    X, Y = (part.to(dtype) for part in deficient(4, 2, 0))
    dmd = DMD(4, constraint=constraint).fit(X, Y)
    assert not dmd.dynamics[1, 2:].abs().any()
    alone = DMD(2, constraint=constraint).fit(X[1], Y[1])
    torch.testing.assert_close(dmd.reconstructed_data[1], alone.reconstructed_data, rtol=0, atol=ATOL[dtype])
    assert not dmd.reconstructed_data[2].any()


@pytest.mark.parametrize("options", [option for option in OPTIONS if "total_least_squares" in option])
def test_a_zero_matrix_in_a_batch_of_total_least_squares(options):
    X, Y = deficient(4, 0, 4)
    dmd = DMD(4, **options).fit(X, Y)
    assert not dmd.eigs[1].abs().any()
    assert not dmd.operator.to_dense()[1].any()
    for index in (0, 2):
        alone = DMD(4, **options).fit(X[index], Y[index])
        assert_same_eigenvalues(dmd.eigs[index], alone.eigs, 1e-9)
        torch.testing.assert_close(dmd.operator.to_dense()[index], alone.operator.to_dense())


@pytest.mark.parametrize("options", OPTIONS)
def test_single_precision_agrees_with_double_in_a_batch(options):
    X, Y = (part.float() for part in deficient(4, 5, 6))
    single, double = (DMD(4, **options).fit(x, y) for x, y in ((X, Y), (X.double(), Y.double())))
    assert single.singular_values.dtype == single.reduced_operator.dtype == F64
    dense = double.operator.to_dense()
    assert float((single.operator.to_dense() - dense).abs().max() / dense.abs().max()) < 1e-5
    assert_same_eigenvalues(single.eigs.to(double.eigs.dtype), double.eigs, 1e-5)


@pytest.mark.parametrize("name", ["X", "Y"])
@pytest.mark.parametrize("svd", METHODS)
@pytest.mark.parametrize("options", [{}, {"total_least_squares": True}, {"constraint": "symmetric"}])
def test_dmd_names_the_place_of_a_bad_entry(name, svd, options):
    X, Y = snapshots(2, 3)
    (X if name == "X" else Y)[1, 0, 5, 6] = torch.nan
    with pytest.raises(InputError, match=rf"{name} has 1 NaN or infinite entries, the first at \(1, 0, 5, 6\)"):
        DMD(4, svd=svd, **options).fit(X, Y)


@pytest.mark.parametrize("scale", [1e-200, 1e-60, 1e60, 1e200])
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize(
    "options",
    [{}, {"constraint": "symmetric"}, {"constraint": "orthogonal"}, {"forward_backward": True},
     {"total_least_squares": True}],
)  # fmt: skip
def test_scale_of_both_snapshots_does_not_matter(scale, batch, options):
    X, Y = snapshots(*batch)
    dmd, scaled = DMD(4, **options).fit(X, Y), DMD(4, **options).fit(scale * X, scale * Y)
    torch.testing.assert_close(scaled.operator.to_dense(), dmd.operator.to_dense())
    assert_same_eigenvalues(scaled.eigs, dmd.eigs, 1e-9)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("rank", [1, 3, 5])
def test_truncated_batch_is_the_fit_of_lower_rank(options, rank):
    X, Y = snapshots(2, 2)
    if options.get("total_least_squares"):
        with pytest.raises(InputError, match="total_least_squares cannot be truncated"):
            DMD(5, **options).fit(X, Y).truncate(rank)
        return
    dmd = DMD(5, **options).fit(X, Y).truncate(rank)
    assert_equals_the_loop(dmd, X, Y, rank, 1e-9, **options)


def test_truncation_of_a_batch_has_a_limit():
    with pytest.raises(RankError, match="rank=6, but the fit has rank 5"):
        DMD(5).fit(*snapshots(3)).truncate(6)


@pytest.mark.parametrize("constraint", ["diagonal", "circulant", "lower_triangular", "upper_triangular"])
def test_constraints_on_all_states_take_one_matrix(constraint):
    with pytest.raises(InputError, match=f"constraint '{constraint}' takes one matrix"):
        DMD(constraint=constraint).fit(*snapshots(3))


def test_snapshots_of_a_batch_must_agree_in_shape():
    X, Y = snapshots(3)
    with pytest.raises(InputError, match="they must agree"):
        DMD(3).fit(X, Y[0])
    with pytest.raises(InputError, match=r"control of shape \(1, 7\)"):
        DMD(3).fit(X, Y, control=torch.ones(1, 7))


@pytest.mark.parametrize("options", OPTIONS)
def test_batches_in_threads_equal_those_in_one(options):
    X, Y = snapshots(40, n=16, f=16)
    one = DMD(8, svd="full", **options).fit(X, Y)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        two = DMD(8, svd="full", **options).fit(X, Y)
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(two.operator.to_dense(), one.operator.to_dense())
    for index in range(40):
        assert_same_eigenvalues(two.eigs[index], one.eigs[index], 1e-8)


def test_forward_backward_of_a_batch_that_threads_share():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        X, Y = randn(40, 30, 20), randn(40, 30, 20, seed=1)
        together = DMD(16, forward_backward=True).fit(X, Y)
        for i in (0, 25, 39):
            alone = DMD(16, forward_backward=True).fit(X[i], Y[i])
            torch.testing.assert_close(together.reduced_operator[i], alone.reduced_operator)
    finally:
        torch.set_num_threads(threads)
