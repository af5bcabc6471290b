"""Models that give back what they see, and tasks whose numbers tell where it came from."""

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphtasks import GraphTask, Split, link_task
from graphtasks.batches import Batches, NodeBatches, WholeGraph
from graphtasks.kinds.link import Links
from graphtasks.losses import training_loss

CPU = torch.device("cpu")


class Echo(nn.Module):
    """Gives what its one feature holds, and has a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return x[:, :1] + self.zero


class Alone(nn.Module):
    """A layer for each node alone, so that all batches are as good."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x):
        return self.layer(x)


class Recorder:
    """A loss that keeps what it was given."""

    def __init__(self) -> None:
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def __call__(self, pred: Tensor, target: Tensor) -> Tensor:
        self.pairs.append((pred.detach().clone(), target.clone()))
        return pred.sum()

    @property
    def pred(self) -> list[float]:
        return torch.cat([pred for pred, _ in self.pairs]).view(-1).tolist()


def random_graph(n: int, e: int, seed: int) -> Tensor:
    return torch.randint(0, n, (2, e), generator=torch.Generator().manual_seed(seed))


def numbered_task(n: int = 40, e: int = 100, seed: int = 0) -> GraphTask:
    """A directed graph whose nodes have their numbers as features and as values."""
    number = torch.arange(n).float()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    data = Data(x=number.view(-1, 1), y=number.clone(), edge_index=random_graph(n, e, seed))
    third = max(n // 3, 1)
    return GraphTask.from_data(data, splits=[Split(order[:third], order[third : 2 * third], order[2 * third :])])


def numbered_graphs(count: int = 11, kind: str = "graph") -> GraphTask:
    """Graphs of different sizes, of which each value is a number of its own."""
    graphs, start = [], 0
    for i in range(count):
        size = 2 + i % 3
        number = torch.arange(start, start + size).float()
        y = number if kind != "graph" else number[:1]
        graphs.append(Data(x=number.view(-1, 1), y=y, edge_index=torch.tensor([[0, 1], [1, 0]])))
        start += size
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    order = torch.arange(count) if kind == "temporal" else shuffled
    return GraphTask.from_data(graphs, kind=kind, splits=[Split(order[:6], order[6:8], order[8:])], metric="mse")


class First(Echo):
    """One row for each graph: the content of its first node."""

    def forward(self, x, ptr):
        return super().forward(x)[ptr[:-1]]


def class_task(n: int = 40, e: int = 120, seed: int = 0) -> GraphTask:
    generator = torch.Generator().manual_seed(seed)
    data = Data(
        x=torch.randn(n, 5, generator=generator),
        y=torch.arange(n) % 3,
        edge_index=random_graph(n, e, seed),
        edge_weight=torch.rand(e, generator=generator),
    )
    order = torch.randperm(n, generator=generator)
    return GraphTask.from_data(data, splits=[Split(order[: n // 2], order[n // 2 : -5], order[-5:])])


def link_graph(seed: int = 0, undirected: bool = True, **options) -> GraphTask:
    edges = random_graph(30, 100, seed)
    if undirected:
        edges = torch.cat([edges, edges.flip(0)], dim=1)
    x = torch.randn(30, 6, generator=torch.Generator().manual_seed(seed))
    return link_task(Data(x=x, edge_index=edges), **options)


def whole(task: GraphTask, loss=None) -> WholeGraph:
    return WholeGraph(task, 0, loss or training_loss(task, 0), CPU)


def sampled(task: GraphTask, batch_size: int, neighbors: list[int], loss=None) -> NodeBatches:
    loss = loss or training_loss(task, 0)
    return NodeBatches(task, 0, loss, CPU, batch_size=batch_size, neighbors=neighbors, clusters=None)


def clustered(task: GraphTask, batch_size: int, clusters: int, loss=None) -> NodeBatches:
    loss = loss or training_loss(task, 0)
    return NodeBatches(task, 0, loss, CPU, batch_size=batch_size, neighbors=None, clusters=clusters)


def link_batches(task: GraphTask, batch_size: int | None = None, loss=None) -> Links:
    return Links(task, 0, loss or training_loss(task, 0), CPU, batch_size=batch_size)


def loss_and_gradients(batches: Batches, model: nn.Module) -> tuple[float, list[Tensor]]:
    model.zero_grad()
    total, count = 0.0, 0
    for loss, size in batches.losses(model):
        (loss * size).backward()
        total, count = total + size * loss.item(), count + size
    return total / count, [parameter.grad / count for parameter in model.parameters()]


def check_same(first: Batches, second: Batches, model: nn.Module) -> None:
    (loss, gradients), (other_loss, other_gradients) = (loss_and_gradients(b, model) for b in (first, second))
    assert loss == pytest.approx(other_loss, rel=1e-5)
    assert any(gradient.any() for gradient in gradients)
    for gradient, other in zip(gradients, other_gradients, strict=True):
        torch.testing.assert_close(gradient, other, atol=1e-6, rtol=1e-4)
