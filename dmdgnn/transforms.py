"""PyG transforms that store DMD modes on a graph."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from dmdgnn.dmd import DMD, Constraint, Estimator, ModeType
from dmdgnn.dynamics import Dynamics, FeaturePropagation
from dmdgnn.errors import FactorizationError, InputError
from dmdgnn.kernels.ragged import Ragged
from dmdgnn.kernels.thin_svd import Method, thin_svd
from dmdgnn.kernels.truncation import Rank
from dmdgnn.laplacian import AddLaplacianModes
from dmdgnn.precision import full_precision
from dmdgnn.spectral import eigenpairs, orthonormal_basis, tolerance

__all__ = ["AddDMDModes", "AddLaplacianModes"]

# Constraints on an operator whose eigenvectors are orthogonal.
NORMAL = ("symmetric", "skew_symmetric", "orthogonal", "diagonal", "circulant")


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
        dynamics: Source of the snapshots, see :mod:`dmdgnn.dynamics`; by default :class:`FeaturePropagation` with
            two steps of burn-in.
        modes: 'projected' (orthonormal for symmetric dynamics) or 'exact' (one propagation smoother).
        constraint: Structure of the operator, see :class:`dmdgnn.DMD`, or None for none; by default, 'auto', it is
            'symmetric' for dynamics that are, else None.
        svd: Kernel, see :func:`dmdgnn.kernels.thin_svd`.
        attr: First part of the names under which modes, eigenvalues and dual modes are stored, so that a graph can have
            several sets.
        duals: Store `dmd_duals` (N, r), too: the transposed pseudo-inverse :math:`\Psi` of the modes, with which
            :math:`\Psi^{\top} x` are the coefficients of x in the modes by least squares. With :math:`\Lambda` the
            eigenvalues, as 2 x 2 blocks where they are complex, see :attr:`dmdgnn.DMD.blocks`,
            :math:`\Phi \Lambda \Psi^{\top}` is the operator on the span of the modes: the whole operator for projected
            modes, which without `duals` is so for symmetric dynamics only, where :math:`\Psi = \Phi`.
        blocks: Whether `dmd_eigs` are real blocks, (1, r, r) or (graphs, r, r), which layers take, too: True for
            precisions and exports without complex numbers. By default, 'auto', they are where `duals` are asked for
            and the eigenvectors do not make up the operator of a graph, as those of a chain or of any directed graph
            without cycles do not: then modes are an orthonormal change of the basis of the subspace, in which blocks
            are a real Schur form. For graphs that are to be batched later, choose True or False: False refuses such
            graphs.
        estimator: 'pcr', or 'rrr' for the operator of rank r that predicts the snapshots best, see
            :class:`dmdgnn.DMD`; the latter has no constraint.

    Raises:
        InputError: The dynamics do not read the graph, or the settings do not go together.
        RankError: `rank` is above the numerical rank of the snapshots.
        FactorizationError: With `blocks=False` and `duals`, the eigenvectors do not make up the operator.

    >>> data = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    >>> AddDMDModes(rank=2)(data).dmd_modes.shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        rank: Rank = None,
        energy: float | None = None,
        *,
        dynamics: Dynamics | None = None,
        modes: ModeType = "projected",
        constraint: Constraint | Literal["auto"] | None = "auto",
        svd: Method = "auto",
        attr: str = "dmd",
        duals: bool = False,
        blocks: bool | Literal["auto"] = "auto",
        estimator: Estimator = "pcr",
    ) -> None:
        check_blocks(blocks)
        self.dynamics = FeaturePropagation(burn_in=2) if dynamics is None else dynamics
        if not isinstance(self.dynamics, Dynamics):
            raise InputError(f"got dynamics={dynamics!r}, expected an instance of dmdgnn.dynamics.Dynamics")
        if not isinstance(attr, str) or not attr.isidentifier() or "index" in attr or "batch" in attr:
            raise InputError(
                f"got attr={attr!r}, expected a name without 'index' and 'batch', which mean something else to PyG"
            )
        if constraint == "auto":
            constraint = "symmetric" if self.dynamics.symmetric and estimator == "pcr" else None
        self.dmd = partial(
            DMD, rank=rank, energy=energy, svd=svd, modes=modes, constraint=constraint, estimator=estimator
        )
        self.dmd()  # bad settings raise here, not at the first graph
        self.rank, self.energy, self.modes, self.constraint, self.svd = rank, energy, modes, constraint, svd
        self.attr, self.estimator = attr, estimator
        self.duals = duals
        self.blocks = blocks

    @torch.no_grad()
    @full_precision
    def forward(self, data: Data) -> Data:
        """Add the modes to a copy of the graph that `BaseTransform` made."""
        ptr = data.ptr if isinstance(data, Batch) else None
        dmd = self.dmd().fit(*self.dynamics.snapshots(data), ptr=ptr)
        modes, eigs, duals = self._spectrum(dmd)
        of_nodes = {f"{self.attr}_modes": modes}
        if duals is not None:
            of_nodes[f"{self.attr}_duals"] = duals
        of_graphs = {f"{self.attr}_eigs": eigs if ptr is not None else eigs.unsqueeze(0)}
        for name, value in (of_nodes | of_graphs).items():
            data[name] = value
        if ptr is not None:
            # With these, `Batch.to_data_list` gives each graph its part. The given batch shares the dicts that it has.
            slices = dict.fromkeys(of_nodes, ptr.cpu()) | dict.fromkeys(of_graphs, torch.arange(len(ptr), device="cpu"))
            data._slice_dict = data._slice_dict | slices
            data._inc_dict = data._inc_dict | dict.fromkeys(slices, torch.zeros(len(ptr) - 1, device="cpu"))
        return data

    def _spectrum(self, dmd: DMD) -> tuple[Tensor, Tensor, Tensor | None]:
        """Modes, eigenvalues or blocks, and dual modes if they are asked for."""
        modes, ragged = dmd.real_modes, dmd.operator.ragged
        eigs = dmd.blocks if self.blocks is True else dmd.eigs
        if not self.duals:
            return modes, eigs, None
        duals = _duals(modes, ragged)
        left = dmd.operator.left
        loss = _loss(left, modes, duals, ragged)
        poor = loss > tolerance(modes.dtype)
        if dmd.constraint in NORMAL or not bool(poor.any()):
            return modes, eigs, duals
        if self.blocks is False:
            raise FactorizationError(
                f"the eigenvectors of this graph's operator do not make it up, they are off by {float(loss.max()):.2g} "
                "of its norm: take blocks=True or 'auto', which needs none, or duals=False"
            )
        K = dmd.reduced_operator
        basis = orthonormal_basis(*eigenpairs(K))
        schur = basis.mT @ K @ basis
        blocks = torch.where(poor[..., None, None], schur.to(modes.dtype), dmd.blocks)
        if ragged is None:
            modes = left @ basis.to(left.dtype)
        else:
            rows = poor.repeat_interleave(ragged.ptr.diff()).unsqueeze(-1)
            modes = torch.where(rows, ragged.apply(left, basis.to(left.dtype)), modes)
        return modes, blocks, _duals(modes, ragged)

    def __repr__(self) -> str:
        options = f", attr={self.attr!r}" if self.attr != "dmd" else ""
        options += ", duals=True" if self.duals else ""
        options += f", blocks={self.blocks}" if self.blocks != "auto" else ""
        return f"{type(self).__name__}({self.dmd()}, {self.dynamics}{options})"


def check_blocks(blocks: bool | Literal["auto"]) -> None:
    """Raise `InputError` unless the setting is one."""
    if not isinstance(blocks, bool) and blocks != "auto":
        raise InputError(f"got blocks={blocks!r}, expected True, False or 'auto'")


def _loss(basis: Tensor, modes: Tensor, duals: Tensor, ragged: Ragged | None) -> Tensor:
    """Share of a basis that modes do not span, plus their rounding error, of a graph () or of each (B,)."""
    products = _inner(duals, basis, ragged)
    lifted = modes @ products if ragged is None else ragged.apply(modes, products)
    lack, size, *lengths = (_lengths(rows, ragged) for rows in (basis - lifted, basis, modes, duals))
    share = lack.norm(dim=-1) / size.norm(dim=-1).clamp(min=torch.finfo(modes.dtype).tiny)
    condition = (lengths[0] * lengths[1]).amax(dim=-1)
    return (share + torch.finfo(modes.dtype).eps * condition).nan_to_num(nan=torch.inf)


def _inner(A: Tensor, B: Tensor, ragged: Ragged | None) -> Tensor:
    return A.mT @ B if ragged is None else ragged.inner(A, B)


def _lengths(rows: Tensor, ragged: Ragged | None) -> Tensor:
    """Lengths of the columns (r,), or of those of each graph (B, r)."""
    ones = rows.new_ones(len(rows), 1)
    return _inner(ones, rows.square(), ragged).squeeze(-2).sqrt()


def _duals(modes: Tensor, ragged: Ragged | None) -> Tensor:
    """The transposed pseudo-inverse of modes (N, r), of each graph's for itself; zero where a column is."""
    if ragged is None:
        return _transposed_inverse(modes.unsqueeze(0)).squeeze(0)
    return ragged.unpad([_transposed_inverse(ragged.pad(modes, block)) for block in ragged.blocks])


def _transposed_inverse(modes: Tensor) -> Tensor:
    """Transposed inverse of matrices (b, N, r), in float64."""
    U, S, V = thin_svd(modes.double(), method="full", rounding=modes.dtype)
    inverse = torch.where(S > 0, 1 / S, 0).unsqueeze(-2)
    present = (modes != 0).any(dim=-2, keepdim=True)
    return ((U * inverse) @ V.mT * present).to(modes.dtype)
