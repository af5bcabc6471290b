"""The embedding of a graph by the spectrum of its dynamics."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice, pairwise

import torch
from torch import Tensor
from torch_geometric.data import Data

from dmdgnn.dynamics import Dynamics, FeaturePropagation
from dmdgnn.dynamics.base import Evolution
from dmdgnn.errors import InputError
from dmdgnn.graphs import checked
from dmdgnn.options import is_integer
from dmdgnn.precision import full_precision

LAGS = 4
TIE = 1e-6
"""Distance of eigenvalues that count as equal, whose modes share their residuals and energies."""


@torch.no_grad()
@full_precision
def spectrum_embedding(data: Data | Sequence[Data], rank: int = 8, dynamics: Dynamics | None = None) -> Tensor:
    r"""The embedding (5 * rank + 9,) of a graph by the DMD of its dynamics, without training and without labels.

    With :math:`X = U S V^\top` cut to r, :math:`\tilde K = U^\top Y V S^{-1}` and :math:`\tilde K W = W \Lambda`:

    .. math::
        \operatorname{Re} \lambda_j, \quad |\operatorname{Im} \lambda_j|, \quad
        \frac{\|Y V S^{-1} w_j - \lambda_j U w_j\|}{\|w_j\|}, \quad
        \frac{s_j^2}{\|X\|_F^2}, \quad
        \frac{\|w_j (W^{-1} S V^\top)_j\|^2}{\|X\|_F^2}, \qquad
        \frac{\|x_k\|}{\|x_{k-1}\|}, \quad
        \frac{\langle x_0, x_k \rangle}{\|x_0\|\,\|x_k\|}, \quad
        \log \frac{\|x_0\|^2}{N F}

    eigenvalues by falling real part with the residuals and energies of their modes, shares of singular values, for
    k = 1 to 4 ratios of norms and cosines of the states, and the size of the features; zero where a graph has fewer
    modes. It does not change with the order of the nodes, a rotation of the feature columns, or sign and rotation of
    modes. A rank that cuts between equal singular values leaves open which mode is kept.

    Source of the residuals: "Residual dynamic mode decomposition" (https://arxiv.org/abs/2205.09779).

    Args:
        data: A graph with `x` (N, F) and `edge_index` (2, E), or a series of snapshots of the same nodes, whose `x`
            are the states.
        rank: Modes r.
        dynamics: Source of the states of a graph, see :mod:`dmdgnn.dynamics`; nonlinear ones, too. By default
            :class:`~dmdgnn.dynamics.FeaturePropagation` along the edges of a directed graph, or on an undirected one.

    Returns:
        float32, on the CPU.

    Raises:
        InputError: The rank is below 1, the graph has no features or edges, or all its features are zero; a series has
            fewer than two snapshots or snapshots of other shapes, or is given dynamics.

    >>> data = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
    >>> spectrum_embedding(data, rank=2).shape
    torch.Size([19])
    """
    if not is_integer(rank) or rank < 1:
        raise InputError(f"got rank={rank!r}, expected an integer of at least 1")
    X, Y, states = _snapshots(data, dynamics)
    size = X.square().sum()
    if not size > 0:
        raise InputError("all features of the graph are zero, expected some that are not: there is no spectrum")
    return torch.cat([_spectrum(X, Y, rank, size), _norms(states)]).float().cpu()


def _snapshots(data: Data | Sequence[Data], dynamics: Dynamics | None) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Snapshot pairs and the first states, in float64."""
    if isinstance(data, Sequence):
        if dynamics is not None or len(data) < 2 or len({graph.x.shape for graph in data}) > 1:
            raise InputError(
                f"got a series of {len(data)} snapshots and dynamics={dynamics!r}, expected at least two snapshots "
                "with x of one shape, which are the states, and no dynamics"
            )
        series = [checked(graph).x.double() for graph in data]
        lags = [torch.cat(series[k : len(series) - LAGS + k] or [series[min(k, len(series) - 1)]], 1) for k in range(5)]
        return torch.cat(series[:-1], dim=1), torch.cat(series[1:], dim=1), lags
    data = checked(data)
    data.x = data.x.double()
    if dynamics is None:
        dynamics = FeaturePropagation(direction="undirected" if data.is_undirected() else "forward")
    X, Y = dynamics.snapshots(data)
    states = list(islice(dynamics.trajectory(data), LAGS + 1)) if isinstance(dynamics, Evolution) else [X] + [Y] * LAGS
    return X, Y, states


def _spectrum(X: Tensor, Y: Tensor, rank: int, size: Tensor) -> Tensor:
    U, S, Vh = _factors(X)
    kept = min(rank, int((S / S[0] > 1e-7).sum()))
    shares = S[:kept].square() / size
    U, S, Vh = U[:, :kept], S[:kept], Vh[:kept]
    image = Y @ Vh.mT / S
    eigs, W = torch.linalg.eig(U.mT @ image)
    # Rounded, so that the order of a conjugate pair, or of equal ones, is none of rounding.
    order = sorted(range(kept), key=lambda j: (-round(float(eigs[j].real), 6), float(eigs[j].imag)))
    eigs, W = eigs[order], W[:, order]
    residuals, energies = eigs.real.clone(), eigs.real.clone()
    duals = torch.linalg.pinv(W, rtol=1e-9)
    errors = image.to(W.dtype) @ W - (U.to(W.dtype) @ W) * eigs
    for group in _ties(eigs):
        # A whole eigenspace, unlike its eigenvectors, is the same whatever its basis.
        own, count = W[:, group], len(group)
        part = own @ (duals[group] @ (S[:, None] * Vh).to(W.dtype))
        energies[group] = part.abs().square().sum() / size / count
        residuals[group] = (errors[:, group] @ torch.linalg.pinv(own)).norm() / count**0.5
    parts = [eigs.real, eigs.imag.abs(), residuals, shares, energies]
    return torch.cat([torch.nn.functional.pad(part, (0, rank - kept)) for part in parts])


def _ties(eigs: Tensor) -> list[list[int]]:
    """Groups of sorted eigenvalues that are equal."""
    groups = [[0]]
    for j in range(1, len(eigs)):
        if bool((eigs[j] - eigs[j - 1]).abs() < TIE):
            groups[-1].append(j)
        else:
            groups.append([j])
    return groups


def _factors(X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The thin SVD, by the smaller Gram matrix: no mode below 1e-7 of the largest is kept."""
    if X.size(1) > X.size(0):
        V, S, Uh = _factors(X.mT)
        return Uh.mT, S, V.mT
    squares, V = torch.linalg.eigh(X.mT @ X)
    S = squares.flip(0).clamp(min=0).sqrt()
    V = V.flip(1)
    return X @ V / S.clamp(min=1e-300), S, V.mT


def _norms(states: list[Tensor]) -> Tensor:
    norms = [state.norm().clamp(min=1e-30) for state in states]
    ratios = [after / before for before, after in pairwise(norms)]
    cosines = [(states[0] * state).sum() / (norms[0] * norm) for state, norm in zip(states[1:], norms[1:], strict=True)]
    return torch.stack([*ratios, *cosines, (norms[0].square() / states[0].numel()).log()])
