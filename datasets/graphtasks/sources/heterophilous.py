"""Filtered Wikipedia graphs, which PyG has no class for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch_geometric.data import Data

from graphtasks.catalogue import FACTS
from graphtasks.errors import MissingFilesError
from graphtasks.metrics import METRICS
from graphtasks.sources.cache import resolve_root
from graphtasks.sources.checksums import check_file
from graphtasks.sources.npz import read_graph
from graphtasks.sources.protocols import node_splits
from graphtasks.task import GraphTask, Kind


@dataclass(frozen=True)
class WikipediaFile:
    """A filtered Wikipedia graph, from "A critical look at the evaluation of GNNs under heterophily"
    (https://arxiv.org/abs/2302.11640)."""

    task_name: str

    kind: ClassVar[Kind] = "node"
    metric = "accuracy"
    source = "yandex-research/heterophilous-graphs"
    protocols = ("public", "stratified")

    def path(self, root: Path) -> Path:
        """`root/heterophilous_npz/NAME.npz`."""
        return root / "heterophilous_npz" / f"{self.task_name.replace('-', '_')}.npz"

    def found(self, root: Path) -> bool:
        """Whether the file is in the root."""
        return self.path(root).is_file()

    def load(self, protocol: str, root: Path | None) -> GraphTask:
        """Read the file from the root."""
        path = self.path(resolve_root(root))
        if not path.is_file():
            raise MissingFilesError(
                f"{self.task_name!r} needs {path.name} in {path.parent}: get it from the data folder of {self.source}"
            )
        check_file(path, f"heterophilous_npz/{path.name}")
        data = read_graph(path, undirected=not self.task_name.endswith("directed"))
        splits, description = node_splits(protocol, data, self.task_name, root)
        return GraphTask(
            name=self.task_name,
            kind="node",
            data=Data(x=data.x, y=data.y, edge_index=data.edge_index),
            splits=splits,
            metric=METRICS["accuracy"],
            directed=data.is_directed(),
            source=self.source,
            licence=FACTS[self.task_name].licence,
            protocol=description,
        )


WIKIPEDIA_FILES = tuple(
    WikipediaFile(name + form) for name in ("chameleon-filtered", "squirrel-filtered") for form in ("", "-directed")
)
