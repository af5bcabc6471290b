"""A PyG transform that stores Laplacian eigenvectors in the form of DMD modes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform
from torch_geometric.utils import add_remaining_self_loops, coalesce

from dmdgnn.dynamics.propagation import check_weights
from dmdgnn.errors import FactorizationError, InputError, RankError
from dmdgnn.graphs import edges
from dmdgnn.kernels.lanczos import lanczos
from dmdgnn.kernels.robust import robust
from dmdgnn.options import is_integer
from dmdgnn.precision import full_precision

DENSE = 4096
"""Nodes up to which a dense decomposition stands in where Lanczos' method does not converge."""


@functional_transform("add_laplacian_modes")
class AddLaplacianModes(BaseTransform):
    r"""Adds the smoothest eigenvectors of a graph's Laplacian to its nodes, in the form of
    :class:`~dmdgnn.transforms.AddDMDModes`, so that one can stand in for the other
    (functional name: :obj:`add_laplacian_modes`).

    .. math::
        L = I - \hat A, \qquad \hat A = D^{-1/2} (A_s \odot e^{i \Theta}) D^{-1/2}, \qquad
        \Theta = 2 \pi q (A - A^{\top}), \qquad A_s = \tfrac{1}{2} (A + A^{\top}) + I

    stores the eigenvectors of the largest eigenvalues of :math:`\hat A` as `dmd_modes` (N, r), and those eigenvalues,
    which are one minus the Laplacian's, as `dmd_eigs` (1, r). The features of the nodes play no part. With a charge
    :math:`q > 0` L is the magnetic Laplacian, whose phases tell edges from their reverses; each eigenvector then makes
    two columns, its real and its imaginary part, and :math:`\Phi \Lambda \Phi^{\top} x` is the real part of what the
    Hermitian operator makes of a real x. Source: `MagNet <https://arxiv.org/abs/2102.11390>`_.

    Args:
        rank: Number of columns r; even with a charge.
        charge: q, from 0 (undirected) to 0.25, where an edge without a reverse turns by a quarter.
        attr: First part of the names under which modes and eigenvalues are stored.

    Raises:
        InputError: A setting, or the graph, is none that can be used.
        RankError: A graph has fewer columns than `rank`. In a :class:`~torch_geometric.data.Batch`, it gets zeros
            for the missing ones.
        FactorizationError: The eigenvectors of a large graph have not converged.

    >>> data = Data(x=torch.ones(3, 1), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    >>> AddLaplacianModes(rank=2)(data).dmd_eigs
    tensor([[1.0000, 0.5000]])
    """

    def __init__(self, rank: int, *, charge: float = 0.0, attr: str = "dmd") -> None:
        if not is_integer(rank) or rank < 1:
            raise InputError(f"got rank={rank!r}, expected an integer of at least 1")
        if not 0 <= charge <= 0.25:
            raise InputError(f"got charge={charge!r}, expected a number from 0 to 0.25")
        if charge and rank % 2:
            raise InputError(f"got rank={rank} with a charge, expected an even one: two columns for each eigenvector")
        if not isinstance(attr, str) or not attr.isidentifier() or "index" in attr or "batch" in attr:
            raise InputError(
                f"got attr={attr!r}, expected a name without 'index' and 'batch', which mean something else to PyG"
            )
        self.rank, self.charge, self.attr = rank, charge, attr

    @torch.no_grad()
    @full_precision
    def forward(self, data: Data) -> Data:
        """Add the modes to a copy of the graph that `BaseTransform` made."""
        if isinstance(data, Batch):
            graphs = [self._with_modes(graph, padded=True) for graph in data.to_data_list()]
            return Batch.from_data_list(graphs)
        return self._with_modes(data, padded=False)

    def _with_modes(self, data: Data, *, padded: bool) -> Data:
        x = data.get("x")
        if not isinstance(data, Data) or x is None or not x.is_floating_point() or x.dim() != 2 or not len(x):
            raise InputError("the graph lacks x (N, F) of floating point, whose precision the modes get: set it")
        columns = len(x) * (2 if self.charge else 1)
        if columns < self.rank and not padded:
            raise RankError(
                f"got rank={self.rank} for a graph of {len(x)} nodes, expected at most {columns}: use a smaller rank"
            )
        count = min(self.rank, columns) // (2 if self.charge else 1)
        values, vectors = _leading(_operator(data, self.charge), count)
        if self.charge:
            values, vectors = values.repeat_interleave(2), torch.view_as_real(vectors).flatten(1)
        missing = self.rank - len(values)
        modes, eigs = (torch.nn.functional.pad(each, (0, missing)).to(x) for each in (vectors, values.unsqueeze(0)))
        data[f"{self.attr}_modes"], data[f"{self.attr}_eigs"] = modes, eigs
        return data

    def __repr__(self) -> str:
        charge = f", charge={self.charge}" if self.charge else ""
        attr = f", attr={self.attr!r}" if self.attr != "dmd" else ""
        return f"{type(self).__name__}(rank={self.rank}{charge}{attr})"


def _operator(data: Data, charge: float) -> Tensor:
    """The Hermitian adjacency, sparse (N, N), in double precision."""
    check_weights(data)
    size = len(data.x)
    edge_index, weight = edges(data)
    weight = data.x.new_ones(edge_index.size(1)) if weight is None else weight
    edge_index, weight = add_remaining_self_loops(edge_index, weight.double(), 1.0, size)
    both = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    halves = torch.stack([torch.cat([weight, weight]) / 2, torch.cat([weight, -weight])], dim=1)
    both, halves = coalesce(both, halves, size, reduce="sum")
    magnitude, phase = halves.unbind(1)
    degree = torch.zeros(size, dtype=torch.float64, device=both.device).index_add_(0, both[0], magnitude)
    scale = degree.rsqrt().nan_to_num(posinf=0.0)
    values = magnitude * scale[both[0]] * scale[both[1]]
    if charge:
        values = torch.polar(values, 2 * math.pi * charge * phase)
    return torch.sparse_coo_tensor(both, values, (size, size), is_coalesced=True, check_invariants=False)


def _leading(operator: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest eigenvalues, descending, and eigenvectors (N, count) of an operator between -1 and 1."""
    size = operator.size(0)
    pairs = lanczos(lambda x: x + operator @ x, size, count, device=operator.device, dtype=operator.dtype)
    if pairs is not None:
        return pairs[0] - 1, pairs[1]
    if size > DENSE:
        raise FactorizationError(
            f"{count} eigenvectors of a graph of {size} nodes have not converged: use a smaller rank"
        )
    values, vectors = robust(torch.linalg.eigh, operator.to_dense())
    return values.flip(0)[:count], vectors.flip(1)[:, :count]
