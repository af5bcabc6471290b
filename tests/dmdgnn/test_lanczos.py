import sys

import pytest
import scipy.sparse.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmdgnn.kernels import thin_svd, top_eigh
from dmdgnn.kernels.lanczos import BLOCK, TOLERANCE, lanczos
from matrices import randn

F64 = torch.float64
SIZE = 480


def matrix_with(values, seed=0):
    """A symmetric matrix (SIZE, SIZE) with these eigenvalues, and zeros."""
    Q = torch.linalg.qr(randn(SIZE, len(values), seed=seed)).Q
    return Q * torch.tensor(values, dtype=F64) @ Q.mT


def pairs_of(matrix, count, seed=0):
    return lanczos(lambda block: matrix @ block, len(matrix), count, seed)


@given(st.floats(0.5, 4), st.integers(1, 12), st.integers(0, 2**31 - 1))
@settings(max_examples=12, deadline=None, derandomize=True)
def test_pairs_are_those_of_lapack(decay, count, seed):
    matrix = matrix_with([(1 + place) ** -decay for place in range(SIZE)], seed)
    expected, basis = (part.flip(-1)[..., :count] for part in torch.linalg.eigh(matrix))
    found = pairs_of(matrix, count, seed)
    if found is None:  # a slow decay of few values: no pair is given, rather than a wrong one
        assert decay < 2
        return
    values, vectors = found
    torch.testing.assert_close(values, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(vectors @ vectors.mT, basis @ basis.mT, rtol=0, atol=1e-10)
    residuals = torch.linalg.vector_norm(matrix @ vectors - vectors * values, dim=0)
    assert bool((residuals <= 3 * TOLERANCE * values[0]).all())


@pytest.mark.parametrize("copies", [2, BLOCK, BLOCK + 1, 3 * BLOCK])
@pytest.mark.parametrize("first", [[], [3.0, 2.5]])
def test_copies_of_an_eigenvalue_beyond_the_columns_of_a_block(copies, first):
    values, _ = pairs_of(matrix_with([*first, *[2.0] * copies, *[0.8**k for k in range(60)]]), 2 + copies)
    torch.testing.assert_close(values[len(first) : len(first) + copies], torch.full((copies,), 2.0, dtype=F64))


@pytest.mark.parametrize("rank", [0, 1, 5, BLOCK])
def test_a_matrix_of_lower_rank_has_further_zeros(rank):
    values, vectors = pairs_of(matrix_with([float(rank - k) for k in range(rank)]), rank + 3)
    torch.testing.assert_close(values[:rank], torch.arange(rank, 0, -1, dtype=F64))
    assert float(values[rank:].abs().max()) < 1e-13
    torch.testing.assert_close(vectors.mT @ vectors, torch.eye(rank + 3, dtype=F64))


@pytest.mark.parametrize("count", [1, SIZE // 3, SIZE])
def test_no_pairs_where_a_third_of_the_columns_does_not_hold_them(count):
    matrix = matrix_with([1 - 1e-9 * k for k in range(SIZE)])
    assert pairs_of(matrix, count) is None


@pytest.fixture
def by_lanczos(monkeypatch):
    """Methods take Lanczos' from small sizes on, and this list says with how many pairs."""
    counts = []

    def recorded(product, size, count, *others, **named):
        pairs = lanczos(product, size, count, *others, **named)
        counts.append(None if pairs is None else count)
        return pairs

    for name, limit in (("thin_svd", "PRODUCTS_SIZE"), ("eigh", "LANCZOS_SIZE")):
        module = sys.modules[f"dmdgnn.kernels.{name}"]  # a function of the same name hides it
        monkeypatch.setattr(module, "lanczos", recorded)
        monkeypatch.setattr(module, limit, SIZE)
    return counts


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("shape", [(500, SIZE), (SIZE, 500)])
@pytest.mark.parametrize("scale", [1.0, 2.0**-500])
def test_few_triplets_of_a_wide_matrix(by_lanczos, dtype, shape, scale):
    if dtype == torch.float32 and scale != 1:
        scale = 2.0**-100
    X = (randn(*shape) * torch.arange(1, shape[1] + 1) ** -2.0).to(dtype) * scale
    U, S, V = thin_svd(X, rank=5)
    assert by_lanczos == [5]
    full = thin_svd(X, rank=5, method="full")
    torch.testing.assert_close(S, full.S, rtol=1e-12 if dtype == F64 else 1e-7, atol=0)
    torch.testing.assert_close(V @ V.mT, full.V @ full.V.mT, rtol=0, atol=1e-10)
    torch.testing.assert_close(U.mT @ U, torch.eye(5, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("shape", [(500, SIZE), (SIZE, 500)])
def test_few_triplets_of_a_complex_matrix(by_lanczos, dtype, shape):
    X = torch.complex(randn(*shape), randn(*shape, seed=1)) * torch.arange(1, shape[1] + 1) ** -2.0
    U, S, V = thin_svd(X.to(dtype), rank=5)
    assert by_lanczos == [5]
    full = thin_svd(X, rank=5, method="full")
    single = dtype == torch.complex64
    torch.testing.assert_close(S, full.S, rtol=1e-6 if single else 1e-12, atol=0)
    torch.testing.assert_close(V @ V.mH, full.V @ full.V.mH, rtol=0, atol=1e-5 if single else 1e-10)
    torch.testing.assert_close(U.mH @ U, torch.eye(5, dtype=dtype))


def test_few_pairs_of_a_hermitian_matrix(by_lanczos):
    Q = torch.linalg.qr(torch.complex(randn(SIZE, SIZE), randn(SIZE, SIZE, seed=1))).Q
    values, vectors = top_eigh(Q * 0.8 ** torch.arange(SIZE) @ Q.mH, 7)
    assert by_lanczos == [7]
    torch.testing.assert_close(values, 0.8 ** torch.arange(7, dtype=F64))
    torch.testing.assert_close(vectors @ vectors.mH, Q[:, :7] @ Q[:, :7].mH)


def test_a_decay_too_slow_is_left_to_the_gram_matrix(by_lanczos):
    X = torch.linalg.qr(randn(500, SIZE)).Q * torch.linspace(1, 0.999, SIZE, dtype=F64)
    S = thin_svd(X, rank=5).S
    assert by_lanczos == [None, None]
    torch.testing.assert_close(S, torch.linspace(1, 0.999, SIZE, dtype=F64)[:5])


def test_the_basis_grows_as_far_as_it_must(by_lanczos):
    X = randn(SIZE, SIZE) * torch.arange(1, SIZE + 1) ** -1.5
    torch.testing.assert_close(thin_svd(X, rank=1).S, torch.linalg.matrix_norm(X, 2)[None])
    assert by_lanczos == [1]


def test_few_pairs_of_a_large_matrix(by_lanczos):
    matrix = matrix_with([0.8**k for k in range(SIZE)])
    values, vectors = top_eigh(matrix, 7)
    assert by_lanczos == [7]
    expected = scipy.sparse.linalg.eigsh(matrix.numpy(), 7, return_eigenvectors=False)
    torch.testing.assert_close(values, torch.from_numpy(expected).flip(0))
    torch.testing.assert_close(matrix @ vectors, vectors * values)


def test_a_seed_gives_the_same_digits():
    matrix = matrix_with([0.8**k for k in range(SIZE)])
    first, again, other = (pairs_of(matrix, 4, seed) for seed in (0, 0, 1))
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
