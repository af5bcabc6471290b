import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmdgnn import InputError, LowRankOperator
from dmdgnn.errors import MissingPackageError

CORES = ["diagonal", "square"]


def make(core="square", n=6, r=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(n, r), (r,) if core == "diagonal" else (r, r), (n, r)]
    return LowRankOperator(
        *(torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)
    )


def dense(K):
    """L C R^T written out."""
    return K.left @ (K.core.diag() if K.core.dim() == 1 else K.core) @ K.right.T


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 4), (6, 0)])
def test_product_equals_the_dense_one(core, dtype, shape):
    K = make(core, dtype=dtype)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    torch.testing.assert_close(K @ x, dense(K) @ x)
    torch.testing.assert_close(K.matmul(x), K @ x)


@pytest.mark.parametrize("core", CORES)
def test_transpose_equals_the_dense_one(core):
    K = make(core)
    torch.testing.assert_close(K.to_dense(), dense(K))
    torch.testing.assert_close(K.T.to_dense(), dense(K).T)
    torch.testing.assert_close(K.T.T.to_dense(), dense(K))


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 5), st.sampled_from(CORES), st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_power_equals_the_dense_one(n, r, exponent, core, seed):
    K = make(core, n, r, seed)
    power = K.power(exponent)
    assert (power.shape, power.rank) == (K.shape, K.rank)
    expected = torch.linalg.matrix_power(dense(K), exponent)
    torch.testing.assert_close(power.to_dense(), expected, rtol=1e-8, atol=1e-8 * float(expected.abs().max()))


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("seed", range(4))
def test_eigenpairs_are_those_of_the_dense_matrix(core, seed):
    K = make(core, seed=seed)
    values = torch.linalg.eigvals(dense(K))
    largest = values[values.abs().argsort(descending=True)[:3]]
    distance = (K.eigs.unsqueeze(1) - largest).abs()
    assert float(distance.min(dim=0).values.max()) < 1e-9
    assert float(distance.min(dim=1).values.max()) < 1e-9
    assert bool((K.modes.norm(dim=0) > 1e-3).all())
    torch.testing.assert_close(dense(K).to(K.modes.dtype) @ K.modes, K.modes * K.eigs)


def test_rotation_has_the_eigenvalues_of_its_angle():
    angle = torch.tensor(0.3, dtype=torch.float64)
    c, s = angle.cos(), angle.sin()
    plane = torch.eye(5, dtype=torch.float64)[:, [1, 3]]
    K = LowRankOperator(plane, torch.stack([torch.stack([c, -s]), torch.stack([s, c])]))
    torch.testing.assert_close(K.eigs.angle().sort().values, torch.stack([-angle, angle]))
    torch.testing.assert_close(K.eigs.abs(), torch.ones(2, dtype=torch.float64))


def test_right_factor_is_the_left_one_by_default():
    left = make().left
    torch.testing.assert_close(LowRankOperator(left, torch.ones(3).double()).to_dense(), left @ left.T)


@pytest.mark.parametrize("core", CORES)
def test_attributes_and_conversion(core):
    K = make(core)
    assert (tuple(K.shape), K.rank, K.dtype, K.device.type) == ((6, 6), 3, torch.float64, "cpu")
    assert repr(K) == "LowRankOperator(nodes=6, rank=3)"
    single = K.to(torch.float32)
    assert (single.dtype, K.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(single.to_dense(), dense(K).float())


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_save_and_load_change_nothing(tmp_path, core, dtype):
    K = make(core, dtype=dtype).T  # the transpose has a core that is not contiguous
    K.save(tmp_path / "operator.safetensors")
    loaded = LowRankOperator.load(tmp_path / "operator.safetensors")
    for name in ("left", "core", "right"):
        torch.testing.assert_close(getattr(loaded, name), getattr(K, name), rtol=0, atol=0)


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
    ],
)
def test_shapes_that_do_not_fit(left, core, right):
    with pytest.raises(InputError, match=r"got left \(5.*expected \(\*batch, N, r\), \(\*batch, r\)"):
        LowRankOperator(torch.ones(left), torch.ones(core), torch.ones(right))


def test_factors_of_several_dtypes():
    with pytest.raises(InputError, match=r"differ in dtype or device: convert them with \.to"):
        LowRankOperator(torch.ones(3, 2), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("exponent", [0, -1])
def test_power_needs_a_positive_exponent(exponent):
    with pytest.raises(InputError, match=f"exponent {exponent}, expected at least 1"):
        make().power(exponent)


@pytest.mark.parametrize("x", [torch.ones(4), torch.ones(3, dtype=torch.float64), torch.ones(1, 3, 2)])
def test_product_with_a_wrong_operand(x):
    with pytest.raises(InputError, match="expected"):
        LowRankOperator(torch.ones(3, 1), torch.ones(1)) @ x


def test_factors_must_be_real():
    with pytest.raises(InputError, match="real floating point"):
        LowRankOperator(torch.ones(3, 1, dtype=torch.int64), torch.ones(1, dtype=torch.int64))


def test_saving_without_safetensors_names_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(MissingPackageError, match="pip install safetensors"):
        LowRankOperator(torch.ones(3, 1), torch.ones(1)).save(tmp_path / "operator.safetensors")
