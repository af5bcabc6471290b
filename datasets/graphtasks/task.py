"""A task: everything that makes a number comparable."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import networkx as nx
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import from_networkx

from graphtasks.errors import DivergedError, InvalidDataError, UnknownTaskError
from graphtasks.metrics import METRICS, Metric
from graphtasks.splits import Part, Split, mask_splits

Kind = Literal["node", "link", "graph", "node-regression", "temporal"]


@dataclass(frozen=True, eq=False)
class GraphTask:
    """Data, splits and metric of one learning problem on graphs.

    Args:
        name: Name in the catalogue, or one of your own.
        kind: What is predicted.
        data: The graph: `x` (N, F), `edge_index` (2, E), `y` (N,) with -1 for unlabelled nodes.
        splits: The splits of the protocol; results are averaged over all of them.
        metric: The score, computed by `evaluate` alone.
        directed: Whether `edge_index` has edges whose reverse is missing.
        source: Where the data come from.
        licence: Licence of the data as its source states it.
        protocol: One line that says how nodes are split and scored.

    Raises:
        InvalidDataError: The graph is empty, has NaN or infinite features, edges to nodes that do not
            exist, or a split that names such nodes.
    """

    name: str
    kind: Kind
    data: Data
    splits: Sequence[Split]
    metric: Metric
    directed: bool
    source: str
    licence: str
    protocol: str

    def __post_init__(self) -> None:
        check_graph(self.data, self.name)
        if not self.splits:
            raise InvalidDataError(f"{self.name!r} has no splits: give it at least one")
        for i, split in enumerate(self.splits):
            last = max(int(split[part].max()) for part in ("train", "val", "test"))
            if last >= self.num_nodes:
                raise InvalidDataError(
                    f"split {i} of {self.name!r} names node {last}, but the graph has {self.num_nodes} nodes"
                )
            if not bool((self.data.y[split.train] >= 0).all()):
                raise InvalidDataError(f"split {i} of {self.name!r} has unlabelled nodes (-1) in its train part")

    @property
    def num_nodes(self) -> int:
        """Number of nodes N."""
        return int(self.data.num_nodes)

    @property
    def num_features(self) -> int:
        """Number of feature columns F."""
        return int(self.data.num_features)

    @property
    def num_classes(self) -> int:
        """Number of classes, counted as the largest label plus one."""
        return int(self.data.y.max()) + 1

    def split(self, index: int) -> Split:
        """The split with this index, or an error that says how many there are."""
        if not 0 <= index < len(self.splits):
            raise InvalidDataError(
                f"got split {index}, but {self.name!r} has {len(self.splits)} split(s): use 0 to {len(self.splits) - 1}"
            )
        return self.splits[index]

    def evaluate(self, pred: Tensor, split: int, part: Part) -> float:
        """Score predictions for all nodes on one part of one split.

        Args:
            pred: Class scores (N, C), labels (N,), or for ROC-AUC scores (N,).
            split: Index of the split.
            part: 'train', 'val' or 'test'. Unlabelled nodes (-1) do not count.

        Raises:
            InvalidDataError: The shape is not one row a node.
            DivergedError: A score is NaN.
        """
        if pred.dim() not in (1, 2) or len(pred) != self.num_nodes:
            raise InvalidDataError(
                f"got predictions of shape {tuple(pred.shape)}, expected one row for each of {self.num_nodes} nodes"
            )
        index = self.split(split)[part]
        y = self.data.y.cpu()[index]
        labelled = y >= 0
        if not bool(labelled.any()):
            raise InvalidDataError(f"the {part} part of split {split} of {self.name!r} has no labelled node to score")
        if pred.dim() == 1 and pred.is_floating_point() and self.metric.name != "roc_auc":
            raise InvalidDataError(
                f"got predictions of shape {tuple(pred.shape)} and {pred.dtype}, expected class scores (N, C) or labels"
            )
        scores = pred.detach().cpu()[index][labelled]
        if scores.is_floating_point():
            scores = scores.double()
        if bool(scores.isnan().any()):
            raise DivergedError("the predictions hold NaN: the model diverged; lower its learning rate")
        return self.metric.score(y[labelled].numpy(), scores.numpy())

    def replace(self, **changes: Any) -> GraphTask:
        """A copy with some fields changed; this task stays as it is."""
        return dataclasses.replace(self, **changes)

    def transform(self, transform: Callable[[Data], Data]) -> GraphTask:
        """A copy whose data went through a PyG transform."""
        return self.replace(data=transform(self.data))

    @classmethod
    def from_data(
        cls,
        data: Data | nx.Graph,
        *,
        name: str = "custom",
        splits: Sequence[Split] | None = None,
        metric: str = "accuracy",
        protocol: str = "splits given by the user",
        source: str = "user",
        licence: str = "not stated",
    ) -> GraphTask:
        """A node classification task from a PyG `Data` or a networkx graph.

        Args:
            data: A graph with `x` (N, F), `y` (N,) and, unless `splits` is given, `train_mask`, `val_mask` and
                `test_mask`, each (N,) or (N, number of splits). A networkx graph holds the same as node attributes.
            name: Name of the task.
            splits: The splits, instead of masks.
            metric: 'accuracy', 'macro_f1' or 'roc_auc'.
            protocol: One line on how the nodes are split.
            source: Where the data come from.
            licence: Licence of the data.

        >>> graph = nx.path_graph(4)
        >>> for i, node in graph.nodes.items():
        ...     node.update(x=[float(i)], y=i % 2, train_mask=i < 2, val_mask=i == 2, test_mask=i == 3)
        >>> GraphTask.from_data(graph, name="path").num_classes
        2
        """
        if isinstance(data, nx.Graph):
            if data.number_of_nodes() == 0:
                raise InvalidDataError(f"the graph of {name!r} is empty: give it at least one node")
            try:
                data = from_networkx(data)
            except ValueError as error:
                raise InvalidDataError(f"the networkx graph of {name!r} cannot be converted: {error}") from error
        if metric not in METRICS:
            raise UnknownTaskError(f"got metric {metric!r}, expected one of {', '.join(METRICS)}")
        check_graph(data, name)
        if splits is None:
            masks = [data.get(f"{part}_mask") for part in ("train", "val", "test")]
            if any(mask is None for mask in masks):
                raise InvalidDataError(
                    f"{name!r} has no splits: pass `splits`, or set train_mask, val_mask and test_mask on the data"
                )
            splits = mask_splits(masks, data.num_nodes)
        return cls(
            name=name,
            kind="node",
            data=data,
            splits=splits,
            metric=METRICS[metric],
            directed=data.is_directed(),
            source=source,
            licence=licence,
            protocol=protocol,
        )


def check_graph(data: Data, name: str) -> None:
    """Raise `InvalidDataError` unless a graph can be learned from."""
    for key, shape in {"x": "(N, F) features", "y": "(N,) labels", "edge_index": "(2, E) edges"}.items():
        if data.get(key) is None:
            raise InvalidDataError(f"the graph of {name!r} has no `{key}`: set data.{key} to {shape}")
    if not data.num_nodes:
        raise InvalidDataError(f"the graph of {name!r} is empty: give it at least one node")
    x, y, edge_index = data.x, data.y, data.edge_index
    if x.dim() != 2 or len(x) != data.num_nodes or x.size(1) == 0:
        raise InvalidDataError(f"`x` of {name!r} has shape {tuple(x.shape)}, expected ({data.num_nodes}, F) with F > 0")
    if x.dtype != torch.float32:
        raise InvalidDataError(f"`x` of {name!r} has dtype {x.dtype}, expected torch.float32: use data.x.float()")
    finite = torch.isfinite(x).all(dim=1)
    if not bool(finite.all()):
        raise InvalidDataError(
            f"`x` of {name!r} is NaN or infinite in {int((~finite).sum())} rows, first in row "
            f"{int((~finite).nonzero()[0])}: drop or impute them, as with torch.nan_to_num"
        )
    if y.dim() != 1 or len(y) != data.num_nodes or y.dtype != torch.int64 or int(y.max()) < 0:
        raise InvalidDataError(
            f"`y` of {name!r} has shape {tuple(y.shape)} and dtype {y.dtype}, "
            f"expected torch.int64 classes of shape ({data.num_nodes},), -1 where unlabelled"
        )
    if edge_index.dim() != 2 or len(edge_index) != 2 or edge_index.dtype != torch.int64:
        raise InvalidDataError(
            f"`edge_index` of {name!r} has shape {tuple(edge_index.shape)} and dtype {edge_index.dtype}, "
            "expected (2, E) of torch.int64"
        )
    if edge_index.numel() and not 0 <= int(edge_index.min()) <= int(edge_index.max()) < data.num_nodes:
        raise InvalidDataError(
            f"`edge_index` of {name!r} names nodes {int(edge_index.min())} to {int(edge_index.max())}, "
            f"but the graph has nodes 0 to {data.num_nodes - 1}"
        )
