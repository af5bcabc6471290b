"""The recurrent network whose gates see the graph through DMD modes."""

from __future__ import annotations

from torch import nn

from dmdgnn.nn import DMDGRU as DMDGRUNetwork
from gnndiff.targets.base import Space
from gnndiff.targets.ends import Ends, UnknownUnitsError, ends
from gnndiff.targets.series import (
    SeriesTarget,
    gated,
    step_channels,
    training_states,
    with_graph_modes,
    with_series_modes,
)
from graphtasks import GraphTask

RANKS = (1, 2, 4)


class DMDGRU(SeriesTarget):
    """:class:`dmdgnn.nn.DMDGRU`, on the modes of the graph or of the training series."""

    name = "dmdgru"

    def space(self, task: GraphTask) -> Space:
        """Ranks and kinds of modes, too."""
        limit = min(training_states(task).shape)
        ranks = tuple(rank for rank in RANKS if rank <= limit)
        return {**super().space(task), "rank": ranks, "modes": ("graph", "series")}

    def prepare(self, task: GraphTask, *, rank: int, modes: str) -> GraphTask:
        """The modes, 'graph' or 'series'."""
        make = with_graph_modes if modes == "graph" else with_series_modes
        return make(task, int(rank))

    def build(self, task: GraphTask, *, hidden: int, dropout: float, rank: int) -> nn.Module:
        """The module."""
        return DMDGRUNetwork(step_channels(task), hidden, task.num_outputs, dropout=float(dropout), rank=rank)


@ends.register
def _(network: DMDGRUNetwork) -> Ends:
    if network.cell.conv_x.heads != 3:
        raise UnknownUnitsError("filters that are not one for each gate")
    return gated(network)
