r"""Constraints on the whole operator, in the order of the rows: closed forms of physics-informed DMD.

Source: Baddoo et al., "Physics-informed dynamic mode decomposition" (https://arxiv.org/abs/2112.04307).
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from dmdgnn.errors import InputError, RankError
from dmdgnn.kernels.truncation import Truncation, rounding_level
from dmdgnn.precision import precise

StateConstraint = Literal["diagonal", "circulant", "lower_triangular", "upper_triangular"]
STATE_CONSTRAINTS = get_args(StateConstraint)
# States of which all modes are kept without being asked for: 800 MB.
ALL_MODES = 10_000


class Constrained(NamedTuple):
    """An orthonormal basis U (N, r), the operator in it, (r,) where diagonal, else (r, r), and the norms S (r,) of what
    each mode captures of Y, descending."""

    S: Tensor
    U: Tensor
    core: Tensor


def fit_constrained(
    X: Tensor, Y: Tensor, constraint: StateConstraint, truncation: Truncation, ridge: float
) -> Constrained:
    """The operator of a constraint that fits best, for snapshots (N, F); in float64."""
    if X.dim() != 2:
        raise InputError(f"the constraint {constraint!r} takes one matrix (N, F), got shape {tuple(X.shape)}")
    if truncation.rank == "optimal":
        raise InputError(f"rank='optimal' is a rule for singular values; with {constraint!r} give a number or `energy`")
    if truncation != Truncation() and constraint not in ("diagonal", "circulant"):
        raise InputError(f"a triangular operator has full rank: with {constraint!r}, give neither rank nor energy")
    if truncation == Truncation() and len(X) > ALL_MODES:
        raise InputError(f"all {len(X)} modes of {len(X)} states would fill a square matrix: give rank or energy")
    rounding = rounding_level(X.shape, X.dtype)
    peak = X.detach().abs().max().double()
    scale = torch.where(peak > 0, peak, 1)
    fitted = _fit(
        precise(X) / scale, precise(Y) / scale, constraint, truncation, ridge / float(scale) / float(scale), rounding
    )
    return fitted._replace(S=fitted.S * scale)


def _fit(
    X: Tensor, Y: Tensor, constraint: StateConstraint, truncation: Truncation, ridge: float, rounding: float
) -> Constrained:
    if constraint == "diagonal":
        return _diagonal(X, Y, truncation, ridge, rounding)
    if constraint == "circulant":
        return _circulant(X, Y, truncation, ridge, rounding)
    if constraint == "lower_triangular":
        K = _lower_triangular(X, Y, ridge, rounding)
    else:
        K = _lower_triangular(X.flip(0), Y.flip(0), ridge, rounding).flip(0, 1)
    U = torch.eye(X.size(0), dtype=X.dtype, device=X.device)
    return Constrained((K @ X).norm(dim=1).sort(descending=True).values, U, K)


def _ratio(products: Tensor, squares: Tensor, ridge: float) -> Tensor:
    """Least squares for one coefficient: zero where there is nothing to fit."""
    total = squares + ridge
    return torch.where(squares > 0, products / torch.where(total > 0, total, 1), 0)


def _kept(S: Tensor, truncation: Truncation, X: Tensor, rounding: float) -> int:
    kept = int(truncation.kept(S, (X.size(0), X.size(1)), rounding))
    if kept < (truncation.count or 1):
        raise RankError(f"got rank={truncation.rank}, but only {kept} modes capture anything of Y: use rank <= {kept}")
    return kept


def _diagonal(X: Tensor, Y: Tensor, truncation: Truncation, ridge: float, rounding: float) -> Constrained:
    squares = X.abs().square().sum(dim=1)
    K = _ratio((X.conj() * Y).sum(dim=1), squares, ridge)
    S, order = (K.detach().abs() * squares.detach().sqrt()).sort(descending=True, stable=True)
    order = order[: _kept(S, truncation, X, rounding)]
    U = torch.zeros(len(X), len(order), dtype=X.dtype, device=X.device)
    U[order, torch.arange(len(order), device=X.device)] = 1
    return Constrained(S[: len(order)], U, K[order])


def _circulant(X: Tensor, Y: Tensor, truncation: Truncation, ridge: float, rounding: float) -> Constrained:
    size = len(X)
    transform = torch.fft.fft if X.is_complex() else torch.fft.rfft
    X_hat, Y_hat = transform(X, dim=0, norm="ortho"), transform(Y, dim=0, norm="ortho")
    squares = X_hat.abs().square().sum(dim=1)
    products = (X_hat.conj() * Y_hat).sum(dim=1)
    K = torch.complex(_ratio(products.real, squares, ridge), _ratio(products.imag, squares, ridge))
    frequencies = torch.arange(len(K), device=X.device)
    paired = (frequencies > 0) & (2 * frequencies != size) & (not X.is_complex())
    S, order = (K.detach().abs() * squares.detach().sqrt()).sort(descending=True, stable=True)
    widths = 1 + paired[order].long()
    kept = _kept(S.repeat_interleave(widths), truncation, X, rounding)
    ends = widths.cumsum(0)
    # A pair is kept or dropped as a whole: a rank is not exceeded, an energy is reached.
    count = int((ends <= kept).sum()) if truncation.energy is None else int((ends < kept).sum()) + 1
    if count == 0:
        raise RankError("got rank=1, but the leading frequency is a pair of modes: use rank >= 2")
    order, widths = order[:count], widths[:count]

    turns = torch.arange(size, dtype=torch.float64, device=X.device).unsqueeze(1) * order / size
    angles = 2 * math.pi * turns
    if X.is_complex():
        return Constrained(S[:count], torch.polar(torch.ones_like(angles), angles) / math.sqrt(size), K[order])
    waves = torch.stack([angles.cos(), angles.sin()], dim=2)
    waves = waves * (widths.double() / size).sqrt().view(-1, 1)
    blocks = torch.stack([torch.stack([K.real, K.imag]), torch.stack([-K.imag, K.real])]).permute(2, 0, 1)[order]
    columns = torch.stack([torch.ones_like(widths), widths - 1], dim=1).flatten().bool()
    core = torch.block_diag(*blocks)[columns][:, columns]
    return Constrained(S[:count].repeat_interleave(widths), waves.flatten(1)[:, columns], core)


def _lower_triangular(X: Tensor, Y: Tensor, ridge: float, rounding: float) -> Tensor:
    """With X = L Q, row i of the best causal operator is a least squares fit to rows 0 to i of X."""
    if ridge > 0:
        X = torch.cat([X, math.sqrt(ridge) * torch.eye(len(X), dtype=X.dtype, device=X.device)], dim=1)
        Y = torch.cat([Y, Y.new_zeros(len(Y), len(Y))], dim=1)
    Q, R = torch.linalg.qr(X.mH)
    scales = R.diagonal().abs()
    if R.size(0) < R.size(1) or bool((scales <= rounding * scales.max()).any()):
        raise RankError(
            f"a triangular operator on {len(X)} states needs as many independent snapshots, got X of shape "
            f"{tuple(X.shape)} and lower rank: give more snapshots, or ridge > 0"
        )
    return torch.linalg.solve_triangular(R.mH, (Y @ Q).tril(), upper=False, left=False)
