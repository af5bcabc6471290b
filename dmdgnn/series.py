"""A PyG transform that stores the DMD modes of a series on its snapshots."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from dmdgnn.dmd import DMD, Estimator
from dmdgnn.errors import FactorizationError, InputError
from dmdgnn.kernels.robust import check_finite
from dmdgnn.kernels.truncation import Rank
from dmdgnn.operator import LowRankOperator
from dmdgnn.precision import full_precision
from dmdgnn.transforms import check_blocks


@functional_transform("add_series_modes")
class AddSeriesModes(BaseTransform):
    r"""Adds the DMD modes of a series of states to the nodes of a snapshot, and their eigenvalues to the snapshot
    (functional name: :obj:`add_series_modes`).

    With the states as columns of :math:`S` and the stride h, they are those of the operator that best maps
    :math:`X = [s_1, \dots, s_{T-h}]` to :math:`Y = [s_{1+h}, \dots, s_T]`,

    .. math::
        K = \Phi\, \Lambda\, \Psi^T, \qquad \Psi^T \Phi = I,

    the patterns over nodes that the series moves in, and what becomes of each in h steps. Unlike those of
    :class:`~dmdgnn.transforms.AddDMDModes`, they need no edges. They are fitted once, to states that no value to be
    predicted may be part of: give those of the training part.

    Stores `dmd_modes` and `dmd_duals` (N, r), real, and `dmd_eigs` (1, r), complex, which batches to (snapshots, r);
    all snapshots share the same tensors. The two columns of a conjugate pair are its real form, see
    :meth:`dmdgnn.LowRankOperator.spectrum`. Eigenvectors do not make up every operator: not that of a trend. There,
    `dmd_eigs` are real blocks (1, r, r), see :meth:`dmdgnn.LowRankOperator.real_form`, which layers take, too.

    Args:
        states: States (N, T), oldest first, float32 or float64. They are neither centred nor scaled here.
        rank: Number of modes r, or 'optimal', see :class:`dmdgnn.DMD`.
        energy: Instead of `rank`, the share of squared singular values to keep at least.
        stride: Steps h from one state to the other: best as many as a forecast is ahead.
        blocks: Whether `dmd_eigs` are blocks: True for precisions and exports without complex numbers; by
            default, 'auto', where the eigenvectors do not make up the operator; False to refuse such states.
        estimator: 'pcr', or 'rrr' for the operator of rank r that predicts the states best, see :class:`dmdgnn.DMD`.

    Raises:
        InputError: The states are no series of more than `stride` steps, or a snapshot has another number of nodes.
        FactorizationError: With `blocks=False`, the eigenvectors do not make up the operator.
        RankError: `rank` is above the numerical rank of the states.

    >>> states = torch.tensor([[1.0, 0.5, 0.25], [2.0, 1.0, 0.5]])
    >>> AddSeriesModes(states, rank=1)(Data(num_nodes=2)).dmd_eigs.real
    tensor([[0.5000]])
    """

    @full_precision
    def __init__(
        self,
        states: Tensor,
        rank: Rank = None,
        energy: float | None = None,
        *,
        stride: int = 1,
        blocks: bool | Literal["auto"] = "auto",
        estimator: Estimator = "pcr",
    ) -> None:
        check_blocks(blocks)
        if not isinstance(states, Tensor) or states.dim() != 2 or not 1 <= stride < states.size(1):
            got = f"shape {tuple(states.shape)}" if isinstance(states, Tensor) else type(states).__name__
            raise InputError(
                f"got states of {got} and stride={stride}, expected (N, T), a column for each step, and a stride from "
                "1 to T - 1"
            )
        if states.dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"got states of {states.dtype}, expected torch.float32 or torch.float64: convert them, complex ones to "
                "rows of real and imaginary parts"
            )
        check_finite("states", states)
        self.rank, self.energy, self.stride, self.blocks, self.estimator = rank, energy, stride, blocks, estimator
        self.dmd = DMD(rank, energy, modes="projected", estimator=estimator)
        with torch.no_grad():
            operator = self.dmd.fit(states[:, :-stride], states[:, stride:]).operator
            self.dmd_modes, eigs, self.dmd_duals = _form(operator, blocks)
        self.dmd_eigs = eigs.unsqueeze(0)

    def forward(self, data: Data) -> Data:
        """Add the modes to a copy of the snapshot that `BaseTransform` made."""
        if data.num_nodes != len(self.dmd_modes):
            raise InputError(
                f"got a snapshot of {data.num_nodes} nodes, expected the {len(self.dmd_modes)} of the states, in their "
                "order"
            )
        data.dmd_modes, data.dmd_eigs, data.dmd_duals = self.dmd_modes, self.dmd_eigs, self.dmd_duals
        return data

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.dmd}, stride={self.stride})"


def _form(operator: LowRankOperator, blocks: bool | Literal["auto"]) -> tuple[Tensor, Tensor, Tensor]:
    """Modes, eigenvalues or blocks, and dual modes."""
    if blocks is True:
        return operator.real_form()
    try:
        return operator.spectrum()
    except FactorizationError as error:
        if blocks == "auto":
            return operator.real_form()
        raise FactorizationError(f"{error}; as a transform, with blocks=True") from error
