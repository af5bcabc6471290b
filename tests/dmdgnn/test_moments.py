import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from dmdgnn import DMD, InputError, RankError
from dmdgnn.kernels import Moments, RowChunks
from matrices import randn

F64 = torch.float64
OPTIONS = [
    {},
    {"modes": "projected"},
    {"constraint": "symmetric"},
    {"constraint": "symmetric", "modes": "projected"},
    {"constraint": "skew_symmetric"},
    {"constraint": "orthogonal"},
    {"constraint": "orthogonal", "modes": "projected"},
    {"ridge": 0.5},
    {"ridge": 0.5, "constraint": "symmetric"},
    {"ridge": 0.5, "constraint": "skew_symmetric"},
    {"forward_backward": True},
    {"total_least_squares": True},
    {"total_least_squares": True, "constraint": "symmetric"},
    {"total_least_squares": True, "forward_backward": True, "modes": "projected"},
    {"svd": "gram"},
]
RULES = [
    ({"rank": 5}, torch.float32),
    ({"rank": 5}, F64),
    ({}, F64),
    ({"energy": 0.9}, F64),
    ({"rank": "optimal"}, F64),
]
PARTS = ("XX", "XY", "YY")


def snapshots(n=60, f=8, seed=0):
    """A damped rotation in 8 dimensions, with a little noise in the successors."""
    values = torch.linspace(3, 1, min(n, f), dtype=F64)
    left, right = (torch.linalg.qr(randn(size, len(values), seed=seed + size)).Q for size in (n, f))
    turn = 0.1 * randn(n, n, seed=seed)
    A = torch.linalg.matrix_exp(turn - turn.T - 0.2 * torch.eye(n, dtype=F64))
    X = left * values @ right.T
    return X, A @ X + 0.01 * randn(n, f, seed=seed + 1)


def span(M):
    """The projector on the columns."""
    return M @ torch.linalg.pinv(M)


def assert_same_moments(moments, others):
    assert (moments.rows, moments.dtype) == (others.rows, others.dtype)
    for part in PARTS:
        torch.testing.assert_close(getattr(moments, part), getattr(others, part), rtol=1e-12, atol=1e-12)


def assert_same_eigenvalues(eigs, others, atol=1e-9):
    distance = (eigs.unsqueeze(-1) - others).abs()
    assert float(distance.min(dim=-1).values.max()) < atol
    assert float(distance.min(dim=-2).values.max()) < atol


# Moments.


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_moments_are_products_in_double_precision(dtype):
    X, Y = randn(30, 4).to(dtype), randn(30, 4, seed=1).to(dtype)
    moments = Moments.of(X, Y)
    assert (moments.rows, moments.dtype) == (30, dtype)
    x, y = X.double(), Y.double()
    for part, product in zip(PARTS, (x.T @ x, x.T @ y, y.T @ y), strict=True):
        assert getattr(moments, part).dtype == F64
        torch.testing.assert_close(getattr(moments, part), product, rtol=1e-13, atol=1e-13)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.sampled_from([torch.float32, F64]))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_moments_of_any_partition_add_up(sizes, dtype):
    X, Y = randn(sum(sizes), 3).to(dtype), randn(sum(sizes), 3, seed=1).to(dtype)
    chunks = list(zip(X.split(sizes), Y.split(sizes), strict=True))
    whole = Moments.of(X, Y)
    assert_same_moments(Moments.of_chunks(chunks), whole)
    assert_same_moments(Moments.of_chunks(reversed(chunks)), whole)


def test_addition_is_associative_and_commutative():
    a, b, c = (Moments.of(randn(5, 3, seed=seed), randn(5, 3, seed=seed + 9)) for seed in range(3))
    assert_same_moments((a + b) + c, a + (b + c))
    assert_same_moments(a + b, b + a)


