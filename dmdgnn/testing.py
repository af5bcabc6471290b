"""Tests that every low-rank operator has to pass: this library's own, and those of whoever builds on it."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.operator import LowRankOperator


class LowRankOperatorTestCase:
    """Properties of every :class:`LowRankOperator`, checked against the matrix it stands for.

    For operators that are made or computed in a new way: by an estimator, a transform, or a subclass. Derive a class
    with a name that pytest collects, and say how to make one; small sizes will do.

    >>> class TestMyOperator(LowRankOperatorTestCase):
    ...     def create_operator(self):
    ...         return LowRankOperator(torch.eye(3, 2), torch.tensor([2.0, 1.0]))
    >>> TestMyOperator().test_product_is_the_dense_one()
    """

    def create_operator(self) -> LowRankOperator:
        """The operator to test."""
        raise NotImplementedError

    def create_rhs(self, K: LowRankOperator) -> Tensor:
        """A right-hand side (*batch, N, F) that K takes; by default, three columns of noise."""
        noise = torch.randn(*K.left.shape[:-1], 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        return noise.to(K.device, K.dtype)

    def test_product_is_the_dense_one(self) -> None:
        K = self.create_operator()
        x = self.create_rhs(K)
        _assert_close(K.to_dense(), _dense(K))
        _assert_close(K @ x, _dense(K) @ x)
        _assert_close(K.matmul(x), K @ x)
        _assert_close(K.expand(K.project(x)), K @ x)
        if not K.batch_shape:
            _assert_close(K @ x[:, 0], _dense(K) @ x[:, 0])

    def test_product_is_linear(self) -> None:
        K = self.create_operator()
        x, y = self.create_rhs(K), self.create_rhs(K).flip(-1)
        _assert_close(K @ (2 * x - y), 2 * (K @ x) - K @ y)

    def test_transpose_is_the_adjoint(self) -> None:
        K = self.create_operator()
        x, y = self.create_rhs(K), self.create_rhs(K).flip(-1)
        _assert_close(K.T.to_dense(), _dense(K).mT)
        _assert_close(K.T.T.to_dense(), _dense(K))
        _assert_close(((K @ x) * y).sum(dim=-2), (x * (K.T @ y)).sum(dim=-2))

    def test_power_is_a_repeated_product(self) -> None:
        K = self.create_operator()
        for exponent in (1, 2, 3):
            assert K.power(exponent).rank == K.rank
            _assert_close(K.power(exponent).to_dense(), torch.linalg.matrix_power(_dense(K), exponent))

    def test_eigenpairs_are_those_of_the_dense_matrix(self) -> None:
        K = self.create_operator()
        modes = K.modes.reshape(-1, *K.left.shape[-2:]) if K.ptr is None else K.modes.split(K.ptr.diff().tolist())
        for matrix, eigs, own in zip(_matrices(K), K.eigs.reshape(-1, K.rank), modes, strict=True):
            matrix = matrix.to(eigs.dtype)
            _assert_close(matrix @ own, own * eigs)
            assert bool(own.any(dim=0)[eigs.abs() > _tolerance(K.dtype) * matrix.abs().max()].all())
            for exponent in (1, 2):  # sums over all eigenvalues: none is missing, none is there twice
                _assert_close((eigs**exponent).sum(), torch.linalg.matrix_power(matrix, exponent).trace())

    def test_attributes_agree(self) -> None:
        K = self.create_operator()
        x = self.create_rhs(K)
        assert K.ptr is None or (K.batch_shape == (len(K.ptr) - 1,) and int(K.ptr[-1]) == K.shape[-1])
        assert K.shape == K.to_dense().shape == (*(K.batch_shape if K.ptr is None else ()), *2 * K.left.shape[-2:-1])
        assert K.left.shape == K.right.shape == K.modes.shape == (*K.shape[:-1], K.rank)
        assert K.eigs.shape == (*K.batch_shape, K.rank)
        assert K.project(x).shape == (*K.batch_shape, K.rank, x.size(-1))
        for tensor in (K @ x, K.project(x), K.to_dense(), K.left, K.core, K.right, K.T.left, K.power(2).core):
            assert (tensor.dtype, tensor.device) == (K.dtype, K.device)
        batch = f"batch={tuple(K.batch_shape)}, " if K.batch_shape else ""
        assert repr(K) == f"{type(K).__name__}({batch}nodes={K.shape[-1]}, rank={K.rank})"

    def test_conversion_keeps_the_operator(self) -> None:
        K = self.create_operator()
        for dtype in (torch.float32, torch.float64):
            assert (K.to(dtype).dtype, K.to(dtype).batch_shape) == (dtype, K.batch_shape)
            _assert_close(K.to(dtype).to_dense().float(), _dense(K).float())

    def test_save_and_load_change_nothing(self) -> None:
        K = self.create_operator().T
        with tempfile.TemporaryDirectory() as folder:
            K.save(Path(folder, "operator.safetensors"))
            loaded = type(K).load(Path(folder, "operator.safetensors"))
        for name in ("left", "core", "right", "ptr"):
            tensor = getattr(K, name)
            assert getattr(loaded, name) is None if tensor is None else torch.equal(getattr(loaded, name), tensor.cpu())

    def test_gradients_of_the_product(self) -> None:
        K = self.create_operator().to(torch.float64)

        def product(left: Tensor, core: Tensor, right: Tensor, x: Tensor) -> Tensor:
            other = copy.copy(K)
            other.left, other.core, other.right = left, core, right
            return other @ x

        tensors = (K.left, K.core, K.right, self.create_rhs(K))
        assert torch.autograd.gradcheck(product, [tensor.detach().clone().requires_grad_() for tensor in tensors])

    def test_other_operands_are_refused(self) -> None:
        K = self.create_operator()
        x = self.create_rhs(K)
        other = torch.float32 if K.dtype == torch.float64 else torch.float64
        vectors = [x[..., 0]] if K.batch_shape else []
        for operand in (x[..., :-1, :], x.unsqueeze(0), x.to(other), x[..., 0, 0], *vectors):
            try:
                K @ operand
            except InputError:
                continue
            raise AssertionError(f"{K!r} takes an operand of shape {tuple(operand.shape)} and {operand.dtype}")


def _tolerance(dtype: torch.dtype) -> float:
    return float(torch.finfo(dtype).eps ** 0.5)


def _assert_close(actual: Tensor, expected: Tensor) -> None:
    """Agree to half the digits, of the largest entry at least."""
    size = float(expected.abs().max()) if expected.numel() else 0.0
    tolerance = _tolerance(expected.dtype)
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance * size)


def _matrices(K: LowRankOperator) -> list[Tensor]:
    """L C R^T written out, of each operator."""
    core = K.core if K.core.dim() == len(K.batch_shape) + 2 else torch.diag_embed(K.core)
    if K.ptr is None:
        return list((K.left @ core @ K.right.mT).reshape(-1, *K.shape[-2:]))
    left, right = (factor.split(K.ptr.diff().tolist()) for factor in (K.left, K.right))
    return [rows @ own @ columns.mT for rows, own, columns in zip(left, core, right, strict=True)]


def _dense(K: LowRankOperator) -> Tensor:
    matrices = _matrices(K)
    return torch.stack(matrices).reshape(K.shape) if K.ptr is None else torch.block_diag(*matrices)
