"""Optimised Dynamic Mode Decomposition: exponentials in time that fit snapshots best."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Sequence
from statistics import NormalDist
from typing import Literal, NoReturn, cast, get_args

import numpy as np
import torch
from torch import Tensor

from dmdgnn.bagging import Trials
from dmdgnn.errors import InputError, NotFittedError, RankError
from dmdgnn.first_rates import Start, by_frequencies, by_integrals, leading
from dmdgnn.kernels.robust import check_finite
from dmdgnn.kernels.truncation import Rank, Truncation, rounding_level
from dmdgnn.options import is_integer, is_number
from dmdgnn.precision import double_of, full_precision
from dmdgnn.stationary import Stationary
from dmdgnn.trajectories import finite_times
from dmdgnn.variable_projection import (
    ROUNDING,
    Array,
    Restriction,
    State,
    coefficients,
    exponentials,
    half_square,
    heavy,
    light,
    minimise_pairs,
    namespace,
)

RateConstraint = Literal["stable", "imaginary", "conjugate"]
RATE_CONSTRAINTS = get_args(RateConstraint)
# A start is good that leaves at most this many times what the best matrix of the rank leaves.
GOOD_START = 1.5


class OptDMD:
    r"""Modes and rates whose exponentials in time fit all snapshots best, at times that need not be even.

    .. math::
        \min_{\omega, \Phi, b} \sum_k \big\| x(t_k) - \Phi\, \mathrm{diag}(b)\, e^{\omega (t_k - t_1)} \big\|^2,

    by variable projection. Other than :class:`dmdgnn.DMD`, which fits steps from one snapshot to the next, it has no
    bias from noise: where noise is white, it is the estimate of maximum likelihood.

    Sources: Askham and Kutz, "Variable projection methods for an optimized dynamic mode decomposition"
    (https://arxiv.org/abs/1704.02343); Sashidhar and Kutz, "Bagging, optimized dynamic mode decomposition"
    (https://arxiv.org/abs/2107.10878).

    Args:
        rank: Number of exponentials r, fewer than snapshots. It may exceed the rank of X: a single series may hold
            many. By default 'optimal', see :class:`dmdgnn.kernels.Truncation`; None for the numerical rank of X.
        energy: Instead of `rank`, the share in (0, 1] of the squared singular values to keep at least.
        constraint: Condition on the rates, one name or several.

            - 'stable': no real part is positive.
            - 'imaginary': all real parts are zero.
            - 'conjugate': with each rate its conjugate. This always holds for real snapshots.
        trials: Number of fits to random shares of the snapshots, from which :attr:`deviation` and :meth:`interval`
            follow. `eigs` stay those of all snapshots, which vary less than a mean over trials does.
        share: The share of snapshots in each trial.
        seed: Seed of the choice of snapshots.

    Attributes:
        eigs: Rates :math:`\omega` in a unit of time (*batch, r), complex, by descending contribution to the snapshots;
            conjugate pairs are side by side, the positive imaginary part first. A factor in a step h of time, such as
            `DMD.eigs`, is :math:`e^{\omega h}`.
        modes: :math:`\Phi` (*batch, N, r), complex, of norm 1.
        amplitudes: b (*batch, r), at the first time.
        times: Times of the snapshots (T,) or (*batch, T), float64.
        converged: Whether the fit ended at a minimum (*batch), bool.
        deviation: Standard errors of real and imaginary parts of the rates, as real and imaginary parts (*batch, r).

    **Gradients** flow from rates, modes, amplitudes and whatever follows from them to snapshots and times, by the
    theorem of implicit functions; once, not twice.

    >>> t = torch.tensor([0.0, 0.3, 0.4, 0.9, 1.5, 1.6, 2.2], dtype=torch.float64)
    >>> X = torch.stack([torch.exp(-t) * torch.cos(2 * t), torch.exp(-t) * torch.sin(2 * t)])
    >>> OptDMD(rank=2).fit(X, t).eigs.imag.round(decimals=6)
    tensor([ 2., -2.], dtype=torch.float64)
    """

    # Results of `fit`, which the next one forgets first.
    eigs: Tensor
    modes: Tensor
    amplitudes: Tensor
    times: Tensor
    converged: Tensor
    deviation: Tensor
    # Rates and contributions in units of the time from the first snapshot to the last, and this time.
    _rates: Tensor
    _sizes: Tensor
    _span: Tensor
    _real: bool

    def __init__(
        self,
        rank: Rank = "optimal",
        energy: float | None = None,
        *,
        constraint: RateConstraint | Collection[RateConstraint] = (),
        trials: int = 0,
        share: float = 0.6,
        seed: int = 0,
    ) -> None:
        self.truncation = Truncation(None if rank == "optimal" and energy is not None else rank, energy)
        names = frozenset([constraint] if isinstance(constraint, str) else constraint or ())
        if not names <= set(RATE_CONSTRAINTS):
            raise InputError(
                f"got constraint={constraint!r}, expected some of {', '.join(map(repr, RATE_CONSTRAINTS))}"
            )
        for name, value, least in (("trials", trials, 0), ("seed", seed, None)):
            if not is_integer(value) or (least is not None and value < least):
                raise InputError(f"got {name}={value!r}, expected an integer" + " of at least 0" * (least is not None))
        if trials == 1 or not (is_number(share) and 0 < share < 1):
            raise InputError(f"got trials={trials} and share={share!r}, expected 0 or at least 2 and a share in (0, 1)")
        self.constraint, self.trials, self.share, self.seed = names, int(trials), float(share), int(seed)

    @full_precision
    def fit(self, X: Tensor, t: Tensor | Sequence[float] | None = None) -> OptDMD:
        """Find the rates; sums are in double precision, results in the precision of X.

        Args:
            X: Snapshots (*batch, N, T), float32, float64, complex64 or complex128. The matrices of a batch have one
                rank.
            t: Times (T,) or (*batch, T), ascending; by default 0, 1, 2 and so on.

        Raises:
            InputError: Wrong shape or dtype, NaN or infinite entries, times that do not ascend.
            RankError: `rank` is not below the number of snapshots.
        """
        fitted = type(self).__new__(type(self))
        fitted.__dict__ = {name: value for name, value in vars(self).items() if name not in OptDMD.__annotations__}
        fitted._fit(X, t)
        self.__dict__ = fitted.__dict__
        return self

    def _fit(self, X: Tensor, t: Tensor | Sequence[float] | None) -> None:
        times = _checked(X, t)
        batch, dtype = X.shape[:-2], X.dtype.to_complex()
        self.times, self._real = times, not X.is_complex()
        H = X.to(double_of(X.dtype)).mT.reshape(-1, *X.shape[:-3:-1])
        unit = H.detach().abs().amax(dim=(-2, -1), keepdim=True)
        H = H / torch.where(unit > 0, unit, 1)
        first = times[..., :1]
        span = times[..., -1:] - first
        scaled = ((times - first) / span).expand(*batch, -1).reshape(len(H), -1)

        with torch.no_grad():
            real = torch.cat([H.real, H.imag], dim=-1) if "conjugate" in self.constraint and H.is_complex() else H
            compressed = torch.linalg.qr(real.mT).R.mT if real.size(-1) > real.size(-2) else real
            rank = self._rank(compressed, X)
            state, restriction, converged = self._search(compressed, scaled, rank)
        H = H.to(torch.complex128)
        rates = state.rates
        if torch.is_grad_enabled() and (H.requires_grad or scaled.requires_grad):
            held = restriction.held(state.rates, state.slope)
            rates = restriction.nearest(Stationary.apply(H, scaled, rates, held))

        Phi = exponentials(rates, scaled)
        B = coefficients(Phi, H)[0]
        order = _order(rates, B, Phi, restriction.partner)
        rates, B = rates.gather(-1, order), B.take_along_dim(order.unsqueeze(-1), dim=-2)
        sizes = torch.linalg.vector_norm(B, dim=-1)
        modes = (B / torch.where(sizes > 0, sizes, 1).unsqueeze(-1)).mT

        def shaped(tensor: Tensor) -> Tensor:
            return tensor.reshape(batch + tensor.shape[1:])

        self._rates, self._sizes, self._span = shaped(rates), shaped(sizes * unit.squeeze(-1)), span
        self.converged = shaped(converged)
        self.eigs, self.modes = (self._rates / span).to(dtype), shaped(modes).to(dtype)
        self.amplitudes = (self._sizes * torch.exp(-self._rates.real.clamp(min=0))).to(dtype.to_real())
        if self.trials:
            with torch.no_grad():
                trials = Trials(self.trials, self.share, self.seed)
                spread = trials.deviation(compressed, scaled, state.rates, restriction).gather(-1, order)
            self.deviation = (shaped(spread) / span).to(dtype)
        if not bool(converged.all()):
            warnings.warn(
                f"{int((~converged).sum())} of {len(converged)} fits did not converge: a lower rank or a constraint "
                "may help",
                stacklevel=4,
            )

    def _rank(self, H: Tensor, X: Tensor) -> int:
        rank, most = self.truncation.count, H.size(-2) - 1
        if rank is None:
            shape = (X.size(-2), X.size(-1))
            kept = self.truncation.kept(torch.linalg.svdvals(H), shape, rounding_level(shape, X.dtype))
            return min(max(int(kept.max()), 1), most)
        if rank > most:
            raise RankError(
                f"got rank={rank}, but as many exponentials as snapshots fit anything: with {most + 1} snapshots, use "
                f"rank <= {most}"
            )
        return rank

    def _search(self, H: Tensor, times: Tensor, rank: int) -> tuple[State, Restriction, Tensor]:
        """From the better of two starts, and from others where it ends at much more than any rank-r matrix leaves."""
        precise, moments = light(H.to(torch.complex128)), light(times)
        restriction = Restriction("stable" in self.constraint, "imaginary" in self.constraint)

        def at(start: Start) -> tuple[State, Restriction]:
            own = restriction if H.is_complex() else restriction._replace(partner=light(start.partner))
            with np.errstate(all="ignore"):
                return State.at(own.nearest(light(start.rates)), precise, moments), own

        U, S = leading(H, rank)
        courses, total = U * S.unsqueeze(-2), half_square(precise)
        least = (total - light(S.square().sum(dim=-1)) / 2).clip(min=0)
        first, others = at(by_integrals(U, times)) if S.size(-1) == rank else None, []
        if first is None or not bool((first[0].value <= GOOD_START * least).all()):
            other = at(by_frequencies(courses, times, rank))
            first, worse = (other, None) if first is None else _ranked(first, other)
            others = [] if worse is None else [worse]
        state, restriction, converged = minimise_pairs(first[0], precise, moments, first[1])
        # Any matrix of rank r takes up r more of the noise in K rows than exponentials do.
        rows = H.size(-1)
        good = (rows - rank) * state.value <= GOOD_START * rows * (least + ROUNDING**2 * total)
        if rows <= rank or not bool(good.all()):
            if rank % 2 and not H.is_complex():
                others.append(at(by_frequencies(courses, times, rank, decay=True)))
            for other in others:
                new, own, ended = minimise_pairs(other[0], precise, moments, other[1])
                better = ~(state.value <= new.value)
                (state, restriction), _ = _ranked((state, restriction), (new, own))
                converged = namespace(better).where(better, ended, converged)
        if restriction.partner is not None:
            restriction = restriction._replace(partner=heavy(restriction.partner))
        return State(*map(heavy, state)), restriction, heavy(converged)

    def interval(self, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """Bounds (*batch, r) within which real and imaginary parts of the rates each lie with a probability of `level`,
        given white noise; needs `trials`.

        Raises:
            InputError: It was fitted without trials, or the level is no probability.
        """
        if not self.trials:
            raise InputError("an interval needs trials: fit with trials=100")
        if not is_number(level) or not 0 < level < 1:
            raise InputError(f"got level={level!r}, expected a probability in (0, 1)")
        width = NormalDist().inv_cdf((1 + level) / 2) * self.deviation
        return self.eigs - width, self.eigs + width

    def forecast(self, t: int | Tensor | Sequence[float]) -> Tensor:
        """States (*batch, N, steps) at the times t, before, between or after those of the snapshots, or in the next t
        steps after the last, as far apart as the snapshots are on average; real where these are.

        Raises:
            InputError: t is neither a positive integer nor finite times (T,) or (*batch, T).
        """
        times = self.times
        if is_integer(t):
            if t < 1:
                raise InputError(f"got t={t}, expected at least one step, or times")
            last, step = times[..., -1:], self._span / (times.size(-1) - 1)
            return self._states(last + step * torch.arange(1, t + 1, device=times.device))
        at = finite_times(cast("Tensor | Sequence[float]", t), times.device)
        batch = self.modes.shape[:-2]
        if at.shape not in (at.shape[-1:], batch + at.shape[-1:]):
            raise InputError(f"got times of shape {tuple(at.shape)}, expected (T,), or {(*batch, 'T')}")
        return self._states(at)

    @property
    def dynamics(self) -> Tensor:
        r"""The modes' coefficients :math:`b_i e^{\omega_i (t - t_1)}` at each time of the snapshots (*batch, r, T)."""
        return self._dynamics(self.times).to(self.modes.dtype)

    @property
    def reconstructed_data(self) -> Tensor:
        """The snapshots as the modes make them (*batch, N, T), real where they were."""
        return self._states(self.times)

    @property
    def frequency(self) -> Tensor:
        r"""Cycles in a unit of time, :math:`\Im \omega / 2 \pi` (*batch, r)."""
        return self.eigs.imag / (2 * math.pi)

    @property
    def growth_rate(self) -> Tensor:
        r"""Rate of growth in a unit of time, :math:`\Re \omega` (*batch, r)."""
        return self.eigs.real

    def _dynamics(self, times: Tensor) -> Tensor:
        scaled = (times - self.times[..., :1]) / self._span
        rates = self._rates.unsqueeze(-1)
        return self._sizes.unsqueeze(-1) * torch.exp(rates * scaled.unsqueeze(-2) - rates.real.clamp(min=0))

    @full_precision
    def _states(self, times: Tensor) -> Tensor:
        states = self.modes @ self._dynamics(times).to(self.modes.dtype)
        return states.real if self._real else states

    def __getattr__(self, name: str) -> NoReturn:
        if name not in OptDMD.__annotations__ and not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        missing = "fit with trials" if "eigs" in vars(self) else "call fit first"
        raise NotFittedError(f"this OptDMD has no {name.strip('_')} yet, {missing}")

    def __repr__(self) -> str:
        energy = self.truncation.energy
        options = [f"rank={self.truncation.rank!r}" if energy is None else f"energy={energy}"]
        if self.constraint:
            options.append(f"constraint={sorted(self.constraint)}")
        if self.trials:
            options.append(f"trials={self.trials}, share={self.share}")
        return f"{type(self).__name__}({', '.join(options)})"


def _ranked(
    first: tuple[State, Restriction], second: tuple[State, Restriction]
) -> tuple[tuple[State, Restriction], tuple[State, Restriction]]:
    """The better and the worse of two, for each of a batch; what is NaN is worse."""
    better = first[0].value <= second[0].value
    partners = first[1].partner, second[1].partner

    def chosen(take: Array) -> tuple[State, Restriction]:
        own = first[1]
        if own.partner is not None:
            own = own._replace(partner=namespace(take).where(take[:, None], *partners))
        return first[0].where(take, second[0]), own

    return chosen(better), chosen(~better)


def _checked(X: Tensor, t: Tensor | Sequence[float] | None) -> Tensor:
    """The times (T,) or (*batch, T), float64."""
    if not isinstance(X, Tensor):
        raise InputError(f"got X of type {type(X).__name__}, expected a torch.Tensor")
    if X.dtype not in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        raise InputError(f"got X of {X.dtype}, expected float32, float64, complex64 or complex128")
    if X.dim() < 2 or 0 in X.shape or X.size(-1) < 2 or X.layout != torch.strided:
        raise InputError(
            f"got X of shape {tuple(X.shape)} and {X.layout}, expected dense (*batch, N, T) with at least two snapshots"
        )
    check_finite("X", X)
    if t is None:
        return torch.arange(X.size(-1), dtype=torch.float64, device=X.device)
    times = finite_times(t, X.device)
    if times.shape not in (X.shape[-1:], X.shape[:-2] + X.shape[-1:]):
        raise InputError(
            f"got times of shape {tuple(times.shape)} for X {tuple(X.shape)}, expected one for each column"
        )
    if bool((times.diff() < 0).any()) or bool((times[..., -1] <= times[..., 0]).any()):
        raise InputError("got times that do not ascend: sort them, and the columns of X with them")
    return times


def _order(rates: Tensor, B: Tensor, Phi: Tensor, partner: Tensor | None) -> Tensor:
    """Indices (batch, r) by descending contribution, the positive imaginary part of a pair first."""
    size = (torch.linalg.vector_norm(B, dim=-1) * torch.linalg.vector_norm(Phi, dim=-2)).detach()
    if partner is not None:
        size = size + size.gather(-1, partner)
    upper = rates.detach().imag.sort(dim=-1, descending=True, stable=True).indices
    return upper.gather(-1, size.gather(-1, upper).sort(dim=-1, descending=True, stable=True).indices)
