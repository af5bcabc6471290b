"""Propagation of the node features by a normalised adjacency."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import add_remaining_self_loops, scatter, to_torch_csr_tensor, to_undirected

from dmdgnn.dynamics.base import Evolution
from dmdgnn.errors import InputError


@dataclass(frozen=True)
class Propagation(Evolution):
    r"""Dynamics on a graph by its normalised adjacency :math:`\hat A` with self-loops; what its subclasses share.

    Args:
        burn_in: Steps before the first snapshot.
        stride: Steps between a snapshot and the next.
        steps: Number of snapshot pairs.
        normalization: 'sym' for :math:`\hat D^{-1/2} (A + I) \hat D^{-1/2}` as in
            :class:`~torch_geometric.nn.conv.GCNConv`, 'rw' for the mean over neighbours :math:`\hat D^{-1} (A + I)`.
        direction: 'undirected' adds the reverse of every edge; 'forward' sends what the nodes have along their edges,
            'backward' against them.
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

    def adjacency(self, data: Data) -> Tensor:
        """The normalised adjacency, CSR (N, N), with entry (i, j) the weight of the edge from j to i."""
        edge_index, edge_weight = data.edge_index, data.get("edge_weight")
        if self.direction == "undirected":
            edge_index, edge_weight = to_undirected(edge_index, edge_weight, data.num_nodes, reduce="mean")
        elif self.direction == "backward":
            edge_index = edge_index.flip(0)
        if self.normalization == "sym":
            edge_index, edge_weight = gcn_norm(edge_index, edge_weight, data.num_nodes, dtype=data.x.dtype)
        else:
            edge_index, edge_weight = add_remaining_self_loops(edge_index, edge_weight, 1.0, data.num_nodes)
            if edge_weight is None:
                edge_weight = data.x.new_ones(edge_index.size(1))
            degree = scatter(edge_weight, edge_index[1], dim_size=data.num_nodes)
            edge_weight = edge_weight / degree[edge_index[1]]
        with warnings.catch_warnings():
            # torch warns once a process that CSR is in beta and that its invariants are not checked.
            warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)
            return to_torch_csr_tensor(edge_index.flip(0), edge_weight.to(data.x.dtype), size=data.num_nodes)


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
        direction: 'undirected' adds the reverse of every edge; 'forward' sends each node's features along its edges,
            'backward' against them.

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
            "eigenvalues of the adjacency have no bound: clamp them, or take FeaturePropagation"
        )
