"""Sparse snapshots give what dense ones give."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmdgnn import DMD, InputError, RankError
from dmdgnn.kernels import Moments, thin_svd
from matrices import randn

LAYOUTS = [torch.sparse_csr, torch.sparse_coo, torch.sparse_csc]
DTYPES = [torch.float32, torch.float64]


def dense(n, f, dtype=torch.float64, seed=0, share=0.3):
    """A matrix of which this share of the entries are not zero."""
    present = torch.rand(n, f, generator=torch.Generator().manual_seed(seed + 7)) < share
    return (randn(n, f, seed=seed) * present).to(dtype)


def dense_complex(n, f, dtype, seed=0):
    present = dense(n, f, seed=seed)
    return torch.complex(present, (present != 0) * randn(n, f, seed=seed + 2)).to(dtype)


def sparse(matrix, layout=torch.sparse_csr):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, of its beta state
        return matrix.to_sparse(layout=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(70, 30), (30, 70), (400, 300)])
def test_singular_values(layout, dtype, shape):
    X = dense(*shape, dtype)
    U, S, V = thin_svd(sparse(X, layout), rank=5)
    expected = thin_svd(X, rank=5)
    assert (U.dtype, U.layout, V.layout) == (dtype, torch.strided, torch.strided)
    torch.testing.assert_close(S, expected.S, rtol=1e-6 if dtype == torch.float32 else 1e-10, atol=0)
    torch.testing.assert_close(U @ U.mT, expected.U @ expected.U.mT)


@given(st.integers(3, 40), st.integers(3, 40), st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_all_triplets_are_as_many_as_of_the_dense_matrix(n, f, seed):
    X = dense(n, f, seed=seed)
    X[0, 0] = 1
    torch.testing.assert_close(thin_svd(sparse(X)).S, thin_svd(X, method="gram").S, rtol=1e-6, atol=0)


def test_the_randomized_kernel():
    X = dense(60, 40)
    torch.testing.assert_close(
        thin_svd(sparse(X), rank=30, method="randomized").S, thin_svd(X, rank=30, method="randomized").S
    )


@pytest.mark.parametrize("scale", [1e-170, 1e170])
def test_scale_does_not_matter(scale):
    X = dense(60, 40)
    torch.testing.assert_close(thin_svd(sparse(X * scale), rank=4).S / scale, thin_svd(X, rank=4).S)


@pytest.mark.parametrize("options", [{}, {"constraint": "symmetric"}, {"ridge": 0.1}, {"forward_backward": True}])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("both", [True, False])
def test_fit(options, dtype, both):
    X, Y = dense(60, 25, dtype), dense(60, 25, dtype, seed=1)
    fitted = DMD(6, **options).fit(sparse(X, torch.sparse_coo), sparse(Y, torch.sparse_csc) if both else Y)
    expected = DMD(6, **options).fit(X, Y)
    torch.testing.assert_close(fitted.operator.to_dense(), expected.operator.to_dense())
    torch.testing.assert_close(fitted.eigs.abs(), expected.eigs.abs())
    torch.testing.assert_close(fitted.forecast(2), expected.forecast(2))
    torch.testing.assert_close(fitted.truncate(3).operator.to_dense(), expected.truncate(3).operator.to_dense())


@pytest.mark.parametrize(
    "options", [{}, {"estimator": "rrr", "ridge": 0.1}, {"svd": "randomized"}, {"opt": True}], ids=str
)
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("shape", [(60, 25), (25, 60)])
def test_complex_snapshots(options, dtype, shape):
    X, Y = dense_complex(*shape, dtype), dense_complex(*shape, dtype, seed=1)
    fitted, expected = DMD(6, **options).fit(sparse(X), sparse(Y)), DMD(6, **options).fit(X, Y)
    torch.testing.assert_close(fitted.operator.to_dense(), expected.operator.to_dense())
    torch.testing.assert_close(fitted.dual_residuals, expected.dual_residuals)
    torch.testing.assert_close(fitted.reconstructed_data, expected.reconstructed_data)


def test_nothing_of_the_size_of_the_dense_matrix_is_made():
    places = torch.arange(60)
    indices, shape = torch.stack([places * 300, places * 200]), (10**5, 6 * 10**4)  # 24 GB if dense
    X = torch.sparse_coo_tensor(indices, 2.0**-places, shape, check_invariants=True)
    U, S, V = thin_svd(X, rank=3)
    torch.testing.assert_close(S, torch.tensor([1, 1 / 2, 1 / 4], dtype=torch.float64))
    assert (U.shape, V.shape) == ((shape[0], 3), (shape[1], 3))


@pytest.mark.parametrize(("n", "f"), [(30, 9), (9, 30)])
def test_the_place_of_an_entry_that_is_not_finite(n, f):
    X, Y = dense(n, f), dense(n, f, seed=1)
    for name, pair in (("X", (X.clone(), Y)), ("Y", (X, Y.clone()))):
        pair[name == "Y"][3, 4] = torch.nan
        with pytest.raises(InputError, match=rf"{name} has 1 NaN or infinite entries, the first at \(3, 4\)"):
            DMD(2).fit(*map(sparse, pair))
        with pytest.raises(InputError, match=rf"{name} has 1 NaN or infinite entries, the first at \(3, 4\)"):
            DMD(2).fit(*pair)


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"delays": 2}, {}),
        ({"total_least_squares": True}, {}),
        ({"center": True}, {}),
        ({"constraint": "circulant"}, {}),
        ({"svd": "full"}, {}),
        ({}, {"control": randn(2, 9)}),
        ({}, {"ptr": torch.tensor([0, 10, 30])}),
        ({}, {"Y": None}),
    ],
)
def test_what_needs_dense_snapshots_says_so(options, arguments):
    X = sparse(dense(30, 9))
    with pytest.raises(InputError, match=r"X\.to_dense\(\)"):
        DMD(2, **options).fit(**({"X": X, "Y": X} | arguments))


def test_trajectories_and_updates_are_dense():
    X, Y = dense(30, 9), dense(30, 9, seed=1)
    for sides in (([sparse(X)], [sparse(Y)]), ([sparse(X)], None), ([X, sparse(X)], [Y, Y])):
        with pytest.raises(InputError, match=r"X\.to_dense\(\)"):
            DMD(2).fit(*sides)
    for sides in ((sparse(X), sparse(Y)), (sparse(X), Y), (X, sparse(Y)), (sparse(X), None)):
        with pytest.raises(InputError, match=r"X\.to_dense\(\)"):
            DMD(2).fit(X, Y).update(*sides)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("svd", ["auto", "randomized"])
def test_snapshots_that_hold_nothing(layout, svd):
    with pytest.raises(RankError, match="X is zero"):
        DMD(2, svd=svd).fit(sparse(torch.zeros(30, 9), layout), torch.ones(30, 9))


def test_moments_are_of_dense_rows():
    with pytest.raises(InputError, match="dense"):
        Moments.of(sparse(dense(30, 9)), sparse(dense(30, 9)))
