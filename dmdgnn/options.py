"""The settings of DMD: which there are, and which go together."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Literal, TypeGuard

from dmdgnn.constraints import STATE_CONSTRAINTS, StateConstraint
from dmdgnn.errors import InputError
from dmdgnn.kernels.thin_svd import Method, check_method
from dmdgnn.kernels.truncation import Rank, Truncation
from dmdgnn.reduced import SUBSPACE_CONSTRAINTS, SubspaceConstraint

Constraint = SubspaceConstraint | StateConstraint
ModeType = Literal["exact", "projected"]
Estimator = Literal["pcr", "rrr"]


class Options:
    """The settings of :class:`dmdgnn.DMD`, checked, and as attributes."""

    def __init__(
        self,
        rank: Rank = None,
        energy: float | None = None,
        svd: Method = "auto",
        modes: ModeType = "exact",
        constraint: Constraint | None = None,
        *,
        estimator: Estimator = "pcr",
        ridge: float = 0.0,
        forward_backward: bool = False,
        total_least_squares: bool = False,
        delays: int = 1,
        center: bool = False,
        dt: float = 1.0,
        opt: bool = False,
        seed: int = 0,
    ) -> None:
        self.truncation = Truncation(rank, energy)
        check_method(svd)
        _check_choice("modes", modes, ("exact", "projected"))
        _check_choice("estimator", estimator, ("pcr", "rrr"))
        names = (*SUBSPACE_CONSTRAINTS, *STATE_CONSTRAINTS)
        if constraint not in (None, *names):
            raise InputError(f"got constraint={constraint!r}, expected None or one of {', '.join(map(repr, names))}")
        if not (is_number(ridge) and 0 <= ridge < float("inf")):
            raise InputError(f"got ridge={ridge!r}, expected a number of at least 0")
        if not (is_number(dt) and 0 < dt < float("inf")):
            raise InputError(f"got dt={dt!r}, expected a positive number, the time from one state to the next")
        if svd == "randomized" and self.truncation.count is None:
            raise InputError("the randomized kernel needs a number as rank: give one, or take another kernel")
        if not is_integer(seed):
            raise InputError(f"got seed={seed!r}, expected an integer")
        if not is_integer(delays) or delays < 1:
            raise InputError(f"got delays={delays!r}, expected an integer of at least 1")
        switches = {
            "forward_backward": forward_backward,
            "total_least_squares": total_least_squares,
            "center": center,
            "opt": opt,
        }
        for name, switch in switches.items():
            if not isinstance(switch, bool):
                raise InputError(f"got {name}={switch!r}, expected True or False")
        if forward_backward and (constraint is not None or ridge > 0):
            raise InputError("forward_backward goes with neither a constraint nor ridge: leave one of them out")
        if total_least_squares and is_state_constraint(constraint):
            raise InputError(f"total_least_squares does not go with constraint={constraint!r}: leave one of them out")
        if ridge > 0 and constraint == "orthogonal":
            raise InputError("ridge does not change an orthogonal operator, whose norm is given: leave one of them out")
        if estimator == "rrr" and (forward_backward or total_least_squares or constraint or svd == "randomized"):
            raise InputError(
                "estimator='rrr' goes with neither a constraint, forward_backward, total_least_squares nor "
                "svd='randomized': leave one of them out"
            )
        self.svd: Method = svd
        self.mode_type: ModeType = modes
        self.constraint: Constraint | None = constraint
        self.estimator: Estimator = estimator
        self.ridge = float(ridge)
        self.forward_backward = forward_backward
        self.total_least_squares = total_least_squares
        self.delays = int(delays)
        self.center = center
        self.dt = float(dt)
        self.opt = opt
        self.seed = int(seed)

    @property
    def rank(self) -> Rank:
        """The rank, or the rule for it, that was asked for."""
        return self.truncation.rank

    @property
    def energy(self) -> float | None:
        """The share of squared singular values that was asked for."""
        return self.truncation.energy

    def __repr__(self) -> str:
        options = {
            "energy" if self.energy is not None else "rank": self.energy or self.rank,
            "modes": self.mode_type,
            "constraint": self.constraint,
        }
        defaults = {"estimator": "pcr", "ridge": 0.0, "forward_backward": False, "total_least_squares": False}
        defaults |= {"delays": 1, "center": False, "dt": 1.0, "opt": False}
        options |= {name: getattr(self, name) for name, value in defaults.items() if getattr(self, name) != value}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in options.items())})"


def is_state_constraint(constraint: Constraint | None) -> TypeGuard[StateConstraint]:
    """Whether the constraint is on the operator on all states, not on the range of U."""
    return constraint in STATE_CONSTRAINTS


def is_integer(value: object) -> TypeGuard[int]:
    """Whether it is a whole number of any type, NumPy's too, but no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a real number of any type, NumPy's too, but no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"got {name}={value!r}, expected {' or '.join(map(repr, choices))}")
