"""Dynamics that are not linear: particles in a double well, and coupled oscillators."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Data

from dmdgnn.dynamics.base import check_number
from dmdgnn.dynamics.propagation import Propagation
from dmdgnn.errors import InputError
from dmdgnn.kernels.robust import check_finite
from dmdgnn.options import is_integer

# Up to this time step times the Lipschitz constant, the Runge-Kutta method of order 4 does not amplify what decays.
STABLE = 2.78


class _Flow(Propagation):
    """The flow of an ordinary differential equation, by the classical Runge-Kutta method of order 4."""

    time: float
    substeps: int

    def _check_steps(self) -> None:
        check_number("time", self.time, above=0)
        if not is_integer(self.substeps) or self.substeps < 1:
            raise InputError(f"got substeps={self.substeps!r}, expected an integer of at least 1")

    @property
    def symmetric(self) -> bool:
        """Never: a step is not linear."""
        return False

    @abstractmethod
    def field(self, data: Data) -> tuple[Callable[[Tensor], Tensor], float]:
        """The time derivative of a state (N, F), and a bound on its Lipschitz constant in the largest entry."""

    def trajectory(self, data: Data) -> Iterator[Tensor]:
        """The states after times 0, t, 2 t, ..."""
        check_finite("x", data.x)
        derivative, rate = self.field(data)
        if self.time * rate > STABLE * self.substeps:
            raise InputError(
                f"states of this graph may change at a rate of up to {rate:.3g}, for which {self.substeps} substeps in "
                f"the time {self.time} are unstable: take substeps={math.ceil(self.time * rate / STABLE)}, less time, "
                "or a weaker coupling, or scale the features down to about 1"
            )
        x, h = data.x, self.time / self.substeps
        while True:
            yield x
            for _ in range(self.substeps):
                k1 = derivative(x)
                k2 = derivative(torch.add(x, k1, alpha=h / 2))
                k3 = derivative(torch.add(x, k2, alpha=h / 2))
                k4 = derivative(torch.add(x, k3, alpha=h))
                x = torch.add(x, k1 + 2 * (k2 + k3) + k4, alpha=h / 6)


@dataclass(frozen=True)
class AllenCahn(_Flow):
    r"""Particles that attract and repel each other in a double well, from the `"ACMP: Allen-Cahn Message Passing with
    Attractive and Repulsive Forces for Graph Neural Networks" <https://arxiv.org/abs/2206.05437>`_ paper.

    .. math::
        \dot x_i = \alpha \sum_{j \in \mathcal N(i)} (\hat A_{ij} - \beta) (x_j - x_i) + \delta\, x_i (1 - x_i^2)

    entry by entry. Neighbours whose weight :math:`\hat A_{ij}` is above :math:`\beta` attract, the others repel; the
    wells at -1 and 1 keep the states together. In the paper the weights are those of GCN, as here, or of attention,
    :math:`\alpha` and :math:`\delta` are learned for each channel, and the solver is adaptive; here they are numbers,
    and the solver is the Runge-Kutta method of order 4 with fixed steps, so that the same graph gives the same states
    alone and in a batch.

    The repulsion of a node grows with its degree d, and so does the number of substeps that it needs, to about
    :math:`3 \alpha \beta d t`. Features should be of the size of the wells: scale them to about 1 before.

    Args:
        burn_in: Steps before the first snapshot.
        stride: Steps between a snapshot and the next.
        steps: Number of snapshot pairs.
        normalization: 'sym' or 'rw', see :class:`FeaturePropagation`.
        direction: 'undirected', 'forward' or 'backward', see :class:`FeaturePropagation`.
        alpha: Strength of the coupling, at least 0.
        beta: Repulsion between neighbours, at least 0.
        delta: Strength of the double well, at least 0; above 0 where there is repulsion.
        time: Time t of a step.
        substeps: Runge-Kutta steps in a step.

    Raises:
        InputError: The substeps are too few for the graph, which says how many it needs.

    >>> data = Data(x=torch.tensor([[0.5], [-0.1]]), edge_index=torch.empty(2, 0, dtype=torch.long))
    >>> AllenCahn(time=10.0, substeps=100).snapshots(data)[1].flatten()
    tensor([ 1.0000, -1.0000])
    """

    alpha: float = 1.0
    beta: float = 0.1
    delta: float = 1.0
    time: float = 1.0
    substeps: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_steps()
        for name in ("alpha", "beta", "delta"):
            check_number(name, getattr(self, name))
        if self.alpha * self.beta > 0 and self.delta == 0:
            raise InputError(
                f"got delta=0 and beta={self.beta!r}, for which repulsion drives the states apart without bound: "
                "take delta > 0 or beta = 0"
            )

    def field(self, data: Data) -> tuple[Callable[[Tensor], Tensor], float]:
        """The right-hand side, and its rate on the states that it can come to."""
        adjacency = self.adjacency(data)
        # A self-loop pulls a node to itself, whatever its weight.
        coupling = _with_values(adjacency, self.alpha * (adjacency.values() - self.beta))
        growth = self.delta - _row_sums(coupling)

        def derivative(x: Tensor) -> Tensor:
            return torch.addcmul(coupling @ x, x, torch.addcmul(growth, x, x, value=-self.delta))

        values = coupling.values()
        repulsion = float(_row_sums(_with_values(coupling, (-values).clamp(min=0))).max())
        rate = 2 * float(_row_sums(_with_values(coupling, values.abs())).max())
        if self.delta > 0:
            # From this square on, the well pulls the largest entry back harder than all neighbours can push it.
            turning = 1 + 2 * repulsion / self.delta
            rate += self.delta * (3 * max(turning, float(data.x.detach().abs().max()) ** 2) - 1)
        return derivative, rate


@dataclass(frozen=True)
class Kuramoto(_Flow):
    r"""Coupled oscillators with the features as phases, as in the `"From Coupled Oscillators to Graph Neural Networks:
    Reducing Over-smoothing via a Kuramoto Model-based Approach" <https://arxiv.org/abs/2311.03260>`_ paper.

    .. math::
        \dot x_i = \omega_i + \kappa \sum_j \hat A_{ij} \sin (x_j - x_i)

    entry by entry. With frequencies :math:`\omega = 0` neighbours fall into step; with those of the paper,
    :math:`\omega = x_0`, they come to turn equally fast at different phases. In the paper the weights are those of
    attention; here they are those of GCN. Phases are not taken modulo :math:`2 \pi`.

    Args:
        burn_in: Steps before the first snapshot.
        stride: Steps between a snapshot and the next.
        steps: Number of snapshot pairs.
        normalization: 'sym' or 'rw', see :class:`FeaturePropagation`.
        direction: 'undirected', 'forward' or 'backward', see :class:`FeaturePropagation`.
        coupling: Strength :math:`\kappa`; below 0, neighbours repel.
        frequencies: Natural frequencies :math:`\omega`, 'zero' or the 'features'.
        time: Time of a step.
        substeps: Runge-Kutta steps in a step.

    Raises:
        InputError: The substeps are too few for the graph, which says how many it needs.

    >>> data = Data(x=torch.tensor([[1.0], [0.0]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
    >>> Kuramoto(time=20.0, substeps=100).snapshots(data)[1].flatten()
    tensor([0.5000, 0.5000])
    """

    coupling: float = 1.0
    frequencies: Literal["zero", "features"] = "zero"
    time: float = 1.0
    substeps: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_steps()
        check_number("coupling", self.coupling, above=-math.inf)
        if self.frequencies not in ("zero", "features"):
            raise InputError(f"got frequencies={self.frequencies!r}, expected 'zero' or 'features'")

    def field(self, data: Data) -> tuple[Callable[[Tensor], Tensor], float]:
        """The right-hand side, and its rate."""
        adjacency = self.adjacency(data)
        coupling = _with_values(adjacency, self.coupling * adjacency.values())
        frequencies = data.x if self.frequencies == "features" else data.x.new_zeros(())

        def derivative(x: Tensor) -> Tensor:
            sine, cosine = x.sin(), x.cos()
            turning = torch.addcmul(frequencies, cosine, coupling @ sine)
            return torch.addcmul(turning, sine, coupling @ cosine, value=-1)

        return derivative, 2 * float(_row_sums(_with_values(coupling, coupling.values().abs())).max())


def _with_values(matrix: Tensor, values: Tensor) -> Tensor:
    """A CSR matrix with other values in the same places."""
    places = matrix.crow_indices(), matrix.col_indices()
    return torch.sparse_csr_tensor(*places, values, matrix.shape, device=values.device)


def _row_sums(matrix: Tensor) -> Tensor:
    """Sums of the rows of a CSR matrix, (N, 1)."""
    return matrix @ matrix.values().new_ones(matrix.size(1), 1)