@pytest.mark.parametrize("other", [(torch.ones(2, 3), torch.ones(2, 3)), (torch.ones(2, 4).double(),) * 2])
def test_moments_of_other_snapshots_do_not_add_up(other):
    mine = Moments.of(torch.ones(2, 3, dtype=F64), torch.ones(2, 3, dtype=F64))
    with pytest.raises(InputError, match=r"3 columns of torch\.float64 and of \d columns of .* do not add up"):
        mine + Moments.of(*other)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([], "got no chunks"),
        ([(torch.ones(2, 3), torch.ones(2, 3)), (torch.ones(2, 3).double(),) * 2], "do not add up"),
        ([(torch.ones(2, 3), torch.ones(2, 3)), (torch.ones(2, 4),) * 2], "3 columns .* of 4 columns"),
        ([(torch.ones(2, 3), torch.ones(2, 3).double())], "they must agree"),
        ([(torch.ones(2, 3), torch.ones(3, 3))], "they must agree"),
        ([(torch.ones(1, 2, 3), torch.ones(1, 2, 3))], r"got X of shape \(1, 2, 3\), expected rows \(n, F\)"),
        ([(torch.ones(2, 3).long(), torch.ones(2, 3).long())], r"X of torch\.int64"),
        ([(np.ones((2, 3)), np.ones((2, 3)))], "X of type ndarray"),
        ([(torch.ones(2, 3), torch.tensor([[1.0, 1, 1], [1, torch.nan, 1]]))], r"Y has 1 NaN .* first at \(1, 1\)"),
        ([(torch.tensor([[1.0, 1, -torch.inf]]), torch.ones(1, 3))], r"X has 1 NaN or infinite .* first at \(0, 2\)"),
    ],
)
def test_bad_chunks(chunks, message):
    with pytest.raises(InputError, match=message):
        Moments.of_chunks(chunks)


def test_a_generator_that_is_used_up_has_no_chunks():
    X, Y = snapshots()
    chunks = ((x, y) for x, y in zip(X.split(7), Y.split(7), strict=True))
    Moments.of_chunks(chunks)
    with pytest.raises(InputError, match="an iterator that was used up before gives none"):
        Moments.of_chunks(chunks)


@pytest.mark.parametrize("name", ["X", "Y"])
def test_squares_that_overflow(name):
    rows = {"X": torch.ones(2, 3, dtype=F64), "Y": torch.ones(2, 3, dtype=F64)}
    rows[name][0, 0] = 1e200
    with pytest.raises(InputError, match=f"the squares of {name} overflow float64: scale both snapshots down"):
        Moments.of(**rows)


@pytest.mark.parametrize(("scale", "message"), [(1e-160, "scale both snapshots up"), (1e-200, "its squares vanish")])
def test_squares_that_vanish(scale, message):
    X, Y = snapshots()
    with pytest.raises((InputError, RankError), match=message):
        DMD(5).fit_moments(Moments.of(scale * X, scale * Y))


def test_a_chunk_may_be_small():
    X, Y = snapshots()
    together = Moments.of_chunks([(X, Y), (1e-200 * X, 1e-200 * Y)])
    torch.testing.assert_close(DMD(5).fit_moments(together).eigs, DMD(5).fit(X, Y).eigs)


def test_large_single_precision_does_not_overflow():
    X = torch.full((2, 3), 3e38)
    assert bool(Moments.of(X, X).XX.isfinite().all())


