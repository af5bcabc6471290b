"""The choice among the modes of a fitted DMD."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.evolution import Evolution
from dmdgnn.options import is_integer, is_number
from dmdgnn.precision import precise

if TYPE_CHECKING:
    from typing_extensions import Self

Order = Literal["residual", "contribution", "frequency"]


class Choice(Evolution):
    """Estimates with some of the modes of :class:`dmdgnn.DMD`, or with modes that do not grow."""

    def select(
        self,
        count: int | None = None,
        *,
        by: Order | None = None,
        residual: float | None = None,
        frequency: tuple[float, float] | None = None,
        where: Tensor | None = None,
        index: Sequence[int] | Tensor | None = None,
    ) -> Self:
        r"""The estimate with some of its modes only: :math:`K = \sum_i \phi_i \lambda_i \psi_i^H` over those kept.

        Args:
            count: How many to keep at most, the first in the order `by`. A conjugate pair is not split.
            by: 'residual', the larger of both, ascending; 'contribution', descending; 'frequency', ascending. By
                default the order stays.
            residual: Keep those with residuals of at most that on both sides.
            frequency: Keep those whose frequency, its sign aside, is from the first to the second number, in cycles in
                the unit of `dt`.
            where: Keep those where this is true, bool (*batch, r).
            index: Keep those at these places, from 0 or from -1 backwards, the same in each matrix of a batch.

        Returns:
            Another estimate, in which the modes have the amplitudes that they had. The members of a batch that keep
            fewer modes than others get modes and eigenvalues of zero at the end.

        Raises:
            InputError: No mode is left, `where` or `index` splits a pair, or an argument is out of range.

        >>> from dmdgnn import DMD
        >>> series = torch.tensor([[0.9], [0.5]], dtype=torch.float64) ** torch.arange(6)
        >>> DMD().fit(series).select(1, by="frequency").eigs.real
        tensor([0.9000], dtype=torch.float64)
        """
        if count is not None and (not is_integer(count) or count < 1):
            raise InputError(f"got count={count!r}, expected an integer of at least 1")
        if by is not None and by not in get_args(Order):
            raise InputError(f"got by={by!r}, expected one of {', '.join(map(repr, get_args(Order)))}")
        kept = torch.ones_like(self.eigs, dtype=torch.bool)
        if residual is not None:
            if not is_number(residual):
                raise InputError(f"got residual={residual!r}, expected the largest to keep")
            kept = kept & (self._of_pairs(self._worst_residuals) <= residual)
        if frequency is not None:
            try:
                low, high = map(float, frequency)
            except (TypeError, ValueError):
                raise InputError(f"got frequency={frequency!r}, expected the lowest and the highest to keep") from None
            size = self.frequency.abs()
            kept = kept & (low <= size) & (size <= high)
        if where is not None:
            if not isinstance(where, Tensor) or where.dtype != torch.bool or where.shape != self.eigs.shape:
                raise InputError(f"got where={where!r}, expected a bool tensor of shape {tuple(self.eigs.shape)}")
            kept = kept & self._whole_pairs("where", where)
        if index is not None:
            kept = kept & self._whole_pairs("index", self._at(index))
        return self._kept(self._order(by), kept, count)

    def _at(self, index: Sequence[int] | Tensor) -> Tensor:
        """Where places are named, bool (*batch, r)."""
        rank = self.eigs.size(-1)
        places = index.tolist() if isinstance(index, Tensor) else index
        listed = isinstance(places, list | tuple | range) and len(places) > 0
        if not listed or not all(is_integer(place) and -rank <= place < rank for place in places):
            raise InputError(
                f"got index={index!r}, expected a list of integers from {-rank} to {rank - 1}, at least one"
            )
        named = torch.zeros_like(self.eigs, dtype=torch.bool)
        named[..., list(places)] = True
        return named

    def _whole_pairs(self, name: str, where: Tensor) -> Tensor:
        if not torch.equal(self._of_pairs(where), where):
            raise InputError(f"`{name}` keeps one mode of a conjugate pair: keep both, or none")
        return where

    def _order(self, by: Order | None) -> Tensor:
        if by == "residual":
            keys = self._worst_residuals
        elif by == "contribution":
            keys = -self.contributions
        elif by == "frequency":
            keys = self.frequency.abs()
        else:
            keys = torch.zeros_like(self.eigs.real)
        return self._of_pairs(keys.detach()).argsort(dim=-1, stable=True)

    def _of_pairs(self, keys: Tensor) -> Tensor:
        """Keys with the value of the first of a conjugate pair for the second, too."""
        return torch.where(self._seconds, keys.roll(1, dims=-1), keys)

    @property
    def _seconds(self) -> Tensor:
        if not self.eigs.is_complex() or self._dtype.is_complex:
            return torch.zeros_like(self.eigs, dtype=torch.bool)
        return self.eigs.imag < 0

    def _kept(self, order: Tensor, kept: Tensor, count: int | None) -> Self:
        seconds = self._seconds.gather(-1, order)
        kept = kept.gather(-1, order)
        if count is not None:
            kept = kept & (kept.cumsum(dim=-1) <= count)
            # The second of a pair follows the first: without it, the first goes, too.
            followed = torch.cat([seconds[..., 1:] & ~kept[..., 1:], torch.zeros_like(kept[..., :1])], dim=-1)
            kept = kept & ~followed
        width = int(kept.sum(dim=-1).max())
        if width == 0:
            raise InputError("no mode is left: ask for less, or for both modes of a pair")
        first = (~kept).to(torch.uint8).argsort(dim=-1, stable=True)[..., :width]
        order, kept = order.gather(-1, first), kept.gather(-1, first)
        other = self._changed(
            torch.where(kept, self.eigs.gather(-1, order), 0),
            torch.where(kept.unsqueeze(-2), self._W.take_along_dim(order.unsqueeze(-2), dim=-1), 0),
            torch.where(kept.unsqueeze(-1), self._dual.take_along_dim(order.unsqueeze(-1), dim=-2), 0),
            None if self._gains is None else torch.where(kept, self._gains.gather(-1, order), 0),
        )
        if self._has_dynamics:
            amplitudes = self._amplitudes.take_along_dim(order.unsqueeze(-1), dim=-2)
            other._parts = torch.where(kept.unsqueeze(-1), amplitudes, 0)
        if self._means is not None:
            drifts = torch.where(kept, self._drifts.gather(-1, order), 0)
            other._means = self._offset, self._offset + other._moved(drifts)
        return other

    def stabilise(self, inner: float = 1.0, outer: float = float("inf")) -> Self:
        r"""The estimate with each eigenvalue of :math:`\text{inner} < |\lambda| < \text{outer}` moved to the unit
        circle, :math:`\lambda / |\lambda|`: by default, what grows is kept from growing.

        Args:
            inner: Moduli from there on are moved.
            outer: Moduli from there on are left as they are.

        Raises:
            InputError: The bounds are no numbers of at least 0, the smaller one first.

        >>> from dmdgnn import DMD
        >>> series = torch.tensor([[1.1], [0.5]], dtype=torch.float64) ** torch.arange(6)
        >>> DMD().fit(series).stabilise().eigs.real
        tensor([1.0000, 0.5000], dtype=torch.float64)
        """
        if not (is_number(inner) and is_number(outer) and 0 <= inner < outer):
            raise InputError(f"got inner={inner!r} and outer={outer!r}, expected 0 <= inner < outer")
        sizes = self.eigs.abs()
        moved = (inner < sizes) & (sizes < outer) & (sizes > 0)
        gains = torch.where(moved, 1 / torch.where(moved, sizes, 1), 1)
        old = 1 if self._gains is None else self._gains
        other = self._changed(self.eigs * gains, self._W, self._dual, precise(gains) * old)
        if self._means is not None:
            other._means = self._offset, self._offset + other._moved(self._drifts)
        return other

    def _changed(self, eigs: Tensor, W: Tensor, inverse: Tensor, gains: Tensor | None) -> Self:
        other = copy.copy(self)
        other.eigs, other._W, other._inverse, other._modes = eigs, W, inverse, None
        other._gains = torch.ones_like(eigs.real, dtype=torch.float64) if gains is None else gains
        other._reduced = other._parts = None
        other.reduced_operator = other._core
        if "operator" in vars(self):
            other.operator = other._operator(self._U, self._forward, self._ragged)
        return other

    @property
    def _has_dynamics(self) -> bool:
        return "operator" in vars(self) and self._ragged is None and not self._driven
