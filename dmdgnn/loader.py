"""Mini-batches of the nodes of one graph for models of modes."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Data
from torch_geometric.loader import NodeLoader

from dmdgnn.errors import InputError


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
    and `batch_size`, the number of seeds, as batches of :class:`~torch_geometric.loader.NeighborLoader`, but no edges.

    Args:
        data (Data): A graph with `dmd_modes`, `dmd_eigs` and perhaps `dmd_duals`, or the same by other names, as
            :class:`~dmdgnn.transforms.AddDMDModes` stores them. Features and modes may lie on disk, as
            :obj:`torch.from_numpy` of a memmap.
        input_nodes (Tensor, optional): Seeds, as numbers (B) or a mask (N). (default: :obj:`None`, all nodes)
        context (int, optional): Number of other nodes in a batch. (default: :obj:`None`, none, and weights of one, as
            :meth:`~dmdgnn.nn.DMDGNN.inference` needs them)
        neighbors (NodeLoader, optional): What gives batches edges, for a model with a local term: a
            :class:`~torch_geometric.loader.NeighborLoader` of the same graph, of which only the sampling is used.
            (default: :obj:`None`)
        **kwargs (optional): `batch_size`, `shuffle`, `drop_last`, `num_workers` ... of
            :class:`torch.utils.data.DataLoader`.

    Raises:
        InputError: The graph has no modes, or an argument is not as above.

    >>> data = Data(x=torch.randn(9, 2), dmd_modes=torch.randn(9, 3), dmd_eigs=torch.randn(1, 3))
    >>> batch = next(iter(ModeLoader(data, context=3, batch_size=2, shuffle=True)))
    >>> batch.x.shape, batch.batch_size
    (torch.Size([5, 2]), 2)
    """

    def __init__(
        self,
        data: Data,
        input_nodes: Tensor | None = None,
        context: int | None = None,
        neighbors: NodeLoader | None = None,
        **kwargs: Any,
    ) -> None:
        names = [key.removesuffix("_modes") for key, _ in data if key.endswith("_modes")]
        self.names = [name for name in names if f"{name}_eigs" in data]
        if not self.names:
            raise InputError("the graph lacks dmd_modes or dmd_eigs: apply AddDMDModes")
        if context is not None and (isinstance(context, bool) or not isinstance(context, int) or context < 1):
            raise InputError(f"got context={context!r}, expected a positive number of nodes, or None")
        self.data = data
        self.num_nodes = len(data[f"{self.names[0]}_modes"])
        self.input_nodes = self._numbers(input_nodes)
        self.context = context
        self.neighbors = neighbors
        self.of_nodes = [key for key, _ in data if data.is_node_attr(key)]
        self.of_edges = [key for key, _ in data if data.is_edge_attr(key) and key not in self.of_nodes]
        super().__init__(range(len(self.input_nodes)), collate_fn=self.collate, **kwargs)  # type: ignore[arg-type]

    def collate(self, index: list[int]) -> Data:
        """The batch of these of the seeds."""
        seeds = self.input_nodes[torch.as_tensor(index)]
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
                raise InputError("got neighbors of other nodes: give a loader of this graph with input_nodes=None")
        else:
            batch = copy.copy(self.data)
            for key in self.of_edges:
                del batch[key]
            for key in self.of_nodes:
                batch[key] = self.data[key][nodes]
            batch.edge_index = torch.empty(2, 0, dtype=torch.int64)
            batch.n_id = nodes
        batch.batch_size = seeds
        return batch

    def _numbers(self, nodes: Tensor | None) -> Tensor:
        if nodes is None:
            return torch.arange(self.num_nodes)
        if nodes.dtype == torch.bool and nodes.shape == (self.num_nodes,):
            return nodes.nonzero().view(-1)
        if nodes.dtype != torch.int64 or nodes.dim() != 1 or len(nodes.unique()) < len(nodes):
            raise InputError(
                f"got input_nodes {tuple(nodes.shape)} of {nodes.dtype}, expected different numbers of nodes (B), or a "
                f"mask ({self.num_nodes},)"
            )
        return nodes


def _others(seeds: Tensor, count: int, num_nodes: int) -> Tensor:
    """Nodes but the seeds, drawn uniformly without replacement, in time that does not depend on the graph's size where
    they are few of it."""
    if 2 * (count + len(seeds)) > num_nodes:
        free = torch.ones(num_nodes, dtype=torch.bool)
        free[seeds] = False
        others = free.nonzero().view(-1)
    else:
        others = seeds.new_empty(0)
        while len(others) < count:
            drawn = torch.cat([others, torch.randint(num_nodes, (2 * count,))]).unique()
            others = drawn[~torch.isin(drawn, seeds)]
    return others[torch.randperm(len(others))[:count]]
