"""The network of local convolutions and global terms of modes."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv
from torch_geometric.transforms import GCNNorm

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DMDGPS as DMDGPSNetwork
from dmdgnn.transforms import AddDMDModes
from gnndiff.layers import SymmetricGCNConv
from gnndiff.targets.base import Space
from gnndiff.targets.deep import in_blocks
from gnndiff.targets.ends import Ends, ends
from gnndiff.targets.modes import ModesTarget
from gnndiff.targets.nodes import arguments, is_symmetric, with_sparse
from graphtasks import GraphTask
from graphtasks.task import KINDS

RANKS = (16, 48)
"""Ranks of modes of the steps of few features, which are all alike after some tens of steps."""


class DMDGPS(ModesTarget):
    """:class:`dmdgnn.nn.DMDGPS` with polynomial filters, which graphs share."""

    name = "dmdgps"
    kinds = frozenset(KINDS)

    def space(self, task: GraphTask) -> Space:
        """Ranks, degrees of the filters and normalisation, too."""
        largest = max(int(graph.num_nodes) for graph in task.graphs)
        ranks = tuple(sorted({min(rank, largest) for rank in RANKS}))
        return {**super().space(task), "rank": ranks, "degree": (8, 16), "norm": ("none", "batch_norm")}

    def prepare(self, task: GraphTask, *, rank: int) -> GraphTask:
        """The modes of each graph, zeros where it lacks some, and the normalised adjacency."""
        return task.transform(lambda data: _with_modes(data, int(rank)))

    def build(
        self,
        task: GraphTask,
        *,
        hidden: int,
        dropout: float,
        rank: int,
        degree: int,
        norm: str = "none",
        num_layers: int = 2,
        decoder: str = "inner",
    ) -> nn.Module:
        """The module."""
        given = arguments(task, hidden=hidden, dropout=dropout, num_layers=num_layers, norm=norm)
        conv = partial(SymmetricGCNConv if is_symmetric(task) else GCNConv, normalize=False)
        network = DMDGPSNetwork(**given, rank=rank, degree=degree, local=conv)
        return self.read_out(network, task, hidden, decoder)


@ends.register
def _(network: DMDGPSNetwork) -> Ends:
    return in_blocks(network, "conv", "dmd")


def _with_modes(data: Data, rank: int) -> Data:
    # Features fewer than modes span them with the steps that follow.
    steps = 1 if data.num_features >= rank else rank
    modes = AddDMDModes(rank, dynamics=FeaturePropagation(steps=steps))
    # A batch of one graph gets zeros for modes that the graph lacks. Later steps are nearly sums of those before:
    # in float64 they span twice as much.
    exact = Data(x=data.x.double(), edge_index=data.edge_index, edge_weight=data.get("edge_weight"))
    (graph,) = modes(Batch.from_data_list([exact])).to_data_list()
    data.dmd_modes, data.dmd_eigs = graph.dmd_modes.to(data.x.dtype), graph.dmd_eigs.to(data.x.dtype)
    return with_sparse(data, GCNNorm())
