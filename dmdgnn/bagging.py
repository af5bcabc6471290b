"""Standard errors of rates from fits to random shares of the snapshots.

Source: Sashidhar and Kutz, "Bagging, optimized dynamic mode decomposition" (https://arxiv.org/abs/2107.10878).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.variable_projection import Restriction, State, heavy, light, minimise

# Entries of the snapshots of all trials that are fitted at a time: 128 MB.
ENTRIES = 2**23


class Trials(NamedTuple):
    """A number of fits, each to a share of the snapshots, and the seed of their choice."""

    number: int
    share: float
    seed: int

    def deviation(self, H: Tensor, times: Tensor, rates: Tensor, restriction: Restriction) -> Tensor:
        """Standard errors (batch, r) from fits to random shares of the snapshots."""
        batch, size, width = H.shape
        count = round(self.share * size)
        if not rates.size(-1) < count < size:
            raise InputError(
                f"got share={self.share} of {size} snapshots, expected one that leaves more than {rates.size(-1)} and "
                "not all of them"
            )
        chance = torch.rand(self.number, size, generator=torch.Generator().manual_seed(self.seed), device="cpu")
        kept = chance.argsort(dim=-1)[:, :count].sort(dim=-1).values.to(H.device)
        found = []
        for trials in kept.split(max(1, ENTRIES // (batch * count * width))):
            repeats = len(trials)
            partner = restriction.partner
            if partner is not None:
                partner = light(partner.repeat_interleave(repeats, dim=0))
            chosen = H[:, trials].to(torch.complex128).flatten(0, 1), times[:, trials].flatten(0, 1)
            precise, at = map(light, chosen)
            state = State.at(light(rates.repeat_interleave(repeats, dim=0)), precise, at)
            state, _ = minimise(state, precise, at, restriction._replace(partner=partner))
            found.append(heavy(state.rates).view(batch, repeats, -1))
        parts = torch.view_as_real(torch.cat(found, dim=1))
        # Half of what lies between the quantiles of a deviation on each side: trials that went astray do not count.
        low, high = parts.quantile(torch.tensor([0.1587, 0.8413], dtype=parts.dtype, device=parts.device), dim=1)
        # A share of the snapshots varies about all of them by (size - count) / count of the variance of these.
        return torch.view_as_complex(((high - low) / 2 * math.sqrt(count / (size - count))).contiguous())
