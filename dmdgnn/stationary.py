"""Gradients of rates that minimise what a fit leaves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from dmdgnn.variable_projection import State


class Stationary(torch.autograd.Function):
    """Rates at a minimum as a function of snapshots H and times, by the theorem of implicit functions: where the slope
    s is zero, a change of H changes rates by -(ds / d rates)^-1 ds / dH."""

    @staticmethod
    def forward(ctx: Any, H: Tensor, times: Tensor, rates: Tensor, held: Tensor) -> Tensor:
        # Two steps of Newton's method: a minimum in floating point has half the digits of a stationary point.
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
