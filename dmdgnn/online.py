"""Snapshots that stand for all that were fitted before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.kernels.moments import check_pair
from dmdgnn.kernels.robust import check_finite
from dmdgnn.precision import precise
from dmdgnn.trajectories import Pairs, any_sparse

if TYPE_CHECKING:
    from dmdgnn.fitted import Fitted


def with_past(dmd: Fitted, X: Tensor, Y: Tensor | None, forget: float) -> Pairs:
    r"""New pairs behind r that stand for the earlier ones, :math:`\sqrt f\, U S` and :math:`\sqrt f\, Y V`, which have
    the same :math:`X X^H` and :math:`Y X^H` on the range of U."""
    last, delays = dmd._last, dmd.delays
    size = last.size(-2) // delays
    shape = (*last.shape[:-2], size)
    if any_sparse(X, Y):
        raise InputError("an update takes dense snapshots: use X.to_dense()")
    if not isinstance(X, Tensor) or X.shape[:-1] != shape or X.dtype != last.dtype or X.device != last.device:
        got = f"{tuple(X.shape)}, {X.dtype}, {X.device}" if isinstance(X, Tensor) else type(X).__name__
        raise InputError(f"got new states {got}, expected {shape} and a column for each, {last.dtype}, {last.device}")
    check_finite("X", X)
    if Y is not None:
        check_pair(X, Y)
        check_finite("Y", Y)
    else:
        # The last d states, as columns.
        before = last.unflatten(-2, (delays, size)).squeeze(-1).mT
        X = torch.cat([before, X], dim=-1)
    pairs = Pairs.of(X, Y, delays)
    S, forward = dmd.singular_values.unsqueeze(-2), dmd._forward
    assert forward is not None  # update takes exact modes only
    weight = forget**0.5
    shares = torch.where(S > 0, (S.square() + dmd.ridge) / torch.where(S > 0, S, 1), 0)
    past = ((weight * precise(side) * factor).to(last.dtype) for side, factor in ((dmd._U, S), (forward, shares)))
    X, Y = (torch.cat([old, new], dim=-1) for old, new in zip(past, (pairs.X, pairs.Y), strict=True))
    return Pairs(X, Y, (X.size(-1),), pairs.series, False)
