"""The perceptron on each node, which sees no edges."""

from __future__ import annotations

from torch import nn

from gnndiff.layers.residual import perceptron
from gnndiff.targets.base import Space
from gnndiff.targets.nodes import NodeTarget, arguments
from gnndiff.targets.paper import LAYERS, experiment
from graphtasks import GraphTask


class MLP(NodeTarget):
    """:class:`torch_geometric.nn.models.MLP`; `residual` gives it residuals."""

    name = "mlp"
    paper = frozenset({"small", "link", "long-range"})

    def paper_own(self, task: GraphTask) -> Space:
        """The depth of long-range tasks."""
        return LAYERS if experiment(task) == "long-range" else {}

    def build(
        self,
        task: GraphTask,
        *,
        hidden: int,
        dropout: float,
        num_layers: int = 2,
        norm: str = "none",
        residual: bool = False,
        decoder: str = "inner",
    ) -> nn.Module:
        """The module."""
        given = arguments(task, hidden=hidden, dropout=dropout, num_layers=num_layers, norm=norm)
        return self.read_out(perceptron(residual, **given), task, hidden, decoder)
