"""The deep network on projected modes."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch_geometric.nn import GCNConv, SAGEConv
from torch_geometric.transforms import GCNNorm

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DMDGNN as DMDGNNNetwork
from dmdgnn.transforms import AddDMDModes
from gnndiff.layers import SymmetricGCNConv, SymmetricSAGEConv
from gnndiff.targets.base import Space
from gnndiff.targets.modes import ModesTarget, ends_of, fitting_ranks
from gnndiff.targets.nodes import arguments, is_symmetric, sparse
from graphtasks import GraphTask


def projected_modes(rank: int, burn_in: int) -> AddDMDModes:
    """The transform that adds the modes of the propagation on the undirected graph."""
    return AddDMDModes(rank=int(rank), dynamics=FeaturePropagation(burn_in=int(burn_in)))


class DMDGNN(ModesTarget):
    """:class:`dmdgnn.nn.DMDGNN` with a linear skip term, a local term or none, and gates that start closed."""

    name = "dmdgnn"

    def space(self, task: GraphTask) -> Space:
        """Ranks, numbers of steps before the first snapshot, and local terms, too."""
        own: Space = {"rank": fitting_ranks(task), "burn_in": (0, 2), "local": ("none", "gcn", "sage")}
        return {**super().space(task), **own}

    def modern_space(self, task: GraphTask) -> Space:
        """Fewer choices of what a search finds to matter less: the first snapshot, and ranks between the ends."""
        own = super().modern_space(task)
        return {**own, "rank": ends_of(own["rank"]), "burn_in": (0,)}

    def prepare(self, task: GraphTask, *, rank: int, burn_in: int, local: str) -> GraphTask:
        """The modes, and the adjacency that the local term needs."""
        modes = projected_modes(rank, burn_in)
        return sparse(task, modes, weight=None) if local == "sage" else sparse(task, modes, GCNNorm())

    def build(
        self,
        task: GraphTask,
        *,
        hidden: int,
        dropout: float,
        rank: int,
        local: str,
        num_layers: int = 2,
        norm: str = "none",
        decoder: str = "inner",
    ) -> nn.Module:
        """The module."""
        given = arguments(task, hidden=hidden, dropout=dropout, num_layers=num_layers, norm=norm)
        gcn = partial(SymmetricGCNConv if is_symmetric(task) else GCNConv, bias=False, normalize=False)
        sage = partial(SAGEConv if task.directed else SymmetricSAGEConv, bias=False, root_weight=False)
        term = {"none": False, "gcn": gcn, "sage": sage}[local]
        network = DMDGNNNetwork(**given, rank=rank, skip=True, local=term, gate=0.0)
        return self.read_out(network, task, hidden, decoder)
