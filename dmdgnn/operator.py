"""A linear operator of low rank, kept as its factors."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from dmdgnn.errors import FactorizationError, FileError, InputError
from dmdgnn.files import load_tensors, save_tensors
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.options import is_integer
from dmdgnn.precision import full_precision, is_lowered
from dmdgnn.spectral import Form, Spectral, tolerance


class LowRankOperator:
    r"""The operator :math:`K = L\, C\, R^T` on N nodes, never formed as an N x N matrix.

    Three forms share one interface: a single operator, a batch of operators of one size, and a ragged batch, the
    operators of B graphs of different sizes whose rows lie one below the other, as in a PyG batch.

    Args:
        left: :math:`L`, shape (*batch, N, r).
        core: :math:`C`, shape (*batch, r, r), or (*batch, r) for a diagonal core; (B, r, r) or (B, r) if ragged.
        right: :math:`R`, shape (*batch, N, r); by default `left`.
        ptr: For a ragged batch, the first row of each graph and the number of rows at last, (B + 1,), int64;
            then N counts the rows of all graphs. Or a :class:`dmdgnn.kernels.Ragged` made of it.

    All factors share dtype and device; they are real, or complex for an operator on complex states. A product costs
    :math:`O(N r F)`, does not synchronise with a GPU and by :meth:`matmul` compiles to one graph with
    :func:`torch.compile`. Gradients flow to all factors.

    Raises:
        InputError: Shapes, dtypes or devices do not fit.

    >>> K = LowRankOperator(torch.eye(3)[:, :1], torch.tensor([2.0]))
    >>> K @ torch.ones(3, 1)
    tensor([[2.],
            [0.],
            [0.]])
    """

    def __init__(
        self, left: Tensor, core: Tensor, right: Tensor | None = None, *, ptr: Tensor | Ragged | None = None
    ) -> None:
        right = left if right is None else right
        ragged = ptr if ptr is None or isinstance(ptr, Ragged) else Ragged(ptr)
        rank = left.size(-1) if left.dim() else 0
        batch = left.shape[:-2] if ragged is None else torch.Size((len(ragged),))
        if (
            left.dim() < 2
            or right.shape != left.shape
            or core.shape not in ((*batch, rank), (*batch, rank, rank))
            or (ragged is not None and left.dim() != 2)
        ):
            shapes = "(N, r), (B, r) or (B, r, r)" if ragged else "(*batch, N, r), (*batch, r) or (*batch, r, r)"
            raise InputError(
                f"got left {tuple(left.shape)}, core {tuple(core.shape)} and right {tuple(right.shape)}, "
                f"expected {shapes}, and right as left"
            )
        if ragged is not None and ragged.num_rows != left.size(0):
            raise InputError(f"got ptr for {ragged.num_rows} rows, but left has {left.size(0)}")
        if not (left.is_floating_point() or left.is_complex()):
            raise InputError(f"got factors of {left.dtype}, expected a real floating point type, or a complex one")
        if len({(factor.dtype, factor.device) for factor in (left, core, right)}) > 1:
            raise InputError("the factors differ in dtype or device: convert them with .to(...)")
        self.left = left
        self.core = core
        self.right = right
        self.ragged = ragged
        self._batch = batch

    @property
    def ptr(self) -> Tensor | None:
        """The row pointers of a ragged batch."""
        return self.ragged.ptr if self.ragged is not None else None

    @property
    def batch_shape(self) -> torch.Size:
        """Leading dimensions of a batch, (B,) of a ragged one, () of a single operator."""
        return self._batch

    @property
    def shape(self) -> torch.Size:
        """(*batch, N, N); for a ragged batch, the shape of the block diagonal operator on all rows."""
        nodes = self.left.size(-2)
        return torch.Size((*self.left.shape[:-2], nodes, nodes))

    @property
    def rank(self) -> int:
        """Number r of columns of the factors."""
        return self.left.size(-1)

    @property
    def dtype(self) -> torch.dtype:
        """Type of the factors."""
        return self.left.dtype

    @property
    def device(self) -> torch.device:
        """Device of the factors."""
        return self.left.device

    def project(self, x: Tensor) -> Tensor:
        """:math:`R^T x`, shape (*batch, r, F), for x (*batch, N, F): the summary of x that the operator acts on.

        Summaries of disjoint sets of rows, as on several processes or in several mini-batches, add up.
        """
        self._check(x)
        return self._inner(self.right, x)

    def expand(self, summary: Tensor) -> Tensor:
        """:math:`L C s`, shape (*batch, N, F), for a summary s (*batch, r, F)."""
        coefficients = self.core @ summary if self._dense_core else self.core.unsqueeze(-1) * summary
        return self._lift(coefficients)

    def matmul(self, x: Tensor) -> Tensor:
        """K x for x of shape (*batch, N, F), or (N,) for a single operator; (N, F) for a ragged batch."""
        if x.dim() == 1 and not self._batch:
            return self.matmul(x.unsqueeze(-1)).squeeze(-1)
        return self.expand(self.project(x))

    def __matmul__(self, x: Tensor) -> Tensor:
        return self.matmul(x)

    def _check(self, x: Tensor) -> None:
        batch = self.left.shape[:-2]
        # Within autocast, states of a lower precision are right, and the product is one.
        lowered = is_lowered(x.device) and x.is_floating_point()
        fits = x.dtype == self.dtype or lowered
        if x.shape[:-1] != (*batch, self.left.size(-2)) or not fits or x.device != self.device:
            expected = (*batch, self.left.size(-2), "F")
            raise InputError(
                f"got x of shape {tuple(x.shape)}, {x.dtype}, on {x.device}, expected ({', '.join(map(str, expected))})"
                f" of {self.dtype} on {self.device}"
            )

    def _lift(self, coefficients: Tensor) -> Tensor:
        return self._raise(self.left, coefficients)

    def _inner(self, A: Tensor, B: Tensor) -> Tensor:
        return A.mT @ B if self.ragged is None else self.ragged.inner(A, B)

    def _raise(self, factor: Tensor, coefficients: Tensor) -> Tensor:
        return factor @ coefficients if self.ragged is None else self.ragged.apply(factor, coefficients)

    @property
    def T(self) -> LowRankOperator:
        """The transpose :math:`R C^T L^T`, of each operator of a batch."""
        core = self.core.mT if self._dense_core else self.core
        return LowRankOperator(self.right, core, self.left, ptr=self.ragged)

    @property
    def _dense_core(self) -> bool:
        return self.core.dim() == len(self._batch) + 2

    @property
    def _square_core(self) -> Tensor:
        return self.core if self._dense_core else torch.diag_embed(self.core)

    @property
    def _reduced(self) -> Tensor:
        """The matrices :math:`R^T L C` (*batch, r, r), whose eigenvalues are those of K other than zero."""
        return self.project(self.left) @ self._square_core

    @full_precision
    def power(self, exponent: int) -> LowRankOperator:
        """:math:`K^k` for an integer k >= 1, as an operator of the same rank.

        Raises:
            InputError: The exponent is none, or is 0: the identity has not low rank.
        """
        if not is_integer(exponent) or exponent < 1:
            raise InputError(
                f"got exponent {exponent!r}, expected an integer of at least 1: the identity has not low rank"
            )
        core = self._square_core @ torch.linalg.matrix_power(self._reduced, exponent - 1)
        return LowRankOperator(self.left, core, self.right, ptr=self.ragged)

    @full_precision
    def to_dense(self) -> Tensor:
        """The matrices :attr:`shape`; for tests and small graphs."""
        identity = torch.eye(self.shape[-1], dtype=self.dtype, device=self.device)
        return self.matmul(identity.expand(self.shape))

    @property
    @full_precision
    def eigs(self) -> Tensor:
        """The r eigenvalues of K that belong to its range, complex, shape (*batch, r)."""
        return torch.linalg.eigvals(self._reduced)

    @property
    @full_precision
    def modes(self) -> Tensor:
        """Eigenvectors of K for :attr:`eigs`, complex, shape (*batch, N, r), or (N, r) if ragged."""
        vectors = torch.linalg.eig(self._reduced).eigenvectors
        vectors = self._square_core.to(vectors.dtype) @ vectors
        if self.left.is_complex():
            return self._lift(vectors)
        return torch.complex(self._lift(vectors.real), self._lift(vectors.imag))

    @full_precision
    def spectrum(self) -> tuple[Tensor, Tensor, Tensor]:
        r"""Real modes :math:`\Phi`, eigenvalues :math:`\lambda` and dual modes :math:`\Psi`, with
        :math:`\Psi^T \Phi = I` and :math:`K = \Phi\, \Lambda\, \Psi^T`.

        Eigenvalues (*batch, r) are complex and in descending modulus. The two columns of a conjugate pair, the positive
        imaginary part first, are :math:`\sqrt 2` times real and imaginary part, for which :math:`\Lambda` has the
        block :math:`[[\Re\lambda, \Im\lambda], [-\Im\lambda, \Re\lambda]]`. Modes and dual modes are (*batch, N, r),
        or (N, r) if ragged.

        Raises:
            FactorizationError: The eigenvectors do not make up the operator to two thirds of its digits, as those of a
                matrix that cannot be diagonalised: :meth:`real_form` may. Or :math:`R^T L` is singular, as it may be
                for exact DMD modes, and there are no such modes at all.
        """
        spectral = self._spectral()
        form = spectral.eigen()
        error = spectral.error(form)
        if _too_large(error, self.dtype):
            raise FactorizationError(
                f"the eigenvectors of this operator do not make it up, they are off by {float(error.max()):.2g} of its "
                "norm: take real_form(), which needs none"
            )
        basis, eigs, duals = self._lifted(form, spectral.eigs)
        return basis, eigs.to(self.dtype.to_complex()), duals

    @full_precision
    def real_form(self) -> tuple[Tensor, Tensor, Tensor]:
        r"""Real modes :math:`\Phi`, blocks B and dual modes :math:`\Psi`, with :math:`\Psi^T \Phi = I` and
        :math:`K = \Phi\, B\, \Psi^T`, for operators without a basis of eigenvectors, too.

        B is real, (*batch, r, r): that of :meth:`spectrum`, with eigenvalues and 2 x 2 blocks on the diagonal, where
        eigenvectors make up the operator. Elsewhere it is a real Schur form, block upper triangular to rounding, of
        :math:`C R^T L` in the orthonormal basis that the eigenvectors span one after another.

        Raises:
            FactorizationError: :math:`R^T L` is singular, and no modes of r columns make up the operator.
        """
        spectral = self._spectral()
        form = spectral.eigen()
        if _too_large(spectral.error(form), self.dtype):
            poor = spectral.poor(form)[..., None, None]
            form = Form(*(torch.where(poor, *parts) for parts in zip(spectral.schur(), form, strict=True)))
            error = spectral.error(form)
            if _too_large(error, self.dtype):
                raise FactorizationError(
                    f"no {self.rank} modes with dual ones make up this operator, the best are off by "
                    f"{float(error.max()):.2g} of its norm, as it takes a part of its range to nearly nothing: take "
                    "projected modes, as by DMD(modes='projected')"
                )
        return self._lifted(form, form.blocks.to(self.dtype))

    def _spectral(self) -> Spectral:
        if self.left.is_complex():
            raise InputError("complex factors have no real modes: use modes and eigs, or real and imaginary parts")
        grams = self._inner(self.left, self.left), self._inner(self.right, self.right)
        return Spectral(self._square_core, self.project(self.left), grams)

    def _lifted(self, form: Form, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        basis, dual_basis = form.basis.to(self.dtype), form.inverse.mT.to(self.dtype)
        return self._lift(basis), values, self._raise(self.right, dual_basis)

    def to(self, *args: torch.device | torch.dtype | str) -> LowRankOperator:
        """A copy on another device or of another dtype, as for tensors."""
        left, core, right = (
            factor.to(*args)  # type: ignore[call-overload]
            for factor in (self.left, self.core, self.right)
        )
        return LowRankOperator(left, core, right, ptr=None if self.ptr is None else self.ptr.to(left.device))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the factors and their hash as safetensors, as a whole or not at all.

        Raises:
            FileError: The path cannot be written to, or holds anything else than an operator.
        """
        tensors = {"left": self.left, "core": self.core, "right": self.right, "ptr": self.ptr}
        save_tensors(path, {name: value for name, value in tensors.items() if value is not None}, {"left", "core"})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LowRankOperator:
        """Read what :meth:`save` wrote.

        Raises:
            FileError: The file is not there, is damaged, or holds anything else than an operator.
        """
        tensors = load_tensors(path)
        try:
            return cls(**tensors)
        except (TypeError, InputError) as error:
            raise FileError(f"{path} holds no operator ({error}): give the path that `save` wrote to") from error

    def __repr__(self) -> str:
        batch = f"batch={tuple(self._batch)}, " if self._batch else ""
        return f"{type(self).__name__}({batch}nodes={self.shape[-1]}, rank={self.rank})"


def _too_large(error: Tensor, dtype: torch.dtype) -> bool:
    return not error.is_meta and bool((error > tolerance(dtype)).any())
