"""Models and tasks that they can learn, of each kind, and whether a training moves the generators."""

import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAE, VGAE, GCNConv, SAGEConv, global_mean_pool
from torch_geometric.nn.models import GCN

from graphtasks import FitConfig, GraphTask, link_task, random_splits
from graphtasks.splits import time_splits


class Net(nn.Module):
    """Two layers with dropout, which see the features alone."""

    def __init__(self, columns: int = 3, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.layers = nn.Sequential(nn.Linear(columns, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 3))

    def forward(self, x):
        return self.layers(x)


class Weighted(nn.Module):
    def forward(self, x, edge_weight=None):
        return x if edge_weight is None else edge_weight


class Layers(nn.Module):
    """Two convolutions with dropout."""

    def __init__(self, columns: int, outputs: int, conv: type[nn.Module] = SAGEConv, dropout: float = 0.1) -> None:
        super().__init__()
        self.convs = nn.ModuleList([conv(columns, 16), conv(16, outputs)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, edge_index):
        return self.convs[1](self.dropout(self.convs[0](x, edge_index).relu()), edge_index)


class Pooled(Layers):
    """One row for each graph."""

    def forward(self, x, edge_index, batch):
        return global_mean_pool(super().forward(x, edge_index), batch)


class Ordered(Layers):
    """Scores an edge from one node to another, which need not be that of its reverse."""

    def __init__(self, columns: int) -> None:
        super().__init__(columns, 8)
        self.score = nn.Bilinear(8, 8, 1)

    def decode(self, z, pairs):
        return self.score(z[pairs[0]], z[pairs[1]])


class Variational(nn.Module):
    def __init__(self, columns: int) -> None:
        super().__init__()
        self.mu, self.logstd = GCNConv(columns, 8), GCNConv(columns, 8)

    def forward(self, x, edge_index):
        return self.mu(x, edge_index), self.logstd(x, edge_index)


def ring(n: int, undirected: bool = True) -> Tensor:
    edges = torch.stack([torch.arange(n), (torch.arange(n) + 1) % n])
    return torch.cat([edges, edges.flip(0)], dim=1) if undirected else edges


def node_task(make_y: Callable[[Tensor], Tensor], **options) -> GraphTask:
    """A directed ring whose targets are those of the node before: features of a node alone tell nothing."""
    x = torch.randn(90, 3, generator=torch.Generator().manual_seed(0))
    data = Data(x=x, y=make_y(x.roll(1, dims=0)), edge_index=ring(90, undirected=False))
    return GraphTask.from_data(data, splits=random_splits(90, count=2), **options)


def labels(x: Tensor) -> Tensor:
    """One label of two, the other with some missing."""
    y = (x[:, :2] > 0).float()
    y[::7, 1] = torch.nan
    return y


def values(x: Tensor) -> Tensor:
    """Values, some of them missing."""
    y = x.sum(dim=1)
    y[::9] = torch.nan
    return y


def graphs_task(kind: str, make_y: Callable[[Tensor], Tensor], **options) -> GraphTask:
    generator, graphs = torch.Generator().manual_seed(0), []
    for i in range(60):
        size = 3 + i % 3
        x = torch.randn(size, 3, generator=generator) + torch.randn(1, 3, generator=generator)
        y = make_y(x.roll(1, dims=0)) if kind != "graph" else make_y(x.mean(dim=0, keepdim=True))
        graphs.append(Data(x=x, y=y, edge_index=ring(size, undirected=False)))
    splits = 2 * time_splits(60) if kind == "temporal" else random_splits(60, count=2)
    return GraphTask.from_data(graphs, kind=kind, splits=splits, **options)


def blocks_task() -> GraphTask:
    """Edges within two blocks, which features show with noise."""
    generator = torch.Generator().manual_seed(0)
    block = torch.arange(60) % 2
    pairs = torch.combinations(torch.arange(60)).t()
    chance = torch.where(block[pairs[0]] == block[pairs[1]], 0.25, 0.01)
    edges = pairs[:, torch.rand(pairs.size(1), generator=generator) < chance]
    x = torch.eye(2)[block] + 0.5 * torch.randn(60, 2, generator=generator)
    return link_task(Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], dim=1)))


