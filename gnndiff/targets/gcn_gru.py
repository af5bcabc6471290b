"""The recurrent network whose gates see the graph through GCN layers."""

from __future__ import annotations

from torch import nn

from gnndiff.layers import GCNGRU as GCNGRUNetwork
from gnndiff.targets.ends import Ends, ends
from gnndiff.targets.series import SeriesTarget, gated, step_channels
from graphtasks import GraphTask


class GCNGRU(SeriesTarget):
    """:class:`gnndiff.layers.GCNGRU`."""

    name = "gcn-gru"

    def build(self, task: GraphTask, *, hidden: int, dropout: float) -> nn.Module:
        """The module."""
        return GCNGRUNetwork(step_channels(task), hidden, task.num_outputs, dropout=float(dropout))


@ends.register
def _(network: GCNGRUNetwork) -> Ends:
    return gated(network)
