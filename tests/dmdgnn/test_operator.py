import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmdgnn import DMD, InputError, LowRankOperator
from dmdgnn.errors import MissingPackageError
from dmdgnn.testing import LowRankOperatorTestCase
from matrices import randn

CORES = ["diagonal", "square"]
PTR = torch.tensor([0, 3, 8, 12, 14])


def make(core="square", n=6, r=3, seed=0, batch=()):
    cores = (r,) if core == "diagonal" else (r, r)
    return LowRankOperator(
        randn(*batch, n, r, seed=seed), randn(*batch, *cores, seed=seed + 1), randn(*batch, n, r, seed=seed + 2)
    )


def dense(K):
    """L C R^T written out."""
    return K.left @ (K.core.diag() if K.core.dim() == 1 else K.core) @ K.right.T


class TestDiagonalCore(LowRankOperatorTestCase):
    def create_operator(self):
        return make("diagonal")


class TestSquareCore(LowRankOperatorTestCase):
    def create_operator(self):
        return make("square")


class TestRightAsLeft(LowRankOperatorTestCase):
    def create_operator(self):
        return LowRankOperator(randn(5, 2), randn(2, seed=1))


class TestFloat32(LowRankOperatorTestCase):
    def create_operator(self):
        return make("square", seed=3).to(torch.float32)


class TestRankAboveNodes(LowRankOperatorTestCase):
    def create_operator(self):
        return make("square", n=2, r=4)


class TestBatch(LowRankOperatorTestCase):
    def create_operator(self):
        return make("square", batch=(3,))


class TestBatchOfDiagonalCores(LowRankOperatorTestCase):
    def create_operator(self):
        # As many operators as their rank: the core is no square one for it.
        return make("diagonal", batch=(3,))


class TestBatchOfTwoDimensions(LowRankOperatorTestCase):
    def create_operator(self):
        return make("square", batch=(2, 3))


class TestRagged(LowRankOperatorTestCase):
    def create_operator(self):
        return LowRankOperator(randn(14, 2), randn(4, 2, 2, seed=1), randn(14, 2, seed=2), ptr=PTR)


class TestRaggedWithDiagonalCores(LowRankOperatorTestCase):
    def create_operator(self):
        return LowRankOperator(randn(14, 2), randn(4, 2, seed=1), ptr=PTR)


class TestRaggedFloat32(LowRankOperatorTestCase):
    def create_operator(self):
        return TestRagged().create_operator().to(torch.float32)


class TestExactFit(LowRankOperatorTestCase):
    def create_operator(self):
        return DMD(rank=3).fit(randn(7, 5), randn(7, 5, seed=1)).operator


class TestProjectedFit(LowRankOperatorTestCase):
    def create_operator(self):
        return DMD(modes="projected").fit(randn(7, 5), randn(7, 5, seed=1)).operator


class TestSymmetricFit(LowRankOperatorTestCase):
    def create_operator(self):
        return DMD(rank=3, constraint="symmetric").fit(randn(7, 5), randn(7, 5, seed=1)).operator


class TestFitOfBatchWithALowerRank(LowRankOperatorTestCase):
    def create_operator(self):
        X = randn(3, 7, 5)
        X[1, :, 1:] = 0
        return DMD(rank=3).fit(X, randn(3, 7, 5, seed=1)).operator


class TestFitOfGraphsSomeSmallerThanTheRank(LowRankOperatorTestCase):
    def create_operator(self):
        return DMD(rank=3).fit(randn(14, 5), randn(14, 5, seed=1), ptr=PTR).operator


class TestFitInFloat32(LowRankOperatorTestCase):
    def create_operator(self):
        return DMD(rank=3).fit(randn(7, 5).float(), randn(7, 5, seed=1).float()).operator


@pytest.mark.parametrize(
    ("name", "wrong", "test"),
    [
        ("expand", lambda self, summary: self.left @ summary, "test_product_is_the_dense_one"),
        ("__matmul__", lambda self, x: dense(self) @ x.abs(), "test_product_is_linear"),
        ("T", property(lambda self: self), "test_transpose_is_the_adjoint"),
        ("power", lambda self, exponent: self, "test_power_is_a_repeated_product"),
        ("eigs", property(lambda self: torch.zeros(3)), "test_eigenpairs_are_those_of_the_dense_matrix"),
        ("modes", property(lambda self: torch.zeros(6, 3)), "test_eigenpairs_are_those_of_the_dense_matrix"),
        ("rank", 7, "test_attributes_agree"),
        ("to", lambda self, dtype: self, "test_conversion_keeps_the_operator"),
        ("_check", lambda self, x: None, "test_other_operands_are_refused"),
        ("load", lambda path: make(seed=5), "test_save_and_load_change_nothing"),
    ],
)
def test_the_case_finds_a_wrong_operator(monkeypatch, name, wrong, test):
    monkeypatch.setattr(LowRankOperator, name, wrong)
    with pytest.raises((AssertionError, RuntimeError)):
        getattr(TestSquareCore(), test)()


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("shape", [(6, 1), (6, 0)])
def test_product_with_one_column_or_none(core, shape):
    K, x = make(core), randn(*shape)
    torch.testing.assert_close(K @ x, dense(K) @ x)


