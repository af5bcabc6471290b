"""Parts that models of one graph's modes share: ranks that its features have, and no batches of its nodes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gnndiff.errors import ConfigError
from gnndiff.targets.nodes import NodeTarget
from gnndiff.targets.ranges import Choices
from graphtasks import GraphTask

RANKS = (16, 32, 64, 128)


class ModesTarget(NodeTarget):
    """A model on the modes of one graph, all of whose nodes it needs at once."""

    kinds = frozenset({"node", "node-regression", "link"})
    whole_graph = True

    def read_out(self, network: nn.Module, task: GraphTask, hidden: int, decoder: str = "inner") -> nn.Module:
        """As in :class:`NodeTarget`; the network refuses batches of the graph's nodes."""
        if not task.many:
            refuse_batches(network, int(task.graphs[0].num_nodes))
        return super().read_out(network, task, hidden, decoder)


def refuse_batches(network: nn.Module, nodes: int) -> None:
    """Let a network raise `ConfigError` where it is called with other than this number of nodes."""

    def check(network: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        x = args[0] if args else inputs["x"]
        if len(x) != nodes:
            raise ConfigError(
                f"got {len(x)} of {nodes} nodes for a model of modes, which needs all at once: leave `neighbors` and "
                "`clusters` out, or choose another model"
            )

    network.register_forward_pre_hook(check, with_kwargs=True)


def features(task: GraphTask) -> Tensor:
    """Features of the one graph whose modes each have a gain.

    Raises:
        ConfigError: The task has several graphs.
    """
    if task.many:
        raise ConfigError(
            f"this model has a gain for each mode of one graph, but {task.name!r} has {len(task.graphs)} graphs: "
            "choose one whose filter is a function of the eigenvalue, such as 'dmdgps'"
        )
    x: Tensor = task.graph().x
    return x


def fitting_ranks(task: GraphTask, ranks: tuple[int, ...] = RANKS) -> tuple[int, ...]:
    """Ranks that the features have twice over, so that the modes of smoothed features have them, too."""
    x = features(task)
    most = 2 * max(ranks)
    if x.size(1) > most:  # a product with random columns has the same rank, up to their number
        x = x @ torch.randn(x.size(1), most, generator=torch.Generator().manual_seed(0))
    limit = int(torch.linalg.matrix_rank(x))
    return tuple(rank for rank in ranks if rank <= limit // 2) or (max(1, limit // 2),)


def ranks_of_energies(task: GraphTask, energies: tuple[float, ...]) -> tuple[int, ...]:
    """Ranks that keep these shares of the features' energy, different ones, in their order."""
    kept = torch.linalg.svdvals(features(task)).square().cumsum(0)
    ranks = (int((kept < share * kept[-1]).sum()) + 1 for share in energies)
    return tuple(dict.fromkeys(ranks))


def ends_of(choices: Choices) -> tuple[Any, ...]:
    """The first and the last of some choices."""
    return tuple(dict.fromkeys((choices[0], choices[-1])))
