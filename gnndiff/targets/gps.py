"""The graph transformer of local convolutions and global attention."""

from __future__ import annotations

from typing import Literal

from torch import nn

from gnndiff.layers import GPS as GPSNetwork
from gnndiff.targets.base import Space
from gnndiff.targets.deep import in_blocks
from gnndiff.targets.ends import Ends, ends
from gnndiff.targets.nodes import NodeTarget, arguments, is_symmetric, normalized
from graphtasks import GraphTask

MAX_ATTENTION = 2500
"""The largest graph whose pairs of nodes an attention layer can afford on a CPU."""


class GPS(NodeTarget):
    """:class:`gnndiff.layers.GPS`, whose attention is approximate on graphs of more than `MAX_ATTENTION` nodes."""

    name = "gps"

    def space(self, task: GraphTask) -> Space:
        """Normalisation, too."""
        return {**super().space(task), "norm": ("none", "batch_norm")}

    def prepare(self, task: GraphTask) -> GraphTask:
        """The normalised adjacency."""
        return normalized(task)

    def build(
        self,
        task: GraphTask,
        *,
        hidden: int,
        dropout: float,
        norm: str = "none",
        num_layers: int = 2,
        decoder: str = "inner",
    ) -> nn.Module:
        """The module."""
        given = arguments(task, hidden=hidden, dropout=dropout, num_layers=num_layers, norm=norm)
        largest = max(int(graph.num_nodes) for graph in task.graphs)
        attention: Literal["multihead", "performer"] = "multihead" if largest <= MAX_ATTENTION else "performer"
        network = GPSNetwork(**given, attn_type=attention, normalize=False, symmetric=is_symmetric(task))
        return self.read_out(network, task, hidden, decoder)


@ends.register
def _(network: GPSNetwork) -> Ends:
    return in_blocks(network, "conv", "attn")
