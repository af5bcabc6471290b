"""The deep network on the modes of both directions of a directed graph."""

from __future__ import annotations

from torch import nn
from torch_geometric.transforms import Compose

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.nn import DirDMDGNN as DirDMDGNNNetwork
from dmdgnn.transforms import AddDMDModes
from gnndiff.targets.base import Space
from gnndiff.targets.modes import ModesTarget, fitting_ranks
from gnndiff.targets.nodes import arguments
from graphtasks import GraphTask


class DirDMDGNN(ModesTarget):
    """:class:`dmdgnn.nn.DirDMDGNN` with a linear skip term, a local term or none, and gates that start closed."""

    name = "dmdgnn-dir"

    def space(self, task: GraphTask) -> Space:
        """Ranks, numbers of steps before the first snapshot, and local terms, too."""
        own: Space = {"rank": fitting_ranks(task), "burn_in": (0, 2), "local": ("none", "gcn")}
        return {**super().space(task), **own}

    def prepare(self, task: GraphTask, *, rank: int, burn_in: int) -> GraphTask:
        """The modes along the edges and against them, and their duals, since they are not orthonormal."""
        modes = {"dmd_out": "forward", "dmd_in": "backward"}
        transforms = [
            AddDMDModes(
                int(rank),
                dynamics=FeaturePropagation(burn_in=int(burn_in), direction=direction),  # type: ignore[arg-type]
                attr=attr,
                duals=True,
            )
            for attr, direction in modes.items()
        ]
        return task.transform(Compose(transforms))

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
