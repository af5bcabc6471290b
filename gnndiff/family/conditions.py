"""Conditions of graphs, and how far one lies outside of those of a family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from scipy.optimize import nnls
from torch import Tensor, nn
from torch_geometric.data import Data

from dmdgnn import spectrum_embedding
from gnndiff.errors import ConfigError
from gnndiff.family.graph_encoder import GraphEncoder
from graphtasks import GraphTask
from graphtasks.randomness import seeded

CONDITIONS = ("dmd-spectrum", "graph-encoder", "given")
AXES = 8
"""Principal axes of the conditions in which the hull is taken: in more, nearly every point is outside."""


def check_condition(text: str) -> tuple[str, ...]:
    """The names in a sum such as 'dmd-spectrum+given'.

    Raises:
        ConfigError: One is unknown.
    """
    names = tuple(str(text).split("+"))
    unknown = [name for name in names if name not in CONDITIONS]
    if unknown:
        raise ConfigError(f"got condition {unknown[0]!r}, expected one of {', '.join(CONDITIONS)}, or a sum with '+'")
    return names


def visible_graph(task: GraphTask) -> Data | list[Data]:
    """The part of a task that is known without its labels: the graph, messages of links, or states of a series."""
    return task.part(0, "train") if task.kind == "temporal" else task.graphs[0] if task.many else task.graph()


def condition(
    names: Sequence[str], graph: Data | list[Data], given: Tensor | None, encoder: GraphEncoder | None
) -> Tensor:
    """The condition (C,) of a graph.

    Raises:
        ConfigError: A condition is to be given and is not, or the graph has no features.
    """
    first = graph[0] if isinstance(graph, list) else graph
    if first.get("x") is None or first.x.size(1) == 0:
        raise ConfigError("got a graph with 0 features, expected as many as the family has: set x (N, F)")
    parts: list[Tensor] = []
    for name in names:
        if name == "dmd-spectrum":
            parts.append(spectrum_embedding(graph))
        elif name == "graph-encoder":
            assert encoder is not None
            parts.append(encoder.embed(first.x, first.edge_index))
        elif given is None:
            raise ConfigError("the condition is 'given', but the graph comes without one: pass given=... (C,)")
        else:
            parts.append(given.float())
    return torch.cat(parts)


def train_encoder(tasks: Sequence[GraphTask], steps: int, seed: int) -> GraphEncoder:
    """A graph encoder trained to classify the nodes of all members.

    Raises:
        ConfigError: The members have no classes.
    """
    if tasks[0].kind != "node" or tasks[0].many:
        raise ConfigError(f"the condition 'graph-encoder' needs classes of nodes, got kind {tasks[0].kind!r}")
    with seeded(seed):
        encoder = GraphEncoder(tasks[0].num_features, tasks[0].num_classes)
        optimizer = torch.optim.Adam(encoder.parameters(), lr=0.01)
        for step in range(steps):
            task = tasks[step % len(tasks)]
            data, nodes = task.graph(), task.split(0).train
            loss = nn.functional.cross_entropy(encoder(data.x, data.edge_index)[nodes], data.y[nodes])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return encoder.eval()


@dataclass(frozen=True)
class Scaled:
    """Conditions with zero mean and unit deviation over the training members.

    Args:
        mean: Means (C,).
        std: Deviations (C,), 1 where there is none.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def over(cls, values: Tensor) -> Scaled:
        """Statistics over conditions (n, C)."""
        std = values.std(dim=0, correction=0)
        return cls(values.mean(dim=0), torch.where(std > 1e-8, std, torch.ones_like(std)))

    def __call__(self, values: Tensor) -> Tensor:
        """Standardised conditions (..., C)."""
        return (values - self.mean) / self.std


class Hull:
    """The convex hull of conditions, in their first principal axes.

    Args:
        values: Standardised conditions (n, C) of the training members.
    """

    def __init__(self, values: Tensor) -> None:
        _, _, Vh = torch.linalg.svd(values.double(), full_matrices=False)
        self.axes = Vh[:AXES].mT
        self.points = values.double() @ self.axes
        keep = ~torch.eye(len(values), dtype=torch.bool)
        alone = [_distance(self.points[keep[i]], point) for i, point in enumerate(self.points)]
        self.unit = max(torch.tensor(alone).quantile(0.95).item(), 1e-9)

    def distance(self, value: Tensor) -> float:
        """Distance of a condition (C,) in units of that which one member in twenty has to the others: above 1 it is
        outside of the family."""
        return _distance(self.points, value.double() @ self.axes) / self.unit


def _distance(points: Tensor, point: Tensor) -> float:
    """Least distance of a point from convex combinations of others, whose weights sum to 1 by a heavy row."""
    heavy = 1e3
    rows = torch.cat([points.mT, torch.full((1, len(points)), heavy, dtype=torch.float64)])
    wanted = torch.cat([point, torch.tensor([heavy], dtype=torch.float64)])
    return float(nnls(rows.numpy(), wanted.numpy())[1])
