"""Graphs as users have them, checked and brought to one form."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.utils import is_sparse as is_pyg_sparse
from torch_geometric.utils import to_edge_index

from dmdgnn.errors import InputError
from dmdgnn.kernels.robust import check_finite

LAYOUTS = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)


def checked(data: Data) -> Data:
    """A shallow copy of a graph whose features are a finite float matrix (N, F), whose `edge_index` is a plain tensor
    (2, E) of int64, and whose `edge_weight`, if there is one, is finite and of the features' dtype (E,).

    Edges may come as `edge_index`, as an :class:`~torch_geometric.EdgeIndex`, or as a sparse adjacency `adj_t`, which
    PyG has transposed: entry (i, j) is the weight of the edge from j to i.

    Raises:
        InputError: The graph is of several types of nodes, has no such features or edges, or the edges name nodes that
            it does not have.
    """
    if not isinstance(data, Data):
        raise InputError(
            f"got {type(data).__name__}, expected a torch_geometric.data.Data: of a graph with several types of nodes, "
            "take one type with its edges, or to_homogeneous()"
        )
    x = data.get("x")
    lacking = x is None or (data.get("edge_index") is None and data.get("adj_t") is None)
    if lacking or (isinstance(x, Tensor) and not is_sparse(x) and x.numel() == 0):
        raise InputError("the graph lacks x or edge_index, or has no nodes: set both, x (N, F) with N, F > 0")
    _check_features(x, data)
    edge_index, edge_weight = edges(data)
    data = copy.copy(data)
    data.edge_index = edge_index
    if edge_weight is not None:
        data.edge_weight = edge_weight
    return data


def edges(data: Data) -> tuple[Tensor, Tensor | None]:
    """The edges (2, E) of a graph, int64, and their weights (E,) in the dtype of the features, if it has such."""
    adjacency, weight = data.get("edge_index"), data.get("edge_weight")
    adjacency = data.get("adj_t") if adjacency is None else adjacency
    if adjacency is None:
        raise InputError("the graph lacks edge_index, and has no adj_t: set edge_index (2, E)")
    if is_sparse(adjacency):
        if weight is not None:
            raise InputError("got a sparse adjacency, whose entries are weights, and edge_weight: leave one out")
        edge_index, weight = _entries(adjacency, len(data.x))
    elif data.get("edge_index") is None:
        got = type(adjacency).__name__
        raise InputError(f"got adj_t as a dense {got}, expected a sparse matrix (N, N): convert it by .to_sparse_csr()")
    else:
        edge_index = _index(adjacency, len(data.x))
    if edge_index.device != data.x.device:
        raise InputError(f"got edges on {edge_index.device} and features on {data.x.device}: move the graph with .to()")
    return edge_index, None if weight is None else _weight(weight, edge_index.size(1), data.x)


def node_pairs(edge_index: Any, num_nodes: int) -> Tensor:
    """Edges (2, E), int64, of nodes that there are, from any form of `edge_index` that :func:`checked` takes."""
    return _entries(edge_index, num_nodes)[0] if is_sparse(edge_index) else _index(edge_index, num_nodes)


def compressed(adjacency: Any, num_nodes: int) -> Any:
    """A sparse adjacency (N, N) in a form that PyG's layers take: CSR, or a `SparseTensor`; reads no values."""
    _check_adjacency(adjacency, num_nodes)
    return adjacency.to_sparse_csr() if isinstance(adjacency, Tensor) else adjacency


def is_sparse(value: Any) -> bool:
    """Whether a value is a sparse tensor of any layout, those in blocks, which PyG does not count, too."""
    return value.layout != torch.strided if isinstance(value, Tensor) else is_pyg_sparse(value)


def plain(edge_index: Any) -> Any:
    """The tensor of an :class:`~torch_geometric.EdgeIndex`, int64; anything else as it is."""
    return edge_index.as_tensor().long() if isinstance(edge_index, EdgeIndex) else edge_index


