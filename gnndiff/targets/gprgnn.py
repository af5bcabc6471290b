"""Prediction, then propagation with a learnable weight for each number of steps."""

from __future__ import annotations

from torch import nn

from gnndiff.layers import GPRGNN as GPRGNNLayers
from gnndiff.targets.base import Space
from gnndiff.targets.ends import Ends, child, ends, only
from gnndiff.targets.nodes import NodeTarget, arguments, is_symmetric, normalized
from gnndiff.targets.paper import HOPS, experiment
from graphtasks import GraphTask


class GPRGNN(NodeTarget):
    """:class:`gnndiff.layers.GPRGNN`; `residual` gives its perceptron residuals."""

    name = "gprgnn"
    paper = frozenset({"small", "large", "long-range"})

    def space(self, task: GraphTask) -> Space:
        """Teleport probabilities of the first weights, too."""
        return {**super().space(task), "alpha": (0.1, 0.5, 0.9)}

    def paper_own(self, task: GraphTask) -> Space:
        """The paper's teleport probabilities, which here the weights start from, and on long-range tasks numbers of
        propagations."""
        if experiment(task) == "long-range":
            return {"alpha": (0.1, 0.5, 0.9), **HOPS}
        return {"alpha": (0.1, 0.2, 0.5, 0.9)}

    def prepare(self, task: GraphTask) -> GraphTask:
        """The normalised adjacency."""
        return normalized(task)

    def build(
        self,
        task: GraphTask,
        *,
        hidden: int,
        dropout: float,
        alpha: float,
        K: int = 10,
        num_layers: int = 2,
        norm: str = "none",
        residual: bool = False,
        decoder: str = "inner",
    ) -> nn.Module:
        """The module."""
        given = arguments(task, hidden=hidden, dropout=dropout, num_layers=num_layers, norm=norm)
        network = GPRGNNLayers(
            **given, K=K, alpha=alpha, normalize=False, symmetric=is_symmetric(task), residual=residual
        )
        return self.read_out(network, task, hidden, decoder)


@ends.register
def _(network: GPRGNNLayers) -> Ends:
    only(network, "mlp.", "prop.gamma")
    return child(network, "mlp")
