"""Parts that models of series share: steps, modes that see the training part alone, and units of gates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from dmdgnn.dynamics import FeaturePropagation
from dmdgnn.series import AddSeriesModes
from dmdgnn.transforms import AddDMDModes
from gnndiff.errors import ConfigError
from gnndiff.targets.base import Space, Target
from gnndiff.targets.ends import Ends, UnknownUnitsError, child, ends, only
from gnndiff.targets.nodes import HIDDEN
from gnndiff.targets.units import Part, Units
from graphtasks import GraphTask


class SeriesTarget(Target):
    """A recurrent model that reads the last steps of each node of a series."""

    kinds = frozenset({"temporal"})

    def space(self, task: GraphTask) -> Space:
        """Dropout and hidden units."""
        return HIDDEN

    def modern_space(self, task: GraphTask) -> Space:
        """The choices of :meth:`space`, of wider networks with less dropout."""
        return {**self.space(task), "dropout": (0.0, 0.1, 0.3), "hidden": (32, 64)}

    def units(self, module: nn.Module) -> tuple[Units, ...] | None:
        """The units of the hidden state."""
        try:
            return ends(module).inside
        except UnknownUnitsError:
            return None


def gated(network: nn.Module) -> Ends:
    """The ends of a gated unit `cell`, whose maps `conv_x` of inputs and `conv_h` of states make the units of three
    gates, and of what reads its state, `lin`."""
    only(network, "cell.conv_x.", "cell.conv_h.", "lin.")
    of_inputs, of_states, last = (child(network, name) for name in ("cell.conv_x", "cell.conv_h", "lin"))
    width = int(network.lin.in_features)  # type: ignore[union-attr, arg-type]
    names = [name for name in of_inputs.rows + of_states.rows if isinstance(name, str)]
    rows = tuple(Part(name, gate * width, (gate + 1) * width) for name in names for gate in range(3))
    return Ends(last.rows, of_inputs.reads, inside=(Units(rows, of_states.reads + last.reads),))


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
