import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydmd import DMD as PyDMD
from pydmd.utils import _svht

from dmdgnn import DMD, InputError
from dmdgnn.kernels import Truncation, thin_svd
from matrices import orthonormal, randn

F64 = torch.float64
SHAPES = [(60, 40), (40, 60), (50, 50), (300, 20)]


def noisy(n, f, seed=0):
    """Rank 3, well above white noise."""
    signal = orthonormal(n, 3, seed) * torch.tensor([30.0, 20.0, 15.0], dtype=F64) @ orthonormal(f, 3, seed + 1).T
    return signal + 0.3 * randn(n, f, seed=seed + 2)


def walsh(values):
    """A dense matrix with these powers of two as singular values, exactly, and its singular vectors."""
    basis = torch.from_numpy(scipy.linalg.hadamard(len(values))).double()
    return basis * torch.tensor(values, dtype=F64) @ basis.T / len(values), basis / len(values) ** 0.5


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", ["auto", "gram", "full"])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_optimal_finds_the_planted_rank_as_pydmd_does(shape, method, dtype):
    X = noisy(*shape).to(dtype)
    values = np.linalg.svd(X.numpy(), compute_uv=False)
    assert len(thin_svd(X, rank="optimal", method=method).S) == _svht(values, *shape) == 3


@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 2**31 - 1))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_optimal_is_the_threshold_of_pydmd(n, f, seed):
    X = torch.diag(torch.tensor([9.0, 5.0], dtype=F64)).repeat(n, f)[:n, :f] + randn(n, f, seed=seed)
    values = np.linalg.svd(X.numpy(), compute_uv=False)
    kept = int(Truncation("optimal").kept(torch.from_numpy(values), (n, f), 1e-14))
    beta = min(n, f) / max(n, f)
    if values[0] > np.median(values) * (0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43):
        assert kept == _svht(values, n, f)
    else:  # PyDMD warns
        assert kept == 1


@pytest.mark.parametrize("method", ["auto", "gram", "full"])
def test_optimal_keeps_at_least_one(method):
    assert len(thin_svd(torch.eye(5), rank="optimal", method=method).S) == 1


def test_optimal_does_not_keep_rounding():
    # More than half of the values are rounding, and so is their median.
    X = orthonormal(20, 3) @ orthonormal(10, 3, seed=1).T
    assert len(thin_svd(X, rank="optimal").S) == 3


def test_optimal_is_an_own_rank_for_each_of_a_batch():
    X = torch.stack([noisy(60, 40), noisy(60, 40) * 1e3, torch.eye(60, 40, dtype=F64)])
    S = thin_svd(X, rank="optimal").S
    assert (S > 0).sum(dim=-1).tolist() == [3, 3, 1]


@pytest.mark.parametrize("svd", ["auto", "gram", "full"])
def test_optimal_dmd_agrees_with_pydmd(svd):
    X, Y = noisy(40, 30), noisy(40, 30, seed=5)
    eigs = PyDMD(svd_rank=0, exact=True).fit(X.numpy(), Y.numpy()).eigs
    dmd = DMD("optimal", svd=svd).fit(X, Y)
    assert dmd.operator.rank == 3
    np.testing.assert_allclose(np.sort_complex(dmd.eigs.numpy()), np.sort_complex(eigs), atol=1e-10)


