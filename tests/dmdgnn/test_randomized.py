import math

import numpy as np
import pytest
import torch
from sklearn.utils.extmath import randomized_svd

from dmdgnn import DMD, InputError, RankError
from dmdgnn.kernels import thin_svd
from matrices import randn

F64 = torch.float64
SHAPES = [(60, 40), (40, 60), (200, 12)]


def matrix_with(values, n, f, seed=0):
    left, right = (torch.linalg.qr(randn(size, len(values), seed=seed)).Q for size in (n, f))
    return left * torch.as_tensor(values, dtype=F64) @ right.T


def slow(n=60, f=40):
    """Values that decay so slowly that the range finder misses a part."""
    return matrix_with([i**-0.5 for i in range(1, min(n, f) + 1)], n, f)


def same(svd, other):
    return all(torch.equal(factor, part) for factor, part in zip(svd, other, strict=True))


def randomized(X, rank, seed=0):
    return thin_svd(X, rank=rank, method="randomized", seed=seed)


def product(svd):
    return svd.U.double() * svd.S.unsqueeze(-2) @ svd.V.mT


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_same_seed_same_result(shape, dtype):
    X = slow(*shape).to(dtype)
    assert same(randomized(X, 3, seed=7), randomized(X, 3, seed=7))


def test_another_seed_another_approximation():
    assert not same(randomized(slow(), 3, seed=0), randomized(slow(), 3, seed=1))


def test_global_random_state_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    randomized(slow(), 3)
    torch.rand(2)
    torch.manual_seed(3)
    first = randomized(slow(), 3)
    assert torch.equal(torch.rand(4), expected)
    torch.manual_seed(4)
    assert same(randomized(slow(), 3), first)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-5), (F64, 1e-12)])
@pytest.mark.parametrize("seed", range(3))
def test_exact_for_a_matrix_of_the_rank(shape, dtype, atol, seed):
    X = matrix_with([3.0, 2.0, 1.0, 0.5, 0.25], *shape, seed=seed).to(dtype)
    svd = randomized(X, 5, seed=seed)
    torch.testing.assert_close(product(svd), X.double(), rtol=0, atol=atol)
    torch.testing.assert_close(svd.S, torch.tensor([3.0, 2.0, 1.0, 0.5, 0.25], dtype=F64), rtol=0, atol=atol)
    for factor in (svd.U, svd.V):
        torch.testing.assert_close(factor.T @ factor, torch.eye(5, dtype=factor.dtype), rtol=0, atol=atol)
    assert (svd.U.dtype, svd.S.dtype, svd.V.dtype) == (dtype, F64, F64)


@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_exact_where_it_has_all_columns(shape):
    X = randn(*shape)  # 10 columns more than rank 4 are more than 12
    torch.testing.assert_close(product(randomized(X, 4)), product(thin_svd(X, rank=4, method="full")))


@pytest.mark.parametrize("shape", [(60, 40), (40, 60)])
@pytest.mark.parametrize("rank", [1, 3, 8])
def test_mean_error_is_within_the_documented_bound(shape, rank):
    X = slow(*shape)
    values = torch.linalg.svdvals(X)
    errors = [float(torch.linalg.matrix_norm(X - product(randomized(X, rank, seed)), 2)) for seed in range(20)]
    p, q, cut = 10, 4, float(values[rank])
    inside = 1 + math.sqrt(rank / (p - 1)) + math.e * math.sqrt(rank + p) / p * math.sqrt(min(shape) - rank)
    assert cut * (1 - 1e-12) <= np.mean(errors) <= cut + inside ** (1 / (2 * q + 1)) * cut
    # So much for the bound on any matrix; four power iterations do far better here.
    assert np.mean(errors) < 1.05 * cut


def test_no_value_is_overestimated():
    X = slow()
    exact = torch.linalg.svdvals(X)[:8]
    for seed in range(5):
        assert float((randomized(X, 8, seed).S - exact).max()) < 1e-12


@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_scikit_learn(shape):
    X = matrix_with([2.0**-i for i in range(12)], *shape)
    left, values, right = randomized_svd(X.numpy(), 4, n_iter=4, random_state=0)
    svd = randomized(X, 4)
    np.testing.assert_allclose(svd.S, values, rtol=1e-6)
    np.testing.assert_allclose(product(svd), left * values @ right, atol=1e-6)


def test_a_batch_equals_the_loop():
    X = torch.stack([slow(), 5 * slow().roll(1, 0), matrix_with([1.0, 0.5], 60, 40)])
    svd = randomized(X, 4)
    for index, rank in enumerate([4, 4, 2]):
        alone = randomized(X[index], rank)
        torch.testing.assert_close(svd.S[index, :rank], alone.S)
        torch.testing.assert_close(product(svd)[index], product(alone))
    assert not svd.S[2, 2:].any()


@pytest.mark.parametrize("options", [{}, {"energy": 0.9}, {"rank": "optimal"}])
def test_needs_a_number_as_rank(options):
    with pytest.raises(InputError, match="the randomized kernel needs a number as rank"):
        thin_svd(slow(), method="randomized", **options)


def test_rank_above_that_of_the_data():
    with pytest.raises(RankError, match="numerical rank 2"):
        randomized(matrix_with([1.0, 0.5], 60, 40), 3)


@pytest.mark.parametrize("shape", [(3, 3), (5, 1), (1, 5)])
def test_rank_above_the_shape(shape):
    with pytest.raises(RankError, match=f"rank=4, but X of shape .* has numerical rank {min(shape)}"):
        randomized(randn(*shape), 4)


def test_zero_matrix_has_no_rank():
    with pytest.raises(RankError, match="X is zero"):
        randomized(torch.zeros(4, 3), 1)


def test_dmd_is_that_of_the_full_kernel_where_values_decay():
    X = matrix_with([4.0**-i for i in range(15)], 60, 40)
    Y = randn(60, 60, seed=1) @ X
    full, fast = (DMD(4, svd=svd).fit(X, Y) for svd in ("full", "randomized"))
    torch.testing.assert_close(fast.operator.to_dense(), full.operator.to_dense(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fast.eigs, full.eigs, rtol=1e-5, atol=1e-5)


def test_dmd_hands_on_its_seed():
    X, Y = slow(), randn(60, 40, seed=1)
    first, again, other = (DMD(3, svd="randomized", seed=seed).fit(X, Y).eigs for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
