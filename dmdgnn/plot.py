"""Figures of eigenvalues, modes, filters and errors, with matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from dmdgnn.dmd import DMD
from dmdgnn.errors import InputError, MissingPackageError
from dmdgnn.kernels.truncation import Truncation
from dmdgnn.nn.dmd_conv import DMDConv
from dmdgnn.nn.filters import PolynomialFilter

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Up to that many heads have a colour, a marker and a line of the legend each; more share one colour.
MARKERS = "os^Dv<>P"
REFERENCE: dict[str, Any] = {"color": "0.6", "linewidth": 1.0, "zorder": 0}


def spectrum(eigs: Tensor, ax: Axes | None = None) -> Axes:
    r"""Eigenvalues in the complex plane with the unit circle; where all are real, as stems over their index.

    Modes inside of the unit circle, or of :math:`|\lambda| < 1`, fade with each step of the dynamics, those on it stay,
    those outside of it grow. The two of a conjugate pair turn nodes' states by their angle in each step.

    Args:
        eigs: Eigenvalues (r,) or (1, r), real or complex, as :attr:`dmdgnn.DMD.eigs`,
            :attr:`dmdgnn.LowRankOperator.eigs` and `data.dmd_eigs` are.
        ax: Axes to draw on, by default those of a new figure.

    Returns:
        The axes.

    Raises:
        InputError: The eigenvalues are those of several graphs, none, or not finite.
        MissingPackageError: matplotlib is not installed.

    >>> from matplotlib.figure import Figure
    >>> spectrum(torch.tensor([0.9 + 0.2j, 0.9 - 0.2j, 0.5]), Figure().subplots()).get_xlabel()
    'Re λ'
    """
    eigs = _eigenvalues(eigs)
    ax = _axes(ax)
    if _all_real(eigs):
        for level in (-1, 0, 1):
            ax.axhline(level, linestyle="-" if level == 0 else "--", **REFERENCE)
        markers, stems, baseline = ax.stem(range(len(eigs)), eigs.real.numpy())
        markers.set_markersize(4 if len(eigs) <= 64 else 2)
        stems.set_linewidth(1)
        baseline.set_visible(False)
        _whole_numbers(ax)
        ax.set(xlabel="mode", ylabel="eigenvalue λ")
        return ax

    from matplotlib.patches import Circle

    ax.axhline(0, **REFERENCE)
    ax.axvline(0, **REFERENCE)
    ax.add_patch(Circle((0, 0), 1, fill=False, linestyle="--", edgecolor="0.6", label="unit circle"))
    ax.plot(eigs.real.numpy(), eigs.imag.numpy(), "o", markersize=4, label="eigenvalues")
    ax.set_aspect("equal", adjustable="datalim")
    ax.set(xlabel="Re λ", ylabel="Im λ")
    return ax


def learned_filter(conv: DMDConv, eigs: Tensor, ax: Axes | None = None) -> Axes:
    r"""The gain that a layer gives each mode, :math:`\gamma\, g(\lambda)` with its gate :math:`\gamma` if it has one,
    over the eigenvalue.

    The dashed line is :math:`g(\lambda) = \lambda`, the filter that training starts from: a mode further from zero than
    the line is amplified, one nearer to zero damped. Where eigenvalues are complex, it is the modulus of the gain over
    the modulus of the eigenvalue, so that the line stays the same.

    Args:
        conv: Layer, trained or not. A polynomial filter of real eigenvalues is drawn between them, too.
        eigs: Eigenvalues (r,) or (1, r) that the layer is used with.
        ax: Axes to draw on, by default those of a new figure.

    Returns:
        The axes.

    Raises:
        InputError: `conv` is no :class:`~dmdgnn.nn.DMDConv`, or the eigenvalues are not those of its rank.
        MissingPackageError: matplotlib is not installed.

    >>> from matplotlib.figure import Figure
    >>> ax = learned_filter(DMDConv(16, 8, rank=2), torch.tensor([0.9, 0.5]), Figure().subplots())
    >>> ax.get_lines()[-1].get_xdata()
    array([0.9, 0.5], dtype=float32)
    """
    if not isinstance(conv, DMDConv):
        raise InputError(f"got {type(conv).__name__}, expected a DMDConv: of a DMDGNN model take one of model.convs")
    eigs = _eigenvalues(eigs)
    if len(eigs) != conv.rank:
        raise InputError(f"got {len(eigs)} eigenvalues for a layer of rank {conv.rank}, expected one for each mode")
    gains = _gains(conv, eigs)
    ax = _axes(ax)

    real = _all_real(eigs)
    if real:
        places, heights = eigs.real, gains.real
        ax.set(xlabel="eigenvalue λ", ylabel="gain g(λ)")
    else:
        places, heights = eigs.abs(), gains.abs()
        ax.set(xlabel="modulus of the eigenvalue |λ|", ylabel="modulus of the gain |g(λ)|")
    first, last = float(places.min()), float(places.max())
    ax.plot([first, last], [first, last], label="start: g(λ) = λ", linestyle="--", **REFERENCE)
    many = conv.heads > len(MARKERS)
    for head, height in enumerate(heights.T):
        label = "learned" if conv.heads == 1 else f"head {head}"
        style: dict[str, Any] = {"label": label, "marker": MARKERS[head % len(MARKERS)]}
        if many:
            style = {"label": None if head else f"{conv.heads} heads", "marker": ".", "color": "C0", "alpha": 0.3}
        ax.plot(places.numpy(), height.numpy(), linewidth=0, markersize=4, **style)
    if real and isinstance(conv.filter, PolynomialFilter):
        grid = torch.linspace(first, last, 200)
        curves = _gains(conv, grid.to(eigs.dtype)).real
        for points, curve in zip(ax.get_lines()[-conv.heads :], curves.T, strict=True):
            ax.plot(grid.numpy(), curve.numpy(), linewidth=1, color=points.get_color(), alpha=points.get_alpha())
    ax.legend()
    return ax


def mode(
    graph: Data | Tensor,
    modes: Tensor,
    k: int,
    pos: Tensor | Mapping[int, Any] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One mode as colours of the nodes, white at zero, with limits that are symmetric about it.

    The sign of a mode means nothing, but nodes of one sign go together. For a colour bar:
    ``ax.figure.colorbar(ax.collections[-1], ax=ax)``.

    Args:
        graph: Graph, or its edge indices (2, E). Edges are drawn without direction.
        modes: Real modes (N, r), as :attr:`dmdgnn.DMD.real_modes` and `data.dmd_modes` are.
        k: Which of them, from 0.
        pos: Positions of the nodes, (N, 2) or a mapping from each node to its two coordinates, as those of networkx;
            by default networkx' spring layout with seed 0, which suits graphs of up to some hundred nodes.
        ax: Axes to draw on, by default those of a new figure.

    Returns:
        The axes.

    Raises:
        InputError: Graph, modes, `k` and positions do not fit, or modes are complex or not finite.
        MissingPackageError: matplotlib is not installed, or networkx, which only the default positions need.

    >>> from matplotlib.figure import Figure
    >>> square, edge_index = torch.tensor([[0, 0], [0, 1], [1, 1], [1, 0]]), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    >>> ax = mode(edge_index, torch.tensor([[1.0], [2.0], [-1.0], [-2.0]]), 0, square, Figure().subplots())
    >>> ax.collections[-1].get_clim()
    (-2.0, 2.0)
    """
    if modes.dim() != 2 or modes.is_complex() or not bool(modes.isfinite().all()):
        raise InputError(
            f"got modes of shape {tuple(modes.shape)} and {modes.dtype}, expected finite real ones (N, r): of complex "
            "modes pass DMD.real_modes"
        )
    num_nodes, rank = modes.shape
    if isinstance(k, bool) or not isinstance(k, int) or not 0 <= k < rank:
        raise InputError(f"got k={k!r}, expected the index of one of the modes, 0 to {rank - 1}")
    edge_index = _edges(graph, num_nodes)
    places = _positions(edge_index, num_nodes, pos)
    ax = _axes(ax)

    from matplotlib.collections import LineCollection

    values = modes[:, k].detach().cpu()
    limit = float(values.abs().max()) or 1.0
    lines = LineCollection(list(places[edge_index.T].numpy()), colors="0.75", linewidths=0.8, zorder=1)
    ax.add_collection(lines)
    ax.scatter(
        places[:, 0].numpy(),
        places[:, 1].numpy(),
        c=values.numpy(),
        s=min(60.0, 6000 / num_nodes),
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        edgecolors="0.3",
        linewidths=0.5,
        zorder=2,
    )
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_axis_off()
    ax.set_title(f"mode {k}")
    return ax


