"""Modes of series on graphs, which see the values of the training part alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.series import AddSeriesModes
from dmdgnn.transforms import AddDMDModes
from gnndiff.errors import ConfigError
from graphtasks import GraphTask


def step_channels(task: GraphTask) -> int:
    """Size of the features of one step, where `x` of a snapshot has those of the last steps side by side.

    It is the least F by which `x` moves on from one snapshot to the next, and the size of `x` where it does not.
    """
    columns = task.num_features
    pairs = list(zip(task.graphs[:-1], task.graphs[1:], strict=True))
    for width in range(1, columns):
        if columns % width == 0 and all(torch.equal(a.x[:, width:], b.x[:, :-width]) for a, b in pairs):
            return width
    return columns


def training_states(task: GraphTask) -> Tensor:
    """The targets (N, T) of the training part, oldest first.

    Raises:
        ConfigError: The task has several splits, so that what one of them trains on another may test on.
    """
    if len(task.splits) != 1:
        raise ConfigError(
            f"{task.name!r} has {len(task.splits)} splits, expected one: modes of a series are those of its training "
            "part, so choose it by task.replace(splits=[...])"
        )
    return torch.stack([graph.y for graph in task.part(0, "train")], dim=1)


def with_series_modes(task: GraphTask, rank: int) -> GraphTask:
    """The task with the DMD modes of its training states: the patterns that these move in, whatever the edges."""
    return task.transform(AddSeriesModes(training_states(task), rank))


def with_graph_modes(task: GraphTask, rank: int) -> GraphTask:
    """The task with the DMD modes of the propagation of its training states on the graph of each snapshot."""
    dynamics = FeaturePropagation(burn_in=2, direction="forward" if task.directed else "undirected")
    add, x = AddDMDModes(rank, dynamics=dynamics), training_states(task)

    def transform(data: Data) -> Data:
        modes = add(Data(x=x, edge_index=data.edge_index, edge_weight=data.get("edge_weight")))
        return data.update({"dmd_modes": modes.dmd_modes, "dmd_eigs": modes.dmd_eigs})

    return task.transform(transform)
