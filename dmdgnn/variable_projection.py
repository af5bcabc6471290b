r"""Exponentials that fit snapshots best: variable projection with the method of Levenberg and Marquardt, in batches.

For snapshots H (T, K) at times t, the rates :math:`\alpha` minimise

.. math::
    f(\alpha) = \tfrac12 \min_B \|H - \Phi B\|_F^2 = \tfrac12 \|P^\perp H\|_F^2, \qquad \Phi_{ji} = e^{\alpha_i t_j},

with :math:`P^\perp` the projector on what is orthogonal to the columns of :math:`\Phi`. With Kaufman's approximation
the Jacobian has the columns :math:`P^\perp D_i b_i^T`, :math:`D = \partial \Phi / \partial \alpha = t \Phi`, so that

.. math::
    J^H J = (D^H P^\perp D) \circ (\bar B B^T), \qquad J^H R = \mathrm{diag}(D^H P^\perp H B^H)

are found without J itself, which has T K rows.

Sources: Golub and LeVeque (1979); Askham and Kutz, "Variable projection methods for an optimized dynamic mode
decomposition" (https://arxiv.org/abs/1704.02343).
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

# Predicted relative decrease under which a step is the last: rates are then within a thousandth of their
# standard errors.
TOLERANCE = 1e-11
# Relative size of residuals that rounding alone leaves.
ROUNDING = 2e-15
MOST_DAMPING = 1e14
# Distance under which two rates count as one, in units of the time from the first snapshot to the last.
MERGED = 0.01
# A tensor or an array of NumPy, whose operations on a few numbers take a third of the time.
Array: TypeAlias = Any


class Restriction(NamedTuple):
    """Conditions on rates (*batch, r).

    Args:
        stable: No real part is positive.
        imaginary: All real parts are zero.
        partner: Index of the conjugate of each rate, its own where it is real (*batch, r); None where rates are free.
    """

    stable: bool = False
    imaginary: bool = False
    partner: Array | None = None

    def nearest(self, rates: Array) -> Array:
        """Rates that are as they are to be."""
        if self.partner is not None:
            rates = (rates + taken(rates, self.partner).conj()) / 2
        if self.imaginary:
            return 1j * rates.imag
        return rates.real.clip(max=0) + 1j * rates.imag if self.stable else rates

    def held(self, rates: Array, slope: Array) -> Array:
        """Which real and imaginary parts (batch, 2 r) cannot follow the slope."""
        xp = namespace(rates)
        real = xp.full_like(rates.real, self.imaginary, dtype=xp.bool)
        if self.stable:
            real |= (rates.real >= 0) & (slope.real > 0)
        return xp.concatenate([real, xp.zeros_like(real)], -1)

    def step(self, rates: Array, slope: Array, normal: Array) -> Array:
        """The solution of `normal` times step = `slope` among the real and imaginary parts that are not held."""
        if not (self.stable or self.imaginary):
            return solved(normal, slope[..., None])[..., 0]
        concatenate = namespace(rates).concatenate
        free = ~self.held(rates, slope)
        top, bottom = concatenate([normal.real, -normal.imag], -1), concatenate([normal.imag, normal.real], -1)
        matrix = concatenate([top, bottom], -2) * (free[..., None] & free[..., None, :])
        right = concatenate([slope.real, slope.imag], -1) * free
        held = identity(matrix) * ~free[..., None]
        parts = solved(matrix + held, right[..., None])[..., 0]
        rank = rates.shape[-1]
        return parts[..., :rank] + 1j * parts[..., rank:]


def light(tensor: Tensor) -> Array:
    """A tensor as an array of NumPy where it is on the CPU."""
    return tensor.numpy(force=True) if tensor.device.type == "cpu" else tensor


def heavy(array: Array) -> Tensor:
    """An array of either kind as a tensor."""
    return torch.from_numpy(array) if isinstance(array, np.ndarray) else array


def namespace(array: Array) -> Any:
    """The module of an array's functions."""
    return np if isinstance(array, np.ndarray) else torch


def identity(like: Array) -> Array:
    size = like.shape[-1]
    if isinstance(like, np.ndarray):
        return np.eye(size, dtype=like.dtype)
    return torch.eye(size, dtype=like.dtype, device=like.device)


def adjoint(matrix: Array) -> Array:
    return matrix.conj().mT


