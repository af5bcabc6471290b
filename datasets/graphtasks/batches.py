"""How a task reaches a model: as a whole, in batches of nodes or of graphs, or as messages and pairs of nodes."""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GAE, VGAE
from torch_geometric.utils import negative_sampling

from graphtasks.errors import InvalidDataError
from graphtasks.losses import Loss
from graphtasks.sampling import ClusterBatches, Clusters, neighbor_loader
from graphtasks.sparse import sparse_features
from graphtasks.splits import LinkSplit, Part, Split
from graphtasks.task import GraphTask


def forward(model: nn.Module, data: Data) -> Tensor:
    """Call a model with those attributes of a graph that its `forward` names.

    A model with `forward(x, edge_index, edge_weight=None)` gets `data.x`, `data.edge_index` and, where the graph has
    it, `data.edge_weight`; one that asks for `dmd_modes` gets what the transform of that name stored. Where the graph
    has a sparse matrix `adj_t`, as :class:`~torch_geometric.transforms.ToSparseTensor` makes it, it takes the place of
    `edge_index` and `edge_weight`, as in PyG's own examples. Of PyG's autoencoders, the encoder is called.

    Raises:
        InvalidDataError: The graph lacks an attribute that has no default.
    """
    called = _original(model)
    called = called.encoder if isinstance(called, GAE) else called
    arguments = {}
    sparse = data.get("adj_t") is not None
    for parameter in inspect.signature(called.forward).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if sparse and parameter.name in ("edge_index", "edge_weight"):
            if parameter.name == "edge_index":
                arguments["edge_index"] = data.adj_t
        elif data.get(parameter.name) is not None:
            arguments[parameter.name] = data[parameter.name]
        elif parameter.default is parameter.empty:
            raise InvalidDataError(
                f"{type(called).__name__}.forward needs `{parameter.name}`, which the graph lacks: "
                f"set data.{parameter.name}, or apply the transform that makes it"
            )
    output: Tensor = cast(Any, model).encode(**arguments) if isinstance(_original(model), GAE) else model(**arguments)
    return output


def _original(model: nn.Module) -> Any:
    """The model that went into torch.compile."""
    return getattr(model, "_orig_mod", model)


class Batches(ABC):
    """What a training takes from a task."""

    @abstractmethod
    def losses(self, model: nn.Module) -> Iterator[tuple[Tensor, int]]:
        """The losses of one epoch, each with the number of targets, of links that of edges, that it is the mean of."""

    @abstractmethod
    def predict(self, model: nn.Module, part: Part) -> Tensor:
        """Predictions as :meth:`GraphTask.evaluate` takes them."""


class WholeGraph(Batches):
    """All nodes of one graph at once; features with few entries other than zero are multiplied as sparse ones."""

    def __init__(self, task: GraphTask, split: int, loss: Loss, device: torch.device) -> None:
        self.data = copy.copy(task.graph()).to(device)
        self.train = cast(Split, task.split(split)).train.to(device)
        self.loss = loss
        self.inputs = copy.copy(self.data)
        self.inputs.x = sparse_features(self.data.x)

    def losses(self, model: nn.Module) -> Iterator[tuple[Tensor, int]]:
        pred = _fitting(forward(model, self.inputs), self.data.y)
        y = self.data.y[self.train]
        yield self.loss(pred[self.train], y), _labelled(y)

    def predict(self, model: nn.Module, part: Part) -> Tensor:
        return forward(model, self.inputs)


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
        if data.get("adj_t") is not None:
            raise InvalidDataError(
                f"batches of nodes need `edge_index`, but {task.name!r} has `adj_t`: leave ToSparseTensor out"
            )
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
            count = _labelled(batch.y[chosen])
            if count:
                pred = _fitting(forward(model, batch), batch.y)
                yield self.loss(pred[chosen], batch.y[chosen]), count


class GraphBatches(Batches):
    """Batches of many graphs, or of the snapshots of a series."""

    def __init__(self, task: GraphTask, split: int, loss: Loss, device: torch.device, *, batch_size: int) -> None:
        self.task, self.split, self.loss, self.device = task, split, loss, device
        self.batch_size = batch_size
        graphs = task.part(split, "train")
        # A last batch of one would leave batch normalisation of pooled graphs without a variance.
        single = len(graphs) > batch_size > 1 and len(graphs) % batch_size == 1
        self.train = DataLoader(graphs, batch_size + single, shuffle=True)
        self.parts: dict[Part, DataLoader] = {}

    def losses(self, model: nn.Module) -> Iterator[tuple[Tensor, int]]:
        for batch in self.train:
            batch = batch.to(self.device)
            count = _labelled(batch.y)
            if count:
                yield self.loss(_fitting(forward(model, batch), batch.y), batch.y), count

    def predict(self, model: nn.Module, part: Part) -> Tensor:
        if part not in self.parts:
            self.parts[part] = DataLoader(self.task.part(self.split, part), self.batch_size)
        batches = (batch.to(self.device) for batch in self.parts[part])
        return torch.cat([_fitting(forward(model, batch), batch.y) for batch in batches])


