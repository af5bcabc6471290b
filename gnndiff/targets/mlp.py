"""The perceptron on each node, which sees no edges."""

from __future__ import annotations

from torch import nn
from torch_geometric.nn.models import MLP as PyGMLP

from gnndiff.targets.nodes import NodeTarget, channels, normalisation
from graphtasks import GraphTask


class MLP(NodeTarget):
    """:class:`torch_geometric.nn.models.MLP`."""

    name = "mlp"

    def build(
        self,
        task: GraphTask,
        *,
        hidden: int,
        dropout: float,
        num_layers: int = 2,
        norm: str = "none",
        decoder: str = "inner",
    ) -> nn.Module:
        """The module."""
        network = PyGMLP(
            **channels(task, hidden), num_layers=num_layers, dropout=float(dropout), **normalisation(task, norm)
        )
        return self.read_out(network, task, decoder)