# The fit.


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(("rank", "dtype"), RULES)
def test_fit_of_moments_is_the_fit(options, rank, dtype):
    X, Y = (part.to(dtype) for part in snapshots())
    chunks = RowChunks(X, Y, rows=17)
    if rank == {} and options.get("total_least_squares"):
        for call in (lambda dmd: dmd.fit(X, Y), lambda dmd: dmd.fit_moments(Moments.of_chunks(chunks))):
            with pytest.raises(InputError, match="total_least_squares leaves 8 snapshots of rank 8 as they are"):
                call(DMD(**options))
        return
    dmd = DMD(**rank, **options).fit_moments(Moments.of_chunks(chunks))
    whole = DMD(**rank, **options | {"svd": "gram"}).fit(X, Y)
    atol = 1e-4 if dtype == torch.float32 else 1e-9
    assert (dmd.eigs.dtype, dmd.reduced_operator.dtype) == (whole.eigs.dtype, F64)
    torch.testing.assert_close(dmd.singular_values, whole.singular_values, rtol=0, atol=atol)
    # Singular vectors are unique up to their signs only, and so is the reduced operator in their basis.
    torch.testing.assert_close(dmd.reduced_operator.abs(), whole.reduced_operator.abs(), rtol=0, atol=atol)
    assert_same_eigenvalues(dmd.eigs, whole.eigs, atol)
    torch.testing.assert_close(dmd.lift(X, Y).to_dense(), whole.operator.to_dense(), rtol=0, atol=atol)
    modes = dmd.lift_modes(X, Y)
    assert modes.dtype == whole.modes.dtype
    torch.testing.assert_close(span(modes), span(whole.modes), rtol=0, atol=10 * atol)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("rank", [{"rank": 4}, {}, {"energy": 0.8}])
def test_fit_of_moments_with_fewer_rows_than_columns(options, rank):
    X, Y = snapshots(6, 20)
    whole = DMD(**rank, **options | {"svd": "gram"}).fit(X, Y)
    dmd = DMD(**rank, **options).fit_moments(Moments.of(X, Y))
    torch.testing.assert_close(dmd.singular_values, whole.singular_values)
    torch.testing.assert_close(dmd.lift(X, Y).to_dense(), whole.operator.to_dense(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"total_least_squares": True}])
def test_optimal_rank_of_fewer_rows_than_columns(options):
    X, Y = snapshots(6, 20)
    whole = DMD("optimal", **options | {"svd": "gram"}).fit(X, Y)
    dmd = DMD("optimal", **options).fit_moments(Moments.of(X, Y))
    torch.testing.assert_close(dmd.singular_values, whole.singular_values)


@pytest.mark.parametrize("options", OPTIONS)
def test_lifted_modes_are_eigenvectors(options):
    X, Y = snapshots()
    dmd = DMD(5, **options | {"modes": "projected"}).fit_moments(Moments.of(X, Y))
    modes = dmd.lift_modes(X, Y)
    operator = dmd.lift(X, Y).to_dense().to(modes.dtype)
    torch.testing.assert_close(operator @ modes, modes * dmd.eigs)
    assert float(modes.norm(dim=0).min()) > 0.1


@pytest.mark.parametrize("options", OPTIONS)
def test_chunks_make_up_the_whole_product(options):
    X, Y = snapshots()
    whole = DMD(5, **options | {"svd": "gram"}).fit(X, Y)
    z = randn(60, 3, seed=5)
    sizes = [13, 1, 30, 16]
    parts = list(zip(X.split(sizes), Y.split(sizes), z.split(sizes), strict=True))
    dmd = DMD(5, **options).fit_moments(Moments.of_chunks((x, y) for x, y, _ in parts))
    operators = [dmd.lift(x, y) for x, y, _ in parts]
    summary = sum(operator.project(part) for operator, (_, _, part) in zip(operators, parts, strict=True))
    product = torch.cat([operator.expand(summary) for operator in operators])
    torch.testing.assert_close(product, whole.operator @ z, rtol=0, atol=1e-9)
    modes = torch.cat([dmd.lift_modes(x, y) for x, y, _ in parts])
    torch.testing.assert_close(modes, dmd.lift_modes(X, Y))


