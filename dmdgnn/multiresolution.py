"""Multi-resolution Dynamic Mode Decomposition: slow modes of ever shorter windows."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from dmdgnn.dmd import DMD
from dmdgnn.errors import InputError, NotFittedError, RankError
from dmdgnn.kernels.thin_svd import check_matrix
from dmdgnn.options import is_integer, is_number


class Window(NamedTuple):
    """Slow modes (N, k) of the snapshots `start` to `stop - 1`, their factors in a step (k) and amplitudes at `start`
    (k), complex, and the `states` that these make (N, stop - start), real where the snapshots are; k may be 0."""

    level: int
    start: int
    stop: int
    modes: Tensor
    eigs: Tensor
    amplitudes: Tensor
    states: Tensor


class MRDMD:
    r"""Modes that come and go: slow ones of the whole series, then slow ones of each half of what remains, and so on.

    Level l = 0, 1, ... has :math:`2^l` windows. With :math:`\omega = \log \lambda` from the :class:`dmdgnn.DMD` of a
    window of :math:`T_l` snapshots that starts at :math:`t_j`, its slow modes are those of at most c cycles. Their
    share of the states is taken off before the next level:

    .. math::
        x(t) \approx \sum_l \sum_{|\omega_k| < 2 \pi c / T_l} b_k\, \phi_k\, e^{\omega_k (t - t_j)},
        \qquad j \text{ the window of level } l \text{ that holds } t.

    A transient then has modes in the windows where it is, at the level whose windows are as long as its cycles, where
    one DMD of the whole series would need many modes for it. Amplitudes b are those with which all modes of the
    window, fast ones, too, fit its snapshots best; the slow ones alone where more would be left than there was.

    Source: Kutz, Fu and Brunton, "Multiresolution Dynamic Mode Decomposition" (https://arxiv.org/abs/1506.00564).

    Args:
        dmd: Estimator to fit to each window; by default `DMD()`, without `center`: a mean is a slow mode. Where a
            window has a lower rank than its `rank`, the window's own is taken.
        levels: Number of levels.
        cycles: Most cycles c within a window of a mode that counts as slow.

    Attributes:
        windows: Every :class:`Window`, by level and time.

    >>> t = torch.arange(64, dtype=torch.float64)
    >>> X = torch.stack([torch.cos(2 * torch.pi * t / 32), torch.sin(2 * torch.pi * t / 32)]) * (t < 32)
    >>> [(window.level, window.start) for window in MRDMD(levels=3, cycles=1.5).fit(X).windows if len(window.eigs)]
    [(1, 0)]
    """

    windows: tuple[Window, ...]

    def __init__(self, dmd: DMD | None = None, *, levels: int = 3, cycles: float = 1.0) -> None:
        if dmd is not None and (not isinstance(dmd, DMD) or dmd.center):
            raise InputError(f"got dmd={dmd!r}, expected a DMD without center: the mean is a slow mode, too")
        if not is_integer(levels) or levels < 1 or not is_number(cycles) or not 0 < cycles < math.inf:
            raise InputError(f"got levels={levels!r} and cycles={cycles!r}, expected an integer and a number above 0")
        self.dmd, self.levels, self.cycles = DMD() if dmd is None else dmd, int(levels), float(cycles)

    def fit(self, X: Tensor) -> MRDMD:
        """Decompose a series of states (N, T), one a column.

        Raises:
            InputError: X is no such series, or too short for so many levels.
        """
        check_matrix("X", X)
        shortest, least = X.size(-1) // 2 ** (self.levels - 1), self.dmd.delays + 1
        if X.dim() != 2 or shortest < least:
            got = f"X of shape {tuple(X.shape)} and levels={self.levels}, for windows of {shortest} states"
            raise InputError(f"got {got}, expected (N, T), one state a column, and windows of {least} or more")
        rounding = max(X.shape) * torch.finfo(X.dtype).eps * float(X.detach().abs().max())
        windows, rest = [], X
        for level in range(self.levels):
            start, parts = 0, []
            for states in rest.tensor_split(2**level, dim=1):
                windows.append(self._window(level, start, states, rounding))
                start = windows[-1].stop
                parts.append(states - windows[-1].states)
            rest = torch.cat(parts, dim=1)
        self.windows = tuple(windows)
        return self

    def _window(self, level: int, start: int, states: Tensor, least: float) -> Window:
        """The slow modes of states of which one at least is to be above rounding, `least`, for there to be any."""
        dtype, length, stop = states.dtype.to_complex(), states.size(1), start + states.size(1)
        if float(states.detach().abs().max()) <= least:
            none = torch.zeros_like(states[:, :0], dtype=dtype)
            return Window(level, start, stop, none, none[0], none[0], torch.zeros_like(states))
        dmd = copy.copy(self.dmd)
        try:
            dmd.fit(states)
        except RankError:
            dmd.truncation = DMD().truncation
            dmd.fit(states)
        modes, eigs = dmd.modes[: len(states)].to(dtype), dmd.eigs.to(dtype)
        # Powers in units of the largest, which for modes that grow is the last.
        grows = eigs.abs() > 1
        V = torch.linalg.vander(torch.where(grows, torch.where(grows, eigs, 1).reciprocal(), eigs), N=length)
        V = torch.where(grows.unsqueeze(1), V.flip(1), V)
        slow = torch.log(eigs).abs() < 2 * math.pi * self.cycles / length
        # Slow modes that cancel fast ones may leave more than there was: then they are fitted alone.
        for used in (slow | True, slow):
            Phi, powers = modes[:, used], V[used]
            inverse = torch.linalg.pinv((Phi.mH @ Phi) * (powers @ powers.mH).conj(), hermitian=True)
            shares = (inverse @ (Phi.mH @ states.to(dtype) * powers.conj()).sum(dim=1))[slow[used]]
            made = modes[:, slow] * shares @ V[slow]
            if float((states - made).detach().norm()) <= float(states.detach().norm()):
                break
        made = made if states.is_complex() else made.real
        return Window(level, start, stop, modes[:, slow], eigs[slow], shares * V[slow, 0], made)

    @property
    def reconstructed_data(self) -> Tensor:
        """The states as all modes make them (N, T), real where they were."""
        return torch.stack([self.partial(level) for level in range(self.levels)]).sum(dim=0)

    def partial(self, level: int) -> Tensor:
        """Sum of the modes of one level (N, T), real where the states were.

        Raises:
            InputError: There is no such level.
        """
        if not is_integer(level) or not 0 <= level < self.levels:
            raise InputError(f"got level={level!r}, expected 0 to {self.levels - 1}")
        return torch.cat([window.states for window in self.windows if window.level == level], dim=1)

    @property
    def modes(self) -> Tensor:
        """The modes of all windows side by side (N, r)."""
        return torch.cat([window.modes for window in self.windows], dim=1)

    @property
    def eigs(self) -> Tensor:
        """Their factors in a step (r)."""
        return torch.cat([window.eigs for window in self.windows])

    def __getattr__(self, name: str) -> NoReturn:
        if name not in MRDMD.__annotations__ and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise NotFittedError(f"this MRDMD has no {name} yet, call fit first")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dmd!r}, levels={self.levels}, cycles={self.cycles})"
