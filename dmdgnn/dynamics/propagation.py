"""Propagation of the node features by a normalised adjacency."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import add_remaining_self_loops, coalesce, scatter, to_torch_csr_tensor, to_undirected

from dmdgnn.dynamics.base import Evolution
from dmdgnn.errors import InputError
from dmdgnn.graphs import edges
from dmdgnn.precision import full_precision


@dataclass(frozen=True)
class Propagation(Evolution):
    r"""Dynamics on a graph by its normalised adjacency :math:`\hat A` with self-loops: the base of its subclasses.

    Args:
        burn_in: Steps before the first snapshot.
        stride: Steps between a snapshot and the next.
        steps: Number of snapshot pairs.
        normalization: 'sym' for :math:`\hat D^{-1/2} (A + I) \hat D^{-1/2}` as in
            :class:`~torch_geometric.nn.conv.GCNConv`, 'rw' for the mean over neighbours :math:`\hat D^{-1} (A + I)`.
        direction: 'undirected' adds the reverse of every edge, and takes the mean of both where both are given;
            'forward' sends what the nodes have along their edges, 'backward' against them. Parallel edges count each,
            as in :class:`~torch_geometric.nn.conv.GCNConv`: their weights are summed first. One of parallel self-loops
            in `edge_index` counts, as there; a sparse adjacency has their sum.
    """

    normalization: Literal["sym", "rw"] = "sym"
    direction: Literal["undirected", "forward", "backward"] = "undirected"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalization not in ("sym", "rw"):
            raise InputError(f"got normalization={self.normalization!r}, expected 'sym' or 'rw'")
        if self.direction not in ("undirected", "forward", "backward"):
            raise InputError(f"got direction={self.direction!r}, expected 'undirected', 'forward' or 'backward'")

    @property
    def symmetric(self) -> bool:
        """Whether the adjacency, and so every function of it, is symmetric on every graph without edge weights."""
        return self.normalization == "sym" and self.direction == "undirected"

    @full_precision
    def adjacency(self, data: Data) -> Tensor:
        """The normalised adjacency, CSR (N, N), with entry (i, j) the weight of the edge from j to i.

        Raises:
            InputError: The edges are not in a form that :func:`dmdgnn.graphs.checked` takes, or negative weights leave
                a node without a positive degree.
        """
        num_nodes, dtype = len(data.x), data.x.dtype
        # Each node gets one loop: its own, or one of weight 1, as in GCNConv.
        edge_index, edge_weight = add_remaining_self_loops(*edges(data), 1.0, num_nodes)
        if edge_weight is None:
            edge_weight = data.x.new_ones(edge_index.size(1))
        if self.direction == "undirected":
            edge_index, edge_weight = coalesce(edge_index, edge_weight, num_nodes, reduce="sum")
            edge_index, edge_weight = to_undirected(edge_index, edge_weight, num_nodes, reduce="mean")
        elif self.direction == "backward":
            edge_index = edge_index.flip(0)
        degree = scatter(edge_weight, edge_index[1], dim_size=num_nodes)
        _check_degrees(degree.detach(), edge_weight.detach())
        if self.normalization == "sym":
            edge_index, edge_weight = gcn_norm(edge_index, edge_weight, num_nodes, add_self_loops=False, dtype=dtype)
        else:
            edge_weight = edge_weight / torch.where(degree > 0, degree, 1)[edge_index[1]]
        with warnings.catch_warnings():
            # torch warns once a process that CSR is in beta and that its invariants are not checked.
            warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
            return to_torch_csr_tensor(edge_index.flip(0), edge_weight, size=num_nodes)


@dataclass(frozen=True)
class FeaturePropagation(Propagation):
    r"""Propagation of the node features by a normalised adjacency with self-loops.

    .. math::
        X = [\hat A^{b} H, \hat A^{b + s} H, \dots], \qquad Y = \hat A^{s} X

    with H the features (N, F), burn-in b, stride s, and one block of F columns for each of `steps` pairs.

    Args:
        burn_in: Propagations b before the first snapshot.
        stride: Propagations s between a snapshot and the next.
        steps: Number of snapshot pairs.
        normalization: 'sym' for :math:`\hat D^{-1/2} (A + I) \hat D^{-1/2}` as in
            :class:`~torch_geometric.nn.conv.GCNConv`, 'rw' for the mean over neighbours :math:`\hat D^{-1} (A + I)`.
        direction: 'undirected' adds the reverse of every edge, and takes the mean of both where both are given;
            'forward' sends each node's features along its edges, 'backward' against them. Parallel edges count each:
            their weights are summed first.

    >>> import torch
    >>> data = Data(x=torch.tensor([[1.0], [0.0]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
    >>> FeaturePropagation().snapshots(data)[1].flatten()
    tensor([0.5000, 0.5000])
    """

    def trajectory(self, data: Data) -> Iterator[Tensor]:
        """The states :math:`\\hat A^k H`."""
        adjacency, x = self.adjacency(data), data.x
        while True:
            yield x
            x = adjacency @ x


def check_weights(data: Data) -> None:
    r"""Raise `InputError` where a weight is negative: the eigenvalues of :math:`\hat A` may then be of any size."""
    edge_weight = data.get("edge_weight")
    if edge_weight is not None and bool((edge_weight < 0).any()):
        raise InputError(
            f"got edge weights down to {float(edge_weight.min()):.3g}, expected none below 0, for which the "
            "eigenvalues of the adjacency have no bound: clamp them at 0, or take their absolute values"
        )


def _check_degrees(degree: Tensor, edge_weight: Tensor) -> None:
    """Raise `InputError` where negative weights take a node's degree to zero or below, by which it is divided."""
    if bool((edge_weight < 0).any()) and bool((degree <= 0).any()):
        node = int((degree <= 0).nonzero()[0])
        raise InputError(
            f"got edge weights down to {float(edge_weight.min()):.3g}, with which node {node} has the degree "
            f"{float(degree[node]):.3g}, expected positive degrees: clamp the weights at 0, or take their absolute "
            "values"
        )
