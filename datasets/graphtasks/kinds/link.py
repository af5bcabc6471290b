"""Links of one graph: which pairs of nodes have an edge."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import VGAE
from torch_geometric.utils import negative_sampling

from graphtasks.batches import Batches
from graphtasks.calling import decode, forward, original
from graphtasks.checks import check_features, check_graph
from graphtasks.errors import InvalidDataError
from graphtasks.kinds.base import Form, Kind, TaskKind
from graphtasks.losses import Loss
from graphtasks.sparse import sparse_features
from graphtasks.splits import LINK_ARRAYS, PARTS, LinkSplit, Part

if TYPE_CHECKING:
    from graphtasks.config import FitConfig
    from graphtasks.task import GraphTask


class LinkKind(TaskKind):
    """Pairs of nodes; the edges are in the splits alone, so that none to predict can slip into a model."""

    name: ClassVar[Kind] = "link"
    many = False

    def check_graph(self, graph: Data, name: str) -> None:
        check_features(graph, name)
        if graph.get("edge_index") is not None:
            raise InvalidDataError(
                f"the graph of link task {name!r} has `edge_index`: its edges belong into the splits alone; "
                "`link_task` makes them from a graph"
            )

    def check_split(self, task: GraphTask, index: int) -> None:
        split = task.splits[index]
        if not isinstance(split, LinkSplit):
            raise self.wrong_split(task, index)
        last = max(int(getattr(split, name).max()) for name in LINK_ARRAYS)
        self.check_last(task, index, last, task.num_nodes, "node")

    def form(self, task: GraphTask) -> Form:
        return "links"

    def num_edges(self, task: GraphTask) -> int:
        split = cast(LinkSplit, task.splits[0])
        count = sum(edges.size(1) for edges in (split.train, split.val, split.test))
        return 2 * count if split.undirected else count

    def num_outputs(self, task: GraphTask) -> int:
        return 1

    def graph(self, task: GraphTask, split: int, part: Part) -> Data:
        data = copy.copy(cast(Data, task.data))
        data.edge_index = cast(LinkSplit, task.split(split)).messages(part)
        for transform in task.transforms:
            data = transform(data)
        if task.transforms:
            check_graph(data, task.name)
        return data

    def targets(self, task: GraphTask, split: int, part: Part) -> Tensor:
        return cast(LinkSplit, task.split(split)).pairs(part)[1]

    def batches(self, task: GraphTask, split: int, config: FitConfig, device: torch.device) -> Batches:
        loss = self.loss(task, split, class_weights=config.class_weights)
        self.refuse_samplers(task, config, "is a link task")
        return Links(task, split, loss, device, batch_size=config.batch_size)

    def predictor(self, task: GraphTask, split: int, part: Part, config: FitConfig, device: torch.device) -> Batches:
        cast(LinkSplit, task.split(split)).pairs(part)  # which says that the train part has none
        return Links(task, split, self.loss(task, split), device, batch_size=None, parts=[part])

    def less_memory(self, task: GraphTask) -> str:
        return "set `batch_size` to fewer edges at once, or give the model fewer hidden units"


class Links(Batches):
    """Pairs of nodes, scored by the product of what a model makes of each from the messages of a part.

    A model with a method `decode(z, pairs)` scores pairs by it; one that names `messages` also gets the edges. The
    divergence of PyG's variational autoencoder from the prior is added to the loss, in the proportion of PyG's example.
    """

    def __init__(
        self,
        task: GraphTask,
        split: int,
        loss: Loss,
        device: torch.device,
        *,
        batch_size: int | None,
        parts: Sequence[Part] = PARTS,
    ) -> None:
        chosen = cast(LinkSplit, task.split(split))
        self.loss = loss
        self.batch_size = batch_size
        self.edges = chosen.train.to(device)
        self.known = chosen.messages("train").to(device)
        self.graphs: dict[Part, Data] = {}
        self.pairs: dict[Part, Tensor] = {}
        for part in parts:
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
            loss = self.loss(pair_scores(model, forward(model, data), data, pairs), labels)
            if isinstance(original(model), VGAE):
                # Half, since the loss is the mean over edges and negatives, and that of PyG's example their sum.
                loss = loss + 0.5 * cast(Any, model).kl_loss() / data.num_nodes
            yield loss, len(chosen)

    def inputs(self, part: Part) -> Iterator[Data]:
        yield self.graphs[part]

    def read(self, model: nn.Module, out: Tensor, data: Data, part: Part) -> Tensor:
        return pair_scores(model, out, data, self.pairs[part])


def pair_scores(model: nn.Module, z: Tensor, data: Data, pairs: Tensor) -> Tensor:
    """Scores (M,) of pairs (2, M) by the rows `z` that a model gave for a graph.

    Raises:
        InvalidDataError: There is not one row for each node, or not one score for each pair.
    """
    if len(z) != data.num_nodes:
        raise InvalidDataError(f"the model gave {len(z)} rows for {data.num_nodes} nodes: give one for each")
    scores = decode(model, z, pairs, data.edge_index)
    if scores.shape != (pairs.size(1),):
        raise InvalidDataError(f"the model's decode gave {tuple(scores.shape)} scores for {pairs.size(1)} pairs")
    return scores
