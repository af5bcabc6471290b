"""Mini-batches of the nodes of one graph for models of modes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Batch, Data
from torch_geometric.loader import NodeLoader
from torch_geometric.typing import TensorFrame
from torch_geometric.utils import select

from dmdgnn.errors import InputError
from dmdgnn.graphs import is_sparse
from dmdgnn.options import is_integer


class ModeLoader(DataLoader):
    r"""Mini-batches of nodes that stand for the whole graph, without their neighbours.

    All other nodes enter the output of a :class:`~dmdgnn.nn.DMDConv` by one matrix for each layer only, the summary
    :math:`\mathbf{S} = \mathbf{\Psi}^{\top} \mathbf{H}`. A batch of seeds :math:`\mathcal{B}` is joined by a context
    :math:`\mathcal{C}`, `context` of the other nodes, drawn uniformly without replacement, of which it is estimated:

    .. math::
        \hat{\mathbf{S}} = \sum_{i \in \mathcal{B}} \psi_i \mathbf{h}_i^{\top} + \frac{N - |\mathcal{B}|}{|\mathcal{C}|}
        \sum_{i \in \mathcal{C}} \psi_i \mathbf{h}_i^{\top} .

    These weights are in `dmd_duals`, and where modes have other names, in the duals of these, so that a model is
    called, and differentiated, as on a whole graph. Seeds may be any nodes, as those with labels, and they count for no
    more than themselves.

    **Bias and variance.** For given seeds and :math:`\mathbf{h}`, as in the first layer, the estimate is unbiased. With
    :math:`M = N - |\mathcal{B}|` other nodes, :math:`c = |\mathcal{C}|` and :math:`s^2` the variance, over M - 1, of
    :math:`\psi_{ik} h_{if}` among them, the variance of an entry is :math:`M^2 s^2 (1 - c / M) / c`. Relative to the
    square of their sum :math:`M \mu` it is :math:`(s / \mu)^2 (1 - c / M) / c`, however large the graph is, where these
    products have a mean :math:`\mu`; where they cancel each other, as those of a mode that the features have little of,
    it grows to :math:`M / c`, and a context must be large. In deeper layers the estimate is
    biased, since hidden states are activations of noisy values, and since a node of the context counts M / c times in
    its own. Both bias and variance vanish for :math:`c \to M`, from where on a batch is exact.

    A batch has the rows of all that the graph has for its nodes, seeds first and then the context, `n_id`, their nodes,
    and `batch_size`, the number of seeds, as batches of :class:`~torch_geometric.loader.NeighborLoader`, but no edges,
    and nothing that names nodes by their numbers in the whole graph, such as `edge_label_index`. Attributes of
    nodes are tensors, arrays or lists whose size along PyG's `__cat_dim__` is the number of nodes.

    Args:
        data (Data): A graph with `dmd_modes`, `dmd_eigs` and perhaps `dmd_duals`, or the same by other names, as
            :class:`~dmdgnn.transforms.AddDMDModes` stores them. Features and modes may lie on disk, as
            :obj:`torch.from_numpy` of a memmap.
        input_nodes (Tensor or list, optional): Seeds, as numbers (B) or a mask (N). (default: :obj:`None`, all nodes)
        context (int, optional): Number of other nodes in a batch. (default: :obj:`None`, none, and weights of one, as
            :meth:`~dmdgnn.nn.DMDGNN.inference` needs them)
        neighbors (NodeLoader, optional): Source of the edges of batches, for a model with a local term: a
            :class:`~torch_geometric.loader.NeighborLoader` of the same graph, of which only the sampling is used.
            (default: :obj:`None`)
        **kwargs (optional): `batch_size`, `shuffle`, `drop_last`, `num_workers` ... of
            :class:`torch.utils.data.DataLoader`.

    Raises:
        InputError: The graph has no modes, is a batch of graphs or of several types of nodes, or an argument is not as
            above.

    >>> data = Data(x=torch.randn(9, 2), dmd_modes=torch.randn(9, 3), dmd_eigs=torch.randn(1, 3))
    >>> batch = next(iter(ModeLoader(data, context=3, batch_size=2, shuffle=True)))
    >>> batch.x.shape, batch.batch_size
    (torch.Size([5, 2]), 2)
    """

    def __init__(
        self,
        data: Data,
        input_nodes: Tensor | Sequence[int] | None = None,
        context: int | None = None,
        neighbors: NodeLoader | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(data, Data) or isinstance(data, Batch):
            raise InputError(
                f"got {type(data).__name__}, expected a Data of one graph: of graphs in a batch, each has modes of its "
                "own, so load them by torch_geometric.loader.DataLoader; of several types of nodes, take one"
            )
        names = [key.removesuffix("_modes") for key, _ in data if key.endswith("_modes")]
        self.names = [name for name in names if f"{name}_eigs" in data]
        if not self.names:
            raise InputError("the graph lacks dmd_modes or dmd_eigs: apply AddDMDModes")
        if context is not None and (not is_integer(context) or context < 1):
            raise InputError(f"got context={context!r}, expected a positive number of nodes, or None")
        if neighbors is not None and not isinstance(neighbors, NodeLoader):
            raise InputError(f"got neighbors={neighbors!r}, expected a loader such as NeighborLoader, or None")
        self.data = data
        self.num_nodes = len(data[f"{self.names[0]}_modes"])
        if neighbors is not None and not torch.equal(neighbors.input_data.node.cpu(), self._numbers(None)):
            raise InputError("got neighbors of other nodes: give a loader of this graph with input_nodes=None")
        self.input_nodes = self._numbers(input_nodes)
        self.context = context
        self.neighbors = neighbors
        self.dims = self._node_dims()
        self.dropped = [key for key, value in data if key not in self.dims and self._is_dropped(key, value)]
        super().__init__(range(len(self.input_nodes)), collate_fn=self.collate, **kwargs)  # type: ignore[arg-type]

    def collate(self, index: list[int]) -> Data:
        """The batch of these of the seeds."""
        seeds = self.input_nodes[torch.as_tensor(index, device="cpu").view(-1)]  # one number if batch_size is None
        if self.context is None:
            return self._rows(seeds, len(seeds))
        rest = self.num_nodes - len(seeds)
        others = _others(seeds, min(self.context, rest), self.num_nodes)
        batch = self._rows(torch.cat([seeds, others]), len(seeds))
        for name in self.names:
            modes = batch[f"{name}_modes"]
            weights = modes.new_zeros(len(modes), 1)
            weights[: len(seeds)] = 1
            weights[len(seeds) : len(seeds) + len(others)] = rest / max(1, len(others))
            batch[f"{name}_duals"] = weights * batch.get(f"{name}_duals", modes)
        return batch

    def _rows(self, nodes: Tensor, seeds: int) -> Data:
        if self.neighbors is not None:
            batch = self.neighbors(nodes)
            if not torch.equal(batch.n_id[: len(nodes)], nodes):
                raise InputError("got neighbors that do not begin with the seeds: give a loader as those of PyG")
            keys = [f"{name}_{part}" for name in self.names for part in ("modes", "duals")]
        else:
            batch = copy.copy(self.data)
            for key in self.dropped:
                del batch[key]
            keys = list(self.dims)
            if "num_nodes" in batch:
                batch.num_nodes = len(nodes)
            device = self.data[f"{self.names[0]}_modes"].device
            batch.edge_index = torch.empty(2, 0, dtype=torch.int64, device=device)
            batch.n_id = nodes.to(device)
        for key in keys:
            if key in self.dims:
                batch[key] = _take(self.data[key], batch.n_id, self.dims[key])
        batch.batch_size = seeds
        return batch

    def _node_dims(self) -> dict[str, int]:
        """Attributes of nodes, with the dimension along which nodes are."""
        for key in (f"{name}_{part}" for name in self.names for part in ("modes", "eigs", "duals")):
            value = self.data.get(key)
            if value is not None and not isinstance(value, Tensor):
                raise InputError(f"got {key} as {type(value).__name__}, expected a tensor, as AddDMDModes stores it")
        dims = {key: dim for key, value in self.data if (dim := self._node_dim(key, value)) is not None}
        for name in self.names:
            for part in ("modes", "duals"):
                key = f"{name}_{part}"
                if key in self.data:
                    dims[key] = 0
                    self._check_rows(key)
            eigs = self.data[f"{name}_eigs"]
            if eigs.dim() > 1 and len(eigs) != 1:
                raise InputError(
                    f"got {name}_eigs {tuple(eigs.shape)}, expected those of one graph, (1, {eigs.size(-1)}): load "
                    "graphs of a batch by torch_geometric.loader.DataLoader"
                )
        return dims

    def _check_rows(self, key: str) -> None:
        rows = len(self.data[key])
        if rows != self.num_nodes or rows != self.data.num_nodes:
            raise InputError(
                f"got {key} of {rows} nodes for a graph of {self.data.num_nodes}: apply AddDMDModes to this graph"
            )

    def _node_dim(self, key: str, value: Any) -> int | None:
        if is_sparse(value) and self.data.__cat_dim__(key, value) == 0:
            raise InputError(f"got {key} as a sparse matrix, expected a dense one: convert it with .to_dense()")
        dim = self._dim(key, value)
        # PyG tells nodes from edges in this way where there are as many of both.
        named_edge = "edge" in key and self.data.num_edges == self.num_nodes
        if dim is None or named_edge or _size(value, dim) != self.num_nodes or self._counts_nodes(key, value):
            return None
        return dim

    def _is_dropped(self, key: str, value: Any) -> bool:
        """Edges, what belongs to them, and what names nodes by their numbers in the whole graph."""
        dim = self._dim(key, value)
        of_edges = dim is not None and _size(value, dim) == self.data.num_edges
        return is_sparse(value) or of_edges or self._counts_nodes(key, value)

    def _dim(self, key: str, value: Any) -> int | None:
        if is_sparse(value) or not isinstance(value, Tensor | np.ndarray | list | tuple | TensorFrame):
            return None
        dim = self.data.__cat_dim__(key, value)
        if isinstance(dim, int) and isinstance(value, list | tuple):
            dim = 0  # PyG names the last dimension of an index, and lists have only one
        return dim if isinstance(dim, int) and (not hasattr(value, "ndim") or value.ndim > 0) else None

    def _counts_nodes(self, key: str, value: Any) -> bool:
        if "batch" in key or not isinstance(value, Tensor):
            return False
        increment = self.data.__inc__(key, value)
        return bool(increment.any() if isinstance(increment, Tensor) else increment)

    def _numbers(self, nodes: Any) -> Tensor:
        if nodes is None:
            return torch.arange(self.num_nodes, device="cpu")
        given = nodes if isinstance(nodes, Tensor) else _tensor(nodes)
        if given is not None and given.dtype == torch.bool and given.shape == (self.num_nodes,):
            return given.nonzero().view(-1).cpu()
        numbers = given is not None and given.dim() == 1 and given.dtype in (torch.int64, torch.int32)
        if given is None or not numbers or len(given.unique()) < len(given):
            got = type(nodes).__name__ if given is None else f"{tuple(given.shape)} of {given.dtype}"
            raise InputError(
                f"got input_nodes {got}, expected different numbers of nodes (B), or a mask ({self.num_nodes},)"
            )
        if len(given) and not 0 <= int(given.min()) <= int(given.max()) < self.num_nodes:
            raise InputError(
                f"got input_nodes from {int(given.min())} to {int(given.max())}, but the graph has nodes 0 to "
                f"{self.num_nodes - 1}"
            )
        return given.to("cpu", torch.int64)


def _tensor(nodes: Any) -> Tensor | None:
    try:
        return torch.as_tensor(nodes, device="cpu")
    except (TypeError, ValueError, RuntimeError):
        return None


def _size(value: Any, dim: int) -> int:
    return value.shape[dim] if isinstance(value, Tensor | np.ndarray) else len(value)


def _take(value: Any, nodes: Tensor, dim: int) -> Any:
    if isinstance(value, np.ndarray):
        return np.take(value, nodes.cpu().numpy(), axis=dim)
    return select(value, nodes.to(value.device) if isinstance(value, Tensor) else nodes, dim)


def _others(seeds: Tensor, count: int, num_nodes: int) -> Tensor:
    """Nodes but the seeds, drawn uniformly without replacement, in time that does not depend on the graph's size where
    they are few of it."""
    if 2 * (count + len(seeds)) > num_nodes:
        free = torch.ones(num_nodes, dtype=torch.bool, device="cpu")
        free[seeds] = False
        others = free.nonzero().view(-1)
    else:
        others = seeds.new_empty(0)
        while len(others) < count:
            drawn = torch.cat([others, torch.randint(num_nodes, (2 * count,), device="cpu")]).unique()
            others = drawn[~torch.isin(drawn, seeds)]
    return others[torch.randperm(len(others), device="cpu")[:count]]
