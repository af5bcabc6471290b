"""Tasks read from raw files, through PyG's dataset classes where there is one."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch_geometric
from torch_geometric import datasets as pyg
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.transforms import NormalizeFeatures
from torch_geometric.utils import to_undirected

from graphtasks.errors import InvalidDataError, MissingFilesError
from graphtasks.metrics import METRICS
from graphtasks.splits import Split, mask_splits
from graphtasks.task import GraphTask, check_graph

ROOT_VARIABLE = "GRAPHTASKS_ROOT"


def cache_folder() -> Path:
    """Folder of downloads and processed files: `$XDG_CACHE_HOME/graphtasks`, by default `~/.cache/graphtasks`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graphtasks"


def _resolve_root(root: Path | None) -> Path:
    if root is None and os.environ.get(ROOT_VARIABLE):
        root = Path(os.environ[ROOT_VARIABLE])
    return (root or cache_folder()).expanduser().resolve()


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

    def _folder(self, protocol: str) -> str:
        geom = "geom-gcn/" if self.cls is pyg.Planetoid and protocol == "geom-gcn" else ""
        return f"{self.cls.__name__}/{self.folder}/{geom}raw"

    def load(self, protocol: str, root: Path | None) -> GraphTask:
        """Load the graph from the root's raw files, or download them into the cache folder."""
        data = self._open(self._stage(protocol, _resolve_root(root)), protocol)
        if self.cls is pyg.Planetoid:
            data = NormalizeFeatures()(data)
        check_graph(data, self.task_name)
        splits = mask_splits((data.train_mask, data.val_mask, data.test_mask), data.num_nodes)
        return _node_task(self.task_name, data, splits, self.source, f"{protocol} splits, {len(splits)} in number")

    def _open(self, root: Path, protocol: str) -> Data:
        options = {"split": protocol} if self.cls is pyg.Planetoid else {}
        # PyG reports "Processing..." on stderr.
        with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.cls(str(root / self.cls.__name__), name=self.name, **options)[0]

    def _stage(self, protocol: str, root: Path) -> Path:
        """A root in the cache with links to the raw files and what PyG made of them.

        Its name carries a fingerprint of the raw files, so that processed files never outlive what they were made
        from, and it appears as a whole, so that a broken one is never used.
        """
        raw = self._raw(protocol, root)
        stats = [(raw / file).stat() for file in self._files(protocol)]
        fingerprint = repr([torch_geometric.__version__, *((stat.st_size, stat.st_mtime_ns) for stat in stats)])
        staged = cache_folder() / hashlib.sha256(f"{raw}{fingerprint}".encode()).hexdigest()[:16]
        if staged.is_dir():
            return staged
        with _temporary_folder() as folder:
            (folder / self._folder(protocol)).mkdir(parents=True)
            for file in self._files(protocol):
                link = folder / self._folder(protocol) / file
                try:
                    link.symlink_to(raw / file)
                except OSError:  # a system without links
                    shutil.copy2(raw / file, link)
            try:
                self._open(folder, protocol)
            except Exception as error:
                raise InvalidDataError(
                    f"{self.task_name!r} cannot be read from {raw} ({type(error).__name__}: {error}): replace its files"
                ) from error
            with contextlib.suppress(OSError):  # another process was first
                folder.rename(staged)
        return staged

    def _raw(self, protocol: str, root: Path) -> Path:
        """Folder of the raw files: in the root, else in the cache, else in the cache after a download."""
        files, folder = self._files(protocol), self._folder(protocol)
        for raw in (root / folder, cache_folder() / folder):
            missing = [file for file in files if not (raw / file).is_file()]
            if not missing:
                return raw
            if len(missing) < len(files):
                raise MissingFilesError(
                    f"{self.task_name!r} is incomplete in {raw}: missing {', '.join(missing)}; add or remove files"
                )
        with _temporary_folder() as temporary:
            try:
                self._open(temporary, protocol)
            except Exception as error:
                raise MissingFilesError(
                    f"{self.task_name!r} is not in {root / folder} and cannot be downloaded "
                    f"({type(error).__name__}: {error}): put {', '.join(files)} there"
                ) from error
            raw.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(OSError):  # another process was first
                (temporary / folder).rename(raw)
        return raw


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder in the cache that is gone afterwards unless it was renamed."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=cache_folder(), prefix="partial-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {key: torch.from_numpy(archive[key]) for key in archive.files}
            edge_index = arrays["edges"].t().long().contiguous()
            data = Data(x=arrays["node_features"].float(), y=arrays["node_labels"].long(), edge_index=edge_index)
            masks = [arrays[f"{part}_masks"].t() for part in ("train", "val", "test")]
        except (KeyError, ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
            raise InvalidDataError(f"{path} cannot be read ({type(error).__name__}: {error}): replace it") from error
        if not self.task_name.endswith("directed"):
            data.edge_index = to_undirected(data.edge_index, num_nodes=len(data.x))
        check_graph(data, self.task_name)
        splits = mask_splits(masks, len(data.x))
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