def reconstruction_error(X: Tensor, Y: Tensor, ranks: Iterable[int], ax: Axes | None = None, **options: Any) -> Axes:
    r"""What the operator of each rank misses of a step, and how much of the snapshots it keeps.

    .. math::
        \frac{\|Y - K_r X\|_F}{\|Y\|_F}, \qquad \frac{\sum_{i \le r} \sigma_i^2}{\|X\|_F^2}

    with :math:`\sigma_i` the singular values of X. One factorisation serves all ranks, see
    :meth:`dmdgnn.DMD.truncate`. Of a graph and its dynamics:
    ``reconstruction_error(*dynamics.snapshots(data), ranks)``.

    Args:
        X: Snapshots (N, F).
        Y: The same snapshots a step later.
        ranks: Ranks r, in any order.
        ax: Axes to draw on, by default those of a new figure.
        **options: Of :class:`dmdgnn.DMD`: `modes`, `constraint`, `svd`, `ridge` ... With `modes='projected'`,
            :math:`K_r` maps into the range of U, as it does in a layer; with exact modes, into that of Y.

    Returns:
        The axes.

    Raises:
        InputError: The snapshots do not fit, Y is zero, there are no ranks, or an option that cannot be truncated.
        RankError: A rank is above what X has.
        MissingPackageError: matplotlib is not installed.

    >>> from matplotlib.figure import Figure
    >>> X, Y = torch.eye(4), torch.diag(torch.tensor([4.0, 3.0, 0.0, 0.0]))
    >>> ax = reconstruction_error(X, Y, [2, 4], Figure().subplots())
    >>> ax.get_lines()[1].get_ydata()  # the energy that two and four of four equal directions keep
    array([0.5, 1. ])
    """
    if (
        not isinstance(ranks, Iterable)
        or not (ranks := list(ranks))
        or not all(Truncation(rank).count for rank in ranks)
    ):
        raise InputError(f"got ranks={ranks!r}, expected positive integers")
    ranks = sorted(set(ranks))
    X, Y = X.detach(), Y.detach()
    if X.dim() != 2:
        raise InputError(f"got snapshots of shape {tuple(X.shape)}, expected (N, F): draw one graph at a time")
    full = DMD(rank=ranks[-1], **options).fit(X, Y)
    norm = Y.double().norm()
    if norm == 0:
        raise InputError("got Y = 0, of which no share can be missed: expected snapshots that do not vanish")
    errors = [float((Y - full.truncate(rank).operator @ X).double().norm() / norm) for rank in ranks]
    kept = (full.singular_values.square().cumsum(dim=0) / X.double().square().sum()).cpu()
    ax = _axes(ax)
    ax.plot(ranks, errors, "o-", markersize=4, label="error of a step, ‖Y - Kᵣ X‖ / ‖Y‖")
    ax.plot(ranks, kept[[rank - 1 for rank in ranks]].numpy(), "s-", markersize=4, label="energy of X that is kept")
    ax.axhline(0, **REFERENCE)
    _whole_numbers(ax)
    ax.set(xlabel="rank r", ylabel="share")
    ax.legend(loc="center right")
    return ax


