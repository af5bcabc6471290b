"""Attributes that a fit leaves behind."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from dmdgnn.errors import NotFittedError
from dmdgnn.factors import Shadows
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.kernels.rows import apply
from dmdgnn.operator import LowRankOperator
from dmdgnn.options import Options
from dmdgnn.precision import full_precision, precise
from dmdgnn.reduced import Encoder, Reduced


class Fitted(Options):
    """Stored results of :class:`dmdgnn.DMD`, and the error where there are none yet."""

    # Attributes that `fit` sets, and forgets before the next.
    singular_values: Tensor
    reduced_operator: Tensor
    eigs: Tensor
    operator: LowRankOperator
    B: Tensor | None
    # Rows of U and of the exact modes before W; W, and the rows of its inverse; after a change of the eigenpairs, the
    # gains on eigenvalues, and the amplitudes of modes that were chosen.
    _U: Tensor
    _forward: Tensor | None
    _W: Tensor
    _inverse: Tensor | None
    _gains: Tensor | None
    _parts: Tensor | None
    _modes: Tensor | None
    _ragged: Ragged | None
    _dtype: torch.dtype
    _encoder: Encoder | None
    _reduced: Reduced | None
    _shadows: Shadows | None
    # E^H X^H Y E and E^H Y^H Y E, with E the map from columns to coordinates, for rows that are elsewhere.
    _image_moments: tuple[Tensor, Tensor] | None
    _controls: Tensor | None
    _driven: bool
    # Rows of states under control before what inputs alone have is left out, and the changes of coordinates that do.
    _whole: tuple[Tensor, Tensor] | None
    _turns: tuple[Tensor, Tensor] | None
    # Means of X and Y, and of the inputs.
    _means: tuple[Tensor, Tensor] | None
    _mean_control: Tensor | None
    # First and last snapshots of the trajectories, their numbers of states, steps to the last, and U^H of the states.
    _first: Tensor
    _last: Tensor
    _lengths: tuple[int, ...]
    _ends: tuple[int, ...]
    _several: bool
    _seen: list[Tensor] | None

    def __getattr__(self, name: str) -> NoReturn:
        if name not in Fitted.__annotations__ and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        missing = "its rows are elsewhere: use lift and lift_modes" if "eigs" in vars(self) else "call fit first"
        raise NotFittedError(f"this DMD has no {name.strip('_')} yet, {missing}")

    @property
    def _basis(self) -> Tensor:
        return self._U if self._forward is None else self._forward

    @property
    def _dual(self) -> Tensor:
        """Rows of W^-1 (*batch, r, r): the share of the coordinates in each mode."""
        if self._inverse is None:
            self._inverse = torch.linalg.pinv(self._W)
        return self._inverse

    @property
    def _maps_by_exact_modes(self) -> bool:
        """Whether the operator takes the coordinates to the rows of the exact modes, as without other options."""
        exact = self.mode_type == "exact" or self.estimator == "rrr"
        return exact and self.constraint is None and not self.forward_backward


@full_precision
def times(basis: Tensor, M: Tensor, ragged: Ragged | None = None) -> Tensor:
    """Rows times a small real or complex matrix, for real rows the latter by one real product of twice the columns."""
    if M.is_complex() and not basis.is_complex():
        columns = torch.view_as_real(M.resolve_conj()).flatten(-2)
        return torch.view_as_complex(times(basis, columns, ragged).unflatten(-1, (-1, 2)).contiguous())
    M = precise(M).to(torch.complex128 if basis.is_complex() else torch.float64)
    return apply(basis, M) if ragged is None else ragged.apply(basis, M.to(basis.dtype))
