"""Tasks of PyG's dataset classes."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch_geometric import datasets as pyg
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.transforms import NormalizeFeatures

from graphtasks.catalogue import FACTS
from graphtasks.checks import check_graph
from graphtasks.metrics import METRICS
from graphtasks.sources.cache import RawFiles, resolve_root
from graphtasks.sources.protocols import node_splits
from graphtasks.splits import Split
from graphtasks.task import GraphTask, Kind

GEOM_GCN_FILES = ("out1_node_feature_label.txt", "out1_graph_edges.txt")


@dataclass(frozen=True)
class PyGDataset:
    """A node classification dataset that PyG has a class for.

    Args:
        task_name: Name in the catalogue.
        cls: PyG's class, whose name is also the first folder under the root.
        folder: Folder of the raw files below that one.
        files: Names of the raw files.
        options: Arguments of the class.
        protocols: Split protocols, the default first.
        metric: Name of the metric.
        normalize: Whether the features of each node are divided by their sum.
        note: Remark for users of its scores, said in the protocol.
    """

    task_name: str
    cls: type[InMemoryDataset]
    folder: str
    files: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    protocols: tuple[str, ...] = ("random", "stratified")
    metric: str = "accuracy"
    normalize: bool = False
    note: str = ""

    kind: ClassVar[Kind] = "node"

    @property
    def source(self) -> str:
        """PyG class and name."""
        return ", ".join([f"torch_geometric.datasets.{self.cls.__name__}", *filter(None, [self.options.get("name")])])

    def found(self, root: Path) -> bool:
        """Whether any of the raw files is in the root."""
        return self._raw_files(self.protocols[0]).found(root)

    def _raw_files(self, protocol: str) -> RawFiles:
        dataset = self
        if self.cls is pyg.Planetoid and protocol == "geom-gcn":
            splits = _geom_gcn_splits(str(self.options["name"]).lower())
            dataset = replace(
                self,
                folder=self.folder.replace("/raw", "/geom-gcn/raw"),
                files=(*self.files, *splits),
                options={**self.options, "split": "geom-gcn"},
            )
        folder = f"{self.cls.__name__}/{dataset.folder}".replace("//", "/")
        return RawFiles(self.task_name, folder, dataset.files, dataset._open)

    def _open(self, root: Path) -> Data:
        # PyG reports "Processing..." on stderr, and warns of pickled files.
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = self.cls(str(root / self.cls.__name__), **self.options)[0]
        if self.task_name in ("cora", "pubmed"):  # CiteSeer leaves nodes out, and PyG checks it
            _check_test_nodes(
                root / self.cls.__name__ / self.folder / f"ind.{self.task_name}.test.index", data.num_nodes
            )
        return data

    def load(self, protocol: str, root: Path | None, *, normalize: bool | None = None) -> GraphTask:
        """Load the graph from the root's raw files, or download them into the cache folder.

        Args:
            protocol: One of the protocols.
            root: Folder of raw files.
            normalize: Whether the features of each node are divided by their sum; by default as the field of that name.
        """
        files = self._raw_files(protocol)
        data = files.read(resolve_root(root))
        assert isinstance(data, Data)
        if data.x.layout != torch.strided:
            data.x = data.x.to_dense()
        check_graph(data, self.task_name)
        if self.normalize if normalize is None else normalize:
            data = NormalizeFeatures()(data)
        splits, description = node_splits(protocol, data, self.task_name, root)
        return GraphTask(
            name=self.task_name,
            kind="node",
            data=Data(x=data.x, y=data.y, edge_index=data.edge_index),
            splits=splits,
            metric=METRICS[self.metric],
            directed=data.is_directed(),
            source=self.source,
            licence=FACTS[self.task_name].licence,
            protocol="; ".join(filter(None, [description, self.note])),
        )


@dataclass(frozen=True)
class LongRangeDataset:
    """A set of graphs of the "Long Range Graph Benchmark" (https://arxiv.org/abs/2206.08164).

    Args:
        task_name: Name in the catalogue, and of PyG's `LRGBDataset`.
        kind: 'node' for the superpixels, 'graph' for the peptides.
        metric: Name of the metric.
    """

    task_name: str
    kind: Kind
    metric: str

    protocols = ("public",)

    @property
    def source(self) -> str:
        """PyG class and name."""
        return f"torch_geometric.datasets.LRGBDataset, {self.task_name}"

    def found(self, root: Path) -> bool:
        """Whether any of the raw files is in the root."""
        return self._raw_files.found(root)

    @property
    def _raw_files(self) -> RawFiles:
        suffix = "pickle" if self.task_name.endswith("-sp") else "pt"
        files = tuple(f"{part}.{suffix}" for part in ("train", "val", "test"))
        return RawFiles(self.task_name, f"LRGBDataset/{self.task_name}/raw", files, self._open)

    def _open(self, root: Path) -> list[list[Data]]:
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [
                list(pyg.LRGBDataset(str(root / "LRGBDataset"), name=self.task_name, split=part))
                for part in ("train", "val", "test")
            ]

    def load(self, protocol: str, root: Path | None) -> GraphTask:
        """Load the graphs from the root's raw files, or download them into the cache folder."""
        files = self._raw_files
        parts = files.read(resolve_root(root))
        assert isinstance(parts, list)
        graphs = [graph for part in parts for graph in part]
        for graph in graphs:
            graph.x = graph.x.float()
        ends = [len(parts[0]), len(parts[0]) + len(parts[1])]
        return GraphTask(
            name=self.task_name,
            kind=self.kind,
            data=graphs,
            splits=[Split(*torch.arange(len(graphs)).tensor_split(ends))],
            metric=METRICS[self.metric],
            directed=False,
            source=self.source,
            licence=FACTS[self.task_name].licence,
            protocol="the fixed split of graphs",
        )


def _check_test_nodes(file: Path, num_nodes: int) -> None:
    """Raise `ValueError` unless the last nodes are each listed once; PyG gives features to wrong nodes otherwise."""
    nodes = [int(node) for node in file.read_text().split()]
    if sorted(nodes) != list(range(num_nodes - len(nodes), num_nodes)):
        raise ValueError(f"{file.name} does not list each test node once")


def _geom_gcn_splits(name: str) -> tuple[str, ...]:
    return tuple(f"{name}_split_0.6_0.2_{i}.npz" for i in range(10))


def _planetoid(name: str) -> PyGDataset:
    parts = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")
    return PyGDataset(
        name.lower(),
        pyg.Planetoid,
        f"{name}/raw",
        tuple(f"ind.{name.lower()}.{part}" for part in parts),
        {"name": name},
        ("public", "geom-gcn", "tunedgnn", "random", "stratified"),
        normalize=True,
    )


def _citation(task_name: str, name: str) -> list[PyGDataset]:
    undirected = PyGDataset(
        task_name, pyg.CitationFull, f"{name}/raw", (f"{name}.npz",), {"name": name}, normalize=True
    )
    directed = replace(undirected, task_name=f"{task_name}-directed", options={"name": name, "to_undirected": False})
    return [undirected, directed]


def _amazon(name: str) -> PyGDataset:
    return PyGDataset(
        f"amazon-{name.lower()}",
        pyg.Amazon,
        f"{name}/raw",
        (f"amazon_electronics_{name.lower()}.npz",),
        {"name": name},
        ("random", "stratified", "tunedgnn"),
        normalize=True,
    )


def _coauthor(name: str) -> PyGDataset:
    return PyGDataset(
        f"coauthor-{name.lower()}",
        pyg.Coauthor,
        f"{name}/raw",
        (f"ms_academic_{name[:3].lower()}.npz",),
        {"name": name},
        ("random", "stratified", "tunedgnn"),
        normalize=True,
    )


def _geom_gcn(cls: type[InMemoryDataset], name: str, folder: str, splits: str) -> PyGDataset:
    options = {} if cls is pyg.Actor else {"name": name}
    files = (*GEOM_GCN_FILES, *_geom_gcn_splits(splits))
    note = f"many nodes recur in other parts, use {name}-filtered" if cls is pyg.WikipediaNetwork else ""
    return PyGDataset(name, cls, folder, files, options, ("geom-gcn", "stratified"), note=note)


def _heterophilous(name: str) -> PyGDataset:
    task_name = name.lower()
    file = task_name.replace("-", "_")
    return PyGDataset(
        task_name,
        pyg.HeterophilousGraphDataset,
        f"{file}/raw",
        (f"{file}.npz",),
        {"name": name},
        ("public", "stratified"),
        "accuracy" if task_name in ("roman-empire", "amazon-ratings") else "roc_auc",
    )


def _facebook(name: str) -> PyGDataset:
    # PyG wants the fixed splits of penn94 beside its data.
    files = ("data.mat", "fb100-Penn94-splits.npy") if name == "penn94" else ("data.mat",)
    return PyGDataset(name, pyg.LINKXDataset, f"{name}/raw", files, {"name": name}, ("linkx", "stratified"))


def _twitch(name: str) -> PyGDataset:
    return PyGDataset(
        f"twitch-{name.lower()}",
        pyg.Twitch,
        f"{name}/raw",
        (f"{name}.npz",),
        {"name": name},
        ("linkx", "stratified"),
        "roc_auc",
    )


PYG_DATASETS = (
    *map(_planetoid, ("Cora", "CiteSeer", "PubMed")),
    *_citation("cora-full", "cora"),
    *_citation("cora-ml", "cora_ml"),
    *_citation("citeseer-full", "citeseer"),
    *_citation("dblp", "dblp"),
    *_citation("pubmed-full", "pubmed"),
    *map(_amazon, ("Computers", "Photo")),
    *map(_coauthor, ("CS", "Physics")),
    *(_geom_gcn(pyg.WebKB, name, f"{name}/raw", name) for name in ("texas", "wisconsin", "cornell")),
    *(_geom_gcn(pyg.WikipediaNetwork, name, f"{name}/geom_gcn/raw", name) for name in ("chameleon", "squirrel")),
    _geom_gcn(pyg.Actor, "actor", "raw", "film"),
    *map(_heterophilous, ("Roman-empire", "Amazon-ratings", "Minesweeper", "Tolokers", "Questions")),
    *map(_facebook, ("penn94", "reed98", "amherst41", "cornell5", "johnshopkins55")),
    *map(_twitch, ("DE", "EN", "ES", "FR", "PT", "RU")),
    PyGDataset(
        "flickr",
        pyg.Flickr,
        "raw",
        ("adj_full.npz", "feats.npy", "class_map.json", "role.json"),
        protocols=("public", "stratified"),
    ),
    PyGDataset(
        "reddit", pyg.Reddit, "raw", ("reddit_data.npz", "reddit_graph.npz"), protocols=("public", "stratified")
    ),
)

LONG_RANGE_DATASETS = (
    LongRangeDataset("pascalvoc-sp", "node", "macro_f1"),
    LongRangeDataset("coco-sp", "node", "macro_f1"),
    LongRangeDataset("peptides-func", "graph", "ap"),
    LongRangeDataset("peptides-struct", "graph", "mae"),
)
