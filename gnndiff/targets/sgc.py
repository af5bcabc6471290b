"""Propagation, then a linear map."""

from __future__ import annotations

from functools import partial

from torch import nn

from gnndiff.layers import SGC as SGCLayer
from gnndiff.layers import NormalizedSGConv, Residual
from gnndiff.targets.base import Space
from gnndiff.targets.modern import MODERN, modern
from gnndiff.targets.nodes import HIDDEN, NodeTarget, arguments, channels, decoders, is_symmetric, normalized
from gnndiff.targets.paper import HOPS, PAPER, experiment
from graphtasks import GraphTask


class SGC(NodeTarget):
    """:class:`torch_geometric.nn.SGConv`, which has neither hidden units nor dropout.

    `residual` makes it a perceptron with residuals, :class:`~gnndiff.layers.Residual`, of propagated features, which
    has both.
    """

    name = "sgc"
    paper = frozenset({"small", "long-range"})

    def space(self, task: GraphTask) -> Space:
        """Numbers of hops; on links hidden columns and the decoder, too."""
        hidden = {"hidden": HIDDEN["hidden"]} if task.kind == "link" else {}
        return {**hidden, **decoders(task), "K": (1, 2, 3)}

    def paper_space(self, task: GraphTask) -> Space:
        """The paper's choices without those of hidden units and dropout, but for long-range tasks."""
        if experiment(task) == "long-range":
            return {**PAPER["long-range"], **HOPS}
        if experiment(task) != "small":
            return self.space(task)
        return {name: choices for name, choices in PAPER["small"].items() if name not in ("hidden", "dropout")}

    def modern_space(self, task: GraphTask) -> Space:
        """The choices of :meth:`space`; for many graphs the form with residuals."""
        own = self.space(task)
        if experiment(task) == "long-range":
            return {**own, **modern(self, task)}
        return {**own, **({"hidden": MODERN["hidden"]} if "hidden" in own else {})}

    def prepare(self, task: GraphTask) -> GraphTask:
        """The normalised adjacency."""
        return normalized(task)

    def build(
        self,
        task: GraphTask,
        *,
        K: int = 2,
        hidden: int = 64,
        dropout: float = 0.0,
        num_layers: int = 2,
        norm: str = "none",
        residual: bool = False,
        decoder: str = "inner",
    ) -> nn.Module:
        """The module; without `residual`, it reads `K` alone, and on links `hidden`."""
        layer = partial(NormalizedSGConv, K=K, symmetric=is_symmetric(task))
        if residual:
            given = arguments(task, hidden=hidden, dropout=dropout, num_layers=num_layers, norm=norm)
            network: nn.Module = Residual(**given, first=layer)
        else:
            sizes = channels(task, hidden)
            network = SGCLayer(sizes["in_channels"], sizes["out_channels"], **layer.keywords)
        return self.read_out(network, task, hidden, decoder)
