"""A task: everything that makes a number comparable."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import networkx as nx
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphtasks import kinds
from graphtasks.checks import check_class_numbers, check_graph
from graphtasks.convert import as_data, as_graphs, guess_kind, guess_metric, splits_of_masks, warn_of_guess
from graphtasks.errors import InvalidDataError, MissingFilesError
from graphtasks.files import as_path
from graphtasks.kinds import KINDS, Form, Kind
from graphtasks.kinds.base import unlabelled
from graphtasks.metrics import METRICS, Metric, metric
from graphtasks.scale import Scale
from graphtasks.sources.npz import read_graph
from graphtasks.splits import LinkSplit, Part, Split, load_splits
from graphtasks.values import whole

__all__ = ["KINDS", "GraphTask", "Kind", "as_data"]


@dataclass(frozen=True, eq=False, repr=False)
class GraphTask:
    """Data, splits and metric of one learning problem on graphs.

    ================== ============================= ============================================ ===================
    kind               `data`                        `y` of a graph with N nodes                  splits are over
    ================== ============================= ============================================ ===================
    'node'             one graph, or several         (N,) int64, -1 where unlabelled              nodes, or graphs
    'node-regression'  one graph, or several         (N,) or (N, T) float32, NaN where unlabelled nodes, or graphs
    'link'             one graph, without its edges  none                                         edges (`LinkSplit`)
    'graph'            several                       (1,) int64, or (1, T) float32                graphs
    'temporal'         snapshots, in their order     (N,) or (N, T) float32, the values to come   snapshots
    ================== ============================= ============================================ ===================

    Args:
        name: Name in the catalogue, or one of your own.
        kind: Kind of the targets, by its name in the table.
        data: A graph with `x` (N, F) float32 and `edge_index` (2, E), or a sequence of such graphs. The edges of a
            'link' task are in its splits alone, so that none to predict can slip into a model; see :meth:`graph`.
        splits: The splits of the protocol; results are averaged over all of them.
        metric: The score, computed by `evaluate` alone.
        directed: Whether some edge has no reverse.
        source: Where the data come from.
        licence: Licence of the data as its source states it.
        protocol: One line that says how nodes are split and scored.
        transforms: PyG transforms of the graph of a link task, applied with the messages of each part.
        scale: Means and deviations of a standardised series, which turn predictions back, see
            :func:`~graphtasks.from_series`.

    Raises:
        InvalidDataError: A graph is empty, has NaN or infinite features, edges to nodes that do not
            exist or targets of another form, or a split names what is not there.
    """

    name: str
    kind: Kind
    data: Data | Sequence[Data]
    splits: Sequence[Split] | Sequence[LinkSplit]
    metric: Metric
    directed: bool
    source: str
    licence: str
    protocol: str
    transforms: tuple[Callable[[Data], Data], ...] = ()
    scale: Scale | None = None

    def __post_init__(self) -> None:
        kind = kinds.find(self.kind)
        if isinstance(self.metric, str):
            object.__setattr__(self, "metric", metric(self.metric))
        kind.check_count(self)
        for graph in self.graphs:
            kind.check_graph(graph, self.name)
        if len({graph.num_features for graph in self.graphs}) > 1:
            raise InvalidDataError(f"the graphs of {self.name!r} differ in their number of features")
        if len({_columns(graph) for graph in self.graphs}) > 1:
            raise InvalidDataError(
                f"the graphs of {self.name!r} differ in the dtype or columns of `y`, or in having `edge_weight`: "
                "make them alike"
            )
        if self.form == "classes":
            check_class_numbers([graph.y for graph in self.graphs], self.name)
        kind.check_metric(self)
        if not isinstance(self.splits, Sequence):
            given = type(self.splits).__name__
            raise InvalidDataError(f"the splits of {self.name!r} are of type {given}, expected a list of Split")
        if not self.splits:
            raise InvalidDataError(f"{self.name!r} has no splits: give it at least one")
        for index in range(len(self.splits)):
            kind.check_split(self, index)

    def __repr__(self) -> str:
        counts = {
            "graph": len(self.graphs) if self.many else 0,
            "node": self.num_nodes,
            "edge": self.num_edges,
            "feature": self.num_features,
            "class" if self.form == "classes" else "output": self.num_outputs,
            "split": len(self.splits),
        }
        words = [_counted(count, word) for word, count in counts.items() if count]
        return f"GraphTask({self.name!r}, {self.kind}, {', '.join(words)}, {self.metric.name})"

    @property
    def many(self) -> bool:
        """Whether the task has a sequence of graphs."""
        return not isinstance(self.data, Data)

    @property
    def graphs(self) -> Sequence[Data]:
        """The graphs, also where there is one."""
        return [self.data] if isinstance(self.data, Data) else self.data

    @cached_property
    def num_nodes(self) -> int:
        """Number of nodes N, of all graphs together; in a series those of one snapshot, the largest."""
        return kinds.find(self.kind).num_nodes(self)

    @cached_property
    def num_edges(self) -> int:
        """Number of edges as PyG counts them, an undirected one twice; in a series those of the largest snapshot."""
        return kinds.find(self.kind).num_edges(self)

    @property
    def form(self) -> Form:
        """The form of the targets: 'classes', 'labels' of 0 and 1, 'values', or 'links'."""
        return kinds.find(self.kind).form(self)

    @cached_property
    def data_hash(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of all tensors of the graphs, and of the names of transforms."""
        digest = hashlib.sha256()
        for graph in self.graphs:
            for key in sorted(graph.keys()):
                value = graph[key]
                if isinstance(value, Tensor):
                    digest.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
                    for part in _dense_parts(value):
                        digest.update(part.detach().cpu().contiguous().numpy().data)
        for transform in self.transforms:
            digest.update(getattr(transform, "__qualname__", repr(transform)).encode())
        return digest.hexdigest()[:16]

    @property
    def num_features(self) -> int:
        """Number of feature columns F that a model sees."""
        return int((self.graph() if self.transforms else self.graphs[0]).num_features)

    @cached_property
    def num_classes(self) -> int:
        """Number of classes, counted as the largest label plus one.

        Raises:
            InvalidDataError: The task has no classes.
        """
        if self.form != "classes":
            raise InvalidDataError(f"{self.name!r} of kind {self.kind!r} has no classes: use num_outputs")
        return max(int(graph.y.max()) for graph in self.graphs) + 1

    @property
    def num_outputs(self) -> int:
        """Number of columns that a model gives: classes, labels or values; 1 for links, whose pairs get one score."""
        return kinds.find(self.kind).num_outputs(self)

    def split(self, index: int) -> Split | LinkSplit:
        """The split with this index, or an error that says how many there are."""
        index = whole("split", index)
        if not 0 <= index < len(self.splits):
            raise InvalidDataError(
                f"got split {index}, but {self.name!r} has {len(self.splits)} split(s): use 0 to {len(self.splits) - 1}"
            )
        return self.splits[index]

    def graph(self, split: int = 0, part: Part = "train") -> Data:
        """The one graph as a model may see it when a part is scored; in a link task, with the messages of that part.

        Raises:
            InvalidDataError: The task has several graphs.
        """
        if not isinstance(self.data, Data):
            raise InvalidDataError(f"{self.name!r} has {len(self.data)} graphs: use `graphs`")
        return kinds.find(self.kind).graph(self, split, part)

    def part(self, split: int, part: Part) -> list[Data]:
        """The graphs of a part of a split.

        Raises:
            InvalidDataError: The task has one graph.
        """
        if isinstance(self.data, Data):
            raise InvalidDataError(f"{self.name!r} has one graph: use `graph`")
        return [self.data[i] for i in cast(Split, self.split(split))[part].tolist()]

    def targets(self, split: int, part: Part) -> Tensor:
        """Targets of a part of a split.

        Returns:
            `y` at the nodes of the part (M, ...), or of its graphs one after the other; for links 1 and 0 (M,), in the
            order of :meth:`LinkSplit.pairs`.
        """
        return kinds.find(self.kind).targets(self, split, part)

    def evaluate(self, pred: Tensor, split: int, part: Part) -> float:
        """Score predictions on one part of one split.

        Args:
            pred: Class scores (N, C), labels (N,), values (N,) or (N, T), or for ROC-AUC and average precision of two
                classes scores (N,). A row for each of all N nodes where the task has one graph to predict nodes of;
                otherwise a row for each of :meth:`targets`.
            split: Index of the split.
            part: 'train', 'val' or 'test'. Unlabelled rows (-1 or NaN) do not count.

        Raises:
            InvalidDataError: The shape is another.
            DivergedError: A score is NaN.
        """
        y = self.targets(split, part)
        chosen = kinds.find(self.kind).rows(self, split, part)
        rows, what = (len(y), f"targets of the {part} part") if chosen is None else (self.num_nodes, "nodes")
        if pred.dim() not in (1, 2) or len(pred) != rows:
            raise InvalidDataError(
                f"got predictions of shape {tuple(pred.shape)}, expected one row for each of {rows} {what}"
            )
        if chosen is not None:
            pred = pred.cpu()[chosen]
        if bool(unlabelled(y).all()):
            raise InvalidDataError(f"the {part} part of split {split} of {self.name!r} has no labelled node to score")
        if self.form != "classes" and pred.dim() > y.dim() and pred.size(1) == 1:
            pred = pred.view(-1)
        return self.metric.score(y, pred)

    def average(self, outputs: Sequence[Tensor] | Tensor, weights: Sequence[float] | None = None) -> Tensor:
        """The prediction of an ensemble, in the form that :meth:`evaluate` takes, from those of its networks.

        Mean probabilities of classes, mean sigmoids of labels and links, mean values; see
        :func:`graphtasks.averages.average`.

        Args:
            outputs: Predictions of n networks, as a list of tensors or one of shape (n, ...).
            weights: Weight of each, by default the same.
        """
        return kinds.find(self.kind).average(self, outputs, weights)

    def replace(self, **changes: Any) -> GraphTask:
        """A copy with some fields changed; this task stays as it is."""
        return dataclasses.replace(self, **changes)

    def transform(self, transform: Callable[[Data], Data]) -> GraphTask:
        """A copy whose graphs went through a PyG transform.

        The transform of a link task acts on the result of :meth:`graph`: it sees the messages of a part, no edge to
        predict.
        """
        if self.form == "links":
            return self.replace(transforms=(*self.transforms, transform))
        if isinstance(self.data, Data):
            return self.replace(data=transform(copy.copy(self.data)))
        return self.replace(data=[transform(copy.copy(graph)) for graph in self.data])

    @classmethod
    def from_data(
        cls,
        data: Data | nx.Graph | Sequence[Data | nx.Graph],
        *,
        name: str = "custom",
        kind: Kind | None = None,
        splits: Sequence[Split] | None = None,
        metric: str | None = None,
        protocol: str = "splits given by the user",
        source: str = "user",
        licence: str = "not stated",
    ) -> GraphTask:
        """A task from PyG's `Data` or networkx graphs; for link prediction, see :func:`~graphtasks.link_task`.

        Args:
            data: A graph with `x` (N, F), `y` (N,) and, unless `splits` is given, `train_mask`, `val_mask` and
                `test_mask`, each (N,) or (N, number of splits). A networkx graph holds the same as node attributes; its
                edges' `weight` becomes `edge_weight`.
                Or a sequence of graphs, which need `splits`, over graphs.
            name: Name of the task.
            kind: Kind of the targets, 'temporal' for snapshots in their order; by default 'node' or 'node-regression'
                by the dtype of `y` where there is a target for each node, else 'graph'.
            splits: The splits, instead of masks.
            metric: Name of the metric; by default 'accuracy' for classes, 'ap' for several labels of 0 and 1, else
                'mse'.
            protocol: One line on how the nodes are split.
            source: Where the data come from.
            licence: Licence of the data.

        Raises:
            InvalidDataError: The graphs cannot be learned from, have no splits, or the metric does not fit.
            UnknownTaskError: There is no such metric.

        Warns:
            DataWarning: Edges have numbers that no model takes, negative weights, or `y` looks like classes but is of
                floats.

        >>> graph = nx.path_graph(4)
        >>> for i, node in graph.nodes.items():
        ...     node.update(x=[float(i)], y=i % 2, train_mask=i < 2, val_mask=i == 2, test_mask=i == 3)
        >>> GraphTask.from_data(graph, name="path").num_classes
        2
        """
        if kind == "link":
            raise InvalidDataError(f"{name!r} is to predict links: use `link_task`, which takes their edges apart")
        many = not isinstance(data, Data | nx.Graph)
        graphs = as_graphs(data, name)
        for graph in graphs:
            check_graph(graph, name)
        if kind is None and metric is None:
            warn_of_guess(graphs, name)
        if kind is None:
            kind = guess_kind(graphs, many)
        chosen = METRICS[guess_metric(graphs)] if metric is None else _metric(metric)
        if splits is None:
            splits = splits_of_masks(graphs, name, many)
        return cls(
            name=name,
            kind=kind,
            data=graphs if many else graphs[0],
            splits=splits,
            metric=chosen,
            directed=any(graph.is_directed() for graph in graphs),
            source=source,
            licence=licence,
            protocol=protocol,
        )

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike[str],
        *,
        undirected: bool = False,
        splits: Sequence[Split] | None = None,
        name: str | None = None,
        **options: Any,
    ) -> GraphTask:
        """A task from a folder of `.npz` files, each of them a graph, in the order of their names.

        Args:
            folder: The folder; see :func:`~graphtasks.sources.npz.read_graph` for the arrays of a file. A file
                `splits.npz` in it, which :func:`~graphtasks.save_splits` writes, holds the splits.
            undirected: Whether each edge in the files stands for both directions.
            splits: The splits, instead of that file or of masks.
            name: Name of the task; by default that of the folder.
            **options: As for :meth:`from_data`.

        Raises:
            MissingFilesError: There is no such folder, or it holds no graph.
            InvalidDataError: A file cannot be read, or the graphs cannot be learned from.
        """
        folder = as_path(folder)
        files = sorted(file for file in folder.glob("*.npz") if file.name != SPLIT_FILE)
        if not files:
            raise MissingFilesError(f"there are no graphs in {folder}: put a .npz file there for each")
        if splits is None and (folder / SPLIT_FILE).is_file():
            splits = cast(list[Split], load_splits(folder / SPLIT_FILE))
        graphs = [read_graph(file, undirected=undirected) for file in files]
        options = {"source": str(folder), "name": name or folder.resolve().name, **options}
        return cls.from_data(graphs if len(graphs) > 1 else graphs[0], splits=splits, **options)


SPLIT_FILE = "splits.npz"

_metric = metric


def _counted(count: int, word: str) -> str:
    """A number with its noun, in the plural where it is not 1."""
    return f"{count:,} {word}{('es' if word.endswith('s') else 's') if count != 1 else ''}"


def _columns(graph: Data) -> tuple[object, ...]:
    """The form of `y` and of edges, which is the same in all graphs of a task."""
    y = graph.get("y")
    return (None if y is None else (y.dtype, y.shape[1:]), graph.get("edge_weight") is None)


def _dense_parts(value: Tensor) -> list[Tensor]:
    if value.layout == torch.sparse_csr:
        return [value.crow_indices(), value.col_indices(), value.values()]
    return [value] if value.layout == torch.strided else [value.coalesce().indices(), value.coalesce().values()]
