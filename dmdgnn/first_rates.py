"""Rates of growth and oscillation from which to start a fit of exponentials to snapshots H (batch, T, K), real where
rates are to be closed under conjugation, at times from 0 to 1 (batch, T)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from dmdgnn.kernels.robust import robust
from dmdgnn.variable_projection import coefficients

# Bins for each sample: times are rounded to an eighth of their mean distance at most.
BINS = 4
# Real rates to start from, in units of the time from the first snapshot to the last.
REAL_RATES = (0.0, -1.0, -3.0, -10.0, -30.0, 1.0, 3.0)


class Start(NamedTuple):
    """Rates (batch, r), complex, and the index of the conjugate of each, its own where it is real (batch, r)."""

    rates: Tensor
    partner: Tensor


def leading(H: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """About the `rank` leading left singular vectors (batch, T, rank) of snapshots H (batch, T, K) and their values
    (batch, rank)."""
    Q, inner = None, H
    if min(H.shape[-2:]) > rank + 4:
        probe = torch.randn(
            H.size(-1), rank + 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0), device="cpu"
        )
        Q = torch.linalg.qr(H @ probe.to(H)).Q
        Q = torch.linalg.qr(H @ torch.linalg.qr(H.mH @ Q).Q).Q
        inner = Q.mH @ H
    U, S, _ = robust(lambda matrix: torch.linalg.svd(matrix, full_matrices=False), inner)
    return (U if Q is None else Q @ U)[..., :rank], S[..., :rank]


def by_integrals(U: Tensor, times: Tensor) -> Start:
    r"""Eigenvalues of the A that best fits :math:`u(t) = c + A \int_0^t u`, with integrals by the trapezoidal rule,
    corrected for what this does to exponentials at the mean distance of times."""
    steps = times.diff().unsqueeze(-1)
    right, left = ((U[..., 1:, :] + U[..., :-1, :]) * steps / 2).cumsum(dim=-2), U[..., 1:, :]
    right, left = right - right.mean(dim=-2, keepdim=True), left - left.mean(dim=-2, keepdim=True)
    A = coefficients(right, left)[0]
    # LAPACK returns conjugate pairs side by side, the positive imaginary part first.
    eigs = robust(lambda matrix: (torch.linalg.eigvals(matrix),), A.cpu())[0].to(U.device)
    half = steps.mean(dim=-2) / 2
    rates = torch.atanh(eigs * half) / half
    rates = torch.where(rates.isfinite(), rates, eigs)
    rates = torch.where(eigs.imag == 0, torch.complex(rates.real, torch.zeros_like(rates.imag)), rates)
    offset = (eigs.imag > 0).long() - (eigs.imag < 0).long()
    return Start(rates, torch.arange(eigs.size(-1), device=U.device) + offset)


def by_frequencies(Z: Tensor, times: Tensor, rank: int, decay: bool = False) -> Start:
    """The strongest frequencies, one after another, each in what those before leave of Z: pairs where Z is real, and
    a rate of zero where their number is odd, or with `decay` the strongest decay, taken off before."""
    paired = not Z.is_complex()
    batch, size = times.shape
    place = (times * BINS * (size - 1)).round().long().unsqueeze(-1).expand(-1, -1, Z.size(-1))
    length = 2 * BINS * size
    angular = 2 * math.pi * torch.fft.fftfreq(length, 1 / (BINS * (size - 1)), device=Z.device, dtype=times.dtype)
    allowed = angular.abs() <= math.pi * (size - 1)
    if paired:
        allowed &= angular > 0
    Z = Z.to(times.dtype.to_complex())
    rates, rest = Z.new_zeros(batch, rank % 2 if paired else 0), Z
    if decay:
        rates = _strongest_decay(Z, times)
        rest = _without(Z, times, rates)
    while rates.size(-1) < rank:
        binned = torch.zeros(batch, length, Z.size(-1), dtype=Z.dtype, device=Z.device).scatter_add_(1, place, rest)
        power = torch.view_as_real(torch.fft.fft(binned, dim=1)).square().sum(dim=(-2, -1)) * allowed
        found = 1j * angular[power.argmax(dim=-1, keepdim=True)]
        rates = torch.cat([rates, found, -found] if paired else [rates, found], dim=-1)
        rest = _without(Z, times, rates)
    slots = torch.arange(rank, device=Z.device)
    partner = torch.where(slots < rank % 2, slots, (slots - rank % 2 ^ 1) + rank % 2) if paired else slots
    return Start(rates, partner.expand(batch, rank))


def _without(Z: Tensor, times: Tensor, rates: Tensor) -> Tensor:
    """Remainder of Z beside its part in the span of exponentials."""
    Q = torch.linalg.qr(torch.exp(times.unsqueeze(-1) * rates.unsqueeze(-2))).Q
    return Z - Q @ (Q.mH @ Z)


def _strongest_decay(Z: Tensor, times: Tensor) -> Tensor:
    """The one of a few real rates (batch, 1), complex, whose exponential makes up most of Z."""
    rates = torch.tensor(REAL_RATES, dtype=times.dtype, device=times.device)
    courses = torch.nn.functional.normalize(torch.exp(times.unsqueeze(-1) * rates), dim=-2)
    power = (courses.mT.to(Z.dtype) @ Z).abs().square().sum(dim=-1)
    return rates[power.argmax(dim=-1, keepdim=True)].to(Z.dtype)
