"""PyG transforms that store DMD modes on a graph."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch_geometric.data import Batch, Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from dmdgnn.dmd import DMD
from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.kernels.thin_svd import Method
from dmdgnn.kernels.truncation import Rank


@functional_transform("add_dmd_modes")
class AddDMDModes(BaseTransform):
    r"""Adds the DMD modes of a graph's dynamics to its nodes, and their eigenvalues to the graph
    (functional name: :obj:`add_dmd_modes`).

    Stores `dmd_modes` (N, r), real, and `dmd_eigs` (1, r), which batches to (graphs, r). Given a
    :class:`~torch_geometric.data.Batch`, it takes all its graphs at once, each for itself, many times faster than one
    after another; a graph with fewer than `rank` modes gets zeros for the missing ones. For dynamics that are not
    symmetric the eigenvalues are complex, and the two columns of a conjugate pair are its real form,
    see :attr:`dmdgnn.DMD.real_modes`.

    Args:
        rank: Number of modes r, or 'optimal', see :class:`dmdgnn.DMD`.
        energy: Instead of `rank`, the share of squared singular values to keep at least.
        dynamics: What produces the snapshots, by default :class:`FeaturePropagation` with two steps of burn-in.
        modes: 'projected' (orthonormal for symmetric dynamics) or 'exact' (one propagation smoother).
        svd: Kernel, see :func:`dmdgnn.kernels.thin_svd`.

    Raises:
        RankError: `rank` is above the numerical rank of the snapshots.

    >>> data = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    >>> AddDMDModes(rank=2)(data).dmd_modes.shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        rank: Rank = None,
        energy: float | None = None,
        *,
        dynamics: FeaturePropagation | None = None,
        modes: Literal["exact", "projected"] = "projected",
        svd: Method = "auto",
    ) -> None:
        self.dynamics = dynamics or FeaturePropagation(burn_in=2)
        constraint: Literal["symmetric"] | None = "symmetric" if self.dynamics.symmetric else None
        self.dmd = partial(DMD, rank=rank, energy=energy, svd=svd, modes=modes, constraint=constraint)
        self.dmd()  # bad settings raise here, not at the first graph

    @torch.no_grad()
    def forward(self, data: Data) -> Data:
        """Add the modes to a copy of the graph that `BaseTransform` made."""
        ptr = data.ptr if isinstance(data, Batch) else None
        dmd = self.dmd().fit(*self.dynamics.snapshots(data), ptr=ptr)
        data.dmd_modes = dmd.real_modes
        data.dmd_eigs = dmd.eigs if ptr is not None else dmd.eigs.unsqueeze(0)
        if ptr is not None:
            # With these, `Batch.to_data_list` gives each graph its part.
            graphs = torch.arange(len(ptr))
            data._slice_dict |= {"dmd_modes": ptr.cpu(), "dmd_eigs": graphs}
            data._inc_dict |= {"dmd_modes": torch.zeros(len(ptr) - 1), "dmd_eigs": torch.zeros(len(ptr) - 1)}
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dmd()}, {self.dynamics})"
