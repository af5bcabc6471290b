"""How a task reaches a model: one graph as a whole or in batches of its nodes, many graphs in batches of graphs."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from graphtasks.calling import decode, forward
from graphtasks.errors import InvalidDataError
from graphtasks.losses import Loss
from graphtasks.messages import bounded_messages
from graphtasks.sampling import ClusterBatches, Clusters, neighbor_loader
from graphtasks.sparse import sparse_features
from graphtasks.splits import Part, Split

if TYPE_CHECKING:
    from graphtasks.task import GraphTask

__all__ = ["Batches", "GraphBatches", "NodeBatches", "WholeGraph", "decode", "forward"]


class Batches(ABC):
    """Data that a training takes from a task, and how a trained model answers for a part."""

    @abstractmethod
    def losses(self, model: nn.Module) -> Iterator[tuple[Tensor, int]]:
        """The losses of one epoch, each with the number of targets, of links that of edges, that it is the mean of."""

    @abstractmethod
    def inputs(self, part: Part) -> Iterator[Data]:
        """The graphs, or batches of graphs, that a model is called with to predict a part."""

    def read(self, model: nn.Module, out: Tensor, data: Data, part: Part) -> Tensor:
        """The predictions that the output of a model for one of :meth:`inputs` holds."""
        return out

    def predict(self, model: nn.Module, part: Part) -> Tensor:
        """Predictions as :meth:`GraphTask.evaluate` takes them."""
        rows = []
        for data in self.inputs(part):
            with bounded_messages(model, data.num_edges):
                out = forward(model, data)
            rows.append(self.read(model, out, data, part))
        return rows[0] if len(rows) == 1 else torch.cat(rows)


class WholeGraph(Batches):
    """All nodes of one graph at once; features with few entries other than zero are multiplied as sparse ones."""

    def __init__(self, task: GraphTask, split: int, loss: Loss, device: torch.device) -> None:
        self.data = copy.copy(task.graph()).to(device)
        self.train = cast(Split, task.split(split)).train.to(device)
        self.loss = loss
        self.graph = copy.copy(self.data)
        self.graph.x = sparse_features(self.data.x)

    def losses(self, model: nn.Module) -> Iterator[tuple[Tensor, int]]:
        pred = fitting(forward(model, self.graph), self.data.y)
        y = self.data.y[self.train]
        yield self.loss(pred[self.train], y), count_labelled(y)

    def inputs(self, part: Part) -> Iterator[Data]:
        yield self.graph


class NodeBatches(WholeGraph):
    """Batches of sampled neighbourhoods, or of clusters, of one graph; predictions are made on the whole graph."""

    def __init__(
        self,
        task: GraphTask,
        split: int,
        loss: Loss,
        device: torch.device,
        *,
        batch_size: int,
        neighbors: Sequence[int] | None,
        clusters: int | None,
    ) -> None:
        super().__init__(task, split, loss, device)
        self.device = device
        data = copy.copy(task.graph())
        if data.get("edge_index") is None:
            raise InvalidDataError(
                f"batches of nodes need `edge_index`, but {task.name!r} has `adj_t` alone: leave ToSparseTensor out, "
                "or give it remove_edge_index=False"
            )
        for name, value in list(data.items()):
            if isinstance(value, Tensor) and value.layout != torch.strided:
                del data[name]  # a matrix of all nodes, which batches have the edges of
        train = cast(Split, task.split(split)).train
        data.in_loss = torch.zeros(task.num_nodes, dtype=torch.bool)
        data.in_loss[train] = True
        if neighbors is not None:
            self.loader: Any = neighbor_loader(data, neighbors, train, batch_size)
        else:
            assert clusters is not None
            self.loader = ClusterBatches(Clusters(data, clusters, log=False), batch_size=batch_size, shuffle=True)
        self.seeds_first = neighbors is not None

    def losses(self, model: nn.Module) -> Iterator[tuple[Tensor, int]]:
        for batch in self.loader:
            batch = batch.to(self.device)
            chosen = batch.in_loss
            if self.seeds_first:
                chosen = torch.arange(batch.num_nodes, device=self.device) < batch.batch_size
            count = count_labelled(batch.y[chosen])
            if count:
                pred = fitting(forward(model, batch), batch.y)
                yield self.loss(pred[chosen], batch.y[chosen]), count


class GraphBatches(Batches):
    """Batches of many graphs, or of the snapshots of a series."""

    def __init__(self, task: GraphTask, split: int, loss: Loss, device: torch.device, *, batch_size: int) -> None:
        self.task, self.split, self.loss, self.device = task, split, loss, device
        graphs = task.part(split, "train")
        # A last batch of one would leave batch normalisation of pooled graphs without a variance.
        single = len(graphs) > batch_size > 1 and len(graphs) % batch_size == 1
        self.batch_size = batch_size + single
        self.train = DataLoader(graphs, self.batch_size, shuffle=True)
        self.parts: dict[Part, DataLoader] = {}

    def losses(self, model: nn.Module) -> Iterator[tuple[Tensor, int]]:
        for batch in self.train:
            batch = batch.to(self.device)
            count = count_labelled(batch.y)
            if count:
                yield self.loss(fitting(forward(model, batch), batch.y), batch.y), count

    def inputs(self, part: Part) -> Iterator[Data]:
        if part not in self.parts:
            self.parts[part] = DataLoader(self.task.part(self.split, part), self.batch_size)
        for batch in self.parts[part]:
            yield batch.to(self.device)

    def read(self, model: nn.Module, out: Tensor, data: Data, part: Part) -> Tensor:
        return fitting(out, data.y)


def count_labelled(y: Tensor) -> int:
    """Number of targets that a loss is the mean of."""
    return int((~y.isnan() if y.is_floating_point() else y >= 0).sum())


def fitting(pred: Tensor, y: Tensor) -> Tensor:
    """Predictions in the shape of values to predict, or an error that says what a model should give."""
    if len(pred) != len(y):
        hint = ": pool the nodes of each graph, as with global_mean_pool" if len(pred) > len(y) else ""
        raise InvalidDataError(f"the model gave {len(pred)} rows for {len(y)} targets{hint}")
    if not y.is_floating_point():
        return pred
    if pred.numel() != y.numel():
        raise InvalidDataError(f"the model gave values of shape {tuple(pred.shape)}, expected {tuple(y.shape)}")
    return pred.view_as(y)
