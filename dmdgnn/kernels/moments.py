"""The sums over rows from which DMD follows: for snapshots that do not fit in memory, or lie on many machines."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.kernels.robust import check_finite
from dmdgnn.kernels.rows import inner
from dmdgnn.kernels.thin_svd import check_matrix

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Array = Tensor | np.ndarray


@dataclass(frozen=True)
class Moments:
    """Second moments of snapshot pairs, F x F each and in double precision; moments of different rows add up, and
    are taken away again or fade, see :meth:`forget`.

    Args:
        XX: :math:`X^H X`, shape (F, F), float64, or complex128 of complex snapshots.
        XY: :math:`X^H Y`, shape (F, F).
        YY: :math:`Y^H Y`, shape (F, F).
        rows: Number N of rows.
        dtype: Type of the snapshots, whose machine epsilon tells rounding from data.

    >>> X, Y = torch.randn(10, 3), torch.randn(10, 3)
    >>> halves = Moments.of(X[:5], Y[:5]) + Moments.of(X[5:], Y[5:])
    >>> torch.allclose(halves.XY, Moments.of(X, Y).XY)
    True
    """

    XX: Tensor
    XY: Tensor
    YY: Tensor
    rows: int
    dtype: torch.dtype

    @classmethod
    def of(cls, X: Tensor, Y: Tensor) -> Moments:
        """The moments of rows X, Y, each (n, F), float32, float64, complex64 or complex128.

        Raises:
            InputError: Wrong shape, dtype or device, NaN or infinite entries, or squares that overflow float64.
        """
        check_pair(X, Y)
        if X.dim() != 2:
            raise InputError(f"got X of shape {tuple(X.shape)}, expected rows (n, F)")
        moments = cls(inner(X, X), inner(X, Y), inner(Y, Y), len(X), X.dtype)
        for name, matrix, squares in (("X", X, moments.XX), ("Y", Y, moments.YY)):
            if not bool(squares.isfinite().all()):
                check_finite(name, matrix)
                raise InputError(f"the squares of {name} overflow float64: scale both snapshots down")
        return moments

    @classmethod
    def of_chunks(cls, chunks: Iterable[tuple[Tensor, Tensor]]) -> Moments:
        """The moments of all row chunks (X, Y) of an iterable: a generator, a DataLoader, :class:`RowChunks`.

        Raises:
            InputError: There are no chunks, they differ in F or dtype, or one of them is no valid pair.
        """
        total: Moments | None = None
        for X, Y in chunks:
            moments = cls.of(X, Y)
            total = moments if total is None else total + moments
        if total is None:
            raise InputError("got no chunks: an iterator that was used up before gives none")
        return total

    def __add__(self, other: Moments) -> Moments:
        self._check_alike(other, "do not add up")
        sums = (self.XX + other.XX, self.XY + other.XY, self.YY + other.YY)
        return Moments(*sums, self.rows + other.rows, self.dtype)

    def __sub__(self, other: Moments) -> Moments:
        """The moments without those of rows that are part of them, as when a window moves on.

        Raises:
            InputError: They differ in F or dtype, or no row would be left.
        """
        self._check_alike(other, "cannot be taken from each other")
        if other.rows >= self.rows:
            raise InputError(f"got {other.rows} rows to take from {self.rows}, expected fewer")
        sums = (self.XX - other.XX, self.XY - other.XY, self.YY - other.YY)
        return Moments(*sums, self.rows - other.rows, self.dtype)

    def forget(self, factor: float) -> Moments:
        """The moments with each row weighted by `factor` in (0, 1], as before new rows are added to old ones.

        Raises:
            InputError: The factor is no such number.

        >>> moments = Moments.of(torch.ones(4, 1), torch.ones(4, 1))
        >>> float((moments.forget(0.5) + moments).XX)
        6.0
        """
        if isinstance(factor, bool) or not isinstance(factor, Real) or not 0 < factor <= 1:
            raise InputError(f"got factor={factor!r}, expected a number in (0, 1]")
        weight = float(factor)
        return Moments(weight * self.XX, weight * self.XY, weight * self.YY, self.rows, self.dtype)

    def centred(self) -> Moments:
        """The moments of the same rows less the mean of each over its columns, of X and of Y for itself."""

        def centre(products: Tensor) -> Tensor:
            products = products - products.mean(dim=0, keepdim=True)
            return products - products.mean(dim=1, keepdim=True)

        return Moments(centre(self.XX), centre(self.XY), centre(self.YY), self.rows, self.dtype)

    def _check_alike(self, other: Moments, problem: str) -> None:
        if not isinstance(other, Moments):
            raise InputError(f"got {type(other).__name__}, expected Moments")
        if (self.XX.shape, self.dtype) != (other.XX.shape, other.dtype):
            raise InputError(
                f"moments of {self.XX.size(0)} columns of {self.dtype} and of {other.XX.size(0)} columns of "
                f"{other.dtype} {problem}"
            )

    def all_reduce(self, group: ProcessGroup | None = None) -> Moments:
        """The moments of the rows of all processes of a `torch.distributed` group, in one all-reduce.

        Every process gets the same numbers. `group` is by default that of all processes.

        Raises:
            InputError: `torch.distributed` is not initialised.
        """
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            raise InputError("there is no process group: call torch.distributed.init_process_group first")
        rows = self.XX.new_full((1, self.XX.size(1)), self.rows)
        packed = torch.cat([self.XX, self.XY, self.YY, rows])
        torch.distributed.all_reduce(packed, group=group)
        XX, XY, YY, rows = packed.split([*[self.XX.size(1)] * 3, 1])
        return Moments(XX, XY, YY, int(rows[0, 0].real), self.dtype)


def check_pair(X: Tensor, Y: Tensor, sparse: bool = False) -> None:
    """Raise `InputError` unless X and Y are valid, sparse only if allowed, and agree in shape, dtype and device."""
    check_matrix("X", X, sparse)
    check_matrix("Y", Y, sparse)
    if (X.shape, X.dtype, X.device) != (Y.shape, Y.dtype, Y.device):
        raise InputError(
            f"X is {tuple(X.shape)}, {X.dtype}, {X.device}, but Y is {tuple(Y.shape)}, {Y.dtype}, {Y.device}: "
            "they must agree"
        )


@dataclass(frozen=True)
class RowChunks:
    """Pairs of row chunks of arrays X and Y, as tensors; iterable as often as wanted.

    Rows of a memmap are read when their chunk is due, and their pages are given back after it.

    Args:
        X: Tensor, NumPy array or memmap (N, F).
        Y: The same a step later (N, F).
        rows: Rows of a chunk, by default as many as fill 8 MiB in float64.

    >>> [len(X) for X, Y in RowChunks(np.zeros((5, 2)), np.ones((5, 2)), rows=2)]
    [2, 2, 1]
    """

    X: Array
    Y: Array
    rows: int | None = None

    def __post_init__(self) -> None:
        if self.X.ndim != 2 or self.X.shape != self.Y.shape or 0 in self.X.shape:
            raise InputError(
                f"got X {tuple(self.X.shape)} and Y {tuple(self.Y.shape)}, expected (N, F) for both, not empty"
            )
        if self.rows is not None and (not isinstance(self.rows, Integral) or self.rows < 1):
            raise InputError(f"got rows={self.rows!r}, expected at least 1, a whole number")

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rows = self.rows or max(1, 2**20 // self.X.shape[1])
        for start in range(0, len(self.X), rows):
            chunk = slice(start, start + rows)
            yield _read(self.X, chunk), _read(self.Y, chunk)


def _read(array: Array, chunk: slice) -> Tensor:
    if isinstance(array, Tensor):
        return array[chunk]
    rows = torch.from_numpy(np.array(array[chunk]))
    pages = getattr(array, "_mmap", None)
    # Without this, pages once read count as resident until memory is short. Private pages may hold changes.
    if pages is not None and getattr(array, "mode", "c") != "c" and hasattr(mmap, "MADV_DONTNEED"):
        pages.madvise(mmap.MADV_DONTNEED)
    return rows
