import sys
import threading

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmdgnn.kernels import top_eigh
from dmdgnn.kernels.eigh import RANGE_SIZE
from dmdgnn.kernels.robust import robust

PARALLEL_ENTRIES = 2**13

F64 = torch.float64


def psd(*shape, seed=0, dtype=F64):
    """Positive definite matrices (*batch, n, n)."""
    A = torch.randn(*shape, shape[-1], dtype=F64, generator=torch.Generator().manual_seed(seed))
    return (A @ A.mT / shape[-1]).to(dtype)


def projector(vectors):
    return vectors @ vectors.mT


def assert_top_eigenpairs(matrix, count, values, vectors, atol=1e-10):
    expected, basis = np.linalg.eigh(matrix.double().numpy())
    expected, basis = expected[..., ::-1][..., :count].copy(), torch.from_numpy(basis[..., -count:].copy())
    np.testing.assert_allclose(values, expected, atol=atol)
    torch.testing.assert_close(projector(vectors).double(), projector(basis), rtol=0, atol=10 * atol)
    torch.testing.assert_close(matrix @ vectors, vectors * values.unsqueeze(-2), rtol=0, atol=10 * atol)
    torch.testing.assert_close(vectors.mT @ vectors, torch.eye(count).to(matrix).expand(*matrix.shape[:-2], -1, -1))


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr("dmdgnn.kernels.robust.PARALLEL_ENTRIES", PARALLEL_ENTRIES)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def asked_of_scipy(monkeypatch):
    """The index ranges that scipy.linalg.eigh is called with."""
    ranges, eigh = [], scipy.linalg.eigh

    def recorded(matrix, **options):
        ranges.append(options["subset_by_index"])
        return eigh(matrix, **options)

    monkeypatch.setattr(scipy.linalg, "eigh", recorded)
    return ranges


@pytest.mark.parametrize("batch", [(), (1,), (4,), (2, 3)])
@pytest.mark.parametrize("count", range(1, 7))
def test_agrees_with_numpy(batch, count):
    matrix = psd(*batch, 6)
    assert_top_eigenpairs(matrix, count, *top_eigh(matrix, count))


@given(st.lists(st.integers(1, 3), max_size=2), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31 - 1))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_values_descend_and_have_the_shape_asked_for(batch, size, count, seed):
    count = min(count, size)
    values, vectors = top_eigh(psd(*batch, size, seed=seed), count)
    assert values.shape == (*batch, count)
    assert vectors.shape == (*batch, size, count)
    assert bool((values.diff(dim=-1) <= 0).all())


def test_all_pairs_by_default():
    values, vectors = top_eigh(torch.diag(torch.tensor([1.0, 3.0, 2.0])))
    assert torch.equal(values, torch.tensor([3.0, 2.0, 1.0]))
    assert torch.equal(vectors.abs(), torch.eye(3)[:, [1, 2, 0]])


@pytest.mark.parametrize("count", [1, 7, RANGE_SIZE // 16])
def test_an_index_range_agrees_with_numpy(asked_of_scipy, count):
    matrix = psd(RANGE_SIZE)
    assert_top_eigenpairs(matrix, count, *top_eigh(matrix, count))
    assert asked_of_scipy == [(RANGE_SIZE - count, RANGE_SIZE - 1)]


def test_an_index_range_of_single_precision(asked_of_scipy):
    matrix = psd(RANGE_SIZE, dtype=torch.float32)
    values, vectors = top_eigh(matrix, 5)
    assert values.dtype == vectors.dtype == torch.float32
    assert len(asked_of_scipy) == 1
    torch.testing.assert_close(values, torch.linalg.eigvalsh(matrix)[-5:].flip(-1))


@pytest.mark.parametrize(
    ("shape", "count"),
    [((RANGE_SIZE - 1,), 1), ((RANGE_SIZE,), RANGE_SIZE // 16 + 1), ((RANGE_SIZE,), None), ((1, RANGE_SIZE), 1)],
)
def test_the_whole_decomposition_elsewhere(asked_of_scipy, shape, count):
    matrix = psd(*shape)
    assert_top_eigenpairs(matrix, count or shape[-1], *top_eigh(matrix, count))
    assert asked_of_scipy == []


@pytest.mark.parametrize("missing", [["scipy.linalg"], ["scipy", "scipy.linalg"]])
def test_without_scipy_the_result_is_the_same(monkeypatch, missing):
    matrix = psd(RANGE_SIZE)
    values, vectors = top_eigh(matrix, 9)
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    others, basis = top_eigh(matrix, 9)
    torch.testing.assert_close(others, values, rtol=1e-12, atol=0)
    torch.testing.assert_close(projector(basis), projector(vectors), rtol=0, atol=1e-9)


def test_what_scipy_cannot_do_torch_does(monkeypatch):
    matrix = psd(RANGE_SIZE)
    values, _ = top_eigh(matrix, 3)
    eigh, calls = scipy.linalg.eigh, []

    def fails_first(matrix, **options):
        calls.append(matrix.dtype)
        if len(calls) == 1:
            raise scipy.linalg.LinAlgError("did not converge")
        return eigh(matrix, **options)

    monkeypatch.setattr(scipy.linalg, "eigh", fails_first)
    torch.testing.assert_close(top_eigh(matrix, 3)[0], values)
    assert len(calls) == 2


def test_the_matrix_stays_as_it_is():
    for size, count in ((5, 2), (RANGE_SIZE, 2)):
        matrix = psd(size)
        top_eigh(matrix, count)
        assert torch.equal(matrix, psd(size))


@pytest.mark.parametrize("batch", [(9,), (2, 5), (1, 9), (1,)])
def test_a_batch_in_threads_equals_the_loop(two_threads, batch):
    size = 32 if batch != (1,) else 91
    matrices = psd(*batch, size)
    assert matrices.numel() >= PARALLEL_ENTRIES
    values, vectors = top_eigh(matrices, 4)
    for index in np.ndindex(batch):
        expected, basis = top_eigh(matrices[index], 4)
        torch.testing.assert_close(values[index], expected)
        torch.testing.assert_close(projector(vectors[index]), projector(basis), rtol=0, atol=1e-9)


def test_each_thread_takes_a_share(two_threads):
    seen = []

    def factorise(matrix):
        seen.append((threading.current_thread(), len(matrix)))
        return tuple(torch.linalg.eigh(matrix))

    robust(factorise, psd(9, 32))
    assert sorted(length for _, length in seen) == [4, 5]
    assert threading.main_thread() not in [thread for thread, _ in seen]


def test_a_small_batch_is_not_split(two_threads):
    lengths = []

    def factorise(matrix):
        lengths.append(len(matrix))
        return tuple(torch.linalg.eigh(matrix))

    robust(factorise, psd(4, 3))
    assert lengths == [4]


def test_a_share_that_fails_is_tried_again_with_the_others(two_threads):
    matrices, shapes = psd(9, 32), []

    def factorise(matrix):
        shapes.append(len(matrix))
        if len(matrix) == 4:
            raise torch.linalg.LinAlgError("did not converge")
        return tuple(torch.linalg.eigh(matrix))

    values, _ = robust(factorise, matrices)
    assert sorted(shapes) == [4, 5, 9]
    torch.testing.assert_close(values, torch.linalg.eigvalsh(matrices))
