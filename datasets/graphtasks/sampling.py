"""Mini-batches of one graph: sampled neighbours and clusters, with and without PyG's compiled extras."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch_geometric.typing
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import ClusterData, ClusterLoader, NeighborLoader, NodeLoader
from torch_geometric.sampler import BaseSampler, EdgeSamplerInput, NodeSamplerInput, SamplerOutput
from torch_geometric.utils import degree, sort_edge_index, to_scipy_sparse_matrix

COMPILED = torch_geometric.typing.WITH_PYG_LIB or torch_geometric.typing.WITH_TORCH_SPARSE


def neighbor_loader(data: Data, num_neighbors: Sequence[int], nodes: Tensor, batch_size: int) -> NodeLoader:
    """Shuffled batches of nodes with sampled neighbours, as of :class:`~torch_geometric.loader.NeighborLoader`.

    Without pyg-lib or torch-sparse, which that class needs, :class:`NeighborSampler` takes its place.

    Args:
        data: The graph.
        num_neighbors: Neighbours of a node in each hop, -1 for all.
        nodes: Nodes to be in some batch.
        batch_size: Number of them in a batch.
    """
    if COMPILED:
        return NeighborLoader(data, list(num_neighbors), nodes, batch_size=batch_size, shuffle=True)
    return NodeLoader(data, NeighborSampler(data, num_neighbors), nodes, batch_size=batch_size, shuffle=True)


class NeighborSampler(BaseSampler):
    """Samples neighbours along incoming edges, without replacement, in torch alone.

    Each node that is reached draws at most `k` of its incoming edges once, in the first hop that reaches it, as in
    "Inductive Representation Learning on Large Graphs" (https://arxiv.org/abs/1706.02216).

    Args:
        data: The graph.
        num_neighbors: The number `k` in each hop, -1 for all.
    """

    def __init__(self, data: Data, num_neighbors: Sequence[int]) -> None:
        self.num_nodes = int(data.num_nodes)
        order = torch.arange(data.edge_index.size(1))
        edge_index, self.edges = sort_edge_index(data.edge_index, order, self.num_nodes, sort_by_row=False)
        self.source = edge_index[0]
        counts = degree(edge_index[1], self.num_nodes, dtype=torch.int64)
        self.ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        self.num_neighbors = list(num_neighbors)

    def sample_from_nodes(self, index: NodeSamplerInput, **kwargs: object) -> SamplerOutput:
        """Sample the neighbourhood of some nodes, which come first among those of the output."""
        local = torch.full((self.num_nodes,), -1)
        frontier = index.node
        nodes = [frontier]
        local[frontier] = torch.arange(len(frontier))
        count = len(frontier)
        rows, columns, edges = [], [], []
        for k in self.num_neighbors:
            chosen, target = self._incoming(frontier, k)
            source = self.source[chosen]
            new = source[local[source] < 0].unique()
            local[new] = torch.arange(count, count + len(new))
            count += len(new)
            nodes.append(new)
            rows.append(local[source])
            columns.append(local[target])
            edges.append(self.edges[chosen])
            frontier = new
        return SamplerOutput(
            node=torch.cat(nodes),
            row=torch.cat(rows),
            col=torch.cat(columns),
            edge=torch.cat(edges),
            metadata=(index.input_id, index.time),
        )

    def _incoming(self, nodes: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Positions of at most `k` incoming edges of each node, and the nodes that they lead to."""
        count = self.ptr[nodes + 1] - self.ptr[nodes]
        owner = torch.arange(len(nodes)).repeat_interleave(count)
        first = count.cumsum(0) - count
        rank = torch.arange(len(owner)) - first[owner]
        position = self.ptr[nodes][owner] + rank
        if k >= 0:
            shuffled = torch.rand(len(owner)).argsort()
            shuffled = shuffled[owner[shuffled].argsort(stable=True)]  # in random order within each node
            kept = shuffled[rank < k]
            position, owner = position[kept], owner[kept]
        return position, nodes[owner]

    def sample_from_edges(self, index: EdgeSamplerInput, neg_sampling: object = None) -> SamplerOutput:
        """Not used: edges are trained on the whole graph."""
        raise NotImplementedError


class Clusters(ClusterData):
    """Parts of a graph for :class:`~torch_geometric.loader.ClusterLoader`.

    They are METIS's as in PyG's class where pyg-lib or torch-sparse is there; otherwise slices of equal size of the
    reverse Cuthill-McKee order, in which neighbours are close (https://doi.org/10.1145/800195.805928).
    """

    def _metis(self, edge_index: Tensor, num_nodes: int) -> Tensor:
        if COMPILED:
            return super()._metis(edge_index, num_nodes)
        adjacency = to_scipy_sparse_matrix(edge_index, num_nodes=num_nodes).tocsr()
        order = torch.from_numpy(reverse_cuthill_mckee(adjacency + adjacency.T, symmetric_mode=True).copy()).long()
        cluster = torch.empty(num_nodes, dtype=torch.int64)
        cluster[order] = torch.arange(num_nodes) * self.num_parts // num_nodes
        return cluster


class ClusterBatches(ClusterLoader):
    """Batches of clusters; PyG's own fails on clusters that have no edge to any node."""

    def _collate(self, batch: list[int]) -> Data:
        partition, clusters = self.cluster_data.partition, torch.as_tensor(batch)
        starts, ends = partition.partptr[clusters], partition.partptr[clusters + 1]
        if bool((partition.indptr[ends] > partition.indptr[starts]).any()):
            return super()._collate(batch)
        nodes = torch.cat([torch.arange(start, end) for start, end in zip(starts, ends, strict=True)])
        data = copy.copy(self.cluster_data.data)
        data.edge_index = torch.empty(2, 0, dtype=torch.int64)
        for key, value in self.cluster_data.data.items():
            if self.cluster_data.data.is_node_attr(key):
                data[key] = value[nodes]
            elif self.cluster_data.data.is_edge_attr(key):
                data[key] = value[:0]
        return data
