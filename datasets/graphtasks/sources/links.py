"""Link prediction on graphs of other tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from graphtasks.links import link_task
from graphtasks.sources.pyg import PyGDataset
from graphtasks.task import GraphTask, Kind


@dataclass(frozen=True)
class LinkTask:
    """The edges of a dataset's graph, to be predicted."""

    dataset: PyGDataset

    kind: ClassVar[Kind] = "link"
    metric = "roc_auc"
    protocols = ("random",)

    @property
    def task_name(self) -> str:
        """Name of the dataset's task with '-link'."""
        return f"{self.dataset.task_name}-link"

    @property
    def source(self) -> str:
        """Where the graph comes from."""
        return self.dataset.source

    def found(self, root: Path) -> bool:
        """Whether any of the raw files is in the root."""
        return self.dataset.found(root)

    def load(self, protocol: str, root: Path | None, *, normalize: bool | None = None) -> GraphTask:
        """Load the dataset and split its edges."""
        task = self.dataset.load(self.dataset.protocols[0], root, normalize=normalize)
        return link_task(task.graph(), name=self.task_name, source=self.source, licence=task.licence)
