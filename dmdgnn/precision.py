"""Double precision for sums, and full precision where autocast would lower it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
T = TypeVar("T")
# Devices whose autocast is a state of its own.
AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")


def double_of(dtype: torch.dtype) -> torch.dtype:
    """complex128 for complex types, else float64."""
    return torch.complex128 if dtype.is_complex else torch.float64


def precise(matrix: Tensor) -> Tensor:
    """In double precision, complex if the matrix is."""
    return matrix.to(double_of(matrix.dtype))


def is_lowered(device: torch.device) -> bool:
    """Whether autocast is on for a device."""
    return device.type in AUTOCAST_DEVICES and torch.is_autocast_enabled(device.type)


def full_precision(function: Callable[P, T]) -> Callable[P, T]:
    """A function that computes in the dtypes of its inputs, within :class:`torch.autocast`, too: factorisations have no
    lower precision, and modes would lose half of their digits for good."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        with ExitStack() as stack:
            for device in AUTOCAST_DEVICES:
                if torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
            return function(*args, **kwargs)

    return wrapped
