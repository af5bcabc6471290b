"""The commands `graphtasks list`, `show NAME`, `splits NAME` and `check`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from graphtasks.catalogue import FACTS
from graphtasks.errors import GraphTasksError, InvalidDataError, MissingFilesError, UnknownTaskError
from graphtasks.options import Check, List, Show, Splits
from graphtasks.registry import CATALOGUE, available, find, load
from graphtasks.sources.cache import resolve_root
from graphtasks.spelling import did_you_mean
from graphtasks.splits import combined_hash, load_splits, save_splits
from graphtasks.task import KINDS, GraphTask


def statistics(task: GraphTask) -> dict[str, Any]:
    """Counts of a task, in the order of the catalogue's facts."""
    classes = task.kind in ("node", "graph") and task.metric.task == "classification"
    return {
        "graphs": len(task.graphs),
        "nodes": task.num_nodes,
        "edges": task.num_edges,
        "features": task.num_features,
        "classes": task.num_outputs if classes else None,
        "directed": task.directed,
    }


def describe(tasks: dict[str, GraphTask]) -> dict[str, Any]:
    """Statistics of a task, as `graphtasks show --json` prints them.

    Args:
        tasks: The task under each of its split protocols.
    """
    task = next(iter(tasks.values()))
    return {
        "name": task.name,
        "kind": task.kind,
        **statistics(task),
        "outputs": task.num_outputs,
        "metric": task.metric.name,
        "source": task.source,
        "licence": task.licence,
        "protocol": task.protocol,
        "splits": [
            {"name": name, "count": len(each.splits), "hash": combined_hash(each.splits)}
            for name, each in tasks.items()
        ],
    }


def markdown() -> str:
    """The catalogue as a Markdown table."""
    rows = ["task", "kind", "graphs", "nodes", "edges", "features", "classes", "directed", "metric", "splits", "MB"]
    rows += ["licence", "source"]
    lines = [f"| {' | '.join(rows)} |", "|---" * len(rows) + "|"]
    for name, entry in CATALOGUE.items():
        facts = FACTS[name]
        counts = [facts.graphs, facts.nodes, facts.edges, facts.features, facts.classes]
        cells = ["" if count is None else f"{count:,}" for count in counts]
        directed = {True: "yes", False: "no", None: ""}[facts.directed]
        size = "" if facts.megabytes is None else "none" if entry.found is None else f"{facts.megabytes:.1f}"
        mark = "" if facts.counted else " *"
        last = [directed, entry.metric, ", ".join(entry.protocols), size, facts.licence, entry.source]
        lines.append(f"| {' | '.join([f'`{name}`{mark}', entry.kind, *cells, *last])} |")
    return "\n".join(lines)


def _list(command: List, console: Console) -> None:
    if command.kind is not None and command.kind not in KINDS:
        hint = did_you_mean(command.kind, KINDS)
        raise UnknownTaskError(f"no task is of kind {command.kind!r}: {hint}use one of {', '.join(KINDS)}")
    if command.markdown:
        print(markdown())
        return
    table = Table(box=None)
    for column in ("name", "kind", "nodes", "edges", "metric", "splits", "source"):
        table.add_column(
            column,
            no_wrap=True,
            min_width=max(map(len, available())) if column == "name" else None,
            justify="right" if column in ("nodes", "edges") else "left",
        )
    for name in available():
        entry, facts = CATALOGUE[name], FACTS[name]
        if command.kind in (None, entry.kind):
            counts = ("" if count is None else f"{count:,}" for count in (facts.nodes, facts.edges))
            table.add_row(name, entry.kind, *counts, entry.metric, ", ".join(entry.protocols), entry.source)
    console.print(table)


def _protocols(command: Show) -> Iterator[tuple[str, GraphTask]]:
    """The task under each split protocol; one that needs a file of its own is left out where there is none."""
    if command.split:
        yield command.split, load(command.name, root=command.root, split=command.split)
        return
    first, *others = CATALOGUE[find(command.name)].protocols
    yield first, load(command.name, root=command.root, split=first)
    for protocol in others:
        with suppress(MissingFilesError):
            yield protocol, load(command.name, root=command.root, split=protocol)


def _show(command: Show, console: Console) -> None:
    description = describe(dict(_protocols(command)))
    if command.json:
        print(json.dumps(description))
        return
    splits = description.pop("splits")
    table = Table(show_header=False, box=None)
    for key, value in description.items():
        table.add_row(key, f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))
    for split in splits:
        table.add_row("split", f"{split['name']}: {split['count']}, hash {split['hash']}")
    console.print(table)


def _splits(command: Splits, console: Console) -> None:
    task = load(command.name, root=command.root, split=command.split)
    table = Table("split", "train", "val", "test", "hash", box=None)
    for i in range(len(task.splits)):
        split = task.split(i)
        sizes = (f"{part.size(-1):,}" for part in (split.train, split.val, split.test))
        table.add_row(str(i), *sizes, split.hash)
    console.print(table)
    console.print(f"{task.protocol}; hash of all {combined_hash(task.splits)}")
    if command.out is not None:
        save_splits(task.splits, command.out)
        print(f"written to {command.out}")
    if command.compare is not None:
        theirs = combined_hash(load_splits(command.compare))
        if theirs != combined_hash(task.splits):
            raise InvalidDataError(f"{command.compare} holds other splits, with hash {theirs}")
        print(f"{command.compare} holds the same splits")


def _check(command: Check, console: Console) -> None:
    root = resolve_root(Path(command.root) if command.root else None)
    chosen = [find(name) for name in command.names]
    if not chosen:
        chosen = [name for name in available() if (found := CATALOGUE[name].found) is not None and found(root)]
    if not chosen:
        raise MissingFilesError(f"no raw files of known tasks are in {root}")
    table = Table("task", "graphs", "nodes", "edges", "features", "classes", "directed", "catalogue", box=None)
    failed = 0
    progress = track(chosen, "loading", console=Console(stderr=True), transient=True)
    for name in progress:
        try:
            counts = statistics(load(name, root=root))
        except GraphTasksError as error:
            failed += 1
            table.add_row(name, *[""] * 6, f"[red]{escape(str(error))}[/red]")
            continue
        facts = FACTS[name]
        other = [
            f"{key} {getattr(facts, key)}" if key == "directed" else f"{key} {getattr(facts, key):,}"
            for key, count in counts.items()
            if getattr(facts, key) not in (None, count)
        ]
        failed += bool(other)
        cells = (
            "" if count is None else f"{count:,}" if key != "directed" else str(count) for key, count in counts.items()
        )
        table.add_row(name, *cells, f"[red]{', '.join(other)}[/red]" if other else "agrees")
    console.print(table)
    print(f"{len(chosen) - failed} of {len(chosen)} tasks in {root} agree with the catalogue")
    if failed:
        raise SystemExit(1)


def run(command: List | Show | Splits | Check) -> None:
    """Do what a command asks for."""
    # Piped lines are not cut.
    console = Console(width=None if sys.stdout.isatty() else 10_000, emoji=False)
    if isinstance(command, List):
        _list(command, console)
    elif isinstance(command, Show):
        _show(command, console)
    elif isinstance(command, Splits):
        _splits(command, console)
    else:
        _check(command, console)
