"""Snapshot pairs of series: one or several, with delays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.kernels.moments import check_pair
from dmdgnn.kernels.robust import check_finite
from dmdgnn.kernels.sparse import column, csr, is_sparse
from dmdgnn.kernels.thin_svd import check_matrix

Series = Tensor | Sequence[Tensor]


class Pairs(NamedTuple):
    """Snapshots X and those a step later Y (*batch, d N, F), of one trajectory or of several side by side.

    Args:
        X: Snapshots, as Y dense, or in CSR form of one trajectory.
        Y: Their successors.
        widths: Pairs of each trajectory.
        series: Whether the successors are those of the same trajectory, not given apart.
        several: Whether the trajectories came as a list.
    """

    X: Tensor
    Y: Tensor
    widths: tuple[int, ...]
    series: bool
    several: bool

    @classmethod
    def of(cls, X: Series, Y: Series | None, delays: int) -> Pairs:
        """From one matrix, or a list of them, and the successors where these are given."""
        if Y is not None and delays > 1:
            raise InputError("delays make snapshots of one series: leave Y out")
        parts, following = _listed(X), _listed(Y)
        if parts is None or X is None:
            if following is not None:
                raise InputError(f"got {len(following)} Y in a list for one X, expected one, or both in lists")
            x, y = _pair("X", cast("Tensor", X), cast("Tensor | None", Y), delays)
            return cls(x, y, (x.size(-1),), Y is None, False)
        if not parts or (Y is not None and (following is None or len(following) != len(parts))):
            raise InputError(f"got a list of {len(parts)} X, expected at least one, and as many Y or none")
        successors: list[Tensor] | list[None] = following or [None] * len(parts)
        pairs = [_pair(f"X[{place}]", *pair, delays) for place, pair in enumerate(zip(parts, successors, strict=True))]
        if following is not None:
            # Once they are side by side, columns have other places.
            for name, side in (("X", parts), ("Y", following)):
                for place, part in enumerate(side):
                    check_finite(f"{name}[{place}]", part)
        first = parts[0]
        for place, part in enumerate(parts):
            if part.dim() != 2 or (part.size(0), part.dtype, part.device) != (first.size(0), first.dtype, first.device):
                raise InputError(
                    f"X[{place}] is {tuple(part.shape)}, {part.dtype}, {part.device}, but X[0] is "
                    f"{tuple(first.shape)}, {first.dtype}, {first.device}: expected (N, T) for each, of the same states"
                )
        x, y = (torch.cat(list(side), dim=-1) for side in zip(*pairs, strict=True))
        return cls(x, y, tuple(part.size(-1) for part, _ in pairs), Y is None, True)

    @property
    def first(self) -> Tensor:
        """The first snapshot of each trajectory (*batch, d N, trajectories)."""
        starts = [end - width for end, width in zip(accumulate(self.widths), self.widths, strict=True)]
        return _columns(self.X, starts)

    @property
    def last(self) -> Tensor:
        """The last one of each (*batch, d N, trajectories), which nothing follows."""
        return _columns(self.Y, [end - 1 for end in accumulate(self.widths)])

    def snapshots(self) -> list[Tensor]:
        """All snapshots of each trajectory in order."""
        if not (self.series or self.several):
            return [self.X]
        X, Y = (side.split(self.widths, dim=-1) for side in (self.X, self.Y))
        return [torch.cat([x, y[..., -1:]], dim=-1) if self.series else x for x, y in zip(X, Y, strict=True)]

    def side_by_side(self, control: Series) -> Tensor:
        """Inputs (q, F), one column for each pair, of one matrix or of one for each trajectory; a last column of a
        series, which no state follows, is left out."""
        listed = _listed(control)
        parts = [cast("Tensor", control)] if listed is None else listed
        if len(parts) != len(self.widths) or (listed is not None) != self.several:
            raise InputError(f"got {len(parts)} controls for {len(self.widths)} trajectories, expected one for each")
        for place, (part, width) in enumerate(zip(parts, self.widths, strict=True)):
            name = f"control[{place}]" if self.several else "control"
            check_matrix(name, part)
            check_finite(name, part)
            if self.X.dim() != 2 or part.dim() != 2 or part.size(1) not in (width, width + self.series):
                raise InputError(f"got {name} of shape {tuple(part.shape)}, expected (q, {width})")
            if part.is_complex() and not self.X.is_complex():
                raise InputError(
                    f"got {name} of {part.dtype} for states of {self.X.dtype}: give real and imaginary parts as "
                    "inputs of their own"
                )
            if part.size(0) != parts[0].size(0):
                raise InputError(f"got controls of {parts[0].size(0)} and {part.size(0)} inputs, expected as many")
        return torch.cat([part[:, :width] for part, width in zip(parts, self.widths, strict=True)], dim=1).to(self.X)


def stacked(states: Tensor, delays: int) -> Tensor:
    """Hankel form (*batch, d N, T - d + 1) of states (*batch, N, T): each column d consecutive ones, oldest on top."""
    if delays == 1:
        return states
    width = states.size(-1) - delays + 1
    return torch.cat([states[..., delay : delay + width] for delay in range(delays)], dim=-2)


def finite_times(times: Tensor | Sequence[float], device: torch.device) -> Tensor:
    """Times (..., T), float64, of at least one dimension.

    Raises:
        InputError: They are no real, finite numbers, or none at all.
    """
    try:
        # NumPy keeps Python's numbers in double precision.
        given = torch.as_tensor(times if isinstance(times, Tensor) else np.asarray(times), device=device)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"got times={times!r}, expected finite ones (T,)") from None
    if given.is_complex() or given.dtype == torch.bool or given.dim() == 0 or 0 in given.shape:
        raise InputError(f"got times of shape {tuple(given.shape)} and {given.dtype}, expected real ones (T,)")
    check_finite("times", given)
    return given.double()


def _columns(matrix: Tensor, places: list[int]) -> Tensor:
    """A copy of some columns."""
    if len(places) == 1:
        return column(matrix, places[0])
    return torch.cat([column(matrix, place) for place in places], dim=-1)


def any_sparse(*sides: Series | None) -> bool:
    """Whether any of the snapshots are in a sparse form."""
    parts = (part for side in sides for part in (side if isinstance(side, list | tuple) else [side]))
    return any(isinstance(part, Tensor) and is_sparse(part) for part in parts)


def _listed(series: Series | None) -> list[Tensor] | None:
    return list(series) if isinstance(series, list | tuple) else None


def _pair(name: str, X: Tensor, Y: Tensor | None, delays: int) -> tuple[Tensor, Tensor]:
    if Y is not None:
        check_pair(X, Y, sparse=True)
        return (csr(X) if is_sparse(X) else X), (csr(Y) if is_sparse(Y) else Y)
    check_matrix(name, X)
    check_finite(name, X)
    if X.size(-1) <= delays:
        raise InputError(
            f"got {X.size(-1)} states and no Y, expected at least {delays + 1}, a snapshot and one after it, "
            f"in the columns of {name}"
        )
    snapshots = stacked(X, delays)
    return snapshots[..., :-1], snapshots[..., 1:]