def test_ragged_batch_is_the_operators_one_by_one():
    K, x = TestRagged().create_operator(), randn(14, 3, seed=3)
    for i, rows in enumerate(torch.arange(14).split(PTR.diff().tolist())):
        own = LowRankOperator(K.left[rows], K.core[i], K.right[rows])
        torch.testing.assert_close((K @ x)[rows], own @ x[rows])
        torch.testing.assert_close(K.project(x)[i], own.project(x[rows]))


def test_summaries_of_disjoint_rows_add_up():
    K, x = make(), randn(6, 2, seed=3)
    parts = [LowRankOperator(K.left[rows], K.core, K.right[rows]) for rows in (slice(0, 2), slice(2, 6))]
    summary = parts[0].project(x[:2]) + parts[1].project(x[2:])
    torch.testing.assert_close(torch.cat([part.expand(summary) for part in parts]), K @ x)


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 5), st.sampled_from(CORES), st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_power_equals_the_dense_one(n, r, exponent, core, seed):
    K = make(core, n, r, seed)
    expected = torch.linalg.matrix_power(dense(K), exponent)
    torch.testing.assert_close(
        K.power(exponent).to_dense(), expected, rtol=1e-8, atol=1e-8 * float(expected.abs().max())
    )


def test_rotation_has_the_eigenvalues_of_its_angle():
    angle = torch.tensor(0.3, dtype=torch.float64)
    c, s = angle.cos(), angle.sin()
    plane = torch.eye(5, dtype=torch.float64)[:, [1, 3]]
    K = LowRankOperator(plane, torch.stack([torch.stack([c, -s]), torch.stack([s, c])]))
    torch.testing.assert_close(K.eigs.angle().sort().values, torch.stack([-angle, angle]))
    torch.testing.assert_close(K.eigs.abs(), torch.ones(2, dtype=torch.float64))


def test_conversion_makes_a_copy():
    K = make()
    assert (K.to(torch.float32).dtype, K.dtype) == (torch.float32, torch.float64)


def test_save_of_shared_factors(tmp_path):
    K = LowRankOperator(torch.eye(3)[:, :2], torch.tensor([2.0, 1.0]))
    K.save(str(tmp_path / "operator.safetensors"))
    loaded = LowRankOperator.load(str(tmp_path / "operator.safetensors"))
    torch.testing.assert_close(loaded.to_dense(), torch.diag(torch.tensor([2.0, 1.0, 0.0])))


@pytest.mark.parametrize(
    ("left", "core", "right"),
    [
        ((5, 2), (3,), (5, 2)),
        ((5, 2), (2, 3), (5, 2)),
        ((5, 2), (2,), (4, 2)),
        ((5, 2), (2,), (5, 3)),
        ((5,), (5,), (5,)),
        ((5, 4, 2), (2,), (5, 4, 2)),
        ((5, 4, 2), (3, 2), (5, 4, 2)),
    ],
)
def test_shapes_that_do_not_fit(left, core, right):
    with pytest.raises(InputError, match=r"got left \(5.*expected \(\*batch, N, r\), \(\*batch, r\)"):
        LowRankOperator(torch.ones(left), torch.ones(core), torch.ones(right))


@pytest.mark.parametrize(
    ("left", "core", "ptr", "message"),
    [
        ((5, 2), (2,), [0, 2, 5], r"expected \(N, r\), \(B, r\) or \(B, r, r\)"),
        ((1, 5, 2), (2, 2), [0, 2, 5], r"expected \(N, r\)"),
        ((5, 2), (2, 2), [0, 2, 4], "ptr for 4 rows, but left has 5"),
        ((5, 2), (2, 2), [1, 2, 5], "ptr must begin with zero"),
        ((5, 2), (3, 2), [0, 2, 2, 5], "each graph needs at least one node"),
        ((5, 2), (0, 2), [0], r"expected torch\.int64 of shape \(graphs \+ 1,\)"),
        ((5, 2), (2, 2), [0.0, 2.0, 5.0], r"got ptr torch\.float32"),
    ],
)
def test_pointers_that_do_not_fit(left, core, ptr, message):
    with pytest.raises(InputError, match=message):
        LowRankOperator(torch.ones(left), torch.ones(core), ptr=torch.tensor(ptr))


def test_factors_of_several_dtypes():
    with pytest.raises(InputError, match=r"differ in dtype or device: convert them with \.to"):
        LowRankOperator(torch.ones(3, 2), torch.ones(2, dtype=torch.float64))


def test_factors_must_be_floating_point():
    with pytest.raises(InputError, match="real floating point"):
        LowRankOperator(torch.ones(3, 1, dtype=torch.int64), torch.ones(1, dtype=torch.int64))


@pytest.mark.parametrize("exponent", [0, -1, 2.5, True, "2"])
def test_power_needs_a_positive_exponent(exponent):
    with pytest.raises(InputError, match=f"exponent {exponent!r}, expected an integer of at least 1"):
        make().power(exponent)


def test_a_wrong_operand_is_told_what_is_expected():
    with pytest.raises(InputError, match=r"got x of shape \(4, 1\), .*expected \(2, 3, F\) of torch\.float32 on cpu"):
        LowRankOperator(torch.ones(2, 3, 1), torch.ones(2, 1)) @ torch.ones(4, 1)


def test_saving_without_safetensors_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(MissingPackageError, match="pip install safetensors"):
        LowRankOperator(torch.ones(3, 1), torch.ones(1)).save(tmp_path / "operator.safetensors")
