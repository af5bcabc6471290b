"""How many singular triplets to keep."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Literal

import torch
from torch import Tensor

from dmdgnn.errors import InputError


def rounding_level(shape: tuple[int, ...] | torch.Size, dtype: torch.dtype) -> float:
    r"""Relative size of singular values that rounding alone gives a matrix (N, F) with entries of this dtype: entries
    rounded to u make up at most :math:`u \|X\|_F \le u \sqrt{\min(N, F)} \sigma_1`, and the factorisation adds
    that of float64."""
    epsilon, precise = torch.finfo(dtype).eps, torch.finfo(torch.float64).eps
    return max(epsilon * min(shape), precise * max(shape))


Rank = int | Literal["optimal"] | None


@dataclass(frozen=True)
class Truncation:
    r"""The rule for the rank: at most one of `rank` and `energy`; with neither, all that is not rounding.

    Args:
        rank: Number of triplets, or 'optimal' for the values above :math:`\omega(\beta)` times their median, with
            :math:`\beta = \min(N, F) / \max(N, F)` and
            :math:`\omega(\beta) \approx 0.56 \beta^3 - 0.95 \beta^2 + 1.82 \beta + 1.43`: the hard threshold that is
            optimal under white noise of unknown level, from Gavish and Donoho, "The Optimal Hard Threshold for
            Singular Values is 4/sqrt(3)" (https://arxiv.org/abs/1305.5870). At least one is kept.
        energy: Share in (0, 1] of :math:`\sum_i \sigma_i^2` to keep at least.

    Raises:
        InputError: Both are given, or one is out of range.
    """

    rank: Rank = None
    energy: float | None = None

    def __post_init__(self) -> None:
        rank, energy = self.rank, self.energy
        if isinstance(rank, Integral) and not isinstance(rank, bool):
            object.__setattr__(self, "rank", int(rank))
            rank = self.rank
        if rank is not None and energy is not None:
            raise InputError(f"got both rank={rank!r} and energy={energy}: give one of them")
        if rank not in (None, "optimal") and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
            raise InputError(f"got rank={rank!r}, expected a positive integer, 'optimal', or None for all")
        if energy is None:
            return
        if isinstance(energy, bool) or not isinstance(energy, Real) or not 0 < energy <= 1:
            raise InputError(f"got energy={energy!r}, expected a share in (0, 1]")
        object.__setattr__(self, "energy", float(energy))

    @property
    def count(self) -> int | None:
        """The number of triplets, where it does not depend on the data."""
        return self.rank if isinstance(self.rank, int) else None

    def kept(self, S: Tensor, shape: tuple[int, int], tolerance: float) -> Tensor:
        """How many of the descending values S (*batch, n) to keep, int64 (*batch): never those that are rounding,
        at or under `tolerance` times the first."""
        if S.dim() == 1 and self.energy is None and self.rank != "optimal":
            values = S.tolist()
            sound = sum(value / (values[0] or 1) > tolerance for value in values)
            return torch.tensor(sound if self.count is None else min(sound, self.count), device=S.device)
        # In units of the largest, squares do not vanish.
        S = S / torch.where(S[..., :1] > 0, S[..., :1], 1)
        sound = tolerance < S
        kept = sound.sum(dim=-1)
        if self.count is not None:
            return kept.clamp(max=self.count)
        if self.energy is not None:
            share = (S * sound).square().cumsum(dim=-1)
            return torch.minimum(kept, (share < self.energy * share[..., -1:]).sum(dim=-1) + 1)
        if self.rank == "optimal":
            beta = min(shape) / max(shape)
            threshold = (0.56 * beta**3 - 0.95 * beta**2 + 1.82 * beta + 1.43) * S.quantile(0.5, dim=-1, keepdim=True)
            return torch.minimum(kept, (threshold < S).sum(dim=-1).clamp(min=1))
        return kept