def arrows_task() -> GraphTask:
    """Edges from one block to the other, never back; symmetric models cannot tell them from their reverses."""
    generator = torch.Generator().manual_seed(0)
    edges = torch.cartesian_prod(torch.arange(30), torch.arange(30, 60)).t()
    edges = edges[:, torch.rand(edges.size(1), generator=generator) < 0.2]
    x = torch.eye(2)[torch.arange(60) // 30] + 0.5 * torch.randn(60, 2, generator=generator)
    return link_task(Data(x=x, edge_index=edges))


def series_task() -> GraphTask:
    """A series in which each node's next value is the present one of the node before it."""
    generator, edge_index = torch.Generator().manual_seed(0), ring(10, undirected=False)
    x = torch.randn(40, 10, 2, generator=generator)
    snapshots = [Data(x=now, y=now[:, -1].roll(1), edge_index=edge_index) for now in x]
    return GraphTask.from_data(snapshots, kind="temporal", splits=time_splits(40), metric="mse")


TRAINED = FitConfig(epochs=25, lr=0.05, weight_decay=0.0)


@dataclass
class Case:
    """A task with a model, and the score that nobody reaches without learning."""

    task: Callable[[], GraphTask]
    model: Callable[[], nn.Module]
    bound: float
    config: FitConfig = TRAINED


def trained(**changes) -> FitConfig:
    return dataclasses.replace(TRAINED, **changes)


def parity(x: Tensor) -> Tensor:
    return (x[:, 0] > 0).long()


CASES = {
    "nodes": Case(lambda: node_task(parity), lambda: Layers(3, 2), 0.8),
    "nodes, neighbours": Case(
        lambda: node_task(parity), lambda: Layers(3, 2), 0.8, trained(epochs=12, neighbors=(2, 2), batch_size=16)
    ),
    "nodes, clusters": Case(
        lambda: node_task(parity), lambda: Layers(3, 2), 0.8, trained(epochs=12, clusters=6, batch_size=2)
    ),
    "nodes, values": Case(lambda: node_task(values), lambda: Layers(3, 1), 1.5),
    "nodes, labels": Case(lambda: node_task(labels), lambda: Layers(3, 2), 0.75),
    "nodes of many graphs": Case(
        lambda: graphs_task("node", parity), lambda: Layers(3, 2), 0.8, trained(epochs=12, batch_size=12)
    ),
    "values of many graphs": Case(
        lambda: graphs_task("node-regression", values), lambda: Layers(3, 1), 2.0, trained(epochs=12, batch_size=12)
    ),
    "graphs": Case(lambda: graphs_task("graph", parity), lambda: Pooled(3, 2), 0.8, trained(epochs=12, batch_size=12)),
    "graphs, values": Case(
        lambda: graphs_task("graph", lambda x: x[:, :1], metric="mae"),
        lambda: Pooled(3, 1),
        0.5,
        trained(epochs=12, batch_size=12),
    ),
    "graphs, labels": Case(
        lambda: graphs_task("graph", lambda x: (x[:, :2] > 0).float()),
        lambda: Pooled(3, 2),
        0.8,
        trained(epochs=12, batch_size=12),
    ),
    "links": Case(blocks_task, lambda: Layers(2, 8), 0.7),
    "links, batches": Case(blocks_task, lambda: Layers(2, 8), 0.7, trained(epochs=8, batch_size=64)),
    "links, decode": Case(arrows_task, lambda: Ordered(2), 0.8),
    "links, GAE": Case(blocks_task, lambda: GAE(GCN(2, 8, num_layers=1)), 0.65),
    "links, VGAE": Case(blocks_task, lambda: VGAE(Variational(2)), 0.65),
    "series": Case(series_task, lambda: Layers(2, 1), 0.6, trained(epochs=12, batch_size=7)),
}


def initialised(case: Case) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return case.model()


def generators() -> tuple[Tensor, Tensor, tuple]:
    state = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state(), torch.from_numpy(state[1].astype(np.int64)), (random.getstate(), state[2:])


def moved(before: tuple, after: tuple) -> bool:
    return not (torch.equal(before[0], after[0]) and torch.equal(before[1], after[1]) and before[2] == after[2])