class Links(Batches):
    """Pairs of nodes, scored by the product of what a model makes of each from the messages of a part.

    A model with a method `decode(z, pairs)` scores pairs by it. Of PyG's variational autoencoder the divergence from
    the prior is added to the loss, in the proportion of PyG's example.
    """

    def __init__(
        self, task: GraphTask, split: int, loss: Loss, device: torch.device, *, batch_size: int | None
    ) -> None:
        chosen = cast(LinkSplit, task.split(split))
        self.loss = loss
        self.batch_size = batch_size
        self.edges = chosen.train.to(device)
        self.known = chosen.messages("train").to(device)
        self.graphs: dict[Part, Data] = {}
        self.pairs: dict[Part, Tensor] = {}
        for part in ("train", "val", "test"):
            data = copy.copy(task.graph(split, part)).to(device)
            data.x = sparse_features(data.x)
            self.graphs[part] = data
            if part != "train":
                self.pairs[part] = chosen.pairs(part)[0].to(device)

    def losses(self, model: nn.Module) -> Iterator[tuple[Tensor, int]]:
        data = self.graphs["train"]
        count = self.edges.size(1)
        order = torch.randperm(count, device=self.edges.device)
        for chosen in order.split(self.batch_size or count):
            edges = self.edges[:, chosen]
            negatives = negative_sampling(self.known, data.num_nodes, len(chosen))
            pairs = torch.cat([edges, negatives], dim=1)
            labels = torch.cat([torch.ones(edges.size(1)), torch.zeros(negatives.size(1))]).to(edges.device)
            loss = self.loss(self._scores(model, data, pairs), labels)
            if isinstance(_original(model), VGAE):
                # Half, since the loss is the mean over edges and negatives, and that of PyG's example their sum.
                loss = loss + 0.5 * cast(Any, model).kl_loss() / data.num_nodes
            yield loss, len(chosen)

    def predict(self, model: nn.Module, part: Part) -> Tensor:
        return self._scores(model, self.graphs[part], self.pairs[part])

    def _scores(self, model: nn.Module, data: Data, pairs: Tensor) -> Tensor:
        z = forward(model, data)
        if len(z) != data.num_nodes:
            raise InvalidDataError(f"the model gave {len(z)} rows for {data.num_nodes} nodes: give one for each")
        scores = decode(model, z, pairs)
        if scores.shape != (pairs.size(1),):
            raise InvalidDataError(f"the model's decode gave {tuple(scores.shape)} scores for {pairs.size(1)} pairs")
        return scores


def decode(model: nn.Module, z: Tensor, pairs: Tensor) -> Tensor:
    """Scores (M,) of pairs of nodes (2, M), before a sigmoid: by the model's `decode`, else the inner product of rows.

    Args:
        model: The model that made `z`.
        z: A row for each node (N, D).
        pairs: Pairs of nodes.
    """
    if isinstance(_original(model), GAE):
        return cast(Tensor, cast(Any, model).decode(z, pairs, sigmoid=False))
    if hasattr(model, "decode"):
        return cast(Any, model).decode(z, pairs).view(-1)
    return (z[pairs[0]] * z[pairs[1]]).sum(dim=-1)


def _labelled(y: Tensor) -> int:
    """Number of targets that a loss is the mean of."""
    return int((~y.isnan() if y.is_floating_point() else y >= 0).sum())


def _fitting(pred: Tensor, y: Tensor) -> Tensor:
    """Predictions in the shape of values to predict, or an error that says what a model should give."""
    if len(pred) != len(y):
        hint = ": pool the nodes of each graph, as with global_mean_pool" if len(pred) > len(y) else ""
        raise InvalidDataError(f"the model gave {len(pred)} rows for {len(y)} targets{hint}")
    if not y.is_floating_point():
        return pred
    if pred.numel() != y.numel():
        raise InvalidDataError(f"the model gave values of shape {tuple(pred.shape)}, expected {tuple(y.shape)}")
    return pred.view_as(y)