def check_index(edge_index: Any) -> None:
    """Raise `InputError` unless edges are a tensor (2, E) of int64; reads no values."""
    if not isinstance(edge_index, Tensor):
        raise InputError(
            f"got edge_index as {type(edge_index).__name__}, expected a tensor (2, E) of torch.int64: convert it, "
            "as with torch.as_tensor"
        )
    shape = tuple(edge_index.shape)
    if len(shape) != 2 or shape[0] != 2:
        hint = "transpose it with .t().contiguous()" if len(shape) == 2 and shape[1] == 2 else "give a column an edge"
        if len(shape) == 2 and shape[0] == shape[1] > 2:
            hint = "of a dense adjacency, take torch_geometric.utils.dense_to_sparse"
        raise InputError(f"got edge_index of shape {shape}, expected (2, E), sources in the first row: {hint}")
    if edge_index.dtype != torch.int64:
        raise InputError(f"got edge_index of {edge_index.dtype}, expected torch.int64: convert it with .long()")


def check_weight(edge_weight: Any, count: int) -> None:
    """Raise `InputError` unless weights are a real tensor (E,); reads no values."""
    if not isinstance(edge_weight, Tensor) or edge_weight.is_complex() or edge_weight.shape != (count,):
        is_tensor = isinstance(edge_weight, Tensor)
        got = f"shape {tuple(edge_weight.shape)} and {edge_weight.dtype}" if is_tensor else type(edge_weight).__name__
        column = is_tensor and edge_weight.shape == (count, 1)
        hint = "drop the last dimension with .squeeze(-1)" if column else "give one real number an edge"
        raise InputError(f"got edge_weight of {got}, expected ({count},): {hint}")


def _check_features(x: Any, data: Data) -> None:
    if is_sparse(x):
        raise InputError("got sparse features, expected a dense matrix (N, F): convert them with x.to_dense()")
    if not isinstance(x, Tensor):
        raise InputError(
            f"got features as {type(x).__name__}, expected a tensor (N, F): convert them with torch.tensor"
        )
    if x.dim() != 2 or x.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"got features of shape {tuple(x.shape)} and {x.dtype}, expected (N, F) of torch.float32 or "
            "torch.float64: convert them"
        )
    if data.num_nodes != len(x):
        raise InputError(f"got num_nodes={data.num_nodes} and features of {len(x)} nodes, expected a row for each node")
    check_finite("x", x)


def _index(edge_index: Any, num_nodes: int) -> Tensor:
    edge_index = plain(edge_index)
    check_index(edge_index)
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < num_nodes:
        raise InputError(
            f"edge_index names nodes {int(edge_index.min())} to {int(edge_index.max())}, but the graph has nodes "
            f"0 to {num_nodes - 1}"
        )
    return edge_index


def _check_adjacency(adjacency: Any, num_nodes: int) -> None:
    size = tuple(adjacency.size()) if isinstance(adjacency, Tensor) else tuple(adjacency.sizes())
    if size != (num_nodes, num_nodes):
        raise InputError(f"got a sparse adjacency of shape {size}, expected ({num_nodes}, {num_nodes})")
    if isinstance(adjacency, Tensor) and adjacency.layout not in LAYOUTS:
        raise InputError(
            f"got an adjacency of {adjacency.layout}, expected CSR, CSC or COO: convert it with .to_sparse_csr()"
        )


def _entries(adjacency: Any, num_nodes: int) -> tuple[Tensor, Tensor]:
    _check_adjacency(adjacency, num_nodes)
    if isinstance(adjacency, Tensor) and adjacency.layout == torch.sparse_coo:
        # PyG would mark the given one as coalesced, which it may not be.
        index, values = adjacency._indices(), adjacency._values()
    else:
        index, values = to_edge_index(adjacency)
    return index.flip(0), values


def _weight(weight: Any, count: int, x: Tensor) -> Tensor:
    check_weight(weight, count)
    check_finite("edge_weight", weight)
    if weight.device != x.device:
        raise InputError(f"got edge_weight on {weight.device} and features on {x.device}: move the graph with .to()")
    converted: Tensor = weight.to(x.dtype)
    return converted
