"""The catalogue of tasks by name."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphtasks import embedded, files, synthetic
from graphtasks.errors import UnknownTaskError
from graphtasks.task import GraphTask, Kind


@dataclass(frozen=True)
class Entry:
    """What is known of a task before it is loaded.

    Args:
        kind: What is predicted.
        metric: Name of the metric.
        protocols: Names of the split protocols, the default first.
        source: Where the data come from.
        load: `load(protocol, root, **options)`.
    """

    kind: Kind
    metric: str
    protocols: tuple[str, ...]
    source: str
    load: Callable[..., GraphTask]


def _entries() -> dict[str, Entry]:
    entries = {
        name: Entry("node", "accuracy", ("random",), dataset.source, dataset.load)
        for name, dataset in embedded.DATASETS.items()
    }
    entries["csbm"] = Entry("node", "accuracy", ("random",), synthetic.CSBM_SOURCE, synthetic.csbm)
    for dataset in files.PYG_DATASETS:
        entries[dataset.task_name] = Entry("node", "accuracy", dataset.protocols, dataset.source, dataset.load)
    for wikipedia in files.WIKIPEDIA_FILES:
        entries[wikipedia.task_name] = Entry("node", "accuracy", ("public",), wikipedia.source, wikipedia.load)
    return entries


CATALOGUE = _entries()


def available(kind: Kind | None = None) -> list[str]:
    """Names of all tasks, or of those of one kind, in alphabetical order.

    >>> "digits" in available("node")
    True
    """
    return sorted(name for name, entry in CATALOGUE.items() if kind in (None, entry.kind))


def load(
    name: str, *, root: str | os.PathLike[str] | None = None, split: str | None = None, **options: Any
) -> GraphTask:
    """Load a task by name.

    Args:
        name: A name from :func:`available`, in upper or lower case.
        root: Folder of raw files, as `root/<PyG class>/...`; by default `$GRAPHTASKS_ROOT`, else the user's cache
            folder. Nothing is written into it.
        split: Split protocol, by default the task's first.
        **options: Options of a generator, as `homophily` of 'csbm'.

    Raises:
        UnknownTaskError: No such task, protocol or option.
        MissingFilesError: The raw files are not in `root` and cannot be downloaded.

    >>> task = load("digits")
    >>> task.num_nodes, task.num_features, task.num_classes
    (1797, 64, 10)
    """
    key = name.lower().replace("_", "-")
    if key not in CATALOGUE:
        close = difflib.get_close_matches(key, CATALOGUE, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UnknownTaskError(f"no task is called {name!r}: {hint}`graphtasks list` shows all {len(CATALOGUE)} names")
    entry = CATALOGUE[key]
    if split is not None and split not in entry.protocols:
        raise UnknownTaskError(f"{key!r} has no split protocol {split!r}: use one of {', '.join(entry.protocols)}")
    try:
        return entry.load(split or entry.protocols[0], Path(root) if root is not None else None, **options)
    except TypeError as error:
        if options and "argument" in str(error):
            raise UnknownTaskError(f"{key!r} does not take these options: {error}") from error
        raise
