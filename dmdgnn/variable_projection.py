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

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Predicted relative decrease under which a step is the last: rates are then within a thousandth of their
# standard errors.
TOLERANCE = 1e-11
# Relative size of residuals that rounding alone leaves.
ROUNDING = 2e-15
MOST_DAMPING = 1e14


class Restriction(NamedTuple):
    """What holds for rates (*batch, r).

    Args:
        stable: No real part is positive.
        imaginary: All real parts are zero.
        partner: Index of the conjugate of each rate, its own where it is real (*batch, r); None where rates are free.
    """

    stable: bool = False
    imaginary: bool = False
    partner: Tensor | None = None

    def nearest(self, rates: Tensor) -> Tensor:
        """Rates that are as they are to be."""
        if self.partner is not None:
            rates = (rates + rates.gather(-1, self.partner).conj()) / 2
        if self.imaginary:
            return torch.complex(torch.zeros_like(rates.real), rates.imag)
        return torch.complex(rates.real.clamp(max=0), rates.imag) if self.stable else rates

    def held(self, rates: Tensor, slope: Tensor) -> Tensor:
        """Which real and imaginary parts (batch, 2 r) cannot follow the slope."""
        real = torch.full_like(rates.real, self.imaginary, dtype=torch.bool)
        if self.stable:
            real |= (rates.real >= 0) & (slope.real > 0)
        return torch.cat([real, torch.zeros_like(real)], dim=-1)

    def step(self, rates: Tensor, slope: Tensor, normal: Tensor) -> Tensor:
        """The solution of `normal` times step = `slope` among the real and imaginary parts that are not held."""
        if not (self.stable or self.imaginary):
            return torch.linalg.solve_ex(normal, slope)[0]
        free = (~self.held(rates, slope)).to(slope.real)
        top, bottom = torch.cat([normal.real, -normal.imag], dim=-1), torch.cat([normal.imag, normal.real], dim=-1)
        matrix = torch.cat([top, bottom], dim=-2) * (free.unsqueeze(-1) * free.unsqueeze(-2))
        right = torch.cat([slope.real, slope.imag], dim=-1) * free
        return torch.complex(*torch.linalg.solve_ex(matrix + torch.diag_embed(1 - free), right)[0].chunk(2, dim=-1))


def exponentials(rates: Tensor, times: Tensor) -> Tensor:
    """Columns exp(rate t) (*batch, T, r), in units of the largest entry that each has for times from 0 to 1."""
    growth = rates.real.clamp(min=0).unsqueeze(-2)
    return torch.exp(times.unsqueeze(-1) * rates.unsqueeze(-2) - growth)