@pytest.mark.parametrize("options", [option for option in OPTIONS if "total_least_squares" not in option])
def test_truncated_fit_is_the_fit_of_lower_rank(options):
    X, Y = snapshots()
    dmd, lower = (DMD(rank, **options).fit_moments(Moments.of(X, Y)) for rank in (6, 3))
    truncated = dmd.truncate(3)
    assert_same_eigenvalues(truncated.eigs, lower.eigs)
    torch.testing.assert_close(truncated.lift(X, Y).to_dense(), lower.lift(X, Y).to_dense())


@pytest.mark.parametrize("scale", [1e-100, 1e-60, 1e60, 1e100])
def test_scale_of_both_snapshots_does_not_matter(scale):
    X, Y = snapshots()
    dmd, scaled = (DMD(5).fit_moments(Moments.of(a * X, a * Y)) for a in (1, scale))
    assert_same_eigenvalues(scaled.eigs, dmd.eigs)


@pytest.mark.parametrize("options", OPTIONS)
def test_rows_are_missing_until_they_are_lifted(options):
    X, Y = snapshots()
    fresh = DMD(5, **options).fit_moments(Moments.of(X, Y))
    again = DMD(5, **options).fit(X, Y).fit_moments(Moments.of(X, Y))
    for dmd in (fresh, again):
        for name in ("modes", "real_modes", "amplitudes", "dynamics", "reconstructed_data"):
            with pytest.raises(InputError, match="its rows are elsewhere: use lift and lift_modes"):
                getattr(dmd, name)
        for call in (lambda dmd=dmd: dmd.predict(X), lambda dmd=dmd: dmd.forecast(1)):
            with pytest.raises(InputError, match="use lift and lift_modes"):
                call()
        assert dmd.blocks.shape == dmd.reduced_operator.shape == (5, 5)
        assert dmd.frequency.shape == dmd.growth_rate.shape == (5,)


def test_a_fit_of_rows_after_one_of_moments():
    X, Y = snapshots()
    dmd = DMD(5).fit_moments(Moments.of(X, Y)).fit(X, Y)
    torch.testing.assert_close(dmd.predict(X), DMD(5).fit(X, Y).predict(X))


def test_lift_before_the_fit():
    with pytest.raises(InputError, match="call fit first"):
        DMD(5).lift(*snapshots())
    with pytest.raises(InputError, match="call fit first"):
        DMD(5).lift_modes(*snapshots())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((torch.ones(3, 7), torch.ones(3, 7)), r"got rows of shape \(3, 7\), expected \(n, 8\)"),
        ((torch.ones(2, 3, 8), torch.ones(2, 3, 8)), r"got rows of shape \(2, 3, 8\), expected \(n, 8\)"),
        ((torch.ones(3, 8), torch.ones(4, 8)), "they must agree"),
        ((np.ones((3, 8)), np.ones((3, 8))), "X of type ndarray"),
    ],
)
def test_lift_of_bad_rows(rows, message):
    dmd = DMD(5).fit_moments(Moments.of(*snapshots()))
    for lift in (dmd.lift, dmd.lift_modes):
        with pytest.raises(InputError, match=message):
            lift(*rows)


def test_lift_after_a_batch_or_graphs_is_refused():
    X, Y = snapshots()
    for dmd in (
        DMD(3).fit(X.view(2, 30, 8), Y.view(2, 30, 8)),
        DMD(3).fit(X, Y, ptr=torch.tensor([0, 20, 60])),
    ):
        for lift in (dmd.lift, dmd.lift_modes):
            with pytest.raises(InputError):
                lift(X[:30], Y[:30])


@pytest.mark.parametrize(
    "options",
    [
        {"delays": 2},
        {"svd": "full"},
        {"svd": "randomized", "rank": 2},
        {"constraint": "diagonal"},
        {"constraint": "circulant"},
        {"constraint": "lower_triangular"},
        {"constraint": "upper_triangular"},
    ],
)
def test_options_that_need_the_rows_are_refused(options):
    with pytest.raises(InputError, match="moments allow the kernels 'auto' and 'gram', no delays, and no constraint"):
        DMD(**options).fit_moments(Moments.of(*snapshots()))


