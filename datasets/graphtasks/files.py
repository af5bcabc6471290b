"""Tasks read from raw files, through PyG's dataset classes where there is one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch_geometric import datasets as pyg
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.transforms import NormalizeFeatures
from torch_geometric.utils import to_undirected

from graphtasks.errors import InvalidDataError, MissingFilesError
from graphtasks.metrics import METRICS
from graphtasks.splits import Split, mask_splits
from graphtasks.task import GraphTask

ROOT_VARIABLE = "GRAPHTASKS_ROOT"


def cache_folder() -> Path:
    """Folder of downloads and processed files: `$XDG_CACHE_HOME/graphtasks`, by default `~/.cache/graphtasks`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graphtasks"


def _resolve_root(root: Path | None) -> Path:
    if root is None and os.environ.get(ROOT_VARIABLE):
        root = Path(os.environ[ROOT_VARIABLE])
    return (root or cache_folder()).expanduser().resolve()


def _stage(name: str, root: Path, folder: str, files: tuple[str, ...]) -> Path:
    """A root that PyG may write to and whose `folder` holds links to the raw files.

    The root's name carries a fingerprint of the raw files, so that processed files never outlive what they were made
    from. With no raw file at all, it is the cache folder, where PyG downloads to.
    """
    raw = root / folder
    missing = [file for file in files if not (raw / file).is_file()]
    if len(missing) == len(files):
        return cache_folder()
    if missing:
        raise MissingFilesError(f"{name!r} is incomplete in {raw}: missing {', '.join(missing)}; add or remove files")
    stats = [(raw / file).stat() for file in files]
    identity = repr([(file, stat.st_size, stat.st_mtime_ns) for file, stat in zip(files, stats, strict=True)])
    staged = cache_folder() / hashlib.sha256(f"{raw}{identity}".encode()).hexdigest()[:16]
    (staged / folder).mkdir(parents=True, exist_ok=True)
    for file in files:
        link = staged / folder / file
        with contextlib.suppress(FileExistsError):
            link.symlink_to(raw / file)
    return staged


@dataclass(frozen=True)
class PyGDataset:
    """A node classification dataset that PyG has a class for.

    Args:
        task_name: Name in the catalogue.
        cls: PyG's class, whose name is also the first folder under the root.
        name: The class's `name` argument.
        protocols: Split protocols, the default first.
        folder: Name of the dataset's folder as PyG spells it.
    """

    task_name: str
    cls: type[InMemoryDataset]
    name: str
    protocols: tuple[str, ...]
    folder: str

    @property
    def source(self) -> str:
        """PyG class and name."""
        return f"torch_geometric.datasets.{self.cls.__name__}, {self.name}"

    def _files(self, protocol: str) -> tuple[str, ...]:
        splits = tuple(f"{self.name.lower()}_split_0.6_0.2_{i}.npz" for i in range(10))
        if self.cls is pyg.WebKB:
            return ("out1_node_feature_label.txt", "out1_graph_edges.txt", *splits)
        planetoid = tuple(f"ind.{self.name.lower()}.{part}" for part in ("x", "tx", "allx", "y", "ty", "ally", "graph"))
        planetoid += (f"ind.{self.name.lower()}.test.index",)
        return (*planetoid, *splits) if protocol == "geom-gcn" else planetoid

    def load(self, protocol: str, root: Path | None) -> GraphTask:
        """Load the graph from the root's raw files, or download it into the cache folder."""
        root = _resolve_root(root)
        geom = "geom-gcn/" if self.cls is pyg.Planetoid and protocol == "geom-gcn" else ""
        folder = f"{self.cls.__name__}/{self.folder}/{geom}raw"
        files = self._files(protocol)
        staged = _stage(self.task_name, root, folder, files)
        downloads = staged == cache_folder()
        options = {"split": protocol} if self.cls is pyg.Planetoid else {}
        try:
            # PyG reports "Processing..." on stderr.
            with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data = self.cls(str(staged / self.cls.__name__), name=self.name, **options)[0]
        except Exception as error:
            if downloads:
                raise MissingFilesError(
                    f"{self.task_name!r} is not in {root / folder} and cannot be downloaded "
                    f"({type(error).__name__}: {error}): put {', '.join(files)} there"
                ) from error
            raise InvalidDataError(
                f"{self.task_name!r} cannot be read from {root / folder} ({type(error).__name__}: {error}): "
                f"replace its files"
            ) from error
        if self.cls is pyg.Planetoid:
            data = NormalizeFeatures()(data)
        splits = mask_splits(data.train_mask, data.val_mask, data.test_mask)
        return _node_task(self.task_name, data, splits, self.source, f"{protocol} split(s), {len(splits)} in number")


@dataclass(frozen=True)
class WikipediaFile:
    """A filtered Wikipedia graph, from "A critical look at the evaluation of GNNs under heterophily"
    (https://arxiv.org/abs/2302.11640)."""

    task_name: str

    source = "yandex-research/heterophilous-graphs"

    def load(self, protocol: str, root: Path | None) -> GraphTask:
        """Read `root/heterophilous_npz/NAME.npz`."""
        path = _resolve_root(root) / "heterophilous_npz" / f"{self.task_name.replace('-', '_')}.npz"
        if not path.is_file():
            raise MissingFilesError(
                f"{self.task_name!r} needs {path.name} in {path.parent}: get it from the data folder of {self.source}"
            )
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {key: torch.from_numpy(archive[key]) for key in archive.files}
            edge_index = arrays["edges"].t().long().contiguous()
            data = Data(x=arrays["node_features"].float(), y=arrays["node_labels"].long(), edge_index=edge_index)
            masks = [arrays[f"{part}_masks"].t() for part in ("train", "val", "test")]
        except (KeyError, ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            raise InvalidDataError(f"{path} cannot be read ({type(error).__name__}: {error}): replace it") from error
        if not self.task_name.endswith("directed"):
            data.edge_index = to_undirected(data.edge_index, num_nodes=len(data.x))
        splits = mask_splits(*masks)
        return _node_task(self.task_name, data, splits, self.source, f"{len(splits)} fixed splits of the source")


def _node_task(name: str, data: Data, splits: list[Split], source: str, protocol: str) -> GraphTask:
    return GraphTask(
        name=name,
        kind="node",
        data=Data(x=data.x, y=data.y, edge_index=data.edge_index),
        splits=splits,
        metric=METRICS["accuracy"],
        directed=data.is_directed(),
        source=source,
        licence="not stated",
        protocol=protocol,
    )


PYG_DATASETS = (
    PyGDataset("cora", pyg.Planetoid, "Cora", ("public", "geom-gcn"), "Cora"),
    PyGDataset("citeseer", pyg.Planetoid, "CiteSeer", ("public", "geom-gcn"), "CiteSeer"),
    PyGDataset("pubmed", pyg.Planetoid, "PubMed", ("public", "geom-gcn"), "PubMed"),
    PyGDataset("texas", pyg.WebKB, "Texas", ("geom-gcn",), "texas"),
    PyGDataset("wisconsin", pyg.WebKB, "Wisconsin", ("geom-gcn",), "wisconsin"),
    PyGDataset("cornell", pyg.WebKB, "Cornell", ("geom-gcn",), "cornell"),
)

WIKIPEDIA_FILES = tuple(
    WikipediaFile(name + form) for name in ("chameleon-filtered", "squirrel-filtered") for form in ("", "-directed")
)
