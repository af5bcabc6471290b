"""Figures of modes on a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from dmdgnn.errors import InputError, MissingPackageError
from dmdgnn.graphs import node_pairs
from dmdgnn.options import is_integer
from dmdgnn.plot.axes import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        graph: Graph, or its edges in any form of `edge_index`. They are drawn without direction.
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
    if not is_integer(k) or not 0 <= k < rank:
        raise InputError(f"got k={k!r}, expected the index of one of the modes, 0 to {rank - 1}")
    edge_index = _edges(graph, num_nodes)
    places = _positions(edge_index, num_nodes, pos)
    ax = new_axes(ax)

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


def _edges(graph: Data | Tensor, num_nodes: int) -> Tensor:
    edge_index = graph.get("edge_index", graph.get("adj_t")) if isinstance(graph, Data) else graph
    nodes = graph.num_nodes if isinstance(graph, Data) else num_nodes
    if nodes != num_nodes:
        raise InputError(f"got modes of {num_nodes} nodes for a graph of {nodes}, expected a row for each node")
    if edge_index is None:
        raise InputError("got a graph without edge_index (2, E): pass a Data that has it, or edge_index itself")
    return node_pairs(edge_index, num_nodes).cpu()


def _positions(edge_index: Tensor, num_nodes: int, pos: Tensor | Mapping[int, Any] | None) -> Tensor:
    """Positions of all nodes, float64 (N, 2)."""
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