def taken(rates: Array, index: Array) -> Array:
    """Entries of each row by their index."""
    return np.take_along_axis(rates, index, -1) if isinstance(rates, np.ndarray) else rates.gather(-1, index)


def solved(matrix: Array, right: Array) -> Array:
    """The solution, which a singular matrix makes infinite or NaN."""
    if not isinstance(matrix, np.ndarray):
        return torch.linalg.solve_ex(matrix, right)[0]
    try:
        return np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        return torch.linalg.solve_ex(torch.from_numpy(matrix), torch.from_numpy(right))[0].numpy()


def exponentials(rates: Array, times: Array) -> Array:
    """Columns exp(rate t) (*batch, T, r), in units of the largest entry that each has for times from 0 to 1."""
    growth = rates.real.clip(min=0)[..., None, :]
    return namespace(rates).exp(times[..., None] * rates[..., None, :] - growth)


def coefficients(Phi: Array, H: Array) -> tuple[Array, Array, Array]:
    """The least squares solution B (*batch, r, K), an orthonormal basis Q (*batch, T, r) of the columns of Phi, and
    Q^H H.

    Rows of a tiny multiple of the identity keep B finite where columns of Phi coincide."""
    xp, (size, rank) = namespace(Phi), Phi.shape[-2:]
    tiny = identity(Phi) * (size * float(xp.finfo(Phi.dtype).eps))
    Q, R = xp.linalg.qr(xp.concatenate([Phi, xp.broadcast_to(tiny, (*Phi.shape[:-2], rank, rank))], -2))
    Q = Q[..., :size, :]
    C = adjoint(Q) @ H
    return solved(R, C) if xp is np else torch.linalg.solve_triangular(R, C, upper=True), Q, C


class State(NamedTuple):
    """Rates (batch, r) and, at these, f (batch), J^H R (batch, r), which is minus its gradient, and J^H J
    (batch, r, r)."""

    rates: Array
    value: Array
    slope: Array
    normal: Array

    @classmethod
    def at(cls, rates: Array, H: Array, times: Array) -> State:
        Phi = exponentials(rates, times)
        B, Q, C = coefficients(Phi, H)
        D = times[..., None] * Phi
        D = D - Q @ (adjoint(Q) @ D)
        slope = (D.conj() * (H @ adjoint(B))).sum(-2)
        return cls(rates, half_square(H - Q @ C), slope, (adjoint(D) @ D) * (B @ adjoint(B)).mT)

    def where(self, better: Array, other: State) -> State:
        """This state where it is better (batch), else the other."""
        where = namespace(self.rates).where
        return State(
            *(
                where(better.reshape(-1, *[1] * (mine.ndim - 1)), mine, theirs)
                for mine, theirs in zip(self, other, strict=True)
            )
        )


def half_square(H: Array) -> Array:
    """Half the sum of squares of complex matrices (batch, T, K)."""
    flat = H.reshape(len(H), -1)
    return namespace(H).linalg.vecdot(flat, flat).real / 2


@np.errstate(all="ignore")
def minimise(state: State, H: Array, times: Array, restriction: Restriction, steps: int = 500) -> tuple[State, Array]:
    """The state at a minimum near this one, and for which of the batch it is one (batch).

    Args:
        state: Where to start.
        H: Snapshots (batch, T, K), complex.
        times: From 0 to 1 (batch, T).
        restriction: Conditions on the rates.
        steps: Most steps, accepted or not.
    """
    # Values that decide on steps are NumPy arrays in any case.
    total, value = _numpy(half_square(H)), _numpy(state.value)
    damping, growth = np.full_like(total, 1e-2), np.full_like(total, 2)
    converged = value <= ROUNDING**2 * total
    unit = identity(state.normal)
    for _ in range(steps):
        active = ~converged & (damping < MOST_DAMPING)
        if not active.any():
            break
        diagonal = state.normal.diagonal(0, -2, -1).real
        least = 1e-12 * namespace(H).amax(diagonal, -1)[..., None]
        added = _like(damping, H)[..., None] * (diagonal + least)
        damped = state.normal + added[..., None] * unit
        candidate = restriction.nearest(state.rates + restriction.step(state.rates, state.slope, damped))
        step = candidate - state.rates
        model = state.slope - (state.normal @ step[..., None])[..., 0] / 2
        predicted = _numpy((step.conj() * model).sum(-1).real)
        invisible = ROUNDING * np.sqrt(value * total) + ROUNDING**2 * total
        # Without damping the step would promise at most about (1 + damping) times as much.
        last = (predicted >= 0) & ((1 + damping) * predicted <= TOLERANCE * value + invisible)
        if (last | ~active).all():
            # A step this small needs no check.
            moved = _like(last & active, H)[..., None]
            rates = namespace(H).where(moved, candidate, state.rates)
            return state._replace(rates=rates), _like(converged | last, H)
        new = State.at(candidate, H, times)
        new_value = _numpy(new.value)
        gain = value - new_value
        better = gain > 0
        factor = np.clip(1 - (2 * gain / predicted - 1) ** 3, 1 / 3, 2)
        damping = np.where(active, damping * np.where(better, factor, growth), damping)
        growth = np.where(better, 2, 2 * growth)
        better &= active
        converged |= active & (last | (new_value <= ROUNDING**2 * total))
        value = np.where(better, new_value, value)
        state = new if better.all() else new.where(_like(better, H), state) if better.any() else state
    return state, _like(converged, H)


