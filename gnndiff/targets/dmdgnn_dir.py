"""The deep network on the modes of both directions of a directed graph."""

from __future__ import annotations

from torch import nn
from torch_geometric.transforms import Compose

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DirDMDGNN as DirDMDGNNNetwork
from dmdgnn.transforms import AddDMDModes
from gnndiff.targets.base import Space
from gnndiff.targets.modes import ModesTarget, ends_of, fitting_ranks
from gnndiff.targets.nodes import arguments
from graphtasks import GraphTask


def directed_modes(rank: int, burn_in: int) -> Compose:
    """The transform that adds the modes of the propagation along the edges and against them.

    They come with their duals, since they are not orthonormal.
    """
    along, against = (FeaturePropagation(burn_in=int(burn_in), direction=way) for way in ("forward", "backward"))
    return Compose(
        [
            AddDMDModes(int(rank), dynamics=along, attr="dmd_out", duals=True),
            AddDMDModes(int(rank), dynamics=against, attr="dmd_in", duals=True),
        ]
    )


class DirDMDGNN(ModesTarget):
    """:class:`dmdgnn.nn.DirDMDGNN` with a linear skip term, a local term or none, and gates that start closed."""

    name = "dmdgnn-dir"

    def space(self, task: GraphTask) -> Space:
        """Ranks, numbers of steps before the first snapshot, and local terms, too."""
        own: Space = {"rank": fitting_ranks(task), "burn_in": (0, 2), "local": ("none", "gcn")}
        return {**super().space(task), **own}

    def modern_space(self, task: GraphTask) -> Space:
        """Fewer choices of the first snapshot, and of ranks their ends."""
        own = super().modern_space(task)
        return {**own, "rank": ends_of(own["rank"]), "burn_in": (0,)}

    def prepare(self, task: GraphTask, *, rank: int, burn_in: int) -> GraphTask:
        """The modes along the edges and against them."""
        return task.transform(directed_modes(rank, burn_in))

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
        network = DirDMDGNNNetwork(**given, rank=rank, skip=True, local=local == "gcn", gate=0.0)
        return self.read_out(network, task, hidden, decoder)