@given(
    st.lists(st.floats(1e-3, 1.0), min_size=1, max_size=10),
    st.floats(0.0, 1.0, exclude_min=True),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_energy_keeps_the_fewest_values_that_reach_the_share(values, energy):
    S = torch.tensor(values, dtype=F64).sort(descending=True).values
    kept = int(Truncation(energy=energy).kept(S, (20, 10), 0.0))
    shares = S.square().cumsum(0) / S.square().sum()
    assert float(shares[kept - 1]) >= energy - 1e-12
    assert kept == 1 or float(shares[kept - 2]) < energy + 1e-12


def test_energy_is_an_own_rank_for_each_of_a_batch():
    S = torch.tensor([[3.0, 2.0, 1.0], [5.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], dtype=F64)
    assert Truncation(energy=0.9).kept(S, (3, 3), 1e-15).tolist() == [2, 1, 0, 3]


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("truncation", [Truncation(energy=0.9), Truncation(2), Truncation("optimal"), Truncation()])
def test_the_unit_of_the_values_does_not_matter(truncation, scale):
    S = torch.tensor([3.0, 2.0, 1.0], dtype=F64)
    assert truncation.kept(scale * S, (9, 3), 1e-15) == truncation.kept(S, (9, 3), 1e-15)


@pytest.mark.parametrize("truncation", [Truncation(3), Truncation(energy=1.0), Truncation("optimal"), Truncation()])
def test_no_rule_keeps_rounding(truncation):
    assert int(truncation.kept(torch.tensor([1.0, 1e-9, 1e-10]), (3, 3), 1e-8)) == 1
    assert int(truncation.kept(torch.zeros(3), (3, 3), 1e-8)) == 0


def test_count_is_the_rank_where_it_does_not_depend_on_the_data():
    rules = [Truncation(3), Truncation("optimal"), Truncation(energy=0.5), Truncation()]
    assert [rule.count for rule in rules] == [3, None, None, None]


@pytest.mark.parametrize("rank", [1, "optimal"])
def test_rank_and_energy_exclude_each_other(rank):
    with pytest.raises(InputError, match=r"got both rank=.* and energy=0\.5: give one of them"):
        Truncation(rank, 0.5)


@pytest.mark.parametrize("rank", [0, -1, 1.0, True, "best", "", (1,)])
def test_bad_rank(rank):
    with pytest.raises(InputError, match="expected a positive integer, 'optimal', or None for all"):
        Truncation(rank)


@pytest.mark.parametrize("energy", [0, 0.0, -0.1, 1.01, float("nan"), float("inf"), "0.9"])
def test_bad_energy(energy):
    with pytest.raises(InputError, match=r"got energy=.*, expected a share in \(0, 1\]"):
        Truncation(energy=energy)


# The rule of 'auto'.


def same(svd, other):
    return all(torch.equal(factor, part) for factor, part in zip(svd, other, strict=True))


@pytest.mark.parametrize("rank", [None, 2, 3])
def test_auto_is_gram_for_single_precision(rank):
    X = walsh([1.0, 2.0**-4, 2.0**-15, 0.0])[0].float()
    assert same(thin_svd(X, rank=rank), thin_svd(X, rank=rank, method="gram"))


@pytest.mark.parametrize(("last", "kernel"), [(3.1e-4, "gram"), (2.9e-4, "full")])
@pytest.mark.parametrize("options", [{"rank": 2}, {"energy": 1.0}])
def test_auto_depends_on_the_last_value_kept(last, kernel, options):
    X = orthonormal(9, 2) * torch.tensor([1.0, last], dtype=F64) @ orthonormal(5, 2, seed=1).T
    assert same(thin_svd(X, **options), thin_svd(X, **options, method=kernel))


def test_auto_does_not_mind_small_values_that_are_cut():
    X, _ = walsh([1.0, 2.0**-4, 2.0**-15, 0.0])
    assert same(thin_svd(X, rank=2), thin_svd(X, rank=2, method="gram"))


def test_auto_has_the_accuracy_of_full_where_gram_has_not():
    X, basis = walsh([2.0**-power for power in (0, 17, 18, 19, 20, 21, 22, 23)])
    kept = basis[:, :2] @ basis[:, :2].T

    def error(method):
        V = thin_svd(X, rank=2, method=method).V
        return float((V @ V.T - kept).abs().max())

    assert error("gram") > 1e-8
    assert error("auto") < 1e-9
    values = 2.0 ** -torch.tensor([0, 17], dtype=F64)
    torch.testing.assert_close(thin_svd(X, rank=2).S, values, rtol=1e-9, atol=0)


def test_auto_has_the_values_of_full_where_gram_has_not():
    powers = (0, 23, 24, 30)
    X, _ = walsh([2.0**-power for power in powers])
    values = 2.0 ** -torch.tensor(powers[:3], dtype=F64)
    assert float((thin_svd(X, rank=3, method="gram").S / values - 1).abs().max()) > 1e-7
    torch.testing.assert_close(thin_svd(X, rank=3).S, values, rtol=1e-8, atol=0)


@pytest.mark.parametrize("options", [{"rank": 3}, {"rank": "optimal"}, {}])
def test_auto_finds_values_that_gram_cannot_see(options):
    X, _ = walsh([1.0, 0.5, 2.0**-30, 0.0])  # 1e-9 is under the floor of 'gram', but far above rounding
    expected = thin_svd(X, **options, method="full").S
    torch.testing.assert_close(thin_svd(X, **options).S, expected, rtol=1e-6, atol=0)


def test_auto_finds_values_that_gram_cannot_see_in_a_batch():
    X, _ = walsh([1.0, 0.5, 2.0**-30, 0.0])
    S = thin_svd(torch.stack([X, torch.eye(4, dtype=F64)]), rank=3).S
    torch.testing.assert_close(S[0], torch.tensor([1.0, 0.5, 2.0**-30], dtype=F64), rtol=1e-6, atol=0)


@pytest.mark.parametrize("method", ["auto", "gram", "full", "randomized"])
@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("shape", [(8, 5), (5, 8)])
def test_extreme_scales_change_the_values_only(method, scale, shape):
    X = randn(*shape)
    U, S, V = thin_svd(scale * X, rank=3, method=method)
    expected = thin_svd(X, rank=3, method="full")
    torch.testing.assert_close(S / scale, expected.S)
    torch.testing.assert_close(U * (S / scale) @ V.T, expected.U * expected.S @ expected.V.T)
    torch.testing.assert_close(U.T @ U, torch.eye(3, dtype=F64))


@pytest.mark.parametrize("method", ["auto", "gram", "full", "randomized"])
@pytest.mark.parametrize("scale", [1e-39, 1e-30, 1e30, 1e38])
@pytest.mark.parametrize("shape", [(8, 5), (5, 8)])
def test_extreme_scales_of_single_precision(method, scale, shape):
    X = randn(*shape).clamp(-2, 2)
    U, S, V = thin_svd((scale * X).float(), rank=3, method=method)
    expected = thin_svd(X, rank=3, method="full")
    torch.testing.assert_close(S / scale, expected.S, rtol=1e-5, atol=0)
    torch.testing.assert_close(U * (S / scale) @ V.T, expected.U * expected.S @ expected.V.T, rtol=0, atol=1e-5)
    torch.testing.assert_close(U.T @ U, torch.eye(3), rtol=0, atol=1e-5)
