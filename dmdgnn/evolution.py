"""A fitted DMD at other times: predictions, forecasts, and the part of each mode in the states."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from dmdgnn.errors import InputError
from dmdgnn.options import is_integer, is_number
from dmdgnn.precision import full_precision, precise
from dmdgnn.residuals import Residuals
from dmdgnn.trajectories import finite_times, stacked


class Evolution(Residuals):
    """Time in :class:`dmdgnn.DMD`: the first state is at time zero, the next ones are `dt` apart."""

    @full_precision
    def predict(self, X: Tensor, control: Tensor | None = None) -> Tensor:
        """The states one step after X (*batch, N, F), under the inputs `control` (q, F) if it was fitted with such.

        With `delays`, the states are those that it was fitted to, d consecutive ones in a column.

        Raises:
            InputError: States or inputs are of other shapes than those that it was fitted to, or inputs are there or
                missing unlike then.
        """
        operator = self.operator
        if not isinstance(X, Tensor):
            raise InputError(f"got X of type {type(X).__name__}, expected a torch.Tensor of shape (*batch, N, F)")
        if (control is None) != (self.B is None):
            raise InputError("pass `control` to predict if and only if it was passed to fit")
        if self._means is None:
            following = operator.matmul(X)
        else:
            before, after = (mean if X.dim() > 1 else mean.squeeze(-1) for mean in self._means)
            following = after + operator.matmul(X - before)
        if self.B is None or control is None:
            return following
        fits = isinstance(control, Tensor) and (X.is_complex() or not control.is_complex())
        if not fits or control.shape != (self.B.size(1), *X.shape[1:]):
            got = f"shape {tuple(control.shape)} and {control.dtype}" if isinstance(control, Tensor) else type(control)
            raise InputError(
                f"got control of {got}, expected a tensor with a row for each of {self.B.size(1)} inputs and a column "
                f"for each of X {tuple(X.shape)}, complex only for complex states"
            )
        control = control.to(X)
        return following + self.B @ (control if self._mean_control is None else control - self._mean_control)

    def forecast(
        self,
        steps: int | None = None,
        control: Tensor | Sequence[Tensor] | None = None,
        *,
        until: float | None = None,
        state: Tensor | None = None,
    ) -> Tensor:
        """The `steps` states after the last one that was fitted, shape (*batch, N, steps); after the last one of each
        of several trajectories, (trajectories, N, steps).

        Args:
            steps: Number of states, at least 1.
            control: Inputs (q, steps), of which column k leads from state k to state k + 1; or one such for each
                trajectory.
            until: Instead of `steps`, the time up to which to forecast, in the unit of `dt`.
            state: Another state (*batch, N, 1) to begin with, at time zero; with `delays`, the d last ones
                (*batch, N, d). (N,) will do for a single one.

        Raises:
            InputError: There is neither a number of steps nor a time, or both, or a time that is over; or inputs or the
                state do not fit; or the estimate is one of graphs by `ptr`.
        """
        states = self._state(state)
        steps = self._steps(steps, until, state is not None)
        several = self._several and state is None
        controls = self._inputs(control, steps, states.size(-1))
        following = []
        for step in range(steps):
            states = self.predict(states, None if controls is None else controls[..., step])
            following.append(states)
        size = states.size(-2) // self.delays
        if several:
            return torch.stack(following, dim=-1)[-size:].transpose(0, 1)
        return torch.cat(following, dim=-1)[..., -size:, :]

    def _steps(self, steps: int | None, until: float | None, anew: bool) -> int:
        if (steps is None) == (until is None):
            raise InputError(f"got steps={steps} and until={until}, expected one of them")
        if until is not None:
            ends = {0} if anew else set(self._ends)
            if len(ends) > 1:
                raise InputError("the trajectories end at different times: give steps")
            end = ends.pop()
            if not is_number(until) or not math.isfinite(until) or until / self.dt < end + 1 - 1e-6:
                raise InputError(f"got until={until!r}, expected a time of at least {(end + 1) * self.dt:g}")
            return math.floor(until / self.dt - end + 1e-6)
        if not is_integer(steps):
            raise InputError(f"got steps={steps!r}, expected an integer of at least 1")
        return int(steps)

    def _inputs(self, control: Tensor | Sequence[Tensor] | None, steps: int, width: int) -> Tensor | None:
        """Inputs (q, states, steps)."""
        each = list(control) if isinstance(control, list | tuple) else [cast("Tensor | None", control)] * width
        given = [part for part in each if part is not None]
        if not all(isinstance(part, Tensor) for part in given):
            raise InputError(f"got control of type {type(control).__name__}, expected a torch.Tensor (q, steps)")
        shapes = sorted({tuple(part.shape) for part in given})
        fit = len(given) in (0, width) and len(each) == width and all(shape[-1:] == (steps,) for shape in shapes)
        if steps < 1 or not fit or len(shapes) > 1:
            raise InputError(
                f"got steps={steps} and control of shape {' and '.join(map(str, shapes)) or None}, "
                "expected at least one step, and a column of control for each"
            )
        return torch.stack(given, dim=-2) if given else None

    def _state(self, state: Tensor | None) -> Tensor:
        """Snapshots (*batch, d N, trajectories) to begin with."""
        if state is None:
            return self._series("_last")
        self._series("_last")
        left = self.operator.left
        size, batch = left.size(-2) // self.delays, left.shape[:-2]
        if isinstance(state, Tensor) and state.dim() == 1 and self.delays == 1:
            state = state.unsqueeze(-1)
        expected = (*batch, size, self.delays)
        if not isinstance(state, Tensor) or state.shape != expected or state.dtype != left.dtype:
            got = f"{tuple(state.shape)} and {state.dtype}" if isinstance(state, Tensor) else type(state).__name__
            raise InputError(f"got state of {got}, expected {expected} and {left.dtype}")
        return stacked(state, self.delays)

    @property
    def times(self) -> Tensor | list[Tensor]:
        """Times of the states that were fitted, shape (T,); a list of them for several trajectories."""
        device = self.eigs.device
        every = [self.dt * torch.arange(length, dtype=torch.float64, device=device) for length in self._lengths]
        return every if self._several else every[0]

    @property
    def amplitudes(self) -> Tensor:
        r"""Coefficients b of the states in the modes by least squares, shape (*batch, r), or (trajectories, r): for
        the first state, or with `opt` for all of them, :math:`\min_b \sum_t \|x_t - \Phi \Lambda^t b\|^2`, from
        Jovanović et al. (https://arxiv.org/abs/1309.4165)."""
        b = self._amplitudes
        return b.mT if self._several else b.squeeze(-1)

    @property
    @full_precision
    def _amplitudes(self) -> Tensor:
        """Shape (*batch, r, trajectories)."""
        first = self._series("_first")
        if self._parts is not None:
            return self._parts
        if self._seen is not None:
            return torch.cat([self._best_amplitudes(place) for place in range(len(self._lengths))], dim=-1)
        if self._means is not None:
            first = first - self._offset
        return torch.linalg.pinv(self.modes) @ first.to(self.modes.dtype)

    def _best_amplitudes(self, place: int) -> Tensor:
        seen = self._seen
        assert seen is not None  # asked for only with `opt`
        modes, W = precise(self.modes), precise(self._W)
        powers = _powers(precise(self.eigs), seen[place].size(-1))
        shadow = W.mH @ seen[place].to(W.dtype)
        if self._means is not None:
            drifts = self._drifts.unsqueeze(-1) * torch.arange(powers.size(-1), device=powers.device).to(powers.real)
            shadow = shadow - modes.mH @ (precise(self._offset).to(modes.dtype) + modes @ drifts.to(modes.dtype))
        squares = (modes.mH @ modes) * (powers.conj() @ powers.mT)
        products = (powers.conj() * shadow.to(powers.dtype)).sum(dim=-1, keepdim=True)
        best = torch.linalg.pinv(squares.to(products.dtype), hermitian=True) @ products
        return best.to(self.modes.dtype)

    @property
    def dynamics(self) -> Tensor | list[Tensor]:
        r"""The modes' coefficients :math:`b_i \lambda_i^t` at each time of the states, shape (*batch, r, T); a list
        of them for several trajectories. After `center`, a mode of :math:`\lambda = 1` may drift, which adds a
        multiple of t."""
        every = [
            self._with_drift(b * _powers(self.eigs, length), torch.arange(length, device=self.eigs.device))
            for b, length in zip(self._amplitudes.split(1, dim=-1), self._lengths, strict=True)
        ]
        return every if self._several else every[0]

    def _with_drift(self, dynamics: Tensor, steps: Tensor) -> Tensor:
        if self._means is None:
            return dynamics
        return dynamics + (self._drifts.unsqueeze(-1) * steps.to(self._drifts.real)).to(dynamics.dtype)

    @property
    def reconstructed_data(self) -> Tensor | list[Tensor]:
        """The states as the modes evolve from the first one on, real unless they were not, shape (*batch, N, T); of
        several trajectories, of each."""
        dynamics = self.dynamics
        return [self._states(part) for part in dynamics] if isinstance(dynamics, list) else self._states(dynamics)

    def reconstruct(self, times: Tensor | Sequence[float]) -> Tensor | list[Tensor]:
        r"""The states at any times, in the unit of `dt` and from the first state on, as the modes have them with
        :math:`\lambda^{t / \Delta t}`, shape (*batch, N, times); a list of them for several trajectories.

        Raises:
            InputError: The times are not finite ones (T,), or graphs by `ptr` and states under control have no such.

        >>> from dmdgnn import DMD
        >>> series = 0.25 ** torch.arange(4, dtype=torch.float64).unsqueeze(0)
        >>> DMD(dt=2.0).fit(series).reconstruct([1.0, 2.0])
        tensor([[0.5000, 0.2500]], dtype=torch.float64)
        """
        steps = finite_times(times, self.eigs.device).detach() / self.dt
        if steps.dim() != 1:
            raise InputError(f"got times of shape {tuple(steps.shape)}, expected (T,)")
        eigs = precise(self.eigs).unsqueeze(-1).to(torch.complex128)
        gone = eigs == 0
        powers = torch.where(gone, (steps == 0).to(eigs.dtype), torch.exp(steps * torch.where(gone, 1, eigs).log()))
        every = [self._states(self._with_drift(precise(b) * powers, steps)) for b in self._amplitudes.split(1, dim=-1)]
        return every if self._several else every[0]

    @full_precision
    def _states(self, dynamics: Tensor) -> Tensor:
        modes = self.modes[..., : self.modes.size(-2) // self.delays, :]
        dtype = modes.dtype.to_complex() if dynamics.is_complex() else modes.dtype
        states = modes.to(dtype) @ dynamics.to(dtype)
        if self._means is not None:
            states = states + self._offset[..., : states.size(-2), :]
        return states.real if states.is_complex() and not self._dtype.is_complex else states

    @property
    def contributions(self) -> Tensor:
        """The size of each mode's part in the states over time, the Frobenius norm of mode times its dynamics, shape
        (*batch, r); it does not depend on how a mode is scaled."""
        dynamics = self.dynamics
        every = torch.cat(dynamics, dim=-1) if isinstance(dynamics, list) else dynamics
        return torch.linalg.vector_norm(self.modes, dim=-2) * torch.linalg.vector_norm(every, dim=-1)

    @property
    def frequency(self) -> Tensor:
        r"""Cycles in the unit of `dt`, :math:`\arg \lambda / (2 \pi \Delta t)`, shape (*batch, r)."""
        return self.eigs.angle() / (2 * math.pi * self.dt)

    @property
    def growth_rate(self) -> Tensor:
        r"""Rate of growth in the unit of `dt`, :math:`\log |\lambda| / \Delta t`, shape (*batch, r)."""
        return self.eigs.abs().log() / self.dt

    # With means x and y of X and Y, z_t = x_t - x moves by z_{t+1} = K z_t + delta, delta = y - x. Modes move about the
    # point that this leaves as it is, and those of eigenvalue one, which have none, drift.

    @property
    def _drifts(self) -> Tensor:
        """The share of each mode in a step (*batch, r), zero unless its eigenvalue is one."""
        pulls, singular = self._pulls
        return torch.where(singular, pulls, 0)

    @property
    def _offset(self) -> Tensor:
        """The point that the modes move about (*batch, N, 1)."""
        assert self._means is not None  # asked for only after `center`
        after, (pulls, singular) = self._means[1], self._pulls
        coefficients = torch.where(singular, -pulls, pulls / torch.where(singular, 1, 1 - self.eigs))
        return after + self._moved(coefficients if self._maps_by_exact_modes else coefficients * self.eigs)

    @property
    def _pulls(self) -> tuple[Tensor, Tensor]:
        assert self._means is not None  # asked for only after `center`
        before, after = self._means
        U, shift = precise(self._U).conj(), precise(after - before)
        coordinates = U.mT @ shift if self._ragged is None else self._ragged.inner(U, shift)
        rows = precise(self._dual)
        pulls = (rows @ coordinates.to(rows.dtype)).squeeze(-1)
        if self._gains is not None and self._maps_by_exact_modes:
            pulls = pulls * self._gains
        return pulls.to(self.eigs.dtype), (1 - self.eigs).abs() < torch.finfo(self._dtype).eps ** 0.5

    def _series(self, name: str) -> Tensor:
        if self.operator.ptr is not None:
            raise InputError("graphs by ptr have no common dynamics: use predict")
        if self._driven and name == "_first":
            raise InputError("states under control have no dynamics of their own: use predict or forecast")
        state: Tensor = getattr(self, name)
        return state


def _powers(eigs: Tensor, length: int) -> Tensor:
    """Powers 0 to `length` - 1 of eigenvalues (*batch, r), shape (*batch, r, length)."""
    factors = [torch.ones_like(eigs).unsqueeze(-1), *[eigs.unsqueeze(-1)] * (length - 1)]
    return torch.cat(factors, dim=-1).cumprod(dim=-1)