def test_rank_above_that_of_the_data():
    X = randn(40, 3) @ randn(3, 8, seed=1)
    with pytest.raises(RankError, match=r"rank=4, but X of shape \(40, 8\) has numerical rank 3"):
        DMD(4).fit_moments(Moments.of(X, X))
    assert DMD().fit_moments(Moments.of(X, X)).eigs.shape == (3,)
    with pytest.raises(RankError, match="X is zero"):
        DMD().fit_moments(Moments.of(0 * X, X))


# Chunks of rows.


def numpy_pair(dtype):
    X, Y = snapshots()
    return X.numpy().astype(dtype), Y.numpy().astype(dtype)


@pytest.mark.parametrize(
    "chunks",
    [
        lambda X, Y: [(X, Y)],
        lambda X, Y: list(zip(X.split(7), Y.split(7), strict=True)),
        lambda X, Y: ((x, y) for x, y in zip(X.split([1, 50, 9]), Y.split([1, 50, 9]), strict=True)),
        lambda X, Y: DataLoader(TensorDataset(X, Y), batch_size=16),
        lambda X, Y: DataLoader(
            TensorDataset(X, Y), batch_size=16, shuffle=True, generator=torch.Generator().manual_seed(1)
        ),
        lambda X, Y: RowChunks(X, Y),
        lambda X, Y: RowChunks(X, Y, rows=16),
        lambda X, Y: RowChunks(X.numpy(), Y.numpy(), rows=1),
        lambda X, Y: RowChunks(X, Y.numpy(), rows=100),
    ],
    ids=["one", "list", "generator", "loader", "shuffled", "chunks", "rows", "numpy", "mixed"],
)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_any_chunks_give_the_same_eigenvalues(chunks, dtype):
    X, Y = (part.to(dtype) for part in snapshots())
    moments = Moments.of_chunks(chunks(X, Y))
    assert_same_moments(moments, Moments.of(X, Y))
    atol = 1e-5 if dtype == torch.float32 else 1e-10
    assert_same_eigenvalues(DMD(5).fit_moments(moments).eigs, DMD(5).fit(X, Y).eigs, atol)


@given(st.integers(1, 20), st.integers(1, 25))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_row_chunks_cover_all_rows_in_order(n, rows):
    X, Y = randn(n, 2), randn(n, 2, seed=1)
    for arrays in ((X, Y), (X.numpy(), Y.numpy())):
        chunks = RowChunks(*arrays, rows=rows)
        for _ in range(2):  # iterable as often as wanted
            parts = list(chunks)
            assert all(len(x) == rows for x, _ in parts[:-1])
            for whole, part in zip((X, Y), zip(*parts, strict=True), strict=True):
                assert torch.equal(torch.cat(part), whole)


def test_a_chunk_fills_8_mib_by_default():
    array = np.broadcast_to(np.float32(1), (2**18, 10))
    [first, *_] = RowChunks(array, array)
    assert first[0].shape == (2**20 // 10, 10)
    wide = np.broadcast_to(np.float64(1), (2, 2**20 + 1))
    assert [len(x) for x, _ in RowChunks(wide, wide)] == [1, 1]


def test_chunks_of_arrays_are_copies():
    X, Y = numpy_pair("float64")
    for array in (X, Y):
        array.flags.writeable = False  # of which torch would warn
    for x, y in RowChunks(X, Y, rows=16):
        x.zero_()
        y.zero_()
    assert X.any()
    assert Y.any()


@pytest.fixture
def on_disk(tmp_path):
    """Memmaps of the snapshots, by dtype and mode."""

    def opened(dtype, mode, order="C"):
        maps = []
        for name, array in zip("XY", numpy_pair(dtype), strict=True):
            path = tmp_path / f"{name}.bin"
            array.ravel(order=order).tofile(path)
            maps.append(np.memmap(path, dtype=dtype, mode=mode, shape=array.shape, order=order))
        return maps

    return opened


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_memmaps_equal_what_they_hold(on_disk, dtype, mode, order):
    chunks = RowChunks(*on_disk(dtype, mode, order), rows=16)
    whole = Moments.of(*map(torch.from_numpy, numpy_pair(dtype)))
    for _ in range(2):
        assert_same_moments(Moments.of_chunks(chunks), whole)


def test_memmaps_of_npy_files(tmp_path):
    for name, array in zip("XY", numpy_pair("float32"), strict=True):
        np.save(tmp_path / name, array)
    X, Y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "XY")
    whole = Moments.of(*map(torch.from_numpy, numpy_pair("float32")))
    assert_same_moments(Moments.of_chunks(RowChunks(X, Y, rows=16)), whole)
    part = Moments.of_chunks(RowChunks(X[20:50], Y[20:50], rows=16))
    assert_same_moments(part, Moments.of(*(torch.from_numpy(array[20:50]) for array in numpy_pair("float32"))))


