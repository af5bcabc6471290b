"""Neighbours of one and two hops side by side."""

from __future__ import annotations

from torch import nn
from torch_geometric.data import Data

from gnndiff.layers import H2GCN as H2GCNNetwork
from gnndiff.layers.h2gcn import hops
from gnndiff.targets.base import Space
from gnndiff.targets.ends import Ends, child, ends, shared
from gnndiff.targets.nodes import NodeTarget, channels
from gnndiff.targets.units import Part
from graphtasks import GraphTask

ROUNDS = (1, 2, 3)


class H2GCN(NodeTarget):
    """:class:`gnndiff.layers.H2GCN`, which looks past the nearest neighbours, and at them without the node itself."""

    name = "h2gcn"
    paper = frozenset({"small"})

    def space(self, task: GraphTask) -> Space:
        """Numbers of rounds, too."""
        return {**super().space(task), "rounds": ROUNDS}

    def paper_own(self, task: GraphTask) -> Space:
        """The same numbers."""
        return {"rounds": ROUNDS}

    def prepare(self, task: GraphTask) -> GraphTask:
        """The adjacencies of one and of two hops."""
        return task.transform(_with_hops)

    def build(self, task: GraphTask, *, hidden: int, dropout: float, rounds: int, decoder: str = "inner") -> nn.Module:
        """The module."""
        network = H2GCNNetwork(**channels(task, hidden), rounds=rounds, dropout=dropout)
        return self.read_out(network, task, hidden, decoder)


@ends.register
def _(network: H2GCNNetwork) -> Ends:
    first, last = child(network, "lin_in"), child(network, "lin_out")
    width = network.lin_in.out_features
    blocks = (Part("lin_out.weight", i, i + width) for i in range(0, network.lin_out.in_features, width))
    return Ends(last.rows, first.reads, inside=(shared([first], [Ends(reads=tuple(blocks))]),))


def _with_hops(data: Data) -> Data:
    data.adj_t, data.adj_two = hops(data.edge_index, int(data.num_nodes), data.x.dtype)
    return data
