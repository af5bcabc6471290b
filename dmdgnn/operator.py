"""A linear operator of low rank, kept as its factors."""

from __future__ import annotations

import os
from types import ModuleType

import torch
from torch import Tensor

from dmdgnn.errors import InputError, MissingPackageError


class LowRankOperator:
    r"""The operator :math:`K = L\, C\, R^T` on N nodes, never formed as an N x N matrix.

    Args:
        left: :math:`L`, shape (N, r).
        core: :math:`C`, shape (r, r), or (r,) for a diagonal core.
        right: :math:`R`, shape (N, r); by default `left`.

    All factors are real and share dtype and device. A product costs :math:`O(N r F)`.

    >>> K = LowRankOperator(torch.eye(3)[:, :1], torch.tensor([2.0]))
    >>> K @ torch.ones(3, 1)
    tensor([[2.],
            [0.],
            [0.]])
    """

    def __init__(self, left: Tensor, core: Tensor, right: Tensor | None = None) -> None:
        right = left if right is None else right
        rank = left.size(-1) if left.dim() else 0
        if left.dim() != 2 or right.shape != left.shape or core.shape not in ((rank,), (rank, rank)):
            raise InputError(
                f"got left {tuple(left.shape)}, core {tuple(core.shape)} and right {tuple(right.shape)}, "
                "expected (N, r), (r,) or (r, r), and (N, r)"
            )
        if not left.is_floating_point():
            raise InputError(f"got factors of {left.dtype}, expected a real floating point type")
        if len({(factor.dtype, factor.device) for factor in (left, core, right)}) > 1:
            raise InputError("the factors differ in dtype or device: convert them with .to(...)")
        self.left = left
        self.core = core
        self.right = right

    @property
    def shape(self) -> torch.Size:
        """(N, N)."""
        return torch.Size((self.left.size(0), self.left.size(0)))

    @property
    def rank(self) -> int:
        """Number r of columns of the factors."""
        return self.left.size(1)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the factors."""
        return self.left.dtype

    @property
    def device(self) -> torch.device:
        """Device of the factors."""
        return self.left.device

    def matmul(self, x: Tensor) -> Tensor:
        """K x for x of shape (N,) or (N, F)."""
        if x.dim() not in (1, 2) or len(x) != self.shape[0] or x.dtype != self.dtype:
            raise InputError(
                f"got x of shape {tuple(x.shape)} and {x.dtype}, expected ({self.shape[0]},) or ({self.shape[0]}, F) "
                f"of {self.dtype}"
            )
        summary = self.right.mT @ x
        if self.core.dim() == 2:
            return self.left @ (self.core @ summary)
        return self.left @ (self.core * summary if x.dim() == 1 else self.core.unsqueeze(-1) * summary)

    __matmul__ = matmul

    @property
    def T(self) -> LowRankOperator:
        """The transpose :math:`R C^T L^T`."""
        return LowRankOperator(self.right, self.core.mT if self.core.dim() == 2 else self.core, self.left)

    @property
    def _square_core(self) -> Tensor:
        return self.core if self.core.dim() == 2 else self.core.diag()

    @property
    def _reduced(self) -> Tensor:
        """The r x r matrix :math:`R^T L C`, whose eigenvalues are those of K other than zero."""
        return self.right.mT @ self.left @ self._square_core

    def power(self, exponent: int) -> LowRankOperator:
        """:math:`K^k` for an integer k >= 1, as an operator of the same rank."""
        if exponent < 1:
            raise InputError(f"got exponent {exponent}, expected at least 1: the identity has not low rank")
        core = self._square_core @ torch.linalg.matrix_power(self._reduced, exponent - 1)
        return LowRankOperator(self.left, core, self.right)

    def to_dense(self) -> Tensor:
        """The N x N matrix; for tests and small graphs."""
        return self.matmul(torch.eye(self.shape[0], dtype=self.dtype, device=self.device))

    @property
    def eigs(self) -> Tensor:
        """The r eigenvalues of K that belong to its range, complex, shape (r,)."""
        return torch.linalg.eigvals(self._reduced)

    @property
    def modes(self) -> Tensor:
        """Eigenvectors of K for :attr:`eigs`, complex, shape (N, r)."""
        vectors = torch.linalg.eig(self._reduced).eigenvectors
        return (self.left @ self._square_core).to(vectors.dtype) @ vectors

    def to(self, *args: torch.device | torch.dtype | str) -> LowRankOperator:
        """A copy on another device or of another dtype, as for tensors."""
        return LowRankOperator(*(factor.to(*args) for factor in (self.left, self.core, self.right)))  # type: ignore[call-overload]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the factors as safetensors."""
        factors = {"left": self.left, "core": self.core, "right": self.right}
        _safetensors().save_file(
            {name: factor.detach().cpu().contiguous().clone() for name, factor in factors.items()}, path
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LowRankOperator:
        """Read what :meth:`save` wrote."""
        return cls(**_safetensors().load_file(path))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(nodes={self.shape[0]}, rank={self.rank})"


def _safetensors() -> ModuleType:
    try:
        import safetensors.torch
    except ImportError as error:
        raise MissingPackageError("saving and loading operators needs safetensors: pip install safetensors") from error
    return safetensors.torch
