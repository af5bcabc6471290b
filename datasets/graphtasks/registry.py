"""The catalogue of tasks by name."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from graphtasks.catalogue import FACTS, Facts
from graphtasks.errors import FileError, InvalidDataError, UnknownTaskError
from graphtasks.files import as_path
from graphtasks.sources import advection, embedded, heterophilous, long_range, ogb, pyg, series, synthetic
from graphtasks.sources.links import LinkTask
from graphtasks.spelling import did_you_mean
from graphtasks.splits import combined_hash, load_splits
from graphtasks.task import GraphTask, Kind
from graphtasks.values import check_options


class Source(Protocol):
    """A dataset read from files."""

    @property
    def task_name(self) -> str:
        """Name in the catalogue."""

    @property
    def kind(self) -> Kind:
        """Kind of the targets."""

    @property
    def metric(self) -> str:
        """Name of the metric."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """Names of the split protocols, the default first."""

    @property
    def source(self) -> str:
        """Where the data come from."""

    @property
    def load(self) -> Callable[..., GraphTask]:
        """`load(protocol, root, **options)`."""

    def found(self, root: Path) -> bool:
        """Whether raw files are in a root."""


@dataclass(frozen=True)
class Entry:
    """Facts about a task that are known before it is loaded.

    Args:
        kind: Kind of the targets.
        metric: Name of the metric.
        protocols: Names of the split protocols, the default first.
        source: Where the data come from.
        load: `load(protocol, root, **options)`.
        found: `found(root)` says whether raw files are in a root; None where the task needs none.
    """

    kind: Kind
    metric: str
    protocols: tuple[str, ...]
    source: str
    load: Callable[..., GraphTask]
    found: Callable[[Path], bool] | None = None

    @classmethod
    def of(cls, source: Source) -> Entry:
        """The entry of a dataset read from files."""
        return cls(source.kind, source.metric, source.protocols, source.source, source.load, source.found)


def _entries() -> dict[str, Entry]:
    accuracy, random = "accuracy", ("random",)
    entries = {
        name: Entry("node", accuracy, random, dataset.source, dataset.load)
        for name, dataset in embedded.DATASETS.items()
    }
    entries["les-miserables"] = Entry("link", "roc_auc", random, embedded.LES_MISERABLES, embedded.les_miserables)
    entries["csbm"] = Entry("node", accuracy, random, synthetic.CSBM_SOURCE, synthetic.csbm)
    entries["ring-transfer"] = Entry("node", accuracy, random, long_range.RING_SOURCE, long_range.ring_transfer)
    hops = long_range.PROPERTY_SOURCE
    entries["shortest-path"] = Entry("node-regression", "mse", random, hops, long_range.shortest_path)
    entries["eccentricity"] = Entry("node-regression", "mse", random, hops, long_range.eccentricity)
    entries["diameter"] = Entry("graph", "mse", random, hops, long_range.diameter)
    entries["advection"] = Entry("temporal", "mse", ("time",), advection.ADVECTION_SOURCE, advection.advection)
    files: tuple[Source, ...] = (
        *pyg.PYG_DATASETS,
        *pyg.LONG_RANGE_DATASETS,
        *heterophilous.WIKIPEDIA_FILES,
        *ogb.OGB_DATASETS,
        *series.SERIES,
    )
    links = [
        LinkTask(dataset)
        for dataset in pyg.PYG_DATASETS
        if dataset.task_name in ("cora", "citeseer", "pubmed", "amazon-photo", "amazon-computers")
    ]
    return entries | {source.task_name: Entry.of(source) for source in (*files, *links)}


CATALOGUE = _entries()


def available(kind: Kind | None = None) -> list[str]:
    """Names of all tasks, or of those of one kind, in alphabetical order.

    >>> "digits" in available("node")
    True
    """
    return sorted(name for name, entry in CATALOGUE.items() if kind in (None, entry.kind))


def find(name: str) -> str:
    """The catalogue's spelling of a task's name.

    Raises:
        UnknownTaskError: There is no such task.
    """
    if not isinstance(name, str):
        raise UnknownTaskError(
            f"got {name!r} as the name of a task: `graphtasks list` shows the names, `from_data` and `from_folder` "
            "take your own data"
        )
    key = name.lower().replace("_", "-")
    if key not in CATALOGUE:
        hint = did_you_mean(key, CATALOGUE)
        raise UnknownTaskError(f"no task is called {name!r}: {hint}`graphtasks list` shows all {len(CATALOGUE)} names")
    return key


def check_counts(task: GraphTask, facts: Facts) -> None:
    """Raise `InvalidDataError` where raw files gave another number of nodes or edges than they are known to hold.

    PyG reads a text file that was cut at the end of a line as a smaller graph.
    """
    if facts.counted and (task.num_nodes, task.num_edges) != (facts.nodes, facts.edges):
        raise InvalidDataError(
            f"{task.name!r} has {task.num_nodes:,} nodes and {task.num_edges:,} edges, expected {facts.nodes:,} and "
            f"{facts.edges:,}: a raw file is cut off or of another dataset, replace it"
        )


def load(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    split: str | os.PathLike[str] | None = None,
    **options: Any,
) -> GraphTask:
    """Load a task by name.

    Args:
        name: A name from :func:`available`, in upper or lower case.
        root: Folder of raw files, with `root/<PyG class>/...`; by default `$GRAPHTASKS_ROOT`, else the user's cache
            folder. Nothing is written into a root other than the cache folder.
        split: Split protocol, by default the task's first; or a `.npz` file of :func:`~graphtasks.save_splits`.
        **options: Options of a generator, such as `homophily` of 'csbm', or of a dataset, such as `normalize`.

    Raises:
        UnknownTaskError: No such task, protocol or option.
        MissingFilesError: The raw files are not in `root` and cannot be downloaded, or there is no such split file.
        InvalidDataError: A raw file is damaged, or an option has no possible value.

    >>> task = load("digits")
    >>> task.num_nodes, task.num_features, task.num_classes
    (1797, 64, 10)
    """
    key = find(name)
    entry = CATALOGUE[key]
    protocol, file = str(as_path(split)) if split is not None else entry.protocols[0], None
    if protocol.endswith(".npz"):
        protocol, file = entry.protocols[0], protocol
    if protocol not in entry.protocols:
        raise UnknownTaskError(
            f"{key!r} has no split protocol {protocol!r}: {did_you_mean(protocol, entry.protocols)}use one of "
            f"{', '.join(entry.protocols)}, or a .npz file"
        )
    known = list(inspect.signature(entry.load).parameters)[2:]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise UnknownTaskError(
            f"{key!r} does not take the option {unknown[0]!r}: {did_you_mean(unknown[0], known)}it takes "
            f"{', '.join(known) or 'none'}"
        )
    folder = as_path(root) if root is not None else None
    if "\0" in str(folder):
        raise FileError(f"got root={root!r}, expected a folder, whose name has no null character")
    task = entry.load(protocol, folder, **check_options(entry.load, options))
    if entry.found is not None:
        check_counts(task, FACTS[key])
    if options:
        settings = ", ".join(f"{option}={value}" for option, value in sorted(options.items()))
        task = task.replace(protocol=f"{task.protocol}; {settings}")
    if file is None:
        return task
    splits = load_splits(file)
    return task.replace(splits=splits, protocol=f"splits of a file, hash {combined_hash(splits)}")
