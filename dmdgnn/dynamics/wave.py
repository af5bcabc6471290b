"""Waves on a graph."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch_geometric.data import Data

from dmdgnn.dynamics.base import check_number
from dmdgnn.dynamics.propagation import Propagation, check_weights
from dmdgnn.errors import InputError


@dataclass(frozen=True)
class WaveEquation(Propagation):
    r"""The wave equation :math:`\ddot x = -c^2 L x` with the normalised Laplacian :math:`L = I - \hat A` of the graph
    with self-loops, from rest, by leapfrog.

    .. math::
        x_{k+1} = 2 x_k - x_{k-1} - \tau^2 L x_k, \quad x_1 = x_0 - \tfrac{\tau^2}{2} L x_0,
        \qquad\text{so}\qquad x_k = T_k\!\left( I - \tfrac{\tau^2}{2} L \right) x_0

    with :math:`\tau` the speed c times the time of a step, and :math:`T_k` the Chebyshev polynomials; for
    :math:`\tau = \sqrt 2` they are those of :math:`\hat A` itself. With :math:`\lambda` an eigenvalue of L and
    :math:`\cos\theta = 1 - \tau^2 \lambda / 2`, the one of step k is :math:`\cos k \theta`: unlike diffusion, no
    step makes the states smoother. :math:`\tau \le \sqrt 2` is stable on every graph, as :math:`\lambda < 2`.

    **States that DMD reads.** A wave has a position and a velocity, and the snapshots show the first only.

    - From rest (`burn_in=0`) and for one pair (`steps=1`), :math:`Y = T_s(I - \tau^2 L / 2) X` with s the stride: a
      linear operator, symmetric where L is.
    - From a later state :math:`x_b` on, one pair fits :math:`K = T_{b+s} T_b^{-1}` of the same matrix, if that has an
      inverse. It is symmetric, too, but its eigenvalues :math:`\cos (b + s) \theta / \cos b \theta` have no bound.
    - For several pairs there is no such operator in general; the linear relation is
      :math:`x_{k+s} + x_{k-s} = 2 T_s x_k`.

    So :attr:`symmetric` holds in the first case only.

    Args:
        burn_in: Steps before the first snapshot.
        stride: Steps between a snapshot and the next.
        steps: Number of snapshot pairs.
        normalization: 'sym' or 'rw', see :class:`FeaturePropagation`.
        direction: 'undirected', which adds the reverse of every edge; a Laplacian of directed edges has complex
            eigenvalues, for which waves grow without bound.
        tau: Speed times the time of a step, in :math:`(0, \sqrt 2]`.

    Raises:
        InputError: Waves are not stable for these settings, or the graph has negative edge weights.

    >>> import torch
    >>> data = Data(x=torch.tensor([[1.0], [0.0]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
    >>> WaveEquation(steps=2).snapshots(data)[1]  # a wave of eigenvalue 1: cos(pi / 3), cos(2 pi / 3)
    tensor([[0.7500, 0.2500],
            [0.2500, 0.7500]])
    """

    tau: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("tau", self.tau, above=0)
        if self.tau > math.sqrt(2):
            raise InputError(
                f"got tau={self.tau!r}, expected at most sqrt(2) = {math.sqrt(2)!r}, above which waves may grow "
                "without bound: take smaller steps, and a larger stride"
            )
        if self.direction != "undirected":
            raise InputError(
                f"got direction={self.direction!r}, expected 'undirected': with edges of one direction, waves grow "
                "without bound"
            )

    @property
    def symmetric(self) -> bool:
        """Whether the one pair is from rest, and the Laplacian symmetric on every graph without edge weights."""
        return super().symmetric and self.burn_in == 0 and self.steps == 1

    def trajectory(self, data: Data) -> Iterator[Tensor]:
        """The states :math:`T_k(I - \\tau^2 L / 2) x_0`."""
        check_weights(data)
        adjacency, x = self.adjacency(data), data.x
        share = self.tau**2 / 2

        def averaged(x: Tensor) -> Tensor:
            """(I - tau^2 L / 2) x"""
            return (1 - share) * x + share * (adjacency @ x)

        yield x
        previous, x = x, averaged(x)
        while True:
            yield x
            previous, x = x, 2 * averaged(x) - previous
