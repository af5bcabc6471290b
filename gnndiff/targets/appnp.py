"""Prediction, then propagation by personalised PageRank."""

from __future__ import annotations

from torch import nn

from gnndiff.layers import APPNPNet
from gnndiff.targets.base import Space
from gnndiff.targets.ends import Ends, child, ends, only
from gnndiff.targets.nodes import NodeTarget, arguments, is_symmetric, normalized
from gnndiff.targets.paper import HOPS, experiment
from graphtasks import GraphTask


class APPNP(NodeTarget):
    """:class:`gnndiff.layers.APPNPNet`; `residual` gives its perceptron residuals."""

    name = "appnp"
    paper = frozenset({"small", "link", "large", "long-range"})

    def space(self, task: GraphTask) -> Space:
        """Teleport probabilities, too."""
        return {**super().space(task), "alpha": (0.1, 0.2, 0.5)}

    def paper_own(self, task: GraphTask) -> Space:
        """The paper's teleport probabilities, and on long-range tasks numbers of propagations."""
        alpha = {
            "small": (0.1, 0.3, 0.5, 0.7, 0.9),
            "link": (0.1, 0.5, 0.9),
            "large": (0.1, 0.2, 0.5, 0.9),
            "long-range": (0.1, 0.5, 0.9),
        }[experiment(task)]
        return {"alpha": alpha, **(HOPS if experiment(task) == "long-range" else {})}

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
        network = APPNPNet(**given, K=K, alpha=alpha, normalize=False, symmetric=is_symmetric(task), residual=residual)
        return self.read_out(network, task, hidden, decoder)


@ends.register
def _(network: APPNPNet) -> Ends:
    only(network, "mlp.")
    return child(network, "mlp")