def coefficients(Phi: Tensor, H: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The least squares solution B (*batch, r, K), an orthonormal basis Q (*batch, T, r) of the columns of Phi, and
    Q^H H.

    Rows of a tiny multiple of the identity keep B finite where columns of Phi coincide."""
    size, rank = Phi.shape[-2:]
    tiny = torch.eye(rank, dtype=Phi.dtype, device=Phi.device).mul_(size * torch.finfo(Phi.dtype).eps)
    Q, R = torch.linalg.qr(torch.cat([Phi, tiny.expand(*Phi.shape[:-2], rank, rank)], dim=-2))
    Q = Q[..., :size, :]
    C = Q.mH @ H
    return torch.linalg.solve_triangular(R, C, upper=True), Q, C


class State(NamedTuple):
    """Rates (batch, r) and, at these, f (batch), J^H R (batch, r), which is minus its gradient, and J^H J
    (batch, r, r)."""

    rates: Tensor
    value: Tensor
    slope: Tensor
    normal: Tensor

    @classmethod
    def at(cls, rates: Tensor, H: Tensor, times: Tensor) -> State:
        Phi = exponentials(rates, times)
        B, Q, C = coefficients(Phi, H)
        D = times.unsqueeze(-1) * Phi
        D = torch.baddbmm(D, Q, Q.mH @ D, alpha=-1)
        B_H = B.mH
        slope = torch.linalg.vecdot(D, H @ B_H, dim=-2)
        return cls(rates, half_square(torch.baddbmm(H, Q, C, alpha=-1)), slope, (D.mH @ D) * (B @ B_H).mT)

    def where(self, better: Tensor, other: State) -> State:
        """This state where it is better (batch), else the other."""
        return State(
            *(
                torch.where(better.view(-1, *[1] * (mine.dim() - 1)), mine, theirs)
                for mine, theirs in zip(self, other, strict=True)
            )
        )


def half_square(H: Tensor) -> Tensor:
    """Half the sum of squares of complex matrices (batch, T, K)."""
    return torch.view_as_real(H).square().sum(dim=(-3, -2, -1)) / 2


def minimise(
    state: State, H: Tensor, times: Tensor, restriction: Restriction, steps: int = 500
) -> tuple[State, Tensor]:
    """The state at a minimum near this one, and for which of the batch it is one (batch).

    Args:
        state: Where to start.
        H: Snapshots (batch, T, K), complex.
        times: From 0 to 1 (batch, T).
        restriction: What holds for the rates.
        steps: Most steps, accepted or not.
    """
    # What decides is in NumPy: most operations of torch on a few numbers take longer than these do.
    total = half_square(H).numpy(force=True)
    value = state.value.numpy(force=True)
    damping, growth = np.full_like(total, 1e-2), np.full_like(total, 2)
    converged = value <= ROUNDING**2 * total
    for _ in range(steps):
        active = ~converged & (damping < MOST_DAMPING)
        if not active.any():
            break
        damped = state.normal.clone()
        diagonal = damped.diagonal(dim1=-2, dim2=-1)
        least = 1e-12 * diagonal.real.amax(dim=-1, keepdim=True)
        diagonal += torch.from_numpy(damping).to(least).unsqueeze(-1) * (diagonal + least)
        candidate = restriction.nearest(state.rates + restriction.step(state.rates, state.slope, damped))
        step = candidate - state.rates
        model = state.slope - (state.normal @ step.unsqueeze(-1)).squeeze(-1) / 2
        predicted = torch.linalg.vecdot(step, model).real.numpy(force=True)
        invisible = ROUNDING * np.sqrt(value * total) + ROUNDING**2 * total
        # Without damping the step would promise at most about (1 + damping) times as much.
        last = (predicted >= 0) & ((1 + damping) * predicted <= TOLERANCE * value + invisible)
        if (last | ~active).all():
            # A step this small needs no check.
            moved = torch.from_numpy(last & active).to(state.rates.device).unsqueeze(-1)
            return state._replace(rates=torch.where(moved, candidate, state.rates)), _tensor(converged | last, H)
        new = State.at(candidate, H, times)
        new_value = new.value.numpy(force=True)
        with np.errstate(all="ignore"):
            gain = value - new_value
            better = gain > 0
            factor = np.clip(1 - (2 * gain / predicted - 1) ** 3, 1 / 3, 2)
        damping = np.where(active, damping * np.where(better, factor, growth), damping)
        growth = np.where(better, 2, 2 * growth)
        better &= active
        converged |= active & (last | (new_value <= ROUNDING**2 * total))
        value = np.where(better, new_value, value)
        state = new if better.all() else new.where(_tensor(better, H), state) if better.any() else state
    return state, _tensor(converged, H)


def _tensor(mask: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(mask).to(like.device)


class Stationary(torch.autograd.Function):
    """Rates at a minimum as a function of snapshots H and times, by the theorem of implicit functions: where the slope
    s is zero, a change of H changes rates by -(ds / d rates)^-1 ds / dH."""

    @staticmethod
    def forward(ctx: Any, H: Tensor, times: Tensor, rates: Tensor, held: Tensor) -> Tensor:
        # Two steps of Newton's method: what minimises in floating point has half the digits of what is stationary.
        for _ in range(2):
            slope, hessian = _slope_and_hessian(rates, H, times, held)
            step = _pseudo_solve(hessian, slope)
            moved = rates - torch.complex(*step.chunk(2, dim=-1))
            better = _free(_slope(moved, H, times), held).norm(dim=-1) < slope.norm(dim=-1)
            rates = torch.where(better.unsqueeze(-1), moved, rates)
        ctx.save_for_backward(H, times, rates, held)
        return rates

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        H, times, rates, held = ctx.saved_tensors
        hessian = _slope_and_hessian(rates, H, times, held)[1]
        weights = -_pseudo_solve(hessian.mT, torch.cat([cotangent.real, cotangent.imag], dim=-1))
        with torch.enable_grad():
            inputs = H.detach().requires_grad_(), times.detach().requires_grad_()
            slope = _free(_slope(rates, *inputs), held)
            return (*torch.autograd.grad(slope, inputs, weights), None, None)


def _slope(rates: Tensor, H: Tensor, times: Tensor) -> Tensor:
    slope = State.at(rates, H, times).slope
    return torch.cat([slope.real, slope.imag], dim=-1)


def _free(parts: Tensor, held: Tensor) -> Tensor:
    return torch.where(held, 0, parts)


def _slope_and_hessian(rates: Tensor, H: Tensor, times: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
    """The slope (batch, 2 r), zero in the parts that are held, and its derivatives by the parts of the rates
    (batch, 2 r, 2 r)."""
    H, times = H.detach(), times.detach()
    with torch.enable_grad():
        parts = torch.cat([rates.real, rates.imag], dim=-1).detach().requires_grad_()
        slope = _free(_slope(torch.complex(*parts.chunk(2, dim=-1)), H, times), held)
        rows = [torch.autograd.grad(slope[..., i].sum(), parts, retain_graph=True)[0] for i in range(slope.size(-1))]
    return slope.detach(), _free(torch.stack(rows, dim=-2), held.unsqueeze(-2))


def _pseudo_solve(matrix: Tensor, right: Tensor) -> Tensor:
    """Zero along directions that change nothing."""
    return (torch.linalg.pinv(matrix, rtol=1e-12) @ right.unsqueeze(-1)).squeeze(-1)
