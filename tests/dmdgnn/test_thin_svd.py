import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmdgnn import InputError, RankError
from dmdgnn.kernels import thin_svd
from matrices import randn

METHODS = ["gram", "full"]
DTYPES = [torch.float32, torch.float64]


def matrix_with(values, n, f, dtype=torch.float64, seed=0):
    """A dense (n, f) matrix with the singular values given."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(size, len(values), dtype=torch.float64, generator=generator)).Q for size in (n, f)
    )
    return (left * torch.tensor(values, dtype=torch.float64) @ right.T).to(dtype)


@pytest.mark.parametrize("method", [*METHODS, "auto"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "f"), [(9, 4), (4, 9), (5, 5)])
def test_agrees_with_numpy(method, dtype, n, f):
    X = matrix_with([5.0, 3.0, 2.0, 0.5], n, f, dtype)
    left, values, right = np.linalg.svd(X.double().numpy(), full_matrices=False)
    U, S, V = thin_svd(X, rank=3, method=method)
    assert U.dtype == dtype
    assert S.dtype == V.dtype == torch.float64
    np.testing.assert_allclose(S, values[:3], rtol=1e-7 if dtype == torch.float32 else 1e-10)
    np.testing.assert_allclose(U @ U.T, left[:, :3] @ left[:, :3].T, atol=1e-6 if dtype == torch.float32 else 1e-10)
    np.testing.assert_allclose(V @ V.T, right[:3].T @ right[:3], atol=1e-10)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8), st.sampled_from(METHODS), st.integers(0, 2**31 - 1))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_cut_is_the_best_approximation_of_its_rank(n, f, rank, method, seed):
    X = matrix_with([2.0**-i for i in range(min(n, f))], n, f, seed=seed)
    rank = min(rank, n, f)
    U, S, V = thin_svd(X, rank=rank, method=method)
    torch.testing.assert_close(U.T @ U, torch.eye(rank, dtype=torch.float64))
    torch.testing.assert_close(V.T @ V, torch.eye(rank, dtype=torch.float64))
    assert bool((S.diff() < 0).all())
    # Eckart-Young: the rest has exactly the energy of the values cut.
    error = torch.linalg.norm(X - U * S @ V.T)
    expected = sum(4.0**-i for i in range(rank, min(n, f))) ** 0.5
    assert float(error) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("energy", "rank"), [(0.01, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.76, 4), (1.0, 4), (1, 4)]
)
@pytest.mark.parametrize("method", METHODS)
def test_energy_keeps_the_fewest_that_reach_it(energy, rank, method):
    X = 2 * torch.eye(6, 4, dtype=torch.float64)  # each value has a quarter of the energy, exactly
    assert len(thin_svd(X, energy=energy, method=method).S) == rank


def test_energy_counts_squares():
    X = torch.diag(torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64))  # shares 16/21, 20/21, 1
    assert [len(thin_svd(X, energy=energy).S) for energy in (0.76, 0.77, 0.95, 0.96)] == [1, 2, 2, 3]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "f"), [(40, 12), (12, 40)])
def test_rounding_is_not_rank(method, dtype, n, f):
    X = matrix_with([3.0, 2.0, 1.0], n, f, dtype)
    for truncation in ({}, {"energy": 1.0}):
        assert len(thin_svd(X, method=method, **truncation).S) == 3
    with pytest.raises(RankError, match=r"rank=4, but X of shape \(\d+, \d+\) has numerical rank 3: use rank <= 3"):
        thin_svd(X, rank=4, method=method)


@pytest.mark.parametrize(
    ("dtype", "method", "rank"),
    [(torch.float64, "full", 3), (torch.float64, "auto", 3), (torch.float64, "gram", 2), (torch.float32, "full", 2)],
)
def test_floor_of_a_small_value(dtype, method, rank):
    # 1e-9 is above the rounding of float64, but under what a Gram matrix or float32 can tell.
    X = matrix_with([1.0, 0.5, 1e-9], 20, 6, dtype)
    assert len(thin_svd(X, method=method).S) == rank


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [2.0**-40, 2.0**40])
def test_scale_of_the_data_does_not_matter(method, dtype, scale):
    X = matrix_with([3.0, 2.0, 1.0], 8, 5, dtype)
    torch.testing.assert_close(thin_svd(scale * X, method=method).S, scale * thin_svd(X, method=method).S)


@pytest.mark.parametrize("method", METHODS)
def test_one_column_is_its_norm_and_direction(method):
    U, S, V = thin_svd(torch.tensor([[3.0], [4.0]]), method=method)
    torch.testing.assert_close(S, torch.tensor([5.0], dtype=torch.float64))
    torch.testing.assert_close(U * V, torch.tensor([[0.6], [0.8]], dtype=torch.float64))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(300_000, 2), (2, 300_000)])
def test_no_square_of_the_long_side_is_formed(method, shape):
    svd = thin_svd(torch.ones(shape), method=method)  # the square would take 360 GB
    torch.testing.assert_close(svd.S, torch.tensor([600_000.0], dtype=torch.float64).sqrt())


@pytest.mark.parametrize("method", METHODS)
def test_zero_matrix_has_no_rank(method):
    with pytest.raises(RankError, match="X is zero"):
        thin_svd(torch.zeros(4, 3), method=method)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((3, 2)), r"X of type ndarray, expected a torch\.Tensor"),
        (torch.ones(3), r"X of shape \(3,\)"),
        (torch.ones(2, 0, 2), r"X of shape \(2, 0, 2\)"),
        (torch.ones(0, 2), r"X of shape \(0, 2\)"),
        (torch.ones(2, 0), r"X of shape \(2, 0\)"),
        (torch.ones(3, 2, dtype=torch.int64), r"X of torch\.int64, expected torch\.float32 or torch\.float64"),
        (torch.ones(3, 2, dtype=torch.float16), r"X of torch\.float16"),
        (torch.ones(3, 2, dtype=torch.bfloat16), r"X of torch\.bfloat16"),
        (torch.tensor([[1.0, 2.0], [3.0, torch.nan]]), r"1 NaN or infinite entries, the first at \(1, 1\)"),
        (torch.tensor([[1.0, -torch.inf], [torch.inf, 1.0]]), r"2 NaN or infinite entries, the first at \(0, 1\)"),
    ],
)
def test_bad_matrix(X, message):
    with pytest.raises(InputError, match=message):
        thin_svd(X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank=0, expected a positive integer"),
        ({"rank": -1}, "rank=-1"),
        ({"rank": 1.0}, r"rank=1\.0"),
        ({"rank": True}, "rank=True"),
        ({"energy": 0.0}, r"energy=0\.0, expected a share in \(0, 1\]"),
        ({"energy": 1.01}, r"energy=1\.01"),
        ({"energy": float("nan")}, "energy=nan"),
        ({"rank": 1, "energy": 0.5}, r"both rank=1 and energy=0\.5: give one"),
        ({"method": "randomised"}, "svd='randomised', expected 'auto', 'gram', 'randomized' or 'full'"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        thin_svd(torch.eye(3), **options)


@pytest.mark.parametrize("method", ["gram", "full"])
@pytest.mark.parametrize("scale", [1e-170, 1e170])
def test_scale_of_the_entries_does_not_matter(method, scale):
    X = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(thin_svd(X * scale, method=method).S / scale, thin_svd(X, method=method).S)


def test_gram_is_orthonormal_down_to_its_floor():
    generator = torch.Generator().manual_seed(0)
    Q = torch.linalg.qr(torch.randn(10, 3, generator=generator, dtype=torch.float64)).Q
    P = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    U = thin_svd(Q * torch.tensor([1, 0.5, 6e-8], dtype=torch.float64) @ P.mT, method="gram").U
    torch.testing.assert_close(U.mT @ U, torch.eye(3, dtype=torch.float64), atol=1e-7, rtol=0)


def test_the_full_kernel_refuses_sparse_matrices():
    with pytest.raises(InputError, match="dense"):
        thin_svd(torch.eye(3).to_sparse(), method="full")


@pytest.mark.parametrize("shape", [(2000, 100), (100, 2000), (40, 9)])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_views_that_stand_for_the_negative_or_the_conjugate(shape, dtype):
    Z = torch.complex(randn(*shape), randn(*shape, seed=1)).to(dtype)
    for view in (Z.conj(), Z.conj().imag, Z.conj().real):
        torch.testing.assert_close(thin_svd(view, rank=3).S, thin_svd(view.resolve_conj().resolve_neg(), rank=3).S)
