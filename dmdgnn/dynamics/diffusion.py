"""Diffusion of the node features over the whole graph in one step."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from dmdgnn.dynamics.base import check_number
from dmdgnn.dynamics.propagation import Propagation, check_weights


@dataclass(frozen=True)
class HeatDiffusion(Propagation):
    r"""The heat equation :math:`\dot x = -L x` with the normalised Laplacian :math:`L = I - \hat A` of the graph with
    self-loops, as in the `"Diffusion Improves Graph Learning" <https://arxiv.org/abs/1911.05485>`_ paper.

    .. math::
        x_{k+1} = e^{-t L} x_k = \sum_{j} e^{-t} \frac{t^j}{j!} \hat A^j x_k

    The weights are the probabilities of j jumps in the time t; all are positive, so that nothing cancels. The sum ends
    where all later ones together are below the machine epsilon of the features, after at most
    :math:`t + 8 \sqrt t + 20` products, whose rounding is what the result is off by. A node without edges keeps its
    features.

    Args:
        burn_in: Steps before the first snapshot.
        stride: Steps between a snapshot and the next.
        steps: Number of snapshot pairs.
        normalization: 'sym' or 'rw', see :class:`FeaturePropagation`. With 'rw', a step is a mean over all nodes that
            a random walk of random length reaches.
        direction: 'undirected', 'forward' or 'backward', see :class:`FeaturePropagation`.
        time: Time t of a step.

    Raises:
        InputError: The graph has negative edge weights.

    >>> data = Data(x=torch.tensor([[1.0], [0.0]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
    >>> HeatDiffusion(time=0.5).snapshots(data)[1].flatten()  # (1 + e^-t) / 2 and (1 - e^-t) / 2
    tensor([0.8033, 0.1967])
    """

    time: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("time", self.time, above=0)

    def trajectory(self, data: Data) -> Iterator[Tensor]:
        """The states :math:`e^{-k t L} x_0`."""
        check_weights(data)
        adjacency, x = self.adjacency(data), data.x
        weights = _poisson(self.time, torch.finfo(x.dtype).eps)
        while True:
            yield x
            jumped, x = x, weights[0] * x
            for weight in weights[1:]:
                jumped = adjacency @ jumped
                x = torch.add(x, jumped, alpha=weight)


@dataclass(frozen=True)
class PersonalizedPageRank(Propagation):
    r"""Personalised PageRank of the node features, as in the `"Predict then Propagate"
    <https://arxiv.org/abs/1810.05997>`_ paper.

    .. math::
        x_{k+1} = \alpha \left( I - (1 - \alpha) \hat A \right)^{-1} x_k

    by the power iteration :math:`z \leftarrow (1 - \alpha) \hat A z + \alpha x_k` from :math:`z = x_k`, as often as
    :math:`(1 - \alpha)^n` needs to come below the tolerance: 132 times by default. The remainder is a matter of
    accuracy only: a step is a polynomial of the adjacency in any case, and symmetric where that is.

    Args:
        burn_in: Steps before the first snapshot.
        stride: Steps between a snapshot and the next.
        steps: Number of snapshot pairs.
        normalization: 'sym' or 'rw', see :class:`FeaturePropagation`.
        direction: 'undirected', 'forward' or 'backward', see :class:`FeaturePropagation`.
        alpha: Probability in (0, 1) with which a random walk returns to its start.
        tolerance: Bound on :math:`(1 - \alpha)^n`, the share of the start in the error.

    Raises:
        InputError: The graph has negative edge weights.

    >>> data = Data(x=torch.tensor([[1.0], [0.0]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
    >>> PersonalizedPageRank(alpha=0.5).snapshots(data)[1].flatten()
    tensor([0.7500, 0.2500])
    """

    alpha: float = 0.1
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("alpha", self.alpha, above=0, below=1)
        check_number("tolerance", self.tolerance, above=0, below=1)

    def trajectory(self, data: Data) -> Iterator[Tensor]:
        """The features, their PageRank, the PageRank of that, ..."""
        check_weights(data)
        adjacency, x = self.adjacency(data), data.x
        iterations = math.ceil(math.log(self.tolerance) / math.log1p(-self.alpha))
        while True:
            yield x
            start = self.alpha * x
            for _ in range(iterations):
                x = torch.add(start, adjacency @ x, alpha=1 - self.alpha)


def _poisson(time: float, tolerance: float) -> list[float]:
    """The probabilities of 0, 1, ... jumps in a time, as far as those of more make up no more than the tolerance."""
    weights = [math.exp(-time)]
    jumps = 0
    # From the mean on, the probabilities fall faster than a geometric series.
    while jumps < time or weights[-1] * time > tolerance * (jumps + 1 - time):
        jumps += 1
        weights.append(math.exp(jumps * math.log(time) - time - math.lgamma(jumps + 1)))
    total = math.fsum(weights)
    return [weight / total for weight in weights]