@pytest.mark.parametrize("mode", ["r+", "c"])
@pytest.mark.parametrize("view", [slice(None), slice(0, 40)])
def test_changes_of_a_memmap_survive(on_disk, mode, view):
    X, Y = on_disk("float64", mode)
    X[3], Y[3] = 7.0, -7.0
    for _ in range(2):
        x, y = map(torch.cat, zip(*RowChunks(X[view], Y[view], rows=16), strict=True))
        assert bool((x[3] == 7).all())
        assert bool((y[3] == -7).all())
    assert bool((X[3] == 7).all())
    assert bool((Y[3] == -7).all())
    X.flush()
    on_file = np.fromfile(X.filename, dtype="float64").reshape(X.shape)
    assert bool((on_file[3] == 7).all()) == (mode == "r+")


def test_a_fit_from_disk(on_disk):
    X, Y = on_disk("float64", "r")
    chunks = RowChunks(X, Y, rows=16)
    dmd = DMD(5).fit_moments(Moments.of_chunks(chunks))
    whole = DMD(5, svd="gram").fit(*snapshots())
    summary = sum(dmd.lift(x, y).project(x) for x, y in chunks)
    product = torch.cat([dmd.lift(x, y).expand(summary) for x, y in chunks])
    torch.testing.assert_close(product, whole.predict(snapshots()[0]))


@pytest.mark.parametrize("shapes", [((3, 2), (4, 2)), ((3, 2), (3, 3)), ((3,), (3,)), ((1, 3, 2), (1, 3, 2))])
def test_row_chunks_of_wrong_shapes(shapes):
    for kind in (np.ones, torch.ones):
        with pytest.raises(InputError, match=r"got X .* and Y .*, expected \(N, F\) for both"):
            RowChunks(*map(kind, shapes))


@pytest.mark.parametrize("rows", [0, -1])
def test_row_chunks_need_a_row(rows):
    with pytest.raises(InputError, match=f"got rows={rows}, expected at least 1"):
        RowChunks(np.ones((3, 2)), np.ones((3, 2)), rows=rows)


@pytest.mark.parametrize("shape", [(0, 2), (3, 0)])
def test_empty_arrays_have_no_moments(shape):
    with pytest.raises(InputError):
        Moments.of_chunks(RowChunks(np.ones(shape), np.ones(shape)))


@pytest.mark.parametrize("dtype", ["float16", "int64"])
def test_arrays_of_other_types(dtype):
    with pytest.raises(InputError, match=f"X of torch.{dtype}, expected"):
        Moments.of_chunks(RowChunks(np.ones((3, 2), dtype), np.ones((3, 2), dtype)))


def test_arrays_of_mixed_types():
    with pytest.raises(InputError, match="they must agree"):
        Moments.of_chunks(RowChunks(np.ones((3, 2)), np.ones((3, 2), np.float32)))