def minimise_pairs(state: State, H: Array, times: Array, restriction: Restriction) -> tuple[State, Restriction, Array]:
    """As :func:`minimise`, and also over which of the rates are real and which are conjugate pairs.

    The fit depends on a pair :math:`a \\pm i b` by :math:`b^2`, which is negative for two real rates. A pair that ends
    at b = 0 is stationary, but better where it parts into two real rates; the reverse is so for real ones that meet.
    """
    state, converged = minimise(state, H, times, restriction)
    partner = restriction.partner
    if partner is None or restriction.imaginary:
        return state, restriction, converged
    for _ in range(state.rates.shape[-1]):
        rates, others = _parted(state.rates, partner)
        index = namespace(H).where((others != partner).any(-1))[0]
        if not len(index):
            break
        own = restriction._replace(partner=others[index])
        near = State.at(own.nearest(rates[index]), H[index], times[index])
        new, ended = minimise(near, H[index], times[index], own)
        better = new.value < state.value[index]
        if not better.any():
            break
        chosen = index[better]
        state = State(*(_put(mine, chosen, theirs[better]) for mine, theirs in zip(state, new, strict=True)))
        partner, converged = _put(partner, chosen, others[chosen]), _put(converged, chosen, ended[better])
    return state, restriction._replace(partner=partner), converged


def _parted(rates: Array, partner: Array) -> tuple[Array, Array]:
    """Rates (batch, r) and their partners, with pairs that have merged as two real rates, and the two nearest real
    rates that have as a pair."""
    like, rates, partner = rates, heavy(rates), heavy(partner)
    slots = torch.arange(rates.size(-1), device=rates.device)
    split = (partner != slots) & (rates.imag.abs() < MERGED)
    parted = torch.where(split, rates.real + (partner - slots).sign(), rates)
    others = torch.where(split, slots, partner)

    gaps = (rates.real.unsqueeze(-1) - rates.real.unsqueeze(-2)).abs()
    real = partner == slots
    gaps = torch.where(real.unsqueeze(-1) & real.unsqueeze(-2) & (slots.unsqueeze(-1) < slots), gaps, torch.inf)
    least, place = gaps.flatten(-2).min(dim=-1, keepdim=True)
    first, second = place // len(slots), place % len(slots)
    met = least < MERGED
    joined = met & ((slots == first) | (slots == second))
    others = torch.where(joined, torch.where(slots == first, second, first), others)
    parted = torch.where(joined, rates.real + 1j * (others - slots).sign(), parted)
    return _of_kind(parted, like), _of_kind(others, like)


def _put(array: Array, index: Array, rows: Array) -> Array:
    """A copy with other rows."""
    return _of_kind(heavy(array).index_copy(0, heavy(index), heavy(rows)), array)


def _of_kind(tensor: Tensor, like: Array) -> Array:
    return tensor.numpy() if isinstance(like, np.ndarray) else tensor


def _numpy(array: Array) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else array.numpy(force=True)


def _like(array: np.ndarray, like: Array) -> Array:
    return array if isinstance(like, np.ndarray) else torch.from_numpy(array).to(like.device)
