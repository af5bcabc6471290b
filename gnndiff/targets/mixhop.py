"""Powers of the adjacency side by side."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from torch import nn

from gnndiff.layers import MixHop as MixHopNetwork
from gnndiff.layers import MixHopBlock, NormalizedMixHopConv, Residual
from gnndiff.targets.base import Space
from gnndiff.targets.ends import Ends, child, elementwise, ends, only
from gnndiff.targets.nodes import NodeTarget, arguments, is_symmetric, normalized
from gnndiff.targets.paper import LAYERS, experiment
from gnndiff.targets.units import Part, Units
from graphtasks import GraphTask


class MixHop(NodeTarget):
    """Layers of :class:`torch_geometric.nn.MixHopConv`, `hidden` units for each power, and a last linear map.

    `residual` makes it a :class:`~gnndiff.layers.Residual` of such layers, each with a linear map of its powers.
    """

    name = "mixhop"
    paper = frozenset({"small", "long-range"})

    def paper_own(self, task: GraphTask) -> Space:
        """The depth of long-range tasks."""
        return LAYERS if experiment(task) == "long-range" else {}

    def prepare(self, task: GraphTask) -> GraphTask:
        """The normalised adjacency."""
        return normalized(task)

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
        symmetric = is_symmetric(task)
        if residual:
            network: nn.Module = Residual(**given, layer=partial(MixHopBlock, symmetric=symmetric))
        else:
            network = MixHopNetwork(**given, symmetric=symmetric)
        return self.read_out(network, task, hidden, decoder)


@ends.register
def _(layer: MixHopBlock) -> Ends:
    last = child(layer, "lin")
    return Ends(last.rows, _reads("conv.", layer.conv), inside=_powers("conv.", layer.conv, (), ("lin.weight",)))


@ends.register
def _(network: MixHopNetwork) -> Ends:
    only(network, "convs.", "norms.", "lin.")
    inside: tuple[Units, ...] = ()
    convs = list(network.convs)
    for i, (conv, norm) in enumerate(zip(convs, network.norms, strict=True)):
        norms = elementwise(norm).within(f"norms.{i}.").rows
        following = _reads(f"convs.{i + 1}.", convs[i + 1]) if i + 1 < len(convs) else ("lin.weight",)
        inside += _powers(f"convs.{i}.", conv, norms, following)
    return Ends(child(network, "lin").rows, _reads("convs.0.", convs[0]), inside=inside)


def _reads(prefix: str, conv: NormalizedMixHopConv) -> tuple[str, ...]:
    return tuple(f"{prefix}lins.{power}.weight" for power in conv.powers)


def _powers(
    prefix: str, conv: NormalizedMixHopConv, norms: Iterable[str | Part], following: Iterable[str]
) -> tuple[Units, ...]:
    """The units of each power, which lie side by side in all tensors but the power's own weight."""
    width = conv.out_channels
    units = []
    for place, power in enumerate(conv.powers):
        span = (place * width, (place + 1) * width)
        side = tuple(Part(str(name), *span) for name in (f"{prefix}bias", *norms))
        columns = tuple(Part(name, *span) for name in following)
        units.append(Units((f"{prefix}lins.{power}.weight", *side), columns))
    return tuple(units)
