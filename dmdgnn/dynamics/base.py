"""Base class of dynamics on a graph."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor
from torch_geometric.data import Data

from dmdgnn.errors import InputError
from dmdgnn.graphs import checked
from dmdgnn.options import is_integer, is_number
from dmdgnn.precision import full_precision


class Dynamics(ABC):
    """Source of snapshots of a graph, or of a :class:`~torch_geometric.data.Batch` of graphs: states of the nodes, and
    the states that follow them."""

    @property
    @abstractmethod
    def symmetric(self) -> bool:
        """Whether Y = K X with a symmetric matrix K on every graph without edge weights: then DMD may assume symmetry
        without changing its operator."""

    @abstractmethod
    def snapshots(self, data: Data) -> tuple[Tensor, Tensor]:
        """Snapshot pairs X, Y, each (N, columns), in the dtype of the features: column i of Y follows column i of X."""


@dataclass(frozen=True)
class Evolution(Dynamics):
    r"""Dynamics that evolve the node features step by step.

    .. math::
        X = [x_b, x_{b + s}, \dots], \qquad Y = [x_{b + s}, x_{b + 2 s}, \dots]

    with :math:`x_0` the features (N, F), burn-in b, stride s, and one block of F columns for each of `steps` pairs.

    A subclass says what the states are, and whether they are linear and symmetric in each other.

    Args:
        burn_in: Steps b before the first snapshot.
        stride: Steps s between a snapshot and the next.
        steps: Number of snapshot pairs.

    >>> class Halving(Evolution):
    ...     symmetric = True
    ...     def trajectory(self, data):
    ...         x = data.x
    ...         while True:
    ...             yield x
    ...             x = x / 2
    >>> data = Data(x=torch.ones(2, 1), edge_index=torch.tensor([[0], [1]]))
    >>> Halving(steps=2).snapshots(data)[1]
    tensor([[0.5000, 0.2500],
            [0.5000, 0.2500]])
    """

    burn_in: int = 0
    stride: int = 1
    steps: int = 1

    def __post_init__(self) -> None:
        counts = (self.burn_in, self.stride, self.steps)
        if not all(map(is_integer, counts)) or self.burn_in < 0 or min(counts[1:]) < 1:
            raise InputError(
                f"got burn_in={self.burn_in}, stride={self.stride}, steps={self.steps}, "
                "expected integers burn_in >= 0, stride >= 1 and steps >= 1"
            )

    @abstractmethod
    def trajectory(self, data: Data) -> Iterator[Tensor]:
        """The states :math:`x_0, x_1, \\dots` without end, each (N, F), of a graph in the form of
        :func:`dmdgnn.graphs.checked`."""

    @full_precision
    def snapshots(self, data: Data) -> tuple[Tensor, Tensor]:
        """Snapshot pairs X, Y, each (N, steps * F), in the dtype of the features.

        Raises:
            InputError: The graph is not in the form that :func:`dmdgnn.graphs.checked` tells.
        """
        data = checked(data)
        last = self.burn_in + self.steps * self.stride
        states = list(islice(self.trajectory(data), self.burn_in, last + 1, self.stride))
        return torch.cat(states[:-1], dim=1), torch.cat(states[1:], dim=1)


def check_number(name: str, value: float, above: float | None = None, below: float = math.inf) -> None:
    """Raise `InputError` unless a setting is a finite number of at least 0, or between two others."""
    if is_number(value) and (value >= 0 if above is None else value > above) and value < below:
        return
    bound = "of at least 0" if above is None else f"above {above}" + (f" and below {below}" if below < math.inf else "")
    raise InputError(f"got {name}={value!r}, expected a finite number {bound}")
