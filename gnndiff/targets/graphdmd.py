"""The one-layer model of exact modes, and forms of it."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch_geometric.transforms import GCNNorm

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DecoupledDMD
from dmdgnn.nn import GraphDMD as GraphDMDNetwork
from dmdgnn.transforms import AddDMDModes
from gnndiff.layers import GPRProp
from gnndiff.targets.base import Space
from gnndiff.targets.ends import Ends, UnknownUnitsError, chain, child, ends, only
from gnndiff.targets.modes import ModesTarget, ranks_of_energies
from gnndiff.targets.nodes import channels, is_symmetric, sparse
from graphtasks import GraphTask

ENERGIES = (0.7, 0.85, 0.99)
"""Shares of the features' energy that the modes keep; the paper (https://arxiv.org/abs/2410.05593) has 0.85."""

FORMS: dict[str, dict[str, Any]] = {
    "linear": {},
    "relu": {"act": "relu"},
    "skip": {"act": "relu", "skip": True},
}


class GraphDMD(ModesTarget):
    """:class:`dmdgnn.nn.GraphDMD`, or in the form 'propagate' :class:`dmdgnn.nn.DecoupledDMD`."""

    name = "graphdmd"

    def space(self, task: GraphTask) -> Space:
        """Ranks and forms, too."""
        return {**super().space(task), "rank": ranks_of_energies(task, ENERGIES), "form": (*FORMS, "propagate")}

    def prepare(self, task: GraphTask, *, rank: int) -> GraphTask:
        """The exact modes, and the normalised adjacency."""
        modes = AddDMDModes(rank=int(rank), dynamics=FeaturePropagation(stride=2), modes="exact")
        return sparse(task, modes, GCNNorm())

    def build(
        self, task: GraphTask, *, hidden: int, dropout: float, rank: int, form: str, decoder: str = "inner"
    ) -> nn.Module:
        """The module."""
        given = {**channels(task, hidden), "rank": rank, "dropout": float(dropout)}
        if form == "propagate":
            symmetric = is_symmetric(task)
            network: nn.Module = DecoupledDMD(
                **given, local=lambda i, o: GPRProp(10, 0.1, normalize=False, symmetric=symmetric)
            )
        else:
            network = GraphDMDNetwork(**given, **FORMS[form])
        return self.read_out(network, task, hidden, decoder)


@ends.register
def _(network: GraphDMDNetwork) -> Ends:
    only(network, "conv.", "lin.")
    return chain([child(network, "conv"), child(network, "lin")])


@ends.register
def _(network: DecoupledDMD) -> Ends:
    if network.prop.heads > 1:
        raise UnknownUnitsError("prop")  # its heads filter outputs apart
    only(network, "mlp.", "prop.filter.", "prop.local.gamma")
    return child(network, "mlp")
