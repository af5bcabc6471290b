"""The network of Chebyshev polynomials."""

from __future__ import annotations

from torch import nn
from torch_geometric.transforms import GCNNorm, RemoveSelfLoops

from gnndiff.layers import ChebNet
from gnndiff.targets.base import Space
from gnndiff.targets.nodes import NodeTarget, arguments, is_symmetric, sparse
from graphtasks import GraphTask

ORDERS = (1, 2, 3)


class Cheb(NodeTarget):
    """Layers of :class:`torch_geometric.nn.ChebConv`."""

    name = "cheb"
    paper = frozenset({"small", "link"})

    def space(self, task: GraphTask) -> Space:
        """Numbers of polynomials, too."""
        return {**super().space(task), "K": ORDERS}

    def paper_own(self, task: GraphTask) -> Space:
        """The same numbers."""
        return {"K": ORDERS}

    def prepare(self, task: GraphTask) -> GraphTask:
        """The adjacency that is normalised without self-loops, where it is symmetric."""
        return sparse(task, RemoveSelfLoops(), GCNNorm(add_self_loops=False)) if is_symmetric(task) else task

    def build(
        self,
        task: GraphTask,
        *,
        hidden: int,
        dropout: float,
        K: int,
        num_layers: int = 2,
        norm: str = "none",
        decoder: str = "inner",
    ) -> nn.Module:
        """The module."""
        given = arguments(task, hidden=hidden, dropout=dropout, num_layers=num_layers, norm=norm)
        network = ChebNet(**given, K=K, symmetric=is_symmetric(task))
        return self.read_out(network, task, hidden, decoder)
