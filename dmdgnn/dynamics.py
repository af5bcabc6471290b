"""Dynamical systems on a graph whose snapshots DMD reads."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import add_remaining_self_loops, scatter, to_torch_csr_tensor, to_undirected

from dmdgnn.errors import InputError


@dataclass(frozen=True)
class FeaturePropagation:
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

    >>> data = Data(x=torch.tensor([[1.0], [0.0]]), edge_index=torch.tensor([[0, 1], [1, 0]]))
    >>> FeaturePropagation().snapshots(data)[1].flatten()
    tensor([0.5000, 0.5000])
    """

    burn_in: int = 0
    stride: int = 1
    steps: int = 1
    normalization: Literal["sym", "rw"] = "sym"
    direction: Literal["undirected", "forward", "backward"] = "undirected"

    def __post_init__(self) -> None:
        counts = (self.burn_in, self.stride, self.steps)
        if not all(isinstance(count, int) for count in counts) or self.burn_in < 0 or min(counts[1:]) < 1:
            raise InputError(
                f"got burn_in={self.burn_in}, stride={self.stride}, steps={self.steps}, "
                "expected integers burn_in >= 0, stride >= 1 and steps >= 1"
            )
        if self.normalization not in ("sym", "rw"):
            raise InputError(f"got normalization={self.normalization!r}, expected 'sym' or 'rw'")
        if self.direction not in ("undirected", "forward", "backward"):
            raise InputError(f"got direction={self.direction!r}, expected 'undirected', 'forward' or 'backward'")

    @property
    def symmetric(self) -> bool:
        """Whether the propagation matrix is symmetric on every graph without edge weights."""
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

    def snapshots(self, data: Data) -> tuple[Tensor, Tensor]:
        """Snapshot pairs X, Y, each (N, steps * F), in the dtype of the features.

        Raises:
            InputError: The graph has no nodes or no edges tensor, edges to nodes that do not exist, or features that
                are not a float matrix.
        """
        x, edge_index = data.get("x"), data.get("edge_index")
        if x is None or edge_index is None or x.numel() == 0:
            raise InputError("the graph lacks x or edge_index, or has no nodes: set both, x (N, F) with N, F > 0")
        if x.dim() != 2 or x.dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"got features of shape {tuple(x.shape)} and {x.dtype}, expected (N, F) of torch.float32 or "
                "torch.float64: convert them"
            )
        if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < len(x):
            raise InputError(
                f"edge_index names nodes {int(edge_index.min())} to {int(edge_index.max())}, but the graph has nodes "
                f"0 to {len(x) - 1}"
            )
        adjacency = self.adjacency(data)
        for _ in range(self.burn_in):
            x = adjacency @ x
        states = [x]
        for _ in range(self.steps):
            for _ in range(self.stride):
                x = adjacency @ x
            states.append(x)
        return torch.cat(states[:-1], dim=1), torch.cat(states[1:], dim=1)