def _axes(ax: Axes | None) -> Axes:
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise MissingPackageError('figures need matplotlib: pip install "dmdgnn[plot]"') from error
        return plt.subplots()[1]
    if not hasattr(ax, "get_lines"):
        raise InputError(f"got ax of {type(ax).__name__}, expected one matplotlib Axes, or None for a new figure")
    return ax


def _whole_numbers(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _gains(conv: DMDConv, eigs: Tensor) -> Tensor:
    """With the gate, (r, heads), on the CPU."""
    weight = next(conv.filter.parameters())
    with torch.no_grad():
        gains = conv.filter(eigs.to(weight.device, weight.dtype.to_complex() if eigs.is_complex() else weight.dtype))
        gains = gains if conv.gate is None else conv.gate * gains
    return gains.cpu()


def _eigenvalues(eigs: Tensor) -> Tensor:
    """Of one graph, (r,), on the CPU."""
    if (
        not isinstance(eigs, Tensor)
        or not eigs.numel()
        or not (eigs.dim() == 1 or (eigs.dim() == 2 and len(eigs) == 1))
    ):
        got = tuple(eigs.shape) if isinstance(eigs, Tensor) else type(eigs).__name__
        raise InputError(f"got eigenvalues {got}, expected a tensor (r,) or (1, r): of several graphs pass one row")
    if not bool(eigs.isfinite().all()):
        raise InputError("got eigenvalues that are NaN or infinite, expected finite ones")
    return eigs.detach().view(-1).cpu()


def _all_real(eigs: Tensor) -> bool:
    """Also of complex type: those of a symmetric operator that was not known to be so."""
    return not eigs.is_complex() or not bool(eigs.imag.any())


def _edges(graph: Data | Tensor, num_nodes: int) -> Tensor:
    edge_index = graph.get("edge_index") if isinstance(graph, Data) else graph
    nodes = graph.num_nodes if isinstance(graph, Data) else num_nodes
    if nodes != num_nodes:
        raise InputError(f"got modes of {num_nodes} nodes for a graph of {nodes}, expected a row for each node")
    if not isinstance(edge_index, Tensor) or edge_index.dim() != 2 or len(edge_index) != 2:
        raise InputError("got a graph without edge_index (2, E): pass a Data that has it, or edge_index itself")
    edge_index = edge_index.cpu()
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes:
        raise InputError(f"edge_index names nodes {int(edge_index.min())} to {int(edge_index.max())} of {num_nodes}")
    return edge_index


def _positions(edge_index: Tensor, num_nodes: int, pos: Tensor | Mapping[int, Any] | None) -> Tensor:
    """Of all nodes, float64 (N, 2)."""
    if pos is None:
        try:
            import networkx as nx
        except ImportError as error:
            raise MissingPackageError(
                "positions by default need networkx: pip install networkx, or pass pos"
            ) from error
        network: nx.Graph[int] = nx.Graph()
        network.add_nodes_from(range(num_nodes))
        network.add_edges_from(edge_index.T.tolist())
        pos = nx.spring_layout(network, seed=0)
    if isinstance(pos, Mapping):
        missing = [node for node in range(num_nodes) if node not in pos]
        if missing:
            raise InputError(f"got positions without node {missing[0]}, expected one for each of {num_nodes} nodes")
        pos = torch.tensor([[float(value) for value in pos[node]] for node in range(num_nodes)], dtype=torch.float64)
    places = torch.as_tensor(pos, dtype=torch.float64).detach().cpu()
    if places.shape != (num_nodes, 2):
        raise InputError(f"got positions {tuple(places.shape)}, expected {(num_nodes, 2)}")
    if not bool(places.isfinite().all()):
        raise InputError("got positions that are NaN or infinite, expected finite ones")
    return places
